"""Quality checks of an image, for the asset checks and the command line.

Belongs here: comparing measurements with limits and describing the outcome.
Doesn't: measuring (see the statistics and the source matching beside this module).
"""

import math
from dataclasses import dataclass, field

from contimg_resources.settings import ImagingSettings

#: An image with less noise than this share of the prediction has lost its data or its flux scale.
_LEAST_RMS_RATIO = 0.5
#: The check fails when fewer than this share of the bright known sources are found.
_LEAST_FOUND = 0.5


@dataclass(frozen=True)
class Verdict:
    """The outcome of one check."""

    name: str  #: Name of the check.
    passed: bool  #: False when the product must not be used.
    words: str  #: Values found and allowed, in one sentence.
    #: False when there was nothing to compare with: the check passes, but is marked as unknown.
    evaluated: bool = True
    #: The underlying numbers; names end with their units.
    measures: dict[str, float] = field(default_factory=dict)


def confusion_jy(frequency_hz: float, bmaj_arcsec: float, bmin_arcsec: float) -> float:
    """Return the rms of faint sources that blend in a beam, Jy/beam.

    Parameters
    ----------
    frequency_hz : float
        Frequency, Hz.
    bmaj_arcsec, bmin_arcsec : float
        Axes (FWHM) of the beam, arcsec.

    Notes
    -----
    ``1.2 uJy (nu / 3.02 GHz)^-0.7 (theta / 8 arcsec)^(10/3)`` with theta the geometric mean of the
    axes (Condon et al. 2012, ApJ 758, 23, equation 27): sources below the limit of individual
    detection, with the counts of the real sky. For 59 x 33 arcsec at 1.4 GHz it is 0.6 mJy.
    """
    theta_arcsec = math.sqrt(bmaj_arcsec * bmin_arcsec)
    return float(1.2e-6 * (frequency_hz / 3.02e9) ** -0.7 * (theta_arcsec / 8.0) ** (10.0 / 3.0))


def check_rms(
    rms_jy: float,
    expected_rms_jy: float,
    peak_jy: float,
    limits: ImagingSettings,
    confusion_rms_jy: float = 0.0,
) -> Verdict:
    """Check the noise of an image against thermal noise, confusion and dynamic range.

    Parameters
    ----------
    rms_jy, expected_rms_jy : float
        Measured rms of the image before primary-beam correction, and that predicted from the noise
        of the data, Jy/beam.
    peak_jy : float
        Highest pixel, Jy/beam: near a bright source the dynamic range sets the limit.
    limits : ImagingSettings
        Holds ``max_rms_ratio`` and ``max_dynamic_range``.
    confusion_rms_jy : float
        Confusion (see `confusion_jy`), Jy/beam.

    Notes
    -----
    Thermal noise and confusion add in quadrature. The limit is ``max_rms_ratio`` times their sum,
    in quadrature with the peak over ``max_dynamic_range``. The lower limit is that of thermal
    noise: the sky of a simulation may have no confusion.
    """
    ratio = rms_jy / expected_rms_jy if expected_rms_jy > 0 else math.nan
    least_jy = _LEAST_RMS_RATIO * expected_rms_jy
    known_jy = math.hypot(expected_rms_jy, confusion_rms_jy)
    allowed_jy = math.hypot(limits.max_rms_ratio * known_jy, peak_jy / limits.max_dynamic_range)
    return Verdict(
        name="image_rms",
        passed=ratio >= _LEAST_RMS_RATIO and rms_jy <= allowed_jy,
        words=f"rms {1e3 * rms_jy:.3f} mJy/beam, {ratio:.2f} times the {1e3 * expected_rms_jy:.3f} "
        f"mJy/beam that the noise of the data predicts; the confusion of faint sources is "
        f"{1e3 * confusion_rms_jy:.3f} mJy/beam; {1e3 * least_jy:.3f} to {1e3 * allowed_jy:.3f} is "
        f"allowed beside a peak of {peak_jy:.3g} Jy/beam",
        measures={
            "rms_mjy": 1e3 * rms_jy,
            "expected_rms_mjy": 1e3 * expected_rms_jy,
            "confusion_mjy": 1e3 * confusion_rms_jy,
            "rms_ratio": ratio,
        },
    )


def check_beam(
    bmaj_arcsec: float, bmin_arcsec: float, cell_arcsec: float, limits: ImagingSettings
) -> Verdict:
    """Check that the synthesized beam is an ellipse sampled by the pixels.

    Parameters
    ----------
    bmaj_arcsec, bmin_arcsec, cell_arcsec : float
        Axes (FWHM) of the restoring beam, and the pixel size, arcsec.
    limits : ImagingSettings
        Holds ``max_beam_elongation`` and ``min_beam_pixels``.
    """
    real = math.isfinite(bmaj_arcsec) and math.isfinite(bmin_arcsec) and bmin_arcsec > 0
    elongation = bmaj_arcsec / bmin_arcsec if real else math.nan
    pixels = bmin_arcsec / cell_arcsec if real else math.nan
    return Verdict(
        name="beam_sane",
        passed=real
        and 1.0 <= elongation <= limits.max_beam_elongation
        and pixels >= limits.min_beam_pixels,
        words=f"beam {bmaj_arcsec:.1f} x {bmin_arcsec:.1f} arcsec: elongation {elongation:.2f} (at "
        f"most {limits.max_beam_elongation:g}), {pixels:.1f} pixels across its minor axis (at "
        f"least {limits.min_beam_pixels:g})",
        measures={"beam_elongation": elongation, "beam_pixels": pixels},
    )


def check_fluxes(
    median_flux_ratio: float, n_matched: int, n_expected: int, limits: ImagingSettings
) -> Verdict:
    """Check the PB-corrected flux densities of known sources.

    Parameters
    ----------
    median_flux_ratio : float
        Median of measured over known flux density.
    n_matched, n_expected : int
        Numbers of known sources found, and of those bright enough to be found.
    limits : ImagingSettings
        Holds ``flux_tolerance``.
    """
    if n_expected == 0:
        return _nothing_known("known_fluxes")
    return Verdict(
        name="known_fluxes",
        passed=n_matched >= _LEAST_FOUND * n_expected
        and abs(median_flux_ratio - 1) <= limits.flux_tolerance,
        words=f"{n_matched} of {n_expected} known sources found, median flux ratio "
        f"{median_flux_ratio:.3f}; 1 +- {limits.flux_tolerance:g} is allowed, and at least "
        f"{_LEAST_FOUND:.0%} must be found",
        measures={
            "median_flux_ratio": median_flux_ratio,
            "n_known_found": n_matched,
            "n_known_expected": n_expected,
        },
    )


def check_astrometry(
    median_offset_arcsec: float,
    bmin_arcsec: float,
    n_matched: int,
    n_expected: int,
    limits: ImagingSettings,
) -> Verdict:
    """Check the positions of known sources.

    Parameters
    ----------
    median_offset_arcsec : float
        Median distance between measured and known position, arcsec.
    bmin_arcsec : float
        Minor axis of the restoring beam, arcsec.
    n_matched, n_expected : int
        See `check_fluxes`.
    limits : ImagingSettings
        Holds ``max_offset_beam``.
    """
    if n_expected == 0:
        return _nothing_known("astrometry")
    allowed_arcsec = limits.max_offset_beam * bmin_arcsec
    return Verdict(
        name="astrometry",
        passed=n_matched > 0 and median_offset_arcsec <= allowed_arcsec,
        words=f"{n_matched} of {n_expected} known sources found, median offset "
        f"{median_offset_arcsec:.2f} arcsec; {allowed_arcsec:.2f} arcsec "
        f"({limits.max_offset_beam:g} beams) is allowed",
        measures={"median_offset_arcsec": median_offset_arcsec},
    )


def _nothing_known(name: str) -> Verdict:
    return Verdict(
        name=name,
        passed=True,
        words="not evaluated: no catalogue is set (CONTIMG_CATALOGUE__REFERENCE), or it has no "
        "source here that is bright enough",
        evaluated=False,
    )
