"""Input of the documents, as read at one moment.

Belongs here: the record that all builders share. Doesn't: reading it (see
`contimg_resources.steps.exporting`), any document.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from contimg_resources.products.epochs import EpochRecord, MosaicRecord
from contimg_resources.products.events import CandidateRecord, MarkRecord
from contimg_resources.products.model import AppliedSet, ImageRecord, ObservationRecord
from contimg_resources.registry.model import CaltableSet
from contimg_resources.registry.snapshot import ActiveSet
from contimg_resources.variability.model import LightCurves, Variability

#: Cutouts of a source by its id: epoch, mid-MJD (days), PNG, FITS.
CutoutsOf = Callable[[str], tuple[tuple[str, float, Path, Path], ...]]


def no_cutouts(source_id: str) -> tuple[tuple[str, float, Path, Path], ...]:
    """Return an empty list: a source without cutouts."""
    return ()


@dataclass(frozen=True)
class PlatformState:
    """All data that are exported.

    Parameters
    ----------
    observations : tuple of ObservationRecord
        By time.
    answers : tuple of ActiveSet or None
        The set whose window contains each observation; None if there is no such set.
    applied : dict of str to AppliedSet
        Set applied to the products of an observation, by partition key.
    stale : frozenset of str
        Partition keys of observations with stale products.
    images : dict of str to ImageRecord
        By partition key.
    sets : tuple of CaltableSet
        By time.
    mosaics : tuple of MosaicRecord
        By time.
    epochs : dict of str to EpochRecord
        Photometry of mosaics, by partition key.
    points : LightCurves
        Light curves.
    variability : Variability or None
        Metrics of the last day; None if there are none.
    candidates : tuple of CandidateRecord
        Candidates by epoch of minimum.
    marks : tuple of MarkRecord
        Marks in the order of their creation.
    cards : Path
        Directory of the candidates' cards.
    cutouts_of : callable
        Returns the cutouts of a source.
    shortage : str
        Description of low disk space; empty if there is enough.
    damaged : tuple of str
        Descriptions of unreadable files.
    elsewhere_ra_deg : dict of str to float
        Right ascension of the centre of each image that was made elsewhere, by partition key, ICRS
        degrees: that telescope may not have observed on the meridian.
    missing_sub_bands : dict of str to tuple of int
        Numbers of missing sub-bands of the observations that lack some, by partition key.
    """

    observations: tuple[ObservationRecord, ...]
    answers: tuple[ActiveSet | None, ...]
    applied: dict[str, AppliedSet]
    stale: frozenset[str]
    images: dict[str, ImageRecord]
    sets: tuple[CaltableSet, ...]
    mosaics: tuple[MosaicRecord, ...]
    epochs: dict[str, EpochRecord]
    points: LightCurves
    variability: Variability | None
    candidates: tuple[CandidateRecord, ...] = ()
    marks: tuple[MarkRecord, ...] = ()
    cards: Path = field(default_factory=Path)
    cutouts_of: CutoutsOf = no_cutouts
    shortage: str = ""
    damaged: tuple[str, ...] = ()
    elsewhere_ra_deg: dict[str, float] = field(default_factory=dict)
    missing_sub_bands: dict[str, tuple[int, ...]] = field(default_factory=dict)
