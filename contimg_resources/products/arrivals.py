"""Classify the arrival of a MeasurementSet, of sub-band files or of an image.

Belongs here: the decision. Doesn't: recording it.
"""

from collections.abc import Sequence
from pathlib import Path

from contimg_resources.core.errors import ProductsError
from contimg_resources.instrument.dsa110 import N_SPECTRAL_WINDOWS
from contimg_resources.observations.model import Observation, ObservationOrigin, SubBandFile
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


def check_sub_bands(
    known: ObservationRecord | None, before: Sequence[SubBandFile], observation: Observation
) -> tuple[ArrivalOutcome, str]:
    """Classify the arrival of sub-band files, given the known observation of their key.

    Parameters
    ----------
    known : ObservationRecord or None
        The observation with the same key, if any.
    before : sequence of SubBandFile
        Its sub-band files.
    observation : Observation
        The observation that arrived.

    Returns
    -------
    tuple of (ArrivalOutcome, str)
        The outcome, and the entry for the observation's history.

    Raises
    ------
    ProductsError
        If an MS or an image is that observation.
    """
    files = observation.sub_bands
    directory = files[0].path.parent
    if known is None or known.superseded_by:
        outcome = ArrivalOutcome.NEW if known is None else ArrivalOutcome.REPLACED
        return outcome, f"arrived as {len(files)} sub-band files in {directory}"
    refuse_other_origin(known, directory, observation.origin)
    if known.signature == observation.signature:
        if [f.path for f in before] == [f.path for f in files]:
            return ArrivalOutcome.SAME, ""
        return ArrivalOutcome.MOVED, f"{MOVED} {before[0].path.parent} to {directory}"
    there = {f.number: f for f in before}
    late = [f.number for f in files if f.number not in there]
    changed = [
        f.number
        for f in files
        if f.number in there
        and (f.size_bytes, f.modified_ns)
        != (there[f.number].size_bytes, there[f.number].modified_ns)
    ]
    words = [
        f"{what}: {', '.join(map(str, numbers))}"
        for what, numbers in (("late sub-bands", late), ("replaced sub-bands", changed))
        if numbers
    ] or ["other sub-band files"]
    return (
        ArrivalOutcome.REPLACED,
        f"{'; '.join(words)}; now {len(files)} of {N_SPECTRAL_WINDOWS} are there",
    )
