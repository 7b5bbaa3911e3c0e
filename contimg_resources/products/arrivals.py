"""Classify the arrival of a MeasurementSet or an image.

Belongs here: the decision. Doesn't: recording it.
"""

from pathlib import Path

from contimg_resources.core.errors import ProductsError
from contimg_resources.observations.model import ObservationOrigin
from contimg_resources.products.model import ArrivalOutcome, ObservationRecord

#: First words of history entries about a second delivery or a moved MS.
TWICE = "delivered a second time"
MOVED = "moved from"

_KINDS = {
    ObservationOrigin.MEASUREMENT_SET: "MeasurementSets",
    ObservationOrigin.IMAGE: "images",
}
_ONE = {
    ObservationOrigin.MEASUREMENT_SET: "a MeasurementSet",
    ObservationOrigin.SUB_BANDS: "made of the correlator's sub-band files",
    ObservationOrigin.IMAGE: "an image made elsewhere",
}


def refuse_other_origin(known: ObservationRecord, path: Path, origin: ObservationOrigin) -> None:
    """Refuse an arrival if the known observation of its key is of another kind.

    Raises
    ------
    ProductsError
        If it is.
    """
    if known.origin is not origin:
        raise ProductsError(
            f"{path} and {known.path} have the same mid-MJD {known.key}: one is {_ONE[origin]}, "
            f"the other {_ONE[known.origin]}; only one of them can be that observation",
            key=known.key,
            paths=[str(known.path), str(path)],
        )


def check_arrival(
    known: ObservationRecord | None,
    path: Path,
    signature: str,
    origin: ObservationOrigin = ObservationOrigin.MEASUREMENT_SET,
    *,
    unusable: str = "",
    known_unusable: str = "",
) -> tuple[ArrivalOutcome, str]:
    """Classify the arrival of an MS or an image, given the known observation of its key.

    Parameters
    ----------
    known : ObservationRecord or None
        The observation with the same key, if any.
    path : Path
        The MS that arrived.
    signature : str
        Signature of its content.
    origin : ObservationOrigin
        Whether it is an MS or an image.
    unusable, known_unusable : str
        Why its data can't be used, and those of the known one; empty if they can.

    Returns
    -------
    tuple of (ArrivalOutcome, str)
        The outcome, and the entry for the observation's history.

    Raises
    ------
    ProductsError
        If another MS has the same mid-MJD but different content, unless only the data of that one
        can't be used.
    """
    if known is None:
        return ArrivalOutcome.NEW, f"arrived as {path}"
    if known.superseded_by:
        return ArrivalOutcome.REPLACED, f"arrived again as {path}"
    refuse_other_origin(known, path, origin)
    if known.path == path:
        if known.signature == signature:
            return ArrivalOutcome.SAME, ""
        return ArrivalOutcome.REPLACED, f"the content of {path} was replaced"
    there = known.path.exists()
    if known.signature == signature:
        if there:
            return ArrivalOutcome.DUPLICATE, f"{TWICE} as {path}; not used"
        return ArrivalOutcome.MOVED, f"{MOVED} {known.path} to {path}"
    if there and known_unusable and not unusable:
        return (
            ArrivalOutcome.REPLACED,
            f"{path} replaces {known.path}, whose data can't be used",
        )
    if there:
        which = f"; nothing can be made of {path}: {unusable}" if unusable else ""
        raise ProductsError(
            f"{path} and {known.path} are two different {_KINDS[origin]} of the same mid-MJD "
            f"{known.key}: remove or rename one of them{which}",
            key=known.key,
            paths=[str(known.path), str(path)],
        )
    return ArrivalOutcome.REPLACED, f"{known.path} was replaced by {path} with other content"
