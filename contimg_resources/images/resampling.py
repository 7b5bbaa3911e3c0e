"""Resample an image to the pixels of another.

Belongs here: interpolation. Doesn't: weights, beams.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from contimg_resources.imaging.model import SkyGrid
from contimg_resources.imaging.png import celestial_wcs

Pixels = NDArray[np.float32]

#: Both projections are smooth over degrees: only every n-th pixel is projected exactly, and a
#: cubic spline between them is accurate to better than 1e-6 of a pixel.
_COARSE = 64


@dataclass(frozen=True)
class Places:
    """Positions in a tile of the pixels of a box of the mosaic."""

    #: `rows`, `columns`: Positions in pixels of the tile, counted from 0. Shape (box rows, box
    #: columns).
    rows: Pixels
    columns: Pixels

    def sample(self, pixels: Pixels, order: Literal[1, 3, 5]) -> Pixels:
        """Return a tile's pixels at these positions; NaN outside the tile.

        `order` is that of the spline: 5 for an image. For a beam of 7 x 3 pixels it loses at most
        0.1 % of a peak between pixels, a cubic spline 0.5 %, linear interpolation 9 %; use linear
        interpolation for smooth arrays, which may hold NaN.
        """
        from scipy.ndimage import map_coordinates

        sampled = np.empty(self.rows.shape, np.float32)
        where = np.stack([self.rows, self.columns])
        map_coordinates(pixels, where, sampled, order=order, mode="constant", cval=np.nan)
        return sampled


def places(tile: SkyGrid, mosaic: SkyGrid, box: tuple[slice, slice], step: int = 1) -> Places:
    """Return the positions in a tile of every `step`-th pixel of a box of the mosaic."""
    return places_between(celestial_wcs(tile), celestial_wcs(mosaic), box, step)


def places_between(image: Any, other: Any, box: tuple[slice, slice], step: int = 1) -> Places:
    """Return the positions in one image of the pixels of a box of another.

    Both have their two sky axes in the same frame; `box` holds rows and columns of `other`. Only
    every `step`-th pixel is projected exactly.
    """
    from scipy.interpolate import RectBivariateSpline

    rows, columns = (np.arange(s.start, s.stop, step, dtype=float) for s in box)
    coarse_rows, coarse_columns = _every(rows), _every(columns)
    x, y = np.meshgrid(coarse_columns, coarse_rows)
    ra, dec = other.all_pix2world(x.ravel(), y.ravel(), 0)
    there: Any = image.all_world2pix(ra, dec, 0)
    in_columns, in_rows = (
        RectBivariateSpline(coarse_rows, coarse_columns, np.reshape(v, x.shape))(rows, columns)
        for v in there
    )
    return Places(in_rows.astype(np.float32), in_columns.astype(np.float32))


def _every(pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    n = max(4, int(np.ceil(pixels.size / _COARSE)) + 1)
    return np.linspace(pixels[0], pixels[-1], n)
