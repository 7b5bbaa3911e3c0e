"""Background and noise around places in an image.

Belongs here: robust numbers of blocks of pixels, and between them. Doesn't: sources.

photutils' `Background2D` interpolates a map for every pixel, which takes longer than measuring ten
thousand sources; here both are looked up only where there is a source.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from contimg_resources.errors import PhotometryFailed
from contimg_resources.imaging.statistics import STD_OF_MAD

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

#: A block is so many beams (major axis) a side: some hundred independent numbers.
_BLOCK_BEAMS = 16.0
#: Pixels so many beams (of its area) apart are enough: nearer ones show the same noise.
_STEP_BEAMS = 0.5
_CLIP = 3.0
_TURNS = 4
#: With fewer numbers a block says nothing.
_LEAST = 40


@dataclass(frozen=True)
class Surroundings:
    """Background and noise of blocks of pixels.

    Parameters
    ----------
    rows, columns : ndarray, shape (n_rows,), (n_columns,)
        Middles of blocks, pixels.
    background : ndarray, shape (n_rows, n_columns)
        Clipped median; NaN where too little sky is.
    noise : ndarray, shape (n_rows, n_columns)
        1.4826 times the median absolute deviation of what isn't clipped.
    """

    rows: Floats
    columns: Floats
    background: Floats
    noise: Floats

    @classmethod
    def of(
        cls, pixels: Singles, beam_major_pixels: float, beam_minor_pixels: float
    ) -> "Surroundings":
        """Measure an image (or an image over its expected noise) in blocks.

        Parameters
        ----------
        pixels : ndarray of float32, shape (n_rows, n_columns)
            NaN where nothing was observed.
        beam_major_pixels, beam_minor_pixels : float
            Restoring beam, pixels.

        Raises
        ------
        PhotometryFailed
            If no block has enough sky, or none has noise.
        """
        step = max(1, round(_STEP_BEAMS * np.sqrt(beam_major_pixels * beam_minor_pixels)))
        edges = [_edges(n, _BLOCK_BEAMS * beam_major_pixels) for n in pixels.shape]
        shape = (len(edges[0]) - 1, len(edges[1]) - 1)
        background, noise = np.full(shape, np.nan), np.full(shape, np.nan)
        for i, (top, bottom) in enumerate(pairwise(edges[0])):
            for j, (left, right) in enumerate(pairwise(edges[1])):
                some = pixels[top:bottom:step, left:right:step]
                background[i, j], noise[i, j] = _clipped(some[np.isfinite(some)])
        if not (noise > 0).any():
            raise PhotometryFailed("nowhere is there enough sky with noise to measure it")
        rows, columns = (np.asarray(0.5 * (e[1:] + e[:-1]) - 0.5, np.float64) for e in edges)
        return cls(rows, columns, _filled(background), _filled(noise))

    def at(self, row: Floats, column: Floats) -> tuple[Floats, Floats]:
        """Return background and noise at places in pixels, linear between blocks' middles."""
        i, a = _between(self.rows, row)
        j, b = _between(self.columns, column)
        found = []
        for blocks in (self.background, self.noise):
            upper = (1 - b) * blocks[i, j] + b * blocks[i, j + (b > 0)]
            lower = (1 - b) * blocks[i + (a > 0), j] + b * blocks[i + (a > 0), j + (b > 0)]
            found.append((1 - a) * upper + a * lower)
        return found[0], found[1]


def _edges(n: int, wanted: float) -> NDArray[np.int64]:
    return np.linspace(0, n, max(1, round(n / wanted)) + 1).astype(np.int64)


def _clipped(values: Singles) -> tuple[float, float]:
    if values.size < _LEAST:
        return np.nan, np.nan
    kept = values.astype(np.float64)
    for _ in range(_TURNS):
        middle = float(np.median(kept))
        noise = STD_OF_MAD * np.median(np.abs(kept - middle))
        inside = np.abs(kept - middle) <= _CLIP * noise
        if inside.all() or inside.sum() < _LEAST:
            break
        kept = kept[inside]
    middle = float(np.median(kept))
    return middle, float(STD_OF_MAD * np.median(np.abs(kept - middle)))


def _filled(blocks: Floats) -> Floats:
    """Give blocks without sky what the nearest one with sky has."""
    from scipy.ndimage import distance_transform_edt

    missing = ~np.isfinite(blocks)
    if not missing.any():
        return blocks
    nearest = distance_transform_edt(missing, return_distances=False, return_indices=True)
    return np.asarray(blocks[tuple(nearest)])


def _between(middles: Floats, place: Floats) -> tuple[NDArray[np.int64], Floats]:
    """Return the block before a place and the share of the next; constant beyond the ends."""
    inside = np.clip(place, middles[0], middles[-1])
    i = np.clip(np.searchsorted(middles, inside, side="right") - 1, 0, max(0, len(middles) - 2))
    if len(middles) == 1:
        return i.astype(np.int64), np.zeros(len(place))
    share = (inside - middles[i]) / (middles[i + 1] - middles[i])
    return i.astype(np.int64), np.asarray(share)
