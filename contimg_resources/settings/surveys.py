"""Settings of what is made of many observations: mosaics, photometry, light curves, events.

Belongs here: one model a stage, and the catalogue that they share. Doesn't: single observations
(see `.observations`).
"""

from typing import Literal

from pydantic import Field

from contimg_resources.settings.section import Section


class CatalogueSettings(Section):
    """Known sources."""

    reference: str | None = Field(
        None,
        description="Name of the catalogue (`contimg catalogue list`) whose sources are looked for "
        "in images, for the checks of flux and astrometry, measured by forced photometry, and part "
        "of a solve's model where they are in the beam with its calibrator.",
    )
    default_spectral_index: float = Field(
        -0.7,
        ge=-5,
        le=5,
        description="Of sources whose spectral index the catalogue doesn't know (S ~ nu^alpha).",
    )


class MosaicSettings(Section):
    """Rolling mosaics of 5-minute images."""

    slot_s: float = Field(
        300.0,
        ge=60,
        le=3600,
        description="The fixed grid of time that windows are counted in; must divide a day.",
    )
    width: int = Field(12, ge=2, le=48, description="Slots that a mosaic covers.")
    step: int = Field(6, ge=1, le=48, description="Slots from one mosaic to the next.")
    min_tiles: int = Field(2, ge=1, description="A window with fewer images makes no mosaic.")
    wait_min: float = Field(
        60.0,
        ge=0,
        description="A window with holes waits this long, from its end or from the last change in "
        "it, for observations that are late; those that come later have it made again.",
    )
    max_rms_ratio: float = Field(
        1.5,
        gt=1,
        description="The measured noise may exceed what the tiles' noise predicts by this factor.",
    )
    max_seam_sigma: float = Field(
        3.0, gt=0, description="Largest step at the edge of a tile, in its own uncertainty."
    )
    sums_days: float = Field(
        0.5,
        gt=0,
        description="The running sums that a late tile is added to, kept for windows with holes, "
        "are removed after this long; later the mosaic is built anew.",
    )


class PhotometrySettings(Section):
    """Forced photometry at catalogue positions."""

    min_flux_mjy: float = Field(
        10.0, ge=0, description="Fainter catalogue sources aren't measured."
    )
    images: bool = Field(True, description="Measure single 5-minute images too, not mosaics alone.")
    min_references: int = Field(
        10, ge=3, description="Fewer reference sources can't tell an epoch's flux scale."
    )
    max_scale_scatter: float = Field(
        0.1, gt=0, description="Largest robust scatter of the reference sources' flux ratios."
    )
    max_scale_offset: float = Field(
        0.2, gt=0, description="Largest |flux scale - 1| of an epoch that is published."
    )
    max_offset_beam: float = Field(
        0.07,
        gt=0,
        description="Largest median offset of the list from the image, in beams (bmin), that isn't "
        "reported as a failed check.",
    )
    shift_positions: bool = Field(
        False,
        description="Measure at places moved by the median offset, where that is more than three "
        "times its error.",
    )
    point_width_tolerance: float = Field(
        0.03,
        ge=0,
        lt=1,
        description="A source is flagged as extended when it is wider than the beam by more than "
        "this share (for the uncertainty of the beam itself) and smearing, by four errors.",
    )
    channel_mhz: float = Field(
        0.25,
        ge=0,
        description="Width of a channel that was imaged, MHz: bandwidth smearing away from the "
        "phase centre makes no source extended.",
    )
    integration_s: float = Field(
        13.0, ge=0, description="Integration time of the data that were imaged, s: the same."
    )


class VariabilitySettings(Section):
    """Light curves and measures of variability."""

    days: float = Field(
        730.0, gt=1, description="Measures of variability are of so many days up to the day asked."
    )
    min_epochs: int = Field(
        10, ge=3, description="A source that was measured in fewer epochs isn't judged."
    )
    eta_sigma: float = Field(
        3.0,
        gt=0,
        description="A variable's log eta lies so many robust standard deviations above that of "
        "the population at its S/N.",
    )
    v_sigma: float = Field(2.0, gt=0, description="The same for log V.")


class EseSettings(Section):
    """The search for Extreme Scattering Events."""

    templates: tuple[Literal["fiedler", "clegg"], ...] = Field(
        ("fiedler",), min_length=1, description="Families of templates that are searched with."
    )
    min_width_days: float = Field(10.0, ge=3, description="Narrowest dip (full width at half).")
    max_width_days: float = Field(200.0, le=400, description="Widest dip.")
    min_depth: float = Field(
        0.1, gt=0, lt=1, description="Shallowest dip, as a share of the baseline."
    )
    false_alarms: float = Field(
        1.0,
        gt=0,
        description="Accepted false alarms in 1000 source-years of steady sources; the score's "
        "threshold is measured for it on shuffled light curves of the platform's own.",
    )
    min_over_walk: float = Field(
        20.0,
        ge=0,
        description="Evidence (2 Δ ln L) that a candidate needs over a source that wanders by "
        "itself; higher, and variable sources make fewer candidates, faint ones too.",
    )
    neighbour_radius_deg: float = Field(
        1.5, gt=0, description="A dip that sources this near share is the epochs' error."
    )


class CutoutSettings(Section):
    """Cutouts around sources and candidates."""

    size_arcmin: float = Field(8.0, gt=0.5, le=120, description="Side of a cutout.")
    max_gb: float = Field(
        10.0,
        gt=0,
        description="Cutouts take no more than this; the oldest that no candidate or "
        "mark needs go first.",
    )
