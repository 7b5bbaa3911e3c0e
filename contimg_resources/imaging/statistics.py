"""Measures of an image: its noise, its peak.

Belongs here: robust numbers over pixels. Doesn't: finding sources.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_resources.errors import ImagingFailed

Floats = NDArray[np.float64]
Reals = NDArray[np.floating[Any]]
Integers = NDArray[np.integer[Any]]

_BLOCKS = 12
#: Standard deviation of a normal distribution over its median absolute deviation.
STD_OF_MAD = 1.482602218505602
#: Rows and columns so many beams apart are enough: nearer ones show the same noise.
_STEP_BEAMS = 0.7
_BLOCK_BEAMS = 100


def inner_half(image: Reals) -> Reals:
    """Return the inner half of an image, a quarter of its pixels, as a view."""
    rows, columns = image.shape
    return image[rows // 4 : rows - rows // 4, columns // 4 : columns - columns // 4]


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


@dataclass(frozen=True)
class LocalNoise:
    """The noise around each pixel of an image.

    Parameters
    ----------
    in_blocks_jy : ndarray, shape (n_blocks, n_blocks)
        Noise in blocks of pixels.
    between : ndarray, shape (size, n_blocks)
        Shares of the blocks in a row, or a column, of pixels.
    least_jy : float
        It is nowhere less.
    """

    in_blocks_jy: Floats
    between: Floats
    least_jy: float

    @classmethod
    def of(cls, residual: Reals, beam_area_pixels: float) -> "LocalNoise":
        """Measure it.

        Parameters
        ----------
        residual : ndarray, shape (size, size)
            Image without its sources.
        beam_area_pixels : float
            Solid angle of the beam, pixels; a block holds at least a hundred beams.

        Notes
        -----
        `mad_rms` of blocks, interpolated linearly between their centres and never below half of
        the whole image's.
        """
        size = residual.shape[0]
        blocks = int(np.clip(size / np.sqrt(_BLOCK_BEAMS * beam_area_pixels), 1, _BLOCKS))
        edges = np.linspace(0, size, blocks + 1).astype(int)
        step = max(1, round(_STEP_BEAMS * np.sqrt(beam_area_pixels)))
        in_blocks = np.array(
            [
                [mad_rms(residual[a:b:step, c:d:step]) for c, d in pairwise(edges)]
                for a, b in pairwise(edges)
            ]
        )
        between = _linear(0.5 * (edges[1:] + edges[:-1]) - 0.5, size)
        whole = mad_rms(residual[::step, ::step])
        return cls(in_blocks, between, max(0.5 * whole, float(in_blocks.min())))

    def at(self, rows: Integers, columns: Integers) -> Floats:
        """Return the noise at some pixels; few are asked for where there are millions."""
        there = np.einsum("ij,ij->i", self.between[rows] @ self.in_blocks_jy, self.between[columns])
        return np.asarray(np.maximum(there, self.least_jy))


def _linear(centers: Floats, size: int) -> Floats:
    """Return the matrix that interpolates between centres at 0 ... size - 1; constant outside."""
    return np.array([np.interp(np.arange(size), centers, row) for row in np.eye(len(centers))]).T
