"""How the noise of neighbouring pixels hangs together, and what that does to a fitted flux.

Belongs here: the autocorrelation of an image's noise, and the error of matched filters in it.
Doesn't: fitting.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from contimg_resources.errors import PhotometryFailed

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Integers = NDArray[np.int64]

_BLOCK = 512
_MOST_BLOCKS = 24
_SOURCE_SIGMA = 4.0
_LEAST_SHARE = 0.3


@dataclass(frozen=True)
class FilterErrors:
    """Covariances of matched filters in an image's noise.

    Parameters
    ----------
    reach : int
        Lags go from -reach to reach pixels.
    overlap : ndarray, shape (2 reach + 1, 2 reach + 1)
        ``H = sum K K'`` of two beams by lag (rows, columns).
    noise : ndarray, shape (2 reach + 1, 2 reach + 1)
        ``G = sum K C K'`` with the noise's autocorrelation C, which is 1 at lag 0.
    """

    reach: int
    overlap: Floats
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
        """Return the error of the first of some sources solved jointly, in units of the noise.

        Parameters
        ----------
        rows, columns : ndarray, shape (n,)
            The sources, pixels.

        Notes
        -----
        Fluxes ``S = H^-1 K^T d`` have the covariance ``H^-1 G H^-1``: the usual ``H^-1`` holds for
        pixels that are independent, and is several times too small in an interferometer's image.
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
    def measured(cls, normalized: Singles, form: Floats, half: float, reach: int) -> "FilterErrors":
        """Measure an image's noise.

        Parameters
        ----------
        normalized : ndarray of float32, shape (n_rows, n_columns)
            Image less its background over its noise; NaN where nothing was observed.
        form : ndarray, shape (3,)
            The beam, see `contimg_resources.photometry.beams.quadratic_forms`.
        half : float
            Stamps reach so far from a source, pixels.
        reach : int
            Largest lag, pixels.

        Raises
        ------
        PhotometryFailed
            If there is too little sky without sources.
        """
        correlation = _autocorrelation(normalized, 2 * reach)
        h = round(half)
        y, x = np.mgrid[-h : h + 1, -h : h + 1].astype(float)
        kernel = np.exp(-(form[0] * x * x + 2 * form[1] * x * y + form[2] * y * y))
        from scipy.signal import fftconvolve

        pairs = fftconvolve(kernel, kernel[::-1, ::-1])
        noise = fftconvolve(correlation, pairs, mode="same")
        middle = correlation.shape[0] // 2
        overlap = np.zeros((2 * reach + 1, 2 * reach + 1))
        r = min(reach, pairs.shape[0] // 2)
        p = pairs.shape[0] // 2
        overlap[reach - r : reach + r + 1, reach - r : reach + r + 1] = pairs[
            p - r : p + r + 1, p - r : p + r + 1
        ]
        lags = slice(middle - reach, middle + reach + 1)
        return cls(reach, overlap, np.asarray(noise[lags, lags]))


def _between_lags(spline: Floats, lags: Floats) -> Floats:
    """Return what a function of whole lags is between them, and 0 beyond."""
    from scipy.ndimage import map_coordinates

    return np.asarray(map_coordinates(spline, lags, prefilter=False, mode="constant"))


def _autocorrelation(normalized: Singles, reach: int) -> Floats:
    """Return the mean product of pixels by lag, sources left out, 1 at lag 0."""
    from scipy.fft import irfft2, next_fast_len, rfft2
    from scipy.ndimage import binary_dilation

    products, counts = np.zeros((2, 2 * reach + 1, 2 * reach + 1))
    lags = np.r_[-reach : reach + 1]
    blocks = _blocks(normalized)
    for block in blocks:
        seen = np.isfinite(block)
        bright = seen & (np.abs(np.nan_to_num(block)) > _SOURCE_SIGMA)
        kept = seen & ~binary_dilation(bright, iterations=max(1, reach // 4))
        values = np.where(kept, block, 0.0)
        size = [next_fast_len(n + reach, real=True) for n in block.shape]
        products += irfft2(np.abs(rfft2(values, size)) ** 2, size)[np.ix_(lags, lags)]
        counts += irfft2(np.abs(rfft2(kept * 1.0, size)) ** 2, size)[np.ix_(lags, lags)]
    if not blocks or counts[reach, reach] < 1000:
        raise PhotometryFailed("there is too little sky without sources to measure its noise")
    mean = products / np.maximum(counts, 1.0)
    return np.asarray(mean / mean[reach, reach])


def _blocks(normalized: Singles) -> list[Singles]:
    """Return pieces of the image that are mostly sky, spread over it."""
    rows, columns = normalized.shape
    found = []
    for top in range(0, rows, _BLOCK):
        for left in range(0, columns, _BLOCK):
            block = normalized[top : top + _BLOCK, left : left + _BLOCK]
            if np.isfinite(block[::4, ::4]).mean() > _LEAST_SHARE:
                found.append(block)
    step = max(1, len(found) // _MOST_BLOCKS)
    return found[::step]
