"""Forced photometry: the flux density at every position of a list in one image.

Belongs here: the sequence of positions, stamps, neighbours, background, fit and errors. Doesn't:
the flux scale of the epoch (see `.epoch`).
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from contimg_resources.catalogues.model import blended, neighbour_pairs
from contimg_resources.core.arrays import Bools, Floats, Ints, Reals, Singles
from contimg_resources.core.errors import PhotometryFailed
from contimg_resources.core.statistics import STD_OF_MAD
from contimg_resources.imaging.beam import separation_rad
from contimg_resources.photometry.beams import axes_in_pixels, pixel_of_sky, quadratic_forms
from contimg_resources.photometry.correlation import FilterErrors, noise_of
from contimg_resources.photometry.filter_loops import (
    HAS_NAN,
    OUT,
    OVER_EDGE,
    WHOLE,
    blank_sources,
    check_stamps,
    fit_stamps,
)
from contimg_resources.photometry.model import NO_FLUX, Flag, MeasurableImage, SourceList
from contimg_resources.photometry.shapes import (
    SHAPE_SNR,
    WidthAllowance,
    measure_shapes,
    smearing_arcsec,
)
from contimg_resources.settings import PhotometrySettings

#: Half of a stamp, in major axes of the beam.
_HALF_BEAMS = 1.5
#: A fit is poor if chi2 / dof exceeds 1 by both limits, the second as a fraction of the squared
#: S/N: sources within a twentieth of a beam of their position aren't flagged.
_POOR_CHI2, _POOR_SHARE = 4.0, 0.01
#: Background and noise are measured on pixels where the beam of every listed source is below
#: ``exp(-limit)``, and a bright one below this fraction of the noise, if enough sky is left.
_BLANK_LIMIT, _LARGEST_LIMIT = 4.0 * np.log(2.0) * 1.5**2, 4.0 * np.log(2.0) * 2.5**2
_WING_NOISE, _LEAST_SKY = 0.1, 0.3
#: Subsampling of rows and columns for a first estimate of the noise.
_STRIDE = 4
#: Maximum distance of a source from the centre of a tile.
_TILE_DEG = 1.0


def _unknown() -> Floats:
    return np.empty(0)


@dataclass(frozen=True)
class RawMeasurements:
    """Measurements before the flux scale is applied, in the order of the list.

    Arrays have the shape (n,).
    """

    #: `flux_jy`, `error_jy`: Flux densities and their uncertainties, Jy; NaN where a flag excludes
    #: a flux density.
    flux_jy: Floats
    error_jy: Floats
    background_jy: Floats  #: Background around each, Jy/beam, PB-corrected.
    rms_jy: Floats  #: Noise of a pixel around each, Jy/beam, PB-corrected.
    chi2: Floats  #: Sum of squared residuals over the stamp in units of the noise.
    dof: Ints  #: Pixels of the stamp less one; neighbouring pixels are correlated.
    flags: Ints  #: Sums of `contimg_resources.photometry.model.Flag`.
    primary_beam: Floats  #: Primary beam at each source; 1 in an image that is corrected for it.
    #: `east_arcsec`, `north_arcsec`: Measured less known position, arcsec; NaN below an S/N of 10
    #: and in blends.
    east_arcsec: Floats
    north_arcsec: Floats
    east_error_arcsec: Floats  #: Their uncertainties, arcsec.
    north_error_arcsec: Floats  #: Their uncertainties, arcsec.
    in_image: Bools  #: Whether a source lies on the observed sky.
    #: `integrated_jy`, `integrated_error_jy`: Integrated flux densities and their uncertainties,
    #: Jy; NaN below an S/N of 10 and in blends.
    integrated_jy: Floats = field(default_factory=_unknown)
    integrated_error_jy: Floats = field(default_factory=_unknown)
    #: `width`, `width_error`: Largest width over that of the beam along the same direction; NaN in
    #: the same cases.
    width: Floats = field(default_factory=_unknown)
    width_error: Floats = field(default_factory=_unknown)

    def __post_init__(self) -> None:
        for name in ("integrated_jy", "integrated_error_jy", "width", "width_error"):
            if len(getattr(self, name)) != len(self.flux_jy):
                object.__setattr__(self, name, np.full(len(self.flux_jy), np.nan))

    @property
    def snr(self) -> Floats:
        """Flux density over its uncertainty, shape (n,)."""
        return self.flux_jy / self.error_jy


def measure(
    image: MeasurableImage, sources: SourceList, limits: PhotometrySettings | None = None
) -> RawMeasurements:
    """Measure sources, anywhere on the sky, at their known positions.

    The result has the order of the list; sources outside the image are flagged. `limits` contain
    the tolerance of a point source's width.

    Raises
    ------
    PhotometryFailed
        If the image has no sky for measuring its noise.

    Notes
    -----
    The error is that of the matched filter in noise with the image's measured autocorrelation
    (see `contimg_resources.photometry.correlation.FilterErrors`). For noise with the shape of the
    restoring beam it is sqrt(2) times the rms of a pixel.
    """
    n = len(sources)
    rows, columns = pixel_of_sky(image, sources.ra_deg, sources.dec_deg)
    middle = middle_axes(image)
    cell_arcsec = 1.0 / np.sqrt(abs(np.linalg.det(middle)))
    major = image.beam.major_arcsec / cell_arcsec
    minor = image.beam.minor_arcsec / cell_arcsec
    half = _HALF_BEAMS * major
    weights, observed = noise_and_pixels(image)
    flags, response, shows = _stamps(image, observed, rows, columns, half)
    # Far from the image, beyond the edge of a projection, there are no axes.
    with np.errstate(invalid="ignore"):
        near = (np.abs(2 * rows - image.pixels.shape[0]) < image.pixels.shape[0] + 4 * half) & (
            np.abs(2 * columns - image.pixels.shape[1]) < image.pixels.shape[1] + 4 * half
        )
    axes = np.broadcast_to(middle, (n, 2, 2)).copy()
    axes[near] = axes_in_pixels(image, sources.ra_deg[near], sources.dec_deg[near])
    forms = quadratic_forms(image.beam, axes)
    sky = sky_between(observed, weights, rows, columns, forms)
    form = quadratic_forms(image.beam, middle[None])[0]
    reach = int(np.ceil(JOINT_BEAMS * major)) + 1
    try:
        around, correlation = noise_of(sky, weights, major, minor, 2 * reach)
    except PhotometryFailed as failure:
        raise PhotometryFailed(f"{image.epoch}: {failure.message}") from failure
    errors = FilterErrors.of(correlation, form, half, reach)
    planes, noise = around.planes_at(np.nan_to_num(rows), np.nan_to_num(columns), 0.5 * major)
    rms = noise * nearest_pixels(weights, rows, columns)
    flags[(flags == 0) & ~(rms > 0)] |= Flag.NO_NOISE
    good = np.flatnonzero(flags == 0)
    # Sources that can't be measured themselves still contribute flux to their neighbours.
    shown = np.concatenate([good, np.flatnonzero(shows & (flags != 0))])
    ra, dec, major_arcsec = sources.ra_deg[shown], sources.dec_deg[shown], image.beam.major_arcsec
    members = joint_members(ra, dec, len(good), major_arcsec)
    flux, chi2, n_pixels, solved, offsets = fit_stamps(
        image.pixels,
        weights,
        rows[shown],
        columns[shown],
        forms[shown],
        planes[good],
        noise[good],
        members,
        float(half),
    )
    factor = np.full(len(good), errors.alone)
    for i in np.flatnonzero(members[:, 1] >= 0):
        who = shown[members[i][members[i] >= 0]]
        factor[i] = errors.of_first(rows[who], columns[who])
    flags[good[(solved == 0) | ~np.isfinite(factor)]] |= Flag.DEGENERATE
    flags[good[blended(ra, dec, major_arcsec)[: len(good)]]] |= Flag.BLEND
    full = _Full(n, good, 1.0 / response)
    error = full(factor * rms[good])
    snr = full(flux, scaled=False) / full(factor * rms[good], scaled=False)
    dof = full(n_pixels - 1.0, scaled=False)
    with np.errstate(invalid="ignore"):
        excess = full(chi2, scaled=False) / dof - 1.0
        poor = excess > _POOR_CHI2 + _POOR_SHARE * snr**2
    flags[np.nan_to_num(poor, nan=0).astype(bool)] |= Flag.POOR_FIT
    east, north, east_error, north_error = offsets_arcsec(
        full(offsets[:, 0], scaled=False),
        full(offsets[:, 1], scaled=False),
        axes,
        image,
        snr,
        flags,
    )
    # Sources that are much wider than the beam have poor fits.
    with np.errstate(invalid="ignore"):
        told = (snr[good] >= SHAPE_SNR) & ((flags[good] & ~int(Flag.POOR_FIT)) == 0)
    told &= np.isfinite(offsets).all(axis=1) & (np.abs(offsets) < major).all(axis=1)
    fitted = good[told]
    limits = limits or PhotometrySettings()
    allowance = WidthAllowance(
        limits.point_width_tolerance,
        smearing_of(image, sources.ra_deg[fitted], sources.dec_deg[fitted], limits),
    )
    shapes = measure_shapes(
        image.pixels,
        weights,
        rows[shown],
        columns[shown],
        forms[shown],
        planes[fitted],
        rms[fitted],
        members[told],
        offsets[told],
        float(half),
        correlation,
        allowance.squared(image.beam.minor_arcsec),
    )
    flags[fitted[shapes.extended]] |= Flag.EXTENDED
    of_fitted = _Full(n, fitted, 1.0 / response)
    without = (flags & int(NO_FLUX)) != 0
    return RawMeasurements(
        flux_jy=np.where(without, np.nan, full(flux)),
        error_jy=np.where(without, np.nan, error),
        background_jy=full(planes[good, 0]),
        rms_jy=full(rms[good]),
        chi2=full(chi2, scaled=False),
        dof=np.nan_to_num(dof).astype(np.int64),
        flags=flags,
        primary_beam=response,
        east_arcsec=east,
        north_arcsec=north,
        east_error_arcsec=east_error,
        north_error_arcsec=north_error,
        in_image=(flags & int(Flag.OUTSIDE)) == 0,
        integrated_jy=of_fitted(shapes.integrated_jy),
        integrated_error_jy=of_fitted(shapes.integrated_error_jy),
        width=of_fitted(shapes.width, scaled=False),
        width_error=of_fitted(shapes.width_error, scaled=False),
    )


class _Full:
    """Inserts values of sources with complete stamps into columns of all, PB-corrected or not."""

    def __init__(self, n: int, good: NDArray[np.intp], correction: Floats) -> None:
        self._n, self._good, self._correction = n, good, correction

    def __call__(self, values: Reals, *, scaled: bool = True) -> Floats:
        column = np.full(self._n, np.nan)
        column[self._good] = values
        return column * self._correction if scaled else column


def smearing_of(
    image: MeasurableImage, ra_deg: Floats, dec_deg: Floats, limits: PhotometrySettings
) -> Floats:
    """Return the smearing of sources by averaging, arcsec."""
    ra0, dec0 = (float(v) for v in image.wcs.wcs.crval)
    away_deg = np.degrees(separation_rad(ra0, dec0, ra_deg, dec_deg))
    if image.kind == "mosaic":
        # A source drifts through the centres of the tiles, at a distance in declination only.
        away_deg = np.hypot(dec_deg - dec0, np.minimum(away_deg, _TILE_DEG))
    return smearing_arcsec(
        away_deg, image.frequency_hz, 1e6 * limits.channel_mhz, limits.integration_s
    )


def middle_axes(image: MeasurableImage) -> Floats:
    """Return `contimg_resources.photometry.beams.axes_in_pixels` at the image's middle."""
    ra0, dec0 = image.middle_deg
    return np.asarray(axes_in_pixels(image, np.array([ra0]), np.array([dec0]))[0])


def _stamps(
    image: MeasurableImage, normalized: Singles, rows: Floats, columns: Floats, half: float
) -> tuple[Ints, Floats, Bools]:
    """Return the state of each stamp, the primary beam at each source, and who is in the image."""
    verdict = check_stamps(normalized, rows, columns, float(half))
    flags = np.zeros(len(rows), np.int64)
    for outcome, flag in ((HAS_NAN, Flag.NAN), (OVER_EDGE, Flag.EDGE), (OUT, Flag.OUTSIDE)):
        flags[verdict == outcome] |= int(flag)
    response = np.ones(len(rows))
    if image.primary_beam is not None:
        response = nearest_pixels(image.primary_beam, rows, columns)
        with np.errstate(invalid="ignore"):
            dim = ~(response > 0)
        flags[dim] = int(Flag.OUTSIDE)
        response[dim] = np.nan
    assert verdict.size == 0 or verdict.min() >= WHOLE
    return flags, response, verdict != OUT


def noise_and_pixels(image: MeasurableImage) -> tuple[Singles, Singles]:
    """Return the expected noise of pixels, and the image with NaN where it is undefined.

    Raises
    ------
    PhotometryFailed
        If the noise map has no value above zero.
    """
    if image.sigma_jy is None:
        return np.ones((1, 1), np.float32), image.pixels
    with np.errstate(invalid="ignore"):
        known = (image.sigma_jy > 0) & (image.sigma_jy < np.inf)
    if not known.any():
        raise PhotometryFailed(f"{image.epoch}: its noise map has no value above zero")
    return image.sigma_jy, np.where(known, image.pixels, np.float32(np.nan))


def sky_between(
    observed: Singles, weights: Singles, rows: Floats, columns: Floats, forms: Floats
) -> Singles:
    """Return the image without the listed sources, as long as enough sky is left.

    Notes
    -----
    Clipping alone leaves their wings: with a source in every 35 beams the median would be too high
    by 5 % of the noise, and every flux density too low by 7 % of its error.
    """
    few = (slice(None, None, _STRIDE), slice(None, None, _STRIDE))
    with np.errstate(divide="ignore", invalid="ignore"):
        some = observed[few] / (weights if weights.size == 1 else weights[few])
        here = np.abs(
            nearest_pixels(observed, rows, columns) / nearest_pixels(weights, rows, columns)
        )
        some = np.abs(some[np.isfinite(some)])
        # Wings of bright sources extend further.
        wings = np.log(here / (_WING_NOISE * STD_OF_MAD * (np.median(some) if some.size else 1.0)))
    limits = np.clip(np.nan_to_num(wings, nan=0.0), _BLANK_LIMIT, _LARGEST_LIMIT)
    sky = blank_sources(observed, rows, columns, forms, limits)
    enough = _LEAST_SKY * np.isfinite(observed).sum()
    return sky if np.isfinite(sky).sum() > enough else observed


def nearest_pixels(pixels: Singles, rows: Floats, columns: Floats) -> Floats:
    """Return the values of the nearest pixels; NaN outside the image."""
    if pixels.size == 1:
        return np.full(len(rows), float(pixels[0, 0]))
    r = np.rint(np.nan_to_num(rows, nan=-9)).astype(int)
    c = np.rint(np.nan_to_num(columns, nan=-9)).astype(int)
    inside = (r >= 0) & (r < pixels.shape[0]) & (c >= 0) & (c < pixels.shape[1])
    found = np.full(len(rows), np.nan)
    found[inside] = pixels[r[inside], c[inside]]
    return found


#: Sources within this distance, in major axes, are fitted jointly: at 1.5 beams, where they no
#: longer count as blended, one would still add 4 % of its flux density.
JOINT_BEAMS = 2.5
MOST_MEMBERS = 12
#: Neighbours closer to each other than this, in major axes, are one for a third source.
_SAME_BEAMS = 0.1


def joint_members(ra_deg: Floats, dec_deg: Floats, n: int, major_arcsec: float) -> Ints:
    """Return each of the first `n` sources with its jointly fitted neighbours, nearest first.

    The result, shape (n, 12), holds indices of the sources; -1 where there is none. Positions,
    shape (n_all,), are of the sources visible in the image, ICRS degrees; `major_arcsec` is the
    beam's major axis.
    """
    found = np.full((n, MOST_MEMBERS), -1, np.int64)
    found[:, 0] = np.arange(n)
    pairs = neighbour_pairs(ra_deg, dec_deg, JOINT_BEAMS * major_arcsec)
    both = np.concatenate([pairs, pairs[:, ::-1]])
    both = both[both[:, 0] < n]
    if not len(both):
        return found
    east, north = _offsets_arcsec(ra_deg, dec_deg, both[:, 0], both[:, 1])
    away = np.hypot(east, north)
    count = np.ones(n, np.int64)
    same = _SAME_BEAMS * major_arcsec
    # Ties are resolved by position, so that the order of a list has no effect.
    for k in np.lexsort((north, east, away, both[:, 0])):
        i, j = both[k]
        members = found[i, 1 : count[i]]
        if count[i] == MOST_MEMBERS:
            continue
        apart = np.hypot(*_offsets_arcsec(ra_deg, dec_deg, members, np.full(len(members), j)))
        # Two sources at one position can't be separated; from both, a third one can.
        if not (apart < same).any():
            found[i, count[i]] = j
            count[i] += 1
    return found


def _offsets_arcsec(
    ra_deg: Floats, dec_deg: Floats, here: NDArray[np.integer], there: NDArray[np.integer]
) -> tuple[Floats, Floats]:
    east = (ra_deg[there] - ra_deg[here] + 180) % 360 - 180
    north = dec_deg[there] - dec_deg[here]
    return 3600 * east * np.cos(np.radians(dec_deg[here])), 3600 * north


#: Minimum S/N of measured positions.
_POSITION_SNR = 10.0
_SIGMA_OF_FWHM = 1.0 / np.sqrt(8.0 * np.log(2.0))


def offsets_arcsec(
    offset_columns: Floats,
    offset_rows: Floats,
    axes: Floats,
    image: MeasurableImage,
    snr: Floats,
    flags: Ints,
) -> tuple[Floats, Floats, Floats, Floats]:
    """Return measured less known positions and their uncertainties, arcsec.

    Parameters
    ----------
    offset_columns, offset_rows : ndarray, shape (n,)
        Fitted offsets, pixels; NaN without a fit.
    axes : ndarray, shape (n, 2, 2)
        See `contimg_resources.photometry.beams.axes_in_pixels`.
    image : MeasurableImage
        The image.
    snr : ndarray, shape (n,)
        Fitted flux density over its uncertainty.
    flags : ndarray of int, shape (n,)
        Only unflagged sources are measured.

    Returns
    -------
    tuple of ndarray, shape (n,)
        East, north and their uncertainties; NaN below an S/N of 10, in blends and far off.

    Notes
    -----
    The uncertainty of a Gaussian's position along an axis of FWHM theta is ``theta / sqrt(8 ln 2)``
    over the S/N of its fitted flux density (Condon 1997, eq. 21).
    """
    with np.errstate(invalid="ignore"):
        told = (snr >= _POSITION_SNR) & (flags == 0)
    offsets = np.stack([offset_columns, offset_rows], axis=1)
    sky = np.linalg.solve(axes, np.nan_to_num(offsets)[:, :, None])[:, :, 0]
    angle = np.radians(image.beam.angle_deg)
    along, across = image.beam.major_arcsec, image.beam.minor_arcsec
    extents = (
        np.hypot(along * np.sin(angle), across * np.cos(angle)),
        np.hypot(along * np.cos(angle), across * np.sin(angle)),
    )
    # Beyond half a beam the linear step only shows that the source is far off.
    near = np.hypot(sky[:, 0], sky[:, 1]) < image.beam.major_arcsec / 2
    told &= near & np.isfinite(offset_columns)
    east, north = (np.where(told, sky[:, k], np.nan) for k in (0, 1))
    errors = [np.where(told, _SIGMA_OF_FWHM * extent / snr, np.nan) for extent in extents]
    return east, north, errors[0], errors[1]
