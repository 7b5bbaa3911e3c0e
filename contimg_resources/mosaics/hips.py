"""Tiles of a Hierarchical Progressive Survey (HiPS 1.0, an IVOA recommendation).

Belongs here: the pixels of a tile, an image resampled to them, writing and averaging tiles.
Doesn't: which images are in a survey and which tiles have changed (see `sky_map`).

A tile is a HEALPix cell in nested order. In arrays of this module the first axis runs along the
cell's x (north-east), the second along its y (north-west): rows of its PNG from the top. In a FITS
tile the rows are reversed.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from contimg_resources.core.arrays import Bools, Floats, Singles
from contimg_resources.core.directories import whole_file

#: Pixels along the side of a tile.
SIDE = 512
_DEPTH = 9
#: A tile's coverage is known in squares of 64 x 64 pixels, cells of this many orders more.
COVERAGE_DEPTH = 3
_CELLS = 1 << COVERAGE_DEPTH
#: Side of a pixel of order 0, arcsec: the square root of a twelfth of the sky, over 512.
_ARCSEC = math.degrees(math.sqrt(4 * math.pi / 12)) * 3600 / SIDE
#: Pixels around a part of an image that a spline needs.
_AROUND = 8
_PER_FOLDER = 10_000
#: Side of a tile in an overview, pixels.
_SMALL_SIDE = 64


class Tile(NamedTuple):
    """The name of a tile."""

    order: int  #: Its order: there are ``12 * 4**order``.
    number: int  #: Its number in nested order.

    @property
    def parent(self) -> "Tile":
        """The tile of the next lower order that contains it."""
        return Tile(self.order - 1, self.number // 4)

    @property
    def children(self) -> "tuple[Tile, ...]":
        """The tiles of the next higher order in it; the first bit is x, the second y."""
        return tuple(Tile(self.order + 1, 4 * self.number + i) for i in range(4))

    def path(self, root: Path, ending: str) -> Path:
        """Return the path of its file in a survey."""
        folder = self.number // _PER_FOLDER * _PER_FOLDER
        return root / f"Norder{self.order}" / f"Dir{folder}" / f"Npix{self.number}.{ending}"


@dataclass
class Sums:
    """Weighted sums of images at the pixels of a tile, shape (512, 512) each."""

    values: Singles  #: Sum of values times weights.
    weights: Singles  #: Sum of weights.

    @classmethod
    def zero(cls) -> "Sums":
        """Return sums of nothing."""
        return cls(*(np.zeros((SIDE, SIDE), np.float32) for _ in range(2)))

    def add(self, other: "Sums") -> None:
        """Add other sums."""
        self.values += other.values
        self.weights += other.weights

    def mean(self) -> Singles:
        """Return the weighted mean; NaN without any weight."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(self.weights > 0, self.values / self.weights, np.float32(np.nan))


def pixel_arcsec(order: int) -> float:
    """Return the side of a pixel of a survey's highest order, arcsec."""
    return _ARCSEC / (1 << order)


def order_for(cell_arcsec: float, most: int) -> int:
    """Return the order, from 3 to `most`, whose pixels are at most 1.4 times as large as a cell."""
    return min(most, max(3, math.ceil(math.log2(_ARCSEC / cell_arcsec) - 0.5)))


def positions_deg(tile: Tile) -> tuple[Floats, Floats]:
    """Return right ascension and declination of a tile's pixels, ICRS degrees, shape (512, 512)."""
    from astropy_healpix import healpix_to_lonlat

    inside = _nested(SIDE)
    lon, lat = healpix_to_lonlat(
        tile.number * SIDE**2 + inside.ravel(), 1 << (tile.order + _DEPTH), order="nested"
    )
    return lon.deg.reshape(inside.shape), lat.deg.reshape(inside.shape)


def centre_deg(tile: Tile) -> tuple[float, float]:
    """Return right ascension and declination of a tile's centre, ICRS degrees."""
    from astropy_healpix import healpix_to_lonlat

    lon, lat = healpix_to_lonlat(tile.number, 1 << tile.order, order="nested")
    return float(lon.deg), float(lat.deg)


def tiles_with(wcs: Any, observed: Bools, step: int, order: int) -> set[int]:
    """Return the numbers of the tiles in which an image has observed pixels.

    Parameters
    ----------
    wcs : WCS
        The image's two sky axes.
    observed : ndarray of bool, shape (n, m)
        Every `step`-th pixel of the image: whether it was observed.
    step : int
        See `observed`.
    order : int
        Order of the tiles.
    """
    from astropy import units as u
    from astropy_healpix import lonlat_to_healpix

    rows, columns = np.nonzero(observed)
    if not rows.size:
        return set()
    ra, dec = wcs.all_pix2world(columns * step, rows * step, 0)
    found = lonlat_to_healpix(ra * u.deg, dec * u.deg, 1 << order, order="nested")
    return {int(number) for number in np.unique(found)}


def resampled(tile: Tile, wcs: Any, image: Any, sigma: Any) -> Sums:
    """Return an image at the pixels of a tile, weighted by the inverse variance.

    Parameters
    ----------
    tile : Tile
        The tile.
    wcs : WCS
        The image's two sky axes.
    image, sigma : ndarray, shape (rows, columns)
        The image and its expected noise, Jy/beam, NaN outside; only the part in the tile is read.

    Notes
    -----
    A cubic spline between pixels: for a beam of 7 x 3 pixels it loses at most 0.5 % of a peak.
    """
    from scipy.ndimage import map_coordinates

    x, y = wcs.all_world2pix(*positions_deg(tile), 0)
    rows, columns = image.shape
    # A projection of the whole sky may put the far side anywhere.
    inside = (x > -1) & (x < columns) & (y > -1) & (y < rows)
    if not inside.any():
        return Sums.zero()
    top, bottom = _span(y[inside], rows)
    left, right = _span(x[inside], columns)
    pixels = np.array(image[top:bottom, left:right], np.float32)
    noise = np.array(sigma[top:bottom, left:right], np.float32)
    seen = np.isfinite(pixels) & np.isfinite(noise) & (noise > 0)
    if not seen.any():
        return Sums.zero()
    weights = np.zeros_like(noise)
    np.divide(1.0, noise**2, out=weights, where=seen)
    where = np.stack([y - top, x - left])
    values = map_coordinates(np.where(seen, pixels, 0.0), where, order=3)
    weight = map_coordinates(weights, where, order=1)
    # Only between observed pixels.
    between = map_coordinates(seen.astype(np.float32), where, order=1, cval=0.0) > 1 - 1e-4
    weight = np.where(between & inside, weight, 0.0).astype(np.float32)
    return Sums((values * weight).astype(np.float32), weight)


def _span(along: Floats, n: int) -> tuple[int, int]:
    return max(0, int(along.min()) - _AROUND), min(n, int(along.max()) + _AROUND + 1)


def joined(parts: "list[Singles | None]") -> Singles:
    """Return a tile from its four children in order: means of 2 x 2 observed pixels."""
    half = SIDE // 2
    found = np.full((SIDE, SIDE), np.nan, np.float32)
    for i, part in enumerate(parts):
        if part is None:
            continue
        blocks = part.reshape(half, 2, half, 2)
        seen = np.isfinite(blocks)
        n = seen.sum(axis=(1, 3))
        sums = np.where(seen, blocks, 0.0).sum(axis=(1, 3))
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.where(n > 0, sums / n, np.nan)
        x, y = (i & 1) * half, (i >> 1) * half
        found[x : x + half, y : y + half] = mean
    return found


def covered_cells(values: Singles) -> int:
    """Return which cells of a tile, three orders higher, hold observed pixels: a bit for each."""
    side = SIDE // _CELLS
    seen = np.isfinite(values).reshape(_CELLS, side, _CELLS, side).any(axis=(1, 3))
    return sum(1 << int(cell) for cell in _nested(_CELLS)[seen])


def write_tile(root: Path, tile: Tile, values: Singles, levels: tuple[float, float, float]) -> None:
    """Write a tile as FITS, and as a PNG that is transparent where nothing was observed.

    `levels` are the darkest and the brightest level, and the end of the linear range, Jy/beam.
    """
    from astropy.io import fits
    from matplotlib import colormaps
    from PIL import Image

    header = fits.Header([("ORDER", tile.order), ("NPIX", tile.number), ("BUNIT", "Jy/beam")])
    path = tile.path(root, "fits")
    path.parent.mkdir(parents=True, exist_ok=True)
    whole_file(path, lambda partial: fits.writeto(partial, values[::-1], header))
    low, high, linear = (*(np.arcsinh(v / levels[2]) for v in levels[:2]), levels[2])
    scaled = np.clip((np.arcsinh(values / linear) - low) / (high - low), 0.0, 1.0)
    # The first colour is transparent.
    shades = np.where(np.isfinite(values), np.rint(1 + 254 * np.nan_to_num(scaled)), 0)
    picture = Image.fromarray(shades.astype(np.uint8), mode="P")
    colours = colormaps["inferno"](np.concatenate([[0.0], np.linspace(0, 1, 255)]))[:, :3]
    picture.putpalette((255 * colours).astype(np.uint8).tobytes())
    whole_file(
        tile.path(root, "png"),
        lambda partial: picture.save(partial, format="PNG", transparency=0),
    )


def write_overview(root: Path, order: int, numbers: Iterable[int]) -> None:
    """Write ``Allsky.png`` of an order: its tiles as small pictures, in rows, by number.

    Aladin takes the contrast of all tiles from it; without it each tile has a contrast of its own.
    """
    from PIL import Image

    n_tiles = 12 << 2 * order
    columns = math.isqrt(n_tiles)
    size = columns * _SMALL_SIDE, math.ceil(n_tiles / columns) * _SMALL_SIDE
    whole = Image.new("P", size)
    for number in numbers:
        path = Tile(order, number).path(root, "png")
        if not path.is_file():
            continue
        with Image.open(path) as picture:
            if whole.getpalette() != picture.getpalette():
                whole.putpalette(picture.getpalette() or b"")
            row, column = divmod(number, columns)
            small = picture.resize((_SMALL_SIDE, _SMALL_SIDE), Image.Resampling.NEAREST)
            whole.paste(small, (column * _SMALL_SIDE, row * _SMALL_SIDE))
    whole_file(
        root / f"Norder{order}" / "Allsky.png",
        lambda partial: whole.save(partial, format="PNG", transparency=0),
    )


def read_tile(root: Path, tile: Tile) -> Singles | None:
    """Return the values of a tile; None if there is no such tile."""
    from astropy.io import fits

    path = tile.path(root, "fits")
    if not path.is_file():
        return None
    return np.array(fits.getdata(path), np.float32)[::-1]


def remove_tile(root: Path, tile: Tile) -> None:
    """Remove the files of a tile."""
    for ending in ("fits", "png"):
        tile.path(root, ending).unlink(missing_ok=True)


@cache
def _nested(side: int) -> NDArray[np.int64]:
    """Return the number of each pixel of a square in nested order, shape (side, side)."""
    along = np.arange(side)
    spread = np.zeros(side, np.int64)
    for bit in range(side.bit_length()):
        spread += ((along >> bit) & 1) << (2 * bit)
    return np.asarray(spread[:, None] + 2 * spread[None, :], np.int64)
