"""Robust statistics: the noise of an image, and of blocks of it.

Belongs here: statistics over pixels or values. Doesn't: finding sources.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeVar

import numba
import numpy as np
from numpy.typing import NDArray

from contimg_resources.core.arrays import Bools, Floats, Reals
from contimg_resources.core.errors import ImagingFailed

Integers = NDArray[np.integer[Any]]
Scalar = TypeVar("Scalar", bound=np.generic)

_BLOCKS = 12
#: The inner half determines the noise of an image if this share of it was observed.
_LEAST_INNER = 0.5
#: Ratio of a normal distribution's standard deviation to its median absolute deviation.
STD_OF_MAD = 1.482602218505602
#: Rows and columns this many beams apart suffice: closer ones have correlated noise.
_STEP_BEAMS = 0.7
_BLOCK_BEAMS = 100
#: With fewer rows, or fewer pixels in a half, no slope of a block is fitted.
_LEAST_ROWS, _LEAST_PIXELS = 8, 16


def inner_half(image: NDArray[Scalar]) -> NDArray[Scalar]:
    """Return the inner half of an image, a quarter of its pixels, as a view."""
    rows, columns = image.shape
    return image[rows // 4 : rows - rows // 4, columns // 4 : columns - columns // 4]


def observed_rms(image: Reals, seen: Bools) -> float:
    """Return `mad_rms` of the inner half of an image, or of the whole when that was mostly unseen.

    Pixels that are not `seen` are ignored. Both arrays have the shape (rows, columns).

    Raises
    ------
    ImagingFailed
        If no pixel is finite.
    """
    if inner_half(seen).mean() > _LEAST_INNER:
        image, seen = inner_half(image), inner_half(seen)
    return mad_rms(image[seen])


def mad_rms(values: Reals) -> float:
    """Return 1.4826 times the median absolute deviation from the median of the finite values.

    Raises
    ------
    ImagingFailed
        If no value is finite.
    """
    finite = values[np.isfinite(values)]
    if not finite.size:
        raise ImagingFailed("the image has no finite pixel")
    return float(STD_OF_MAD * np.median(np.abs(finite - np.median(finite))))


def without_slope(values: Reals) -> Reals:
    """Return a block of an image minus a fitted plane: a slope isn't noise.

    It is not finite where unknown.

    Notes
    -----
    The slopes are those between the medians of halves, which sources don't affect.
    """
    for axis in (0, 1):
        n = values.shape[axis]
        if n < _LEAST_ROWS:
            continue
        first, second = np.split(values, [n // 2], axis=axis)
        ends = [half[np.isfinite(half)] for half in (first, second)]
        if min(len(end) for end in ends) < _LEAST_PIXELS:
            continue
        slope = (np.median(ends[1]) - np.median(ends[0])) / (0.5 * n)
        ramp = slope * (np.arange(n) - 0.5 * (n - 1))
        values = values - (ramp[:, None] if axis == 0 else ramp).astype(values.dtype)
    return values


def without_slopes(image: Reals, side: int) -> Reals:
    """Return an image minus a fitted plane in each of its blocks of `side` pixels.

    It is not finite where unknown.
    """
    left = image.copy()
    for top in range(0, image.shape[0], side):
        for first in range(0, image.shape[1], side):
            part = (slice(top, top + side), slice(first, first + side))
            block = without_slope(image[part])
            known = block[np.isfinite(block)]
            left[part] = block - (np.median(known) if known.size else 0)
    return left


@dataclass(frozen=True)
class LocalNoise:
    """The noise around each pixel of an image."""

    in_blocks_jy: Floats  #: Noise in blocks of pixels. Shape (n_blocks, n_blocks).
    #: Weights of the blocks along a row, or a column, of pixels. Shape (size, n_blocks).
    between: Floats
    least_jy: float  #: Lower limit of the noise.

    @classmethod
    def of(cls, residual: Reals, beam_area_pixels: float) -> "LocalNoise":
        """Measure the noise around each pixel of an image without its sources.

        `beam_area_pixels` is the beam's solid angle; a block holds at least a hundred beams.

        Notes
        -----
        `mad_rms` of blocks minus a fitted plane, interpolated linearly between their centres, with
        a lower limit of half of their median.
        """
        size = residual.shape[0]
        blocks = int(np.clip(size / np.sqrt(_BLOCK_BEAMS * beam_area_pixels), 1, _BLOCKS))
        edges = np.linspace(0, size, blocks + 1).astype(int)
        step = max(1, round(_STEP_BEAMS * np.sqrt(beam_area_pixels)))

        def in_row(a: int, b: int) -> list[float]:
            parts = (residual[a:b:step, c:d:step] for c, d in pairwise(edges))
            return [mad_rms(without_slope(part)) for part in parts]

        # Medians release the lock for other threads.
        with ThreadPoolExecutor(numba.get_num_threads()) as pool:
            in_blocks = np.array(list(pool.map(in_row, edges[:-1], edges[1:])))
        between = _linear(0.5 * (edges[1:] + edges[:-1]) - 0.5, size)
        whole = float(np.median(in_blocks))
        return cls(in_blocks, between, max(0.5 * whole, float(in_blocks.min())))

    def at(self, rows: Integers, columns: Integers) -> Floats:
        """Return the noise at some pixels, without computing it for all the others."""
        there = np.einsum("ij,ij->i", self.between[rows] @ self.in_blocks_jy, self.between[columns])
        return np.asarray(np.maximum(there, self.least_jy))


def _linear(centers: Floats, size: int) -> Floats:
    """Return the matrix that interpolates between centres at 0 ... size - 1; constant outside."""
    return np.array([np.interp(np.arange(size), centers, row) for row in np.eye(len(centers))]).T
