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
    """All data that are exported."""

    observations: tuple[ObservationRecord, ...]  #: By time.
    #: The set whose window contains each observation; None if there is no such set.
    answers: tuple[ActiveSet | None, ...]
    #: Set applied to the products of an observation, by partition key.
    applied: dict[str, AppliedSet]
    stale: frozenset[str]  #: Partition keys of observations with stale products.
    images: dict[str, ImageRecord]  #: By partition key.
    sets: tuple[CaltableSet, ...]  #: By time.
    mosaics: tuple[MosaicRecord, ...]  #: By time.
    epochs: dict[str, EpochRecord]  #: Photometry of mosaics, by partition key.
    points: LightCurves  #: Light curves.
    variability: Variability | None  #: Metrics of the last day; None if there are none.
    candidates: tuple[CandidateRecord, ...] = ()  #: Candidates by epoch of minimum.
    marks: tuple[MarkRecord, ...] = ()  #: Marks in the order of their creation.
    cards: Path = field(default_factory=Path)  #: Directory of the candidates' cards.
    cutouts_of: CutoutsOf = no_cutouts  #: Returns the cutouts of a source.
    shortage: str = ""  #: Description of low disk space; empty if there is enough.
    damaged: tuple[str, ...] = ()  #: Descriptions of unreadable files.
    #: Right ascension of the centre of each image that was made elsewhere, by partition key, ICRS
    #: degrees: that telescope may not have observed on the meridian.
    elsewhere_ra_deg: dict[str, float] = field(default_factory=dict)
