"""What the arrival of a MeasurementSet means.

Belongs here: the decision. Doesn't: recording it.
"""

from pathlib import Path

from contimg_resources.errors import ProductsError
from contimg_resources.products.model import ArrivalOutcome, ObservationRecord


def judge_arrival(
    known: ObservationRecord | None, path: Path, signature: str
) -> tuple[ArrivalOutcome, str]:
    """Tell what the arrival of an MS means, given what is known under its partition key.

    Parameters
    ----------
    known : ObservationRecord or None
        The observation of the same key, when there is one.
    path : Path
        The MS that arrived.
    signature : str
        Signature of its content.

    Returns
    -------
    tuple of (ArrivalOutcome, str)
        The outcome, and what the observation's history will say.

    Raises
    ------
    ProductsError
        If another MS with other content but of the same mid-MJD is there.
    """
    if known is None:
        return ArrivalOutcome.NEW, f"arrived as {path}"
    if known.superseded_by:
        return ArrivalOutcome.REPLACED, f"arrived again as {path}"
    if known.path == path:
        if known.signature == signature:
            return ArrivalOutcome.SAME, ""
        return ArrivalOutcome.REPLACED, f"the content of {path} was replaced"
    there = known.path.exists()
    if known.signature == signature:
        if there:
            return ArrivalOutcome.DUPLICATE, f"delivered a second time as {path}; not used"
        return ArrivalOutcome.MOVED, f"moved from {known.path} to {path}"
    if there:
        raise ProductsError(
            f"{path} and {known.path} are two different MeasurementSets of the same mid-MJD "
            f"{known.key}: remove or rename one of them",
            key=known.key,
            paths=[str(known.path), str(path)],
        )
    return ArrivalOutcome.REPLACED, f"{known.path} was replaced by {path} with other content"
