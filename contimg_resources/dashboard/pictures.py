"""Images in FITS files, as the browser shows them.

Belongs here: reading a plane, its grid, drawing it or a part of it, single values, also those of
another image on the same grid. Doesn't: which images there are, requests (see `image_pages`).
"""

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from matplotlib import colormaps
from PIL import Image

from contimg_resources.core.arrays import Floats, Singles
from contimg_resources.images.resampling import places_between
from contimg_resources.imaging.png import brightest_pixels, brightness_levels

#: Longer side of a picture, pixels: of a larger image it shows means of several pixels, and parts
#: can be asked for.
LONGEST = 4096
_QUALITY = 80
#: Pixels around one that a cubic spline needs.
_AROUND = 5
#: Projections of images without rotation, whose coordinates the browser calculates.
_PROJECTIONS = ("SIN", "ZEA")


class Scale(StrEnum):
    """How values become colours."""

    SKY = "sky"
    """From the noise to the brightest pixel, as pictures of images."""
    RESPONSE = "response"
    """From 0 to 1."""
    RANGE = "range"
    """From the lowest to the highest value, without the outermost hundredths."""


@dataclass(frozen=True)
class Layer:
    """An image that can be shown."""

    name: str  #: Its name for people.
    path: Path  #: Its FITS file.
    checksum: str  #: Changes with the file.
    scale: Scale = Scale.SKY  #: How values become colours.
    rms_jy: float = 0.0  #: Its noise, Jy/beam; 0 if unknown.


class Box(NamedTuple):
    """A part of an image, pixels counted from 0 at the lower left."""

    x: int  #: Its first column.
    y: int  #: Its first row.
    columns: int  #: Its width.
    rows: int  #: Its height.


def describe(layer: Layer) -> dict[str, Any]:
    """Return size, unit and coordinates of an image, and how many pixels its picture averages."""
    header = fits.getheader(layer.path)
    wcs = WCS(header).celestial.wcs
    columns, rows = header["NAXIS1"], header["NAXIS2"]
    found = {
        "columns": columns,
        "rows": rows,
        "unit": header.get("BUNIT", ""),
        "step": step_of(Box(0, 0, columns, rows)),
    }
    (ra, projection), (dec, other) = (name.split("-", 1) for name in map(str, wcs.ctype))
    kind = projection.strip("-")
    is_plain = (ra, dec, kind) == ("RA", "DEC", other.strip("-")) and kind in _PROJECTIONS
    if is_plain and not np.any(wcs.get_pc() != np.eye(2)):
        found["projection"] = kind
        found |= {n: list(map(float, getattr(wcs, n))) for n in ("crval", "crpix", "cdelt")}
    return found


def size_of(layer: Layer) -> tuple[int, int]:
    """Return the number of columns and rows of an image."""
    header = fits.getheader(layer.path)
    return int(header["NAXIS1"]), int(header["NAXIS2"])


def step_of(box: Box) -> int:
    """Return the side of the squares of pixels that a picture of a part averages."""
    return max(1, -(-max(box.columns, box.rows) // LONGEST))


def draw(
    layer: Layer, box: Box | None = None, on: Layer | None = None, *, width: int | None = None
) -> bytes:
    """Return a WebP picture of an image or a part of it; the first row is at its bottom.

    Parameters
    ----------
    layer : Layer
        The image.
    box : Box, optional
        The part, within the image; None: the whole.
    on : Layer, optional
        Another image, whose pixels are drawn: those of `layer` are interpolated there. `box` is a
        part of it.
    width : int, optional
        A wider picture is made smaller: each pixel shows the brightest of those that it covers, so
        that point sources survive.
    """
    grid = on or layer
    columns, rows = size_of(grid)
    part = box or Box(0, 0, columns, rows)
    is_small = width is not None and width < -(-part.columns // step_of(part))
    ends: tuple[float, float, float | None]
    if width and is_small and on is None and box is None and layer.scale is Scale.SKY:
        # In one pass: the brightest pixels are also those that the levels depend on.
        with fits.open(layer.path, memmap=True) as hdus:
            pixels = brightest_pixels(_plane(hdus), round(max(columns, rows) * width / columns))
        ends = brightness_levels(pixels, layer.rms_jy)
    else:
        step = step_of(part)
        pixels = _averaged(layer, part) if on is None else _resampled(layer, on, part, step, 1)
        ends = _levels(layer)
        if width and is_small:
            pixels = brightest_pixels(pixels, round(max(pixels.shape) * width / pixels.shape[1]))
    low, high, linear = ends
    if linear is None:
        scaled = np.clip((pixels - low) / (high - low), 0.0, 1.0)
    else:
        low, high = np.arcsinh(low / linear), np.arcsinh(high / linear)
        scaled = np.clip((np.arcsinh(pixels / linear) - low) / (high - low), 0.0, 1.0)
    levels = np.rint(255 * np.nan_to_num(scaled, nan=0.0)).astype(np.uint8)[::-1]
    colours = (255 * colormaps["inferno"](np.arange(256))[:, :3]).astype(np.uint8)
    buffer = BytesIO()
    Image.fromarray(colours[levels]).save(buffer, format="WEBP", quality=_QUALITY, method=0)
    return buffer.getvalue()


def value_at(layer: Layer, x: int, y: int, on: Layer | None = None) -> float | None:
    """Return the value of a pixel, counted from 0; None where nothing was observed.

    With `on` it is the value of `layer` in the direction of that pixel of `on`: a cubic spline
    between pixels, which loses at most 0.5 % of a peak.
    """
    if on is None:
        with fits.open(layer.path, memmap=True) as hdus:
            value = float(_plane(hdus)[y, x])
    else:
        box = Box(x - _AROUND, y - _AROUND, 2 * _AROUND + 1, 2 * _AROUND + 1)
        value = float(_resampled(layer, on, box, 1, 3)[_AROUND, _AROUND])
    return value if np.isfinite(value) else None


def _plane(hdus: fits.HDUList) -> Any:
    """Return the first plane of an image, shape (rows, columns), from the file."""
    data = hdus[0].data
    return data[(0,) * (data.ndim - 2)]


def _averaged(layer: Layer, box: Box) -> Singles:
    """Return a part of an image, pixels averaged where it has too many for a picture."""
    step = step_of(box)
    with fits.open(layer.path, memmap=True) as hdus:
        part = _plane(hdus)[box.y : box.y + box.rows, box.x : box.x + box.columns]
        if step == 1:
            return np.array(part, np.float32)
        rows, columns = (np.arange(0, n, step) for n in part.shape)
        sums = np.add.reduceat(np.add.reduceat(part, rows, 0), columns, 1, dtype=np.float32)
    return np.asarray(sums / np.outer(*(_widths(n, step) for n in part.shape)), np.float32)


def _widths(n: int, step: int) -> Floats:
    return np.diff(np.append(np.arange(0, n, step), n)).astype(np.float64)


def _resampled(layer: Layer, on: Layer, box: Box, step: int, order: Any) -> Singles:
    """Return an image at every `step`-th pixel of a part of another; NaN outside the image."""
    image, other = (WCS(fits.getheader(one.path)).celestial for one in (layer, on))
    slices = slice(box.y, box.y + box.rows), slice(box.x, box.x + box.columns)
    where = places_between(image, other, slices, step)
    with fits.open(layer.path, memmap=True) as hdus:
        plane = _plane(hdus)
        # Of a large image only what is needed is read.
        limits = [
            (
                int(np.clip(np.floor(v.min()) - _AROUND, 0, n)),
                int(np.clip(v.max() + _AROUND + 1, 0, n)),
            )
            for v, n in zip((where.rows, where.columns), plane.shape, strict=True)
        ]
        (top, bottom), (left, right) = limits
        pixels = np.array(plane[top:bottom, left:right], np.float32)
    if min(pixels.shape) < 2:
        return np.full(where.rows.shape, np.nan, np.float32)
    moved = type(where)(where.rows - np.float32(top), where.columns - np.float32(left))
    return moved.sample(pixels, order if np.isfinite(pixels).all() else 1)


@lru_cache(maxsize=256)
def _levels(layer: Layer) -> tuple[float, float, float | None]:
    """Return the darkest and brightest level, and the upper end of the linear range if there is."""
    if layer.scale is Scale.RESPONSE:
        return 0.0, 1.0, None
    pixels = _averaged(layer, Box(0, 0, *size_of(layer)))
    if layer.scale is Scale.SKY:
        return brightness_levels(pixels, layer.rms_jy)
    known = pixels[np.isfinite(pixels)]
    low, high = (float(v) for v in np.percentile(known, (1, 99))) if known.size else (0.0, 1.0)
    return (low, high, None) if high > low else (low - 0.5, high + 0.5, None)
