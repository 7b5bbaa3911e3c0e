"""Measures of an image: its noise, its peak.

Belongs here: robust numbers over pixels. Doesn't: finding sources.
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import zoom
from scipy.stats import median_abs_deviation

from contimg_resources.errors import ImagingFailed

Floats = NDArray[np.float64]

_BLOCKS = 12
_BLOCK_BEAMS = 100


def inner_half(image: Floats) -> Floats:
    """Return the inner half of an image, a quarter of its pixels, as a view."""
    rows, columns = image.shape
    return image[rows // 4 : rows - rows // 4, columns // 4 : columns - columns // 4]


def mad_rms(values: Floats) -> float:
    """Return 1.4826 times the median absolute deviation from the median of the finite values.

    Raises
    ------
    ImagingFailed
        If no value is finite.
    """
    finite = values[np.isfinite(values)]
    if not finite.size:
        raise ImagingFailed("the image has no finite pixel")
    return float(median_abs_deviation(finite, axis=None, scale="normal"))


def local_rms(residual: Floats, beam_area_pixels: float) -> Floats:
    """Return the noise around each pixel, of the image's shape.

    Parameters
    ----------
    residual : ndarray, shape (size, size)
        Image without its sources.
    beam_area_pixels : float
        Solid angle of the beam, pixels; a block holds at least a hundred beams.

    Notes
    -----
    `mad_rms` of blocks, interpolated linearly between their centres and never below half of the
    whole image's.
    """
    size = residual.shape[0]
    blocks = int(np.clip(size / np.sqrt(_BLOCK_BEAMS * beam_area_pixels), 1, _BLOCKS))
    edges = np.linspace(0, size, blocks + 1).astype(int)
    coarse = np.array(
        [[mad_rms(residual[a:b, c:d]) for c, d in pairwise(edges)] for a, b in pairwise(edges)]
    )
    smooth = zoom(coarse, size / blocks, order=1, mode="nearest", grid_mode=True)
    return np.asarray(np.maximum(smooth, 0.5 * mad_rms(residual)))
