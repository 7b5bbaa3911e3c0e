"""Models of the documents for dashboards, and of the report of a candidate.

Belongs here: the models. Doesn't: filling and writing the documents, their schemas (see `schemas`).

Every document has a `schema_version` and its name in `document`. Missing numbers are null. Times
are MJD in days, UTC, unless a name ends in ``_utc``; units are in the names. Read `Index` first: it
lists the pages of all other documents. A page's name contains its content's checksum, so a page
never changes, and a reader with an index can read all of its pages.

Documents may get new names without a new version. Therefore the published schemas, unlike the
models that documents are made from, allow unknown names.
"""

from typing import Literal

from pydantic import Field

from contimg_resources.export.appearances import AppearanceItem
from contimg_resources.export.parts import Document, Part


class Page(Part):
    """One file of a document."""

    path: str = Field(description="Relative to the index.")
    n_items: int = Field(ge=0)
    size_bytes: int = Field(ge=0)
    first: str | float | None = Field(None, description="First source id or MJD in it.")
    last: str | float | None = Field(None, description="Last source id or MJD in it.")


class Count(Part):
    """Number of observations in a state."""

    state: str
    n: int


class RejectionItem(Part):
    """A delivery that lies in a watched directory and can't be used."""

    name: str
    reason: str
    since_mjd: float


class Status(Part):
    """Status of the night: the 24 hours before the end of the latest observation."""

    start_mjd: float | None = None
    end_mjd: float | None = None
    counts: tuple[Count, ...] = ()
    observed_h: float = 0.0
    n_images: int = 0
    n_mosaics: int = 0
    last_observation: str | None = None
    last_image_mjd: float | None = None
    median_rms_mjy: float | None = None
    median_rms_ratio: float | None = Field(None, description="Median of rms over expected rms.")
    active_set: str | None = Field(None, description="Caltable set valid at the end.")
    active_set_until_mjd: float | None = None
    n_failed: int = 0
    n_waiting: int = Field(0, description="Observations without a valid caltable set.")
    n_stale: int = 0
    n_candidates_in_progress: int = 0
    n_variables: int = 0
    silence_min: float | None = Field(
        None, description="Minutes without an observation after which something is wrong."
    )
    rejections: tuple[RejectionItem, ...] = Field(
        (), description="Deliveries that can't be used, the latest ones first."
    )
    problems: tuple[str, ...] = Field((), description="Problems that need attention.")


class Index(Document):
    """All pages and files, and the status of the night."""

    document: Literal["index"] = "index"
    generated_mjd: float
    generated_utc: str
    software: dict[str, str]
    run_id: str = Field("", description="Run that wrote it; empty for the command line.")
    telescope: str
    status: Status
    pages: dict[str, tuple[Page, ...]] = Field(
        description="Pages by document: observations, calibration, image_quality, mosaics, "
        "sources, light_curves, variables, candidates, annotations."
    )
    files: dict[str, str] = Field(
        default_factory=dict,
        description="Downloads: name or description, and path.",
    )


class ObservationItem(Part):
    """An observation and its state."""

    key: str
    start_mjd: float
    mid_mjd: float
    end_mjd: float
    ra_deg: float = Field(description="On the meridian at the mid-time, ICRS.")
    dec_deg: float
    calibrator: str = Field(description="Calibrator in the beam; empty if there is none.")
    state: str
    reason: str
    set_name: str | None = None
    set_version: int | None = None
    borrowed: bool = False
    stale: bool = False
    missing_sub_bands: tuple[int, ...] = Field(
        (), description="Numbers of the missing sub-bands, whose data are flagged."
    )


class Observations(Document):
    """Observations by time."""

    document: Literal["observations"] = "observations"
    observations: tuple[ObservationItem, ...]


class CaltableSetItem(Part):
    """A caltable set and its window."""

    name: str
    version: int
    calibrator: str
    status: str
    reason: str = ""
    mid_mjd: float
    start_mjd: float
    end_mjd: float
    dec_deg: float | None = None
    refant: str = ""
    tables: tuple[str, ...] = Field((), description="Types in the order of the apply list.")
    flag_fraction: float | None = None


class Gap(Part):
    """A time span with observations for which no active set is valid."""

    start_mjd: float
    end_mjd: float
    n_observations: int


class Calibration(Document):
    """Caltable sets by time, and the gaps between their windows."""

    document: Literal["calibration"] = "calibration"
    sets: tuple[CaltableSetItem, ...]
    gaps: tuple[Gap, ...] = Field((), description="Gaps; only in the first page.")


class ImageQuality(Document):
    """Quality measures of the images, one column each, by time."""

    document: Literal["image_quality"] = "image_quality"
    key: tuple[str, ...]
    mid_mjd: tuple[float, ...]
    rms_mjy: tuple[float | None, ...]
    expected_rms_mjy: tuple[float | None, ...]
    dynamic_range: tuple[float | None, ...]
    bmaj_arcsec: tuple[float | None, ...]
    bmin_arcsec: tuple[float | None, ...]
    n_sources: tuple[int | None, ...]
    flux_ratio: tuple[float | None, ...]
    offset_arcsec: tuple[float | None, ...]
    flag_fraction: tuple[float | None, ...]


class MosaicItem(Part):
    """A mosaic and its photometry."""

    key: str
    start_mjd: float
    mid_mjd: float
    end_mjd: float
    ra_deg: float | None = None
    dec_deg: float
    state: str
    reason: str
    n_tiles: int
    rms_mjy: float | None = None
    expected_rms_mjy: float | None = None
    observed_deg2: float | None = None
    n_sources: int | None = None
    n_measured: int | None = None
    flux_scale: float | None = None
    epoch_ok: bool | None = None


class Mosaics(Document):
    """Mosaics by time."""

    document: Literal["mosaics"] = "mosaics"
    mosaics: tuple[MosaicItem, ...]


class Sources(Document):
    """Measured sources and their variability, one column each, by id."""

    document: Literal["sources"] = "sources"
    source_id: tuple[str, ...]
    ra_deg: tuple[float | None, ...] = Field(
        description="Null for an added light curve without a position."
    )
    dec_deg: tuple[float | None, ...]
    n_epochs: tuple[int, ...]
    mean_flux_mjy: tuple[float | None, ...]
    median_snr: tuple[float | None, ...]
    eta: tuple[float | None, ...]
    v: tuple[float | None, ...]
    modulation_index: tuple[float | None, ...]
    p_value: tuple[float | None, ...]
    pair_vs: tuple[float | None, ...]
    pair_m: tuple[float | None, ...]
    intrinsic_probability: tuple[float | None, ...] = Field(
        description="Probability that the source varies as a damped random walk of ln S."
    )
    intrinsic_sigma: tuple[float | None, ...] = Field(
        description="Standard deviation of the walk: mean of its posterior."
    )
    intrinsic_sigma_error: tuple[float | None, ...]
    intrinsic_sigma_low: tuple[float | None, ...] = Field(description="5 % quantile.")
    intrinsic_sigma_high: tuple[float | None, ...] = Field(description="95 % quantile.")
    intrinsic_tau_days: tuple[float | None, ...] = Field(
        description="Time scale of the walk; null for a source that is probably steady."
    )
    intrinsic_tau_error_days: tuple[float | None, ...]
    intrinsic_tau_low_days: tuple[float | None, ...] = Field(
        description="5 % quantile; null if time scales shorter than the interval between "
        "measurements aren't excluded."
    )
    intrinsic_tau_high_days: tuple[float | None, ...] = Field(
        description="95 % quantile; null if time scales longer than the time observed aren't "
        "excluded."
    )
    intrinsic_jitter: tuple[float | None, ...] = Field(
        description="Scatter of ln S beyond the errors and the walk."
    )
    is_variable: tuple[bool, ...]
    spectral_index: tuple[float | None, ...] = Field(
        (), description="Mean of the last 30 days from sub-bands; null if not measured."
    )
    spectral_index_error: tuple[float | None, ...] = ()
    light_curve_page: tuple[int | None, ...] = Field(
        description="Page of `light_curves` that contains it, from 0; null if there is none."
    )


class StructureItem(Part):
    """Structure function of ln S: mean squared difference, less that of the errors, by lag."""

    lag_days: tuple[float, ...]
    structure: tuple[float | None, ...]
    structure_error: tuple[float | None, ...] = Field(
        description="Its standard deviation in light curves drawn from the source's noise."
    )
    model: tuple[float | None, ...] = Field(
        description="That of the damped random walk and the jitter of the source."
    )
    n_pairs: tuple[int, ...]


class LightCurveItem(Part):
    """A source's flux densities, one column each, by time."""

    source_id: str
    mid_mjd: tuple[float, ...]
    flux_mjy: tuple[float | None, ...]
    error_mjy: tuple[float | None, ...]
    flags: tuple[int, ...]
    integrated_mjy: tuple[float | None, ...] | None = Field(
        None,
        description="Integrated flux densities of the measurements flagged as wider than the beam "
        "(flag 128). Null for a source without such measurements.",
    )
    integrated_error_mjy: tuple[float | None, ...] | None = None
    structure: StructureItem | None = Field(
        None, description="Null for a source that is probably steady."
    )


class LightCurves(Document):
    """Light curves by source id."""

    document: Literal["light_curves"] = "light_curves"
    light_curves: tuple[LightCurveItem, ...]


class VariableItem(Part):
    """A source flagged as variable."""

    source_id: str
    ra_deg: float | None
    dec_deg: float | None
    n_epochs: int
    mean_flux_mjy: float | None
    eta: float | None
    v: float | None
    modulation_index: float | None
    p_value: float | None
    pair_vs: float | None
    pair_m: float | None
    pair_first_mjd: float | None
    pair_second_mjd: float | None
    is_pair_variable: bool | None = Field(
        None, description="Whether its most significant pair of epochs is variable too."
    )


class SystematicItem(Part):
    """An annual or daily pattern of the flux references."""

    cause: str = Field(description="place (in the mosaic), year or day.")
    amplitude: float = Field(description="Its rms as a fraction of the flux density.")
    error: float = Field(description="Error of that.")
    sigma: float = Field(description="Significance.")
    is_removed: bool = Field(description="Whether it is removed before events are searched.")


class Variables(Document):
    """Sources flagged as variable, and the thresholds."""

    document: Literal["variables"] = "variables"
    day_mjd: int | None = Field(None, description="Last UTC day of the data.")
    systematic_floor: float | None = Field(
        None, description="Systematic error floor as a fraction of the flux density."
    )
    n_references: int | None = None
    eta_sigma: float | None = None
    v_sigma: float | None = None
    threshold_snr: tuple[float, ...] = Field(
        (), description="Median S/N of the two thresholds below."
    )
    threshold_eta: tuple[float, ...] = ()
    threshold_v: tuple[float, ...] = ()
    systematics: tuple[SystematicItem, ...] = Field(
        (), description="Annual and daily patterns of the references; empty: not measured."
    )
    variables: tuple[VariableItem, ...]


class MarkItem(Part):
    """A person's mark of a candidate."""

    mark: str
    note: str
    by: str
    utc: str


class Neighbour(Part):
    """Flux densities of a source near a candidate, over the same time, divided by their mean."""

    source_id: str
    separation_deg: float | None = None
    mid_mjd: tuple[float, ...]
    ratio: tuple[float | None, ...]


class CutoutItem(Part):
    """A cutout of one epoch."""

    epoch: str
    mid_mjd: float
    png: str = Field(description="Relative to the index.")


class CandidateItem(Part):
    """A candidate's card."""

    id: str
    kind: str = Field("ese", description="`ese` or `new source`.")
    source_id: str
    added_list: str | None = Field(
        None, description="List of added light curves, without images; null for the platform's own."
    )
    ra_deg: float | None
    dec_deg: float | None
    state: str
    start_mjd: float
    mid_mjd: float
    end_mjd: float
    score: float
    threshold: float | None = None
    threshold_check: str = Field(
        "",
        description="False alarms in 1000 source-years at the threshold on the sources' own light "
        "curves, flipped and shuffled.",
    )
    threshold_warning: str = Field(
        "", description="In what these are significantly more than accepted; empty if in nothing."
    )
    template: str = ""
    depth: float | None = None
    depth_error: float | None = None
    width_days: float | None = None
    width_error_days: float | None = None
    mid_error_days: float | None = None
    baseline_mjy: float | None = None
    baseline_error_mjy: float | None = None
    reduced_chi2: float | None = None
    neighbour_depth: float | None = None
    neighbour_depth_error: float | None = None
    over_walk: float | None = Field(
        None,
        description="Twice the difference of log likelihoods: intrinsic variability with the event "
        "less intrinsic variability alone.",
    )
    spectral_change: float | None = None
    spectral_change_error: float | None = None
    lens_fraction: float | None = Field(
        None,
        description="Differences between sub-bands in units of those of a lens: 1 for a lens, 0 "
        "for a dip equal at all frequencies.",
    )
    lens_fraction_error: float | None = None
    lens_over_grey: float | None = Field(
        None,
        description="Twice the difference of log likelihoods from sub-bands: a lens less a dip "
        "equal at all frequencies. A part of the score.",
    )
    first_day_mjd: int
    searched_day_mjd: int
    mark: MarkItem | None = Field(None, description="The current mark.")
    earlier_marks: tuple[MarkItem, ...] = ()
    template_mjd: tuple[float, ...] = ()
    template_mjy: tuple[float, ...] = ()
    light_curve_page: int | None = None
    neighbours: tuple[Neighbour, ...] = ()
    card_png: str | None = Field(None, description="Relative to the index.")
    chart_png: str | None = Field(None, description="Finding chart, relative to the index.")
    follow_up_json: str | None = Field(
        None, description="Report for observers as JSON, relative to the index."
    )
    voevent_xml: str | None = Field(
        None, description="The same as a VOEvent 2.0, relative to the index."
    )
    cutouts: tuple[CutoutItem, ...] = ()
    appearance: AppearanceItem | None = Field(None, description="Evidence for a new source.")


class Candidates(Document):
    """Candidates (Extreme Scattering Events and new sources) by epoch of minimum or peak."""

    document: Literal["candidates"] = "candidates"
    candidates: tuple[CandidateItem, ...]


class AnnotationItem(Part):
    """A tag or comment."""

    text: str
    by: str
    utc: str


class AnnotationsItem(Part):
    """Tags, favourites and comments of a source or candidate."""

    subject: str = Field(description="`source` or `candidate`.")
    id: str
    tags: tuple[AnnotationItem, ...]
    favourite_of: tuple[str, ...] = Field(description="People whose favourite it is.")
    comments: tuple[AnnotationItem, ...] = Field(description="By time; the newest ones.")


class Annotations(Document):
    """Sources and candidates with tags, favourites or comments, by id."""

    document: Literal["annotations"] = "annotations"
    annotations: tuple[AnnotationsItem, ...]


#: All documents with pages by name.
DOCUMENTS: dict[str, type[Document]] = {
    "index": Index,
    "observations": Observations,
    "calibration": Calibration,
    "image_quality": ImageQuality,
    "mosaics": Mosaics,
    "sources": Sources,
    "light_curves": LightCurves,
    "variables": Variables,
    "candidates": Candidates,
    "annotations": Annotations,
}
