"""Correlation of the noise of neighbouring pixels, and its effect on fitted flux densities.

Belongs here: the autocorrelation of an image's noise, and the error of matched filters in it.
Doesn't: fitting.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_resources.core.arrays import Floats, Singles
from contimg_resources.core.errors import PhotometryFailed
from contimg_resources.photometry.background import Surroundings

_BLOCK = 512
_MOST_BLOCKS, _FEW_BLOCKS = 24, 4
#: Maximum distance of correlated noise, in beams (major axis).
_ALIKE_BEAMS = 1.5
_SOURCE_SIGMA = 4.0
#: Sections with less than this fraction of the sky of the best one are left out.
_LEAST_SHARE = 0.3
_LEAST_BEAMS = 30.0


@dataclass(frozen=True)
class FilterErrors:
    """Covariances of matched filters in an image's noise."""

    reach: int  #: Lags extend from -reach to reach pixels.
    #: ``H = sum K K'`` of two beams by lag (rows, columns). Shape (2 reach + 1, 2 reach + 1).
    overlap: Floats
    #: ``G = sum K C K'`` with the noise's autocorrelation C, which is 1 at lag 0. Shape (2 reach +
    #: 1, 2 reach + 1).
    noise: Floats

    @property
    def alone(self) -> float:
        """Error of a single source's flux in units of the noise around it."""
        r = self.reach
        return float(np.sqrt(self.noise[r, r]) / self.overlap[r, r])

    @cached_property
    def _splines(self) -> tuple[Floats, Floats]:
        from scipy.ndimage import spline_filter

        return spline_filter(self.overlap), spline_filter(self.noise)

    def of_first(self, rows: Floats, columns: Floats) -> float:
        """Return the error of the first of jointly fitted sources, in units of the noise.

        Positions are in pixels, shape (n,).

        Notes
        -----
        Flux densities ``S = H^-1 K^T d`` have the covariance ``H^-1 G H^-1``: the usual ``H^-1``
        is valid for independent pixels, and is several times too small in an interferometric image.
        """
        lags = np.stack([rows[:, None] - rows, columns[:, None] - columns]) + self.reach
        overlap, noise = (_between_lags(values, lags) for values in self._splines)
        try:
            inverse = np.linalg.inv(overlap)
        except np.linalg.LinAlgError:
            return float("nan")
        variance = float((inverse @ noise @ inverse)[0, 0])
        return float(np.sqrt(variance)) if variance > 0 else float("nan")

    @classmethod
    def of(
        cls, correlation: "NoiseCorrelation", form: Floats, half: float, reach: int
    ) -> "FilterErrors":
        """Calculate the covariances of the filters.

        The noise's correlation reaches to twice `reach`. `form`, shape (3,), is the beam (see
        `contimg_resources.photometry.beams.quadratic_forms`), `half` half the side of a stamp,
        `reach` the largest lag; both in pixels.
        """
        h = round(half)
        y, x = np.mgrid[-h : h + 1, -h : h + 1].astype(float)
        kernel = np.exp(-(form[0] * x * x + 2 * form[1] * x * y + form[2] * y * y))
        pairs = convolved(kernel, kernel[::-1, ::-1])
        noise = convolved(correlation.by_lag, pairs, same=True)
        middle = correlation.reach
        overlap = np.zeros((2 * reach + 1, 2 * reach + 1))
        r = min(reach, pairs.shape[0] // 2)
        p = pairs.shape[0] // 2
        overlap[reach - r : reach + r + 1, reach - r : reach + r + 1] = pairs[
            p - r : p + r + 1, p - r : p + r + 1
        ]
        lags = slice(middle - reach, middle + reach + 1)
        return cls(reach, overlap, np.asarray(noise[lags, lags]))


@dataclass(frozen=True)
class NoiseCorrelation:
    """The autocorrelation of an image's noise."""

    reach: int  #: Lags extend from -reach to reach pixels.
    #: Mean product of pixels by lag (rows, columns), without sources; 1 at lag 0. Shape (2 reach +
    #: 1, 2 reach + 1).
    by_lag: Floats

    @classmethod
    def measured(
        cls,
        sky: Singles,
        weights: Singles,
        around: Surroundings,
        reach: int,
        *,
        beam_pixels: float,
        most_blocks: int = _MOST_BLOCKS,
    ) -> "NoiseCorrelation":
        """Measure the correlation of an image's noise after subtraction of its background.

        `sky`, `weights`: see `contimg_resources.photometry.background.Surroundings.of`. `reach` is
        the largest lag in pixels, `beam_pixels` the beam's area, and `most_blocks` the maximum
        number of sections of sky, 512 pixels a side.

        Raises
        ------
        PhotometryFailed
            If there is too little sky without sources.
        """
        from scipy.ndimage import binary_dilation

        products, counts = np.zeros((2, 2 * reach + 1, 2 * reach + 1))
        for part in _parts(sky, most_blocks):
            values = around.normalized(sky, weights, part)
            seen = np.isfinite(values)
            bright = seen & (np.abs(np.nan_to_num(values)) > _SOURCE_SIGMA)
            kept = seen & ~binary_dilation(bright, iterations=max(1, reach // 4))
            products += _products_by_lag(np.where(kept, values, 0.0), reach)
            counts += _products_by_lag(kept, reach)
        beams = counts[reach, reach] / beam_pixels
        if not beams > _LEAST_BEAMS:
            raise PhotometryFailed(
                f"{beams:.0f} beams of sky without sources are too few to measure its noise; "
                f"{_LEAST_BEAMS:g} are required"
            )
        mean = products / np.maximum(counts, 1.0)
        return cls(reach, np.asarray(mean / mean[reach, reach]))

    def alike(self, within: float) -> float:
        """Return the number of correlated pixels: the sum over lags up to some pixels."""
        rows, columns = np.mgrid[-self.reach : self.reach + 1, -self.reach : self.reach + 1]
        return max(1.0, float(self.by_lag[np.hypot(rows, columns) <= within].sum()))


def convolved(values: Floats, kernel: Floats, *, same: bool = False) -> Floats:
    """Return the convolution of images by Fourier transforms, over the last two axes.

    As `scipy.signal.fftconvolve`, whose import takes a third of a second in each process.

    Parameters
    ----------
    values, kernel : ndarray, shape (..., rows, columns)
        Images and kernel, 0 outside.
    same : bool
        Return the central part, of the shape of `values`, rather than all pixels that aren't 0.
    """
    from scipy.fft import irfft2, next_fast_len, rfft2

    inner = values.shape[-2:]
    whole = [n + m - 1 for n, m in zip(inner, kernel.shape[-2:], strict=True)]
    size = [next_fast_len(n, real=True) for n in whole]
    product = irfft2(rfft2(values, size) * rfft2(kernel, size), size)
    begin = [(n - m) // 2 for n, m in zip(whole, inner, strict=True)] if same else [0, 0]
    rows, columns = (slice(b, b + n) for b, n in zip(begin, inner if same else whole, strict=True))
    return np.asarray(product[..., rows, columns])


def _between_lags(spline: Floats, lags: Floats) -> Floats:
    """Interpolate a function of integer lags; 0 outside."""
    from scipy.ndimage import map_coordinates

    return np.asarray(map_coordinates(spline, lags, prefilter=False, mode="constant"))


def _products_by_lag(values: NDArray[Any], reach: int) -> Floats:
    """Return the sum of products of pixels by lag."""
    from scipy.fft import irfft2, next_fast_len, rfft2

    lags = np.r_[-reach : reach + 1]
    size = [next_fast_len(n + reach, real=True) for n in values.shape]
    power = np.abs(rfft2(values.astype(np.float32), size)) ** 2
    return np.asarray(irfft2(power, size)[np.ix_(lags, lags)])


def _parts(sky: Singles, most: int) -> list[tuple[slice, slice]]:
    """Return sections of the image that contain much sky, distributed over it."""
    rows, columns = sky.shape
    found = [
        (slice(top, min(top + _BLOCK, rows)), slice(left, min(left + _BLOCK, columns)))
        for top in range(0, rows, _BLOCK)
        for left in range(0, columns, _BLOCK)
    ]
    step = 4 if sky.size > _BLOCK**2 else 1
    held = [int(np.isfinite(sky[part][::step, ::step]).sum()) for part in found]
    # Relative to the observed area: an image may be blank in most of its area.
    least = _LEAST_SHARE * max(held)
    full = [part for part, n in zip(found, held, strict=True) if n and n >= least]
    return full[:: max(1, -(-len(full) // most))]


def noise_of(
    sky: Singles, weights: Singles, major: float, minor: float, reach: int
) -> tuple[Surroundings, NoiseCorrelation]:
    """Measure an image's background, its noise, and the correlation of the noise.

    `sky`, `weights`: see `contimg_resources.photometry.background.Surroundings.of`. `major` and
    `minor` are the restoring beam (FWHM), `reach` is the largest lag of the correlation; all in
    pixels.

    Raises
    ------
    PhotometryFailed
        If there is too little sky without sources.

    Notes
    -----
    The background is subtracted first: a remaining slope would count as noise that is correlated
    over the whole image. The small part of the noise that surfaces absorb is restored.
    """
    beam_pixels = np.pi / (4 * np.log(2.0)) * major * minor

    def alike(surroundings: Surroundings) -> float:
        rough = NoiseCorrelation.measured(
            sky, weights, surroundings, reach, beam_pixels=beam_pixels, most_blocks=_FEW_BLOCKS
        )
        return rough.alike(_ALIKE_BEAMS * major)

    around = Surroundings.fitting(sky, weights, major, minor, alike)
    found = NoiseCorrelation.measured(sky, weights, around, reach, beam_pixels=beam_pixels)
    followed = around.followed(found.alike(_ALIKE_BEAMS * major))
    by_lag = found.by_lag * (1.0 - followed) + followed
    return around, NoiseCorrelation(reach, by_lag)
