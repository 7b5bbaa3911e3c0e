"""Settings of the stages that an observation goes through: arrival, calibration, image.

Belongs here: one model a stage. Doesn't: stages that many observations are put together in (see
`.surveys`), the platform's own work (see `.platform`).
"""

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from contimg_resources.instrument.caltables import CaltableType
from contimg_resources.settings.section import Section


class CasaSettings(Section):
    """How CASA is run."""

    step_timeout_s: float = Field(3600.0, gt=0, description="A CASA step is ended after this long.")
    threads: int = Field(1, ge=1, le=256, description="OpenMP threads of one CASA process.")


class ArrivalSettings(Section):
    """When an incoming MS counts as complete."""

    settle_age_s: float = Field(
        30.0,
        ge=0,
        description="Without a done-marker, nothing inside the MS may have changed for this long.",
    )
    done_suffix: str = Field(
        ".done", description="A file named like the MS plus this marks it as complete at once."
    )
    calibrator_list: Path | None = Field(
        None,
        description="Table with the user's own calibrators: name, ra_deg, dec_deg, flux_jy, "
        "reference_ghz, spectral_index, and perhaps aliases. `contimg calibrators import` makes "
        "one.",
    )
    calibrator_radius_deg: float = Field(
        1.0,
        gt=0,
        description="An observation holds a calibrator when it comes this near to a phase centre.",
    )
    calibrator_min_flux_jy: float = Field(
        1.0, ge=0, description="Fainter calibrators (apparent flux) do not start a solve."
    )


class CalibrationSettings(Section):
    """Solving, judging and borrowing caltable sets."""

    engine: Literal["casa", "fast"] = Field(
        "fast",
        description="How a drift scan is solved (averaged in memory first) and caltables are "
        "applied (in memory), or both by CASA alone, which does what memory can't in any case.",
    )
    refants: tuple[str, ...] = Field(
        (
            *("104", "105", "106", "107", "108", "109", "110", "111", "112", "113"),
            *("114", "115", "116", "103"),
        ),
        description="Preferred reference antennas by name, best first, for refant 'auto'.",
    )
    valid_before_h: float = Field(24.0, ge=0, description="A set is valid from this long before.")
    valid_after_h: float = Field(24.0, ge=0, description="A set is valid until this long after.")
    strip_tolerance_deg: float = Field(
        0.5,
        gt=0,
        description="A set serves observations whose declination differs by no more than this "
        "(an apparent declination wobbles by 0.15 deg in ICRS over a day).",
    )
    borrow: bool = Field(
        False, description="Apply the nearest set even outside its window; products are marked."
    )
    short_interval_s: float = Field(60.0, gt=0, description="Solution interval of 2G.")
    min_snr: float = Field(3.0, gt=0, description="Solutions below this SNR are flagged.")
    min_median_snr: float = Field(
        10.0, gt=0, description="A table of gains whose median SNR is lower fails its set."
    )
    min_channel_snr: float = Field(
        3.0, gt=0, description="A bandpass whose median SNR per channel is lower fails its set."
    )
    max_flagged_fraction: float = Field(
        0.3,
        gt=0,
        le=1,
        description="A table with more flagged solutions (of working antennas, altogether or of "
        "one receptor) fails its set.",
    )
    min_antenna_fraction: float = Field(
        0.3,
        ge=0,
        le=1,
        description="A table with solutions for a smaller share of the antennas that it names "
        "fails its set.",
    )
    max_phase_scatter_deg: float = Field(
        30.0, gt=0, description="Largest scatter of the phase solutions about their smooth trend."
    )
    max_amplitude_scatter: float = Field(
        0.3, gt=0, description="Largest relative scatter of the amplitude solutions."
    )
    caltable_endings: dict[CaltableType, tuple[str, ...]] = Field(
        default_factory=lambda: {kind: kind.other_endings for kind in CaltableType},
        description="By type (K, BA, BP, GA, GP, 2G, FLUX), how the names of caltables of other "
        "hands end, beside contimg's own endings; types that aren't named keep their default.",
    )
    sky_model: Path | None = Field(
        None,
        description="Table of known sources (as for `contimg catalogue add`) that go "
        "into the model of a solve beside its calibrator, instead of those of "
        "`catalogue.reference`.",
    )
    model_from_image: bool = Field(
        True,
        description="Without either, solve twice: the second time with the sources that an image "
        "made with the first solutions shows. Otherwise gains absorb about 2 / N of the flux "
        "density of those sources with N antennas, and leave ghosts.",
    )
    plotms: bool = Field(
        True, description="Draw casaplotms diagnostics too, where its libraries are present."
    )

    @field_validator("caltable_endings", mode="before")
    @classmethod
    def _types_in_capitals(cls, given: object) -> object:
        # Names of environment variables come in small letters.
        return {str(k).upper(): v for k, v in given.items()} if isinstance(given, dict) else given

    @field_validator("caltable_endings")
    @classmethod
    def _unambiguous(
        cls, given: dict[CaltableType, tuple[str, ...]]
    ) -> dict[CaltableType, tuple[str, ...]]:
        whole = {kind: given.get(kind, kind.other_endings) for kind in CaltableType}
        stands_for: dict[str, CaltableType] = {s: k for k in CaltableType for s in k.suffixes}
        for kind, endings in whole.items():
            for ending in endings:
                if not ending or "/" in ending:
                    raise ValueError(f"{ending!r} is no ending of a name")
                if stands_for.setdefault(ending, kind) is not kind:
                    raise ValueError(
                        f"{ending!r} stands for {stands_for[ending]} and for {kind} alike"
                    )
        return whole


class ImagingSettings(Section):
    """The 5-minute image."""

    engine: Literal["casa", "fast", "wsclean"] = Field(
        "fast",
        description="Imaging engine: in memory with ducc0, CASA's tclean, or the program WSClean "
        "where it is installed.",
    )
    image_size: int | None = Field(
        None,
        ge=64,
        description="Pixels a side; None: reaches to where the primary beam is half of its cut.",
    )
    cell_arcsec: float | None = Field(
        None, gt=0, description="Pixel size; None: a third of the synthesized beam's minor axis."
    )
    robust: float = Field(0.5, ge=-2, le=2, description="Briggs robust.")
    niter: int = Field(10_000, ge=0, description="Most CLEAN iterations.")
    threshold_sigma: float = Field(
        4.0, gt=0, description="CLEAN stops at this many times the expected or measured noise."
    )
    uvrange: str = Field("", description="CASA uv selection; empty keeps every baseline.")
    beam_cut: float = Field(0.2, gt=0, lt=1, description="Primary-beam cut of the image.")
    max_flagged_fraction: float = Field(
        0.6, gt=0, le=1, description="More flagged data (of working antennas) fails the image."
    )
    max_rms_ratio: float = Field(
        3.0, gt=1, description="The rms may exceed what the noise predicts by this factor."
    )
    max_dynamic_range: float = Field(
        1000.0,
        gt=1,
        description="Nor can it be expected below the peak divided by this: the field of a bright "
        "calibrator is limited by its dynamic range, not by its noise.",
    )
    max_beam_elongation: float = Field(6.0, gt=1, description="Largest bmaj / bmin.")
    min_beam_pixels: float = Field(2.0, gt=0, description="Least pixels across bmin.")
    flux_tolerance: float = Field(
        0.2, gt=0, description="Known sources: largest |median flux ratio - 1|."
    )
    max_offset_beam: float = Field(
        0.3, gt=0, description="Known sources: largest median offset, in beams (bmin)."
    )
