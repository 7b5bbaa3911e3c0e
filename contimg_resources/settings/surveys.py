"""Settings of products of many observations: mosaics, photometry, light curves, events.

Belongs here: one model for each stage, and the catalogue that they share. Doesn't: single
observations (see `.observations`).
"""

from typing import Literal

from pydantic import Field

from contimg_resources.settings.section import Section


class CatalogueSettings(Section):
    """Known sources."""

    reference: str | None = Field(
        None,
        description="Name of the reference catalogue (`contimg catalogue list`). Its sources are "
        "matched with images to check flux scale and astrometry, measured by forced photometry, "
        "and added to the model of a solve if they are in the beam with the calibrator.",
    )
    default_spectral_index: float = Field(
        -0.7,
        ge=-5,
        le=5,
        description="Spectral index of sources without one in the catalogue (S ~ nu^alpha).",
    )


class MosaicSettings(Section):
    """Rolling mosaics of 5-minute images."""

    slot_s: float = Field(
        300.0,
        ge=60,
        le=3600,
        description="Slot of the fixed time grid of the windows; must divide a day.",
    )
    width: int = Field(12, ge=2, le=48, description="Number of slots in a mosaic.")
    step: int = Field(6, ge=1, le=48, description="Number of slots from one mosaic to the next.")
    min_tiles: int = Field(2, ge=1, description="Minimum number of images in a mosaic.")
    wait_min: float = Field(
        60.0,
        ge=0,
        description="A window with gaps waits this long at most, from its end or from its last "
        "change; it waits only until an observation after the gaps has arrived. After "
        "observations that arrive later the mosaic is remade.",
    )
    max_rms_ratio: float = Field(
        1.5,
        gt=1,
        description="Maximum ratio of the measured noise to the noise expected from the tiles.",
    )
    max_seam_sigma: float = Field(
        3.0, gt=0, description="Maximum step at the edge of a tile, in units of its uncertainty."
    )
    sums_days: float = Field(
        0.5,
        gt=0,
        description="The running sums of windows with gaps, to which late tiles are added, "
        "are removed after this long; later the mosaic is rebuilt from its tiles.",
    )


class PhotometrySettings(Section):
    """Forced photometry at catalogue positions."""

    min_flux_mjy: float = Field(
        10.0, ge=0, description="Minimum catalogue flux density of the measured sources."
    )
    images: bool = Field(True, description="Measure single 5-minute images as well as mosaics.")
    min_references: int = Field(
        10, ge=3, description="Minimum number of reference sources for an epoch's flux scale."
    )
    max_scale_scatter: float = Field(
        0.1, gt=0, description="Maximum robust scatter of the reference sources' flux ratios."
    )
    max_scale_offset: float = Field(
        0.2, gt=0, description="Maximum |flux scale - 1| of a published epoch."
    )
    max_offset_beam: float = Field(
        0.07,
        gt=0,
        description="Maximum median offset of the catalogue from the image, in beams (bmin); "
        "a larger offset is reported as a failed check.",
    )
    shift_positions: bool = Field(
        False,
        description="Measure at positions shifted by the median offset, if that is more than three "
        "times its error.",
    )
    point_width_tolerance: float = Field(
        0.03,
        ge=0,
        lt=1,
        description="A source is flagged as extended if its width exceeds that of the beam by four "
        "errors more than this fraction (for the uncertainty of the beam) and smearing.",
    )
    channel_mhz: float = Field(
        0.25,
        ge=0,
        description="Channel width of the imaged data, MHz, for bandwidth smearing: a source that "
        "is smeared away from the phase centre isn't flagged as extended.",
    )
    integration_s: float = Field(
        13.0, ge=0, description="Integration time of the imaged data, s, for time smearing."
    )


class FindingSettings(Section):
    """Finding sources in mosaics without a catalogue."""

    min_snr: float = Field(
        4.5,
        ge=4,
        le=100,
        description="Minimum fitted peak of a found source over its uncertainty, which is about "
        "1.1 times the noise of a pixel.",
    )
    injections: int = Field(
        1000,
        ge=0,
        le=100_000,
        description="Number of point sources that are injected into the noise of each mosaic to "
        "measure the completeness of its list; fewer if it has no room for them, 0 for none.",
    )
    new_false_alarms: float = Field(
        0.1,
        gt=0,
        le=100,
        description="Accepted number of false new sources in a mosaic: the S/N that a new source "
        "needs follows from it and from the negative peaks of the mosaic.",
    )


class VariabilitySettings(Section):
    """Light curves and variability metrics."""

    days: float = Field(
        730.0,
        gt=1,
        description="Span of the light curves for the variability metrics, up to the given day, "
        "days; new sources are compared with the mosaics of as many days.",
    )
    min_epochs: int = Field(
        10, ge=3, description="Minimum number of epochs of a source for variability metrics."
    )
    eta_sigma: float = Field(
        3.0,
        gt=0,
        description="A source is flagged as variable if its log eta is at least this many robust "
        "standard deviations above that of the population at its S/N, and its log V likewise.",
    )
    v_sigma: float = Field(2.0, gt=0, description="The threshold for log V, likewise.")


class EseSettings(Section):
    """The search for Extreme Scattering Events."""

    templates: tuple[Literal["fiedler", "clegg"], ...] = Field(
        ("fiedler",), min_length=1, description="Template families of the search."
    )
    min_width_days: float = Field(10.0, ge=3, description="Minimum width (FWHM) of a dip.")
    max_width_days: float = Field(200.0, le=400, description="Maximum width (FWHM) of a dip.")
    min_depth: float = Field(
        0.1, gt=0, lt=1, description="Minimum depth of a dip, as a fraction of the baseline."
    )
    false_alarms: float = Field(
        5.0,
        gt=0,
        description="Accepted number of false alarms in 1000 source-years of sources with "
        "intrinsic variability; steady sources have fewer. The score threshold for it is measured "
        "on light curves drawn from the noise of the platform's sources.",
    )
    neighbour_radius_deg: float = Field(
        1.5,
        gt=0,
        description="A dip shared by sources within this distance is attributed to the epochs, not "
        "to the source.",
    )


class CutoutSettings(Section):
    """Cutouts around sources and candidates."""

    size_arcmin: float = Field(8.0, gt=0.5, le=120, description="Side of a cutout.")
    max_gb: float = Field(
        10.0,
        gt=0,
        description="Maximum disk space of all cutouts; the oldest ones that no candidate or "
        "mark needs are removed first.",
    )
