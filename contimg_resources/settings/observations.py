"""Settings of the stages of a single observation: arrival, calibration, image.

Belongs here: one model for each stage. Doesn't: stages that combine many observations (see
`.surveys`), housekeeping of the platform (see `.platform`).
"""

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from contimg_resources.instrument.caltables import CaltableType
from contimg_resources.instrument.dsa110 import N_SPECTRAL_WINDOWS
from contimg_resources.settings.section import Section


class CasaSettings(Section):
    """Running CASA."""

    step_timeout_s: float = Field(3600.0, gt=0, description="Maximum duration of a CASA step.")
    threads: int = Field(1, ge=1, le=256, description="OpenMP threads of one CASA process.")


class ArrivalSettings(Section):
    """When an incoming MS counts as complete."""

    settle_age_s: float = Field(
        30.0,
        ge=0,
        description="Without a done-marker, an MS is complete when nothing inside it has changed "
        "for this long.",
    )
    done_suffix: str = Field(
        ".done",
        description="Ending of the done-marker: a file named like the MS plus this ending marks "
        "the MS as complete at once.",
    )
    calibrator_list: Path | None = Field(
        None,
        description="Table of additional calibrators: name, ra_deg, dec_deg, flux_jy, "
        "reference_ghz, spectral_index, and optionally aliases. `contimg calibrators import` makes "
        "one.",
    )
    calibrator_radius_deg: float = Field(
        1.0,
        gt=0,
        description="An observation contains a calibrator if the calibrator is within this "
        "distance of a phase centre.",
    )
    calibrator_min_flux_jy: float = Field(
        1.0,
        ge=0,
        description="Minimum apparent flux density of a calibrator: fainter ones don't start a "
        "solve.",
    )


class SubBandSettings(Section):
    """Sub-band files of the correlator (UVH5)."""

    settle_age_s: float = Field(
        30.0,
        ge=0,
        description="A sub-band file is complete when it hasn't changed for this long, and no "
        "process has it open for writing.",
    )
    min_subbands: int = Field(
        12,
        ge=1,
        le=N_SPECTRAL_WINDOWS,
        description="Minimum number of sub-bands of an observation; the windows of missing ones "
        "are flagged.",
    )
    wait_min: float = Field(
        15.0,
        ge=0,
        description="An observation that lacks sub-bands waits this long after its last file "
        "came, minutes; then it is processed without them. Sub-bands that come later are added, "
        "and its products are made again.",
    )
    keep_ms: bool = Field(
        False,
        description="Write an MS also of observations that can be calibrated straight from their "
        "sub-band files.",
    )
    retention_days: float | None = Field(
        None,
        gt=0,
        description="Sub-band files are removed from the watched directory this long after "
        "their observation was imaged; None: never.",
    )


class CalibrationSettings(Section):
    """Solving, checking and borrowing caltable sets."""

    engine: Literal["casa", "fast"] = Field(
        "fast",
        description="Calibration engine. `fast` solves drift scans after averaging them in memory, "
        "and applies caltables in memory; `casa` uses CASA alone. Cases that `fast` can't handle "
        "always use CASA.",
    )
    refants: tuple[str, ...] = Field(
        (
            *("104", "105", "106", "107", "108", "109", "110", "111", "112", "113"),
            *("114", "115", "116", "103"),
        ),
        description="Preferred reference antennas by name, best first, for the refant `auto`.",
    )
    valid_before_h: float = Field(
        24.0, ge=0, description="A set is valid from this long before its calibrator observation."
    )
    valid_after_h: float = Field(
        24.0, ge=0, description="A set is valid until this long after its calibrator observation."
    )
    strip_tolerance_deg: float = Field(
        0.5,
        gt=0,
        description="A set applies to observations whose declination differs by at most this much "
        "(an apparent declination varies by 0.15 deg in ICRS over a day).",
    )
    borrow: bool = Field(
        False,
        description="If no window contains an observation, apply the nearest set outside its "
        "window; the products record it as borrowed.",
    )
    short_interval_s: float = Field(60.0, gt=0, description="Solution interval of 2G.")
    min_snr: float = Field(3.0, gt=0, description="Solutions below this SNR are flagged.")
    min_median_snr: float = Field(
        10.0, gt=0, description="A set fails if the median SNR of a gain table is lower."
    )
    min_channel_snr: float = Field(
        3.0, gt=0, description="A set fails if the median SNR per channel of a bandpass is lower."
    )
    max_flagged_fraction: float = Field(
        0.3,
        gt=0,
        le=1,
        description="A set fails if a table has a larger fraction of flagged solutions (of working "
        "antennas, in total or of one receptor).",
    )
    min_antenna_fraction: float = Field(
        0.3,
        ge=0,
        le=1,
        description="A set fails if a table has solutions for a smaller fraction of the antennas "
        "that it names.",
    )
    max_phase_scatter_deg: float = Field(
        30.0, gt=0, description="Maximum scatter of the phase solutions about their smooth trend."
    )
    max_amplitude_scatter: float = Field(
        0.3, gt=0, description="Maximum relative scatter of the amplitude solutions."
    )
    caltable_endings: dict[CaltableType, tuple[str, ...]] = Field(
        default_factory=lambda: {kind: kind.other_endings for kind in CaltableType},
        description="By type (K, BA, BP, GA, GP, 2G, FLUX), the name endings of caltables made "
        "elsewhere, in addition to contimg's own endings; types not given keep their default.",
    )
    sky_model: Path | None = Field(
        None,
        description="Table of known sources (as for `contimg catalogue add`) that are added "
        "to the calibrator in the model of a solve, instead of those of "
        "`catalogue.reference`.",
    )
    model_from_image: bool = Field(
        True,
        description="Without either list, solve twice: the second time with the sources from an "
        "image made with the first solutions. Otherwise, with N antennas, the gains absorb about "
        "2 / N of the flux density of those sources, and leave ghosts.",
    )
    plotms: bool = Field(
        True, description="Also draw diagnostics with casaplotms, if its libraries are installed."
    )

    @field_validator("caltable_endings", mode="before")
    @classmethod
    def _types_in_capitals(cls, given: object) -> object:
        # Keys from environment variables are in lower case.
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
                    raise ValueError(f"{ending!r} is not the ending of a name")
                if stands_for.setdefault(ending, kind) is not kind:
                    raise ValueError(f"{ending!r} stands for both {stands_for[ending]} and {kind}")
        return whole


class AntennaSettings(Section):
    """Health of antennas over days."""

    leave_out: bool = Field(
        True,
        description="Leave antennas out of an image where the evidence of this and earlier "
        "observations shows that the image is better without them. Antennas that a person marked "
        "as bad are always left out.",
    )
    days: float = Field(
        3.0,
        ge=2,
        le=30,
        description="Evidence of observations up to this many days before an observation counts.",
    )


class PrimaryBeamSettings(Section):
    """The primary beam, which the sources that drift through it measure."""

    use: bool = Field(
        True,
        description="Correct images for the measured shape of the primary beam (width, centre, "
        "ellipticity), where it differs significantly from the model. It is measured in any case.",
    )
    days: float = Field(
        7.0,
        ge=1,
        le=60,
        description="Observations of this number of days before the UTC day of an observation "
        "count.",
    )


class ImagingSettings(Section):
    """The 5-minute image."""

    engine: Literal["casa", "fast", "wsclean"] = Field(
        "fast",
        description="Imaging engine: `fast` (in memory, with ducc0), `casa` (tclean), or "
        "`wsclean` (the program WSClean, if installed).",
    )
    image_size: int | None = Field(
        None,
        ge=64,
        multiple_of=2,
        description="Pixels along each side, even; None: out to where the primary beam is half of "
        "`beam_cut`.",
    )
    cell_arcsec: float | None = Field(
        None, gt=0, description="Pixel size; None: a third of the synthesized beam's minor axis."
    )
    robust: float = Field(0.5, ge=-2, le=2, description="Briggs robust parameter.")
    niter: int = Field(30_000, ge=0, description="Maximum number of CLEAN iterations.")
    threshold_sigma: float = Field(
        4.0, gt=0, description="CLEAN stops at this many times the expected or measured noise."
    )
    uvrange: str = Field("", description="CASA uv selection; empty keeps every baseline.")
    beam_cut: float = Field(
        0.2,
        gt=0,
        lt=1,
        description="Primary-beam response below which the PB-corrected image is blank.",
    )
    sub_bands: int = Field(
        4,
        ge=0,
        le=N_SPECTRAL_WINDOWS,
        description="Number of equal parts of the band that are imaged as well, for the spectra of "
        "sources and of their changes; 0: none.",
    )
    in_field: bool = Field(
        True,
        description="Whether each observation is calibrated once more, by the reference "
        "catalogue's sources in its own field (engine `fast`): phases between the hands, delays, "
        "phases and amplitudes of each antenna, and refraction, each applied only where data "
        "improve that the solution wasn't made from. Flux densities keep the scale of the caltable "
        "set.",
    )
    outside: bool = Field(
        True,
        description="Whether bright sources outside of the image (Cas A, Cyg A, Tau A, Vir A, the "
        "Sun, and those of the reference catalogue within 12 deg) are subtracted from the "
        "visibilities (engine `fast`), with gains of their own for each antenna, where they "
        "would add 20 % of the thermal noise or more, and where data improve that the solution "
        "wasn't made from.",
    )
    max_flagged_fraction: float = Field(
        0.6,
        gt=0,
        le=1,
        description="Maximum fraction of flagged data (of working antennas): with more, imaging "
        "fails.",
    )
    max_rms_ratio: float = Field(
        3.0,
        gt=1,
        description="Maximum ratio of the measured rms to the expected one: thermal noise and "
        "confusion, added in quadrature.",
    )
    max_dynamic_range: float = Field(
        1000.0,
        gt=1,
        description="The peak divided by this is added, in quadrature, to the largest accepted "
        "rms: the field of a bright calibrator is limited by dynamic range, not by noise.",
    )
    max_beam_elongation: float = Field(6.0, gt=1, description="Maximum bmaj / bmin.")
    min_beam_pixels: float = Field(2.0, gt=0, description="Minimum number of pixels across bmin.")
    flux_tolerance: float = Field(
        0.2, gt=0, description="Maximum |median flux ratio - 1| of known sources."
    )
    max_offset_beam: float = Field(
        0.3, gt=0, description="Maximum median offset of known sources, in beams (bmin)."
    )
