"""Input of the documents, as read at one moment.

Belongs here: the record that all builders share; reading light curves and variability metrics.
Doesn't: reading the stores (see `contimg_resources.steps.exporting`), any document.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from contimg_resources.core.errors import ContimgError, rejecting
from contimg_resources.core.naming import StateLayout
from contimg_resources.products.annotations import Annotations
from contimg_resources.products.epochs import EpochRecord, MosaicRecord
from contimg_resources.products.events import CandidateRecord, MarkRecord
from contimg_resources.products.model import AppliedSet, ImageRecord, ObservationRecord
from contimg_resources.products.new_sources import NewSourceRecord
from contimg_resources.products.rejections import Rejection
from contimg_resources.registry.lookup import ActiveSet
from contimg_resources.registry.model import CaltableSet
from contimg_resources.variability.model import (
    LightCurves,
    Structure,
    Variability,
    VariabilityFacts,
    joined_curves,
    joined_metrics,
)

#: Cutouts of a source by its id: epoch, mid-MJD (days), PNG, FITS.
CutoutsOf = Callable[[str], tuple[tuple[str, float, Path, Path], ...]]


#: Days of the mean spectral indices.
INDEX_DAYS = 30.0


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
    structure: Structure = field(default_factory=Structure.empty)  #: Structure functions.
    candidates: tuple[CandidateRecord, ...] = ()  #: Candidates by epoch of minimum.
    marks: tuple[MarkRecord, ...] = ()  #: Marks in the order of their creation.
    #: Sources that the reference catalogue lacks, by name.
    new_sources: dict[str, NewSourceRecord] = field(default_factory=dict)
    #: Tags, comments and favourites of sources and candidates.
    annotations: Annotations = field(default_factory=dict)
    cards: Path = field(default_factory=Path)  #: Directory of the candidates' cards.
    cutouts_of: CutoutsOf = no_cutouts  #: Returns the cutouts of a source.
    shortage: str = ""  #: Description of low disk space; empty if there is enough.
    rejections: tuple[Rejection, ...] = ()  #: Deliveries that can't be used, the latest first.
    silence_min: float | None = None  #: Minutes without an observation that are too many.
    damaged: tuple[str, ...] = ()  #: Descriptions of unreadable files.
    #: Right ascension of the centre of each image that was made elsewhere, by partition key, ICRS
    #: degrees: that telescope may not have observed on the meridian.
    elsewhere_ra_deg: dict[str, float] = field(default_factory=dict)
    #: Numbers of missing sub-bands of the observations that lack some, by partition key.
    missing_sub_bands: dict[str, tuple[int, ...]] = field(default_factory=dict)
    #: Mean spectral index and its error of each source that has one.
    indices: dict[str, tuple[float, float]] = field(default_factory=dict)


def read_measures(
    layout: StateLayout,
) -> tuple[LightCurves, Variability | None, tuple[str, ...]]:
    """Read all light curves, and the metrics of the last day (None if there are none).

    The third value holds the reasons for unreadable files, which don't stop the others.
    """
    # Imported here: these load pyarrow.
    from contimg_resources.variability.points import (
        read_points,
    )
    from contimg_resources.variability.tables import (
        latest_variability,
        read_variability,
    )

    latest = latest_variability(layout.variability)
    damaged: dict[str, str] = {}
    points = read_points(layout.light_curves, damaged=damaged)
    measures = None
    if latest is not None:
        with rejecting(damaged, latest.name):
            measures = read_variability(latest)
    return points, measures, tuple(damaged.values())


def read_structures(layout: StateLayout) -> tuple[Structure, tuple[str, ...]]:
    """Read the structure functions of the last day, and of the users' lists.

    The second value holds the reasons for unreadable files, which don't stop the others.
    """
    from contimg_resources.variability.added import added_names
    from contimg_resources.variability.tables import (
        added_variability_path,
        latest_variability,
        read_structure,
    )

    latest = latest_variability(layout.variability)
    names = added_names(layout.added_light_curves)
    paths = [added_variability_path(layout.variability, name) for name in names]
    damaged: dict[str, str] = {}
    parts = [Structure.empty()]
    for path in paths if latest is None else [latest, *paths]:
        with rejecting(damaged, str(path)):
            parts.append(read_structure(path))
    joined = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return Structure(*joined), tuple(damaged.values())


def read_indices(
    layout: StateLayout, end_mjd: float
) -> tuple[dict[str, tuple[float, float]], tuple[str, ...]]:
    """Read the mean spectral indices of the last days before an MJD, and reasons for damage."""
    # It loads a database.
    from contimg_resources.photometry.spectral_indices import mean_indices

    damaged: dict[str, str] = {}
    with rejecting(damaged, "spectra"):
        return mean_indices(layout.photometry, end_mjd - INDEX_DAYS, end_mjd), ()
    return {}, tuple(damaged.values())


def with_added(
    layout: StateLayout,
    points: LightCurves,
    variability: Variability | None,
    unreadable: tuple[str, ...] = (),
) -> tuple[LightCurves, Variability | None, tuple[str, ...]]:
    """Add the light curves and metrics of the users' lists to those of the platform.

    The result holds the combined data, and the reasons for unreadable files, which don't stop the
    others; those given as `unreadable` precede those of lists.
    """
    from contimg_resources.variability.added import added_names, read_added
    from contimg_resources.variability.tables import added_variability_path, read_variability

    curves, tables = [points], [] if variability is None else [variability]
    damaged = list(unreadable)
    for name in added_names(layout.added_light_curves):
        try:
            curves.append(read_added(layout.added_light_curves, name)[0])
            path = added_variability_path(layout.variability, name)
            if path.is_file():
                tables.append(read_variability(path))
        except ContimgError as error:
            damaged.append(error.message)
    facts = VariabilityFacts() if variability is None else variability.facts
    metrics = replace(joined_metrics(tables), facts=facts) if tables else None
    return joined_curves(curves), metrics, tuple(damaged)
