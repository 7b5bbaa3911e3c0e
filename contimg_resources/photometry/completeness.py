"""Completeness and reliability of a list of found sources, and the number expected from counts.

Belongs here: injecting sources into an image's own noise, false alarms from its negative peaks,
source counts, the noise over the sky. Doesn't: finding (see `finding`).
"""

import zlib
from dataclasses import dataclass

import numpy as np

from contimg_resources.compiling import on_one_core
from contimg_resources.core.arrays import Floats, Ints
from contimg_resources.core.source_counts import (
    BRIGHTEST_JY,
    COUNTS_HZ,
    FAINTEST_JY,
    brighter_per_deg2,
)
from contimg_resources.photometry.beams import axes_in_pixels, quadratic_forms
from contimg_resources.photometry.finding import Finder, Found
from contimg_resources.photometry.finding_loops import add_components
from contimg_resources.photometry.measuring import middle_axes

#: Injected sources are at least this many beams (major axis) apart, less the random offset.
_APART, _OFFSET = 4.0, 1.0
#: Range of the injected S/N, and the edges of the bins.
_LOWEST, _HIGHEST = 3.0, 20.0
_EDGES = np.array([3.0, 4.0, 5.0, 5.5, 6.0, 7.0, 8.0, 10.0, 20.0])
#: An injected source is found if a detection is within this many beams.
_SAME = 0.5
#: Levels of the curve by flux density, in units of the median noise.
_LEVELS = np.array([3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 12.0, 15.0, 20.0, 30.0, 50.0])
_RELIABILITY_SNR = np.array([5.0, 5.5, 6.0, 7.0, 8.0, 10.0])
#: With fewer negative peaks their distribution is taken for that of Gaussian noise.
_LEAST_NEGATIVE = 20
#: The noise over the sky is sampled at this distance, in beams, and kept by HEALPix pixels of this
#: order, 14 arcmin.
_DEPTH_BEAMS, DEPTH_ORDER = 3.0, 8
#: Spectral index that takes a limit to the frequency of the counts.
_COUNTS_INDEX = -0.7


@dataclass(frozen=True)
class Completeness:
    """Share of the injected point sources that were found."""

    snr_from: Floats  #: Lower edges of the bins in S/N. Shape (n_bins,).
    snr_to: Floats  #: Upper edges. Shape (n_bins,).
    injected: Ints  #: Number of injected sources. Shape (n_bins,).
    found: Ints  #: Number of them that were found. Shape (n_bins,).
    flux_ratio: Floats  #: Median of found over injected peak; NaN without any. Shape (n_bins,).
    flux_jy: Floats  #: Flux densities, Jy. Shape (n_levels,).
    #: Share of point sources of these flux densities that are found, averaged over the observed
    #: sky. Shape (n_levels,).
    at_flux: Floats

    @property
    def by_snr(self) -> Floats:
        """Share of found sources in each bin; NaN without injections. Shape (n_bins,)."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(self.found / self.injected)


def measure_completeness(found: Found, injections: int) -> Completeness:
    """Inject point sources into the image without its sources, and find them.

    Notes
    -----
    Positions are random, four beams apart on average, on the observed sky; S/N is uniform in its
    logarithm from 3 to 20. The noise is that of the image itself: what is left after subtraction of
    all components, with the residuals of bright sources. Losses by neighbours closer than a beam
    aren't included. The same mosaic gets the same sources again.
    """
    finder = found.finder
    random = np.random.default_rng(zlib.crc32(finder.image.epoch.encode()))
    rows, columns = _places(found, injections, random)
    rms = finder.surroundings_at(rows, columns)[1]
    snr = np.exp(random.uniform(np.log(_LOWEST), np.log(_HIGHEST), len(rows)))
    ra, dec = finder.image.wcs.all_pix2world(columns, rows, 0) if len(rows) else np.empty((2, 0))
    forms = (
        quadratic_forms(finder.image.beam, axes_in_pixels(finder.image, ra, dec))
        if len(rows)
        else np.empty((0, 3))
    )
    truth = np.column_stack([snr * finder.point_error * rms, columns, rows, forms])
    pixels = found.residual.copy()
    add_components(pixels, truth, 1.0)
    with on_one_core():
        detected, _ = finder.detected(pixels, found.min_snr)
    ratio = np.full(len(truth), np.nan)
    if len(detected) and len(truth):
        away, nearest = finder.nearest(detected, truth)
        hit = away < _SAME
        ratio[hit] = detected[nearest[hit], 0] / truth[hit, 0]
    bins = np.digitize(snr, _EDGES) - 1
    n_bins = len(_EDGES) - 1
    injected = np.bincount(bins, minlength=n_bins)[:n_bins]
    hits = np.bincount(bins[np.isfinite(ratio)], minlength=n_bins)[:n_bins]
    ratios = [ratio[(bins == k) & np.isfinite(ratio)] for k in range(n_bins)]
    error = finder.point_error * rms
    levels = _LEVELS * (np.median(error) if len(rms) else np.nan)
    known = injected > 0
    if known.any():
        middles = np.sqrt(_EDGES[:-1] * _EDGES[1:])[known]
        share = np.interp(levels[:, None] / error, middles, (hits / np.maximum(injected, 1))[known])
        share[levels[:, None] / error < _LOWEST] = 0.0
        at_flux = share.mean(axis=1)
    else:
        at_flux = np.full(len(levels), np.nan)
    return Completeness(
        _EDGES[:-1],
        _EDGES[1:],
        injected,
        hits,
        np.array([np.median(r) if len(r) else np.nan for r in ratios]),
        levels,
        at_flux,
    )


def _places(found: Found, most: int, random: np.random.Generator) -> tuple[Floats, Floats]:
    """Return random positions on the observed sky, far from each other."""
    pixels, major = found.finder.pixels, found.finder.beam_pixels[0]
    step = _APART * major
    rows, columns = (
        a.ravel()
        for a in np.mgrid[step / 2 : pixels.shape[0] : step, step / 2 : pixels.shape[1] : step]
    )
    chosen = random.permutation(len(rows))
    shift = random.uniform(-_OFFSET * major, _OFFSET * major, (2, len(rows)))
    rows, columns = rows[chosen] + shift[0], columns[chosen] + shift[1]
    inside = np.isfinite(found.finder.value_at(rows, columns))
    return rows[inside][:most], columns[inside][:most]


@dataclass(frozen=True)
class Reliability:
    """False detections, judged by the negative peaks that pass the tests of sources."""

    snr: Floats  #: Levels of S/N. Shape (n,).
    n_found: Ints  #: Number of sources at or above each. Shape (n,).
    n_negative: Ints  #: Number of negative peaks at or above each. Shape (n,).
    #: `scale`, `from_snr`, `expected`: The number of false peaks above S/N t is
    #: ``expected exp(-(t^2 - from_snr^2) / (2 scale^2))``.
    scale: float
    from_snr: float
    expected: float

    @property
    def at_snr(self) -> Floats:
        """Share of real sources at or above each level; NaN without any. Shape (n,)."""
        with np.errstate(invalid="ignore", divide="ignore"):
            share = 1.0 - self.n_negative / self.n_found
        return np.asarray(np.where(self.n_found > 0, np.maximum(share, 0.0), np.nan))

    def limit(self, false_alarms: float) -> float:
        """Return the S/N above which this number of false peaks is expected."""
        excess = np.log(max(self.expected / false_alarms, 1.0))
        return float(np.sqrt(self.from_snr**2 + 2 * self.scale**2 * excess))


def measure_reliability(found: Found) -> Reliability:
    """Compare the sources of an image with its negative peaks.

    Notes
    -----
    The sky has no negative sources, so negative peaks are false. Their tail, ``exp(-t^2 / (2
    s^2))`` with s = 1 for Gaussian noise, is fitted by maximum likelihood, and s is at least 1.
    """
    negative, snr = found.negative_snr, found.sources.snr
    start = float(negative.min()) if len(negative) else found.min_snr
    squares = negative**2 - start**2
    scale = 1.0
    if len(negative) >= _LEAST_NEGATIVE:
        scale = max(1.0, float(np.sqrt(0.5 * squares.mean())))
    return Reliability(
        _RELIABILITY_SNR,
        np.array([(snr >= t).sum() for t in _RELIABILITY_SNR]),
        np.array([(negative >= t).sum() for t in _RELIABILITY_SNR]),
        scale,
        start,
        float(max(len(negative), 1)),
    )


def expected_sources(found: Found, rms_jy: Floats, area_deg2: float) -> float:
    """Return the number of sources above an image's S/N limit that source counts predict.

    `rms_jy`, shape (n,), is the noise at positions distributed evenly over the observed sky.
    """
    if not len(rms_jy):
        return 0.0
    jy = np.geomspace(BRIGHTEST_JY, FAINTEST_JY, 300)
    ratio = (COUNTS_HZ / found.finder.image.frequency_hz) ** _COUNTS_INDEX
    limits_jy = found.min_snr * found.finder.point_error * rms_jy * ratio
    per_deg2 = np.interp(np.log(limits_jy), np.log(jy[::-1]), brighter_per_deg2(jy)[::-1])
    return float(per_deg2.mean() * area_deg2)


@dataclass(frozen=True)
class Depth:
    """The noise of an image over the observed sky."""

    order: int  #: Order of the HEALPix pixels, nested, ICRS.
    pixel: list[int]  #: Observed HEALPix pixels.
    rms_jy: list[float]  #: The highest noise in each, Jy/beam.
    sampled_rms_jy: Floats  #: Noise at positions distributed evenly, Jy/beam. Shape (n,).
    area_deg2: float  #: Observed sky, square degrees.


def depth_of(finder: Finder) -> Depth:
    """Return the noise of an image over the observed sky."""
    step = max(1, round(_DEPTH_BEAMS * finder.beam_pixels[0]))
    rows, columns = np.mgrid[: finder.pixels.shape[0] : step, : finder.pixels.shape[1] : step]
    some = np.isfinite(finder.pixels[rows, columns])
    rows, columns = (v[some].astype(np.float64) for v in (rows, columns))
    rms = finder.surroundings_at(rows, columns)[1]
    ra, dec = finder.image.wcs.all_pix2world(columns, rows, 0)
    pixel = depth_pixels(ra, dec)
    unique, place = np.unique(pixel, return_inverse=True)
    highest = np.zeros(len(unique))
    np.maximum.at(highest, place, rms)
    cell_deg2 = step**2 / abs(np.linalg.det(middle_axes(finder.image))) / 3600**2
    # No more digits than the noise is known to.
    digits = [float(f"{value:.3g}") for value in highest]
    return Depth(DEPTH_ORDER, unique.tolist(), digits, rms, len(rms) * cell_deg2)


def depth_pixels(ra_deg: Floats, dec_deg: Floats) -> Ints:
    """Return the HEALPix pixels of `Depth` that positions (ICRS degrees) are in, shape (n,)."""
    from astropy import units as u
    from astropy_healpix import HEALPix

    healpix = HEALPix(nside=2**DEPTH_ORDER, order="nested")
    return np.asarray(healpix.lonlat_to_healpix(ra_deg * u.deg, dec_deg * u.deg), np.int64)
