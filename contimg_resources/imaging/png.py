"""Draw pictures of an image: one with axes, one small enough to show inline.

Belongs here: drawing. Doesn't: measuring.
"""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray
from PIL import Image

from contimg_resources.core.errors import ImagingFailed
from contimg_resources.imaging.model import Beam, ImageGrid, SkyGrid

Floats = NDArray[np.floating[Any]]

#: Pixels a side of the large picture: each shows the brightest of the image pixels that it covers.
_PICTURE_PIXELS = 900
#: A thumbnail stays below this, so that its base64 text fits into a metadata value.
THUMBNAIL_BYTES = 10_000
_THUMBNAIL_PIXELS = (224, 192, 160, 128, 96, 64)
_GREYS = 16
#: The brightness scale runs from this many rms ...
_DARKEST_RMS = -3.0
#: ... to the peak, within these bounds: noise and faint sources stay visible near a source of
#: 16 Jy.
_BRIGHTEST_RMS = (12.0, 300.0)
#: It is an inverse hyperbolic sine: linear below this many rms, logarithmic above.
_LINEAR_RMS = 2.0


def load_drawing() -> None:
    """Load modules, fonts and colours for drawing; otherwise the first picture is twice as slow."""
    grid = ImageGrid(size=32, cell_arcsec=1.0, ra_deg=0.0, dec_deg=0.0)
    beam = Beam(major_arcsec=1.0, minor_arcsec=1.0, angle_deg=0.0)
    write_png(BytesIO(), np.eye(grid.size), grid, beam, 0.01, "contimg")


def write_png(
    path: Path | BytesIO,
    pixels: Floats,
    grid: SkyGrid,
    beam: Beam,
    rms_jy: float,
    title: str,
) -> None:
    """Draw an image with sky axes, its beam and a scale of brightness.

    Parameters
    ----------
    path : Path or BytesIO
        PNG to write.
    pixels : ndarray, shape (rows, columns)
        Image, Jy/beam; NaN is left white.
    grid : SkyGrid
        Pixels of the image.
    beam : Beam
        Restoring beam, drawn in the lower left corner.
    rms_jy : float
        Noise, which sets the scale, Jy/beam.
    title : str
        Title above the picture.
    """
    from matplotlib.colors import AsinhNorm
    from matplotlib.figure import Figure
    from matplotlib.patches import Ellipse

    # Fixed positions: an automatic layout takes as long again as drawing.
    width, height = _paper(grid)
    figure = Figure(figsize=(width, height), dpi=110)
    bottom, top = 0.64 / height, 1 - 0.48 / height
    place = (0.125, bottom, 0.74, top - bottom)
    axes: Any = figure.add_axes(place, projection=celestial_wcs(grid))
    low, high, linear = (1e3 * level for level in brightness_levels(pixels, rms_jy))
    # Each pixel extends half a pixel to both sides of its centre.
    extent = (-0.5, grid.columns - 0.5, -0.5, grid.rows - 0.5)
    shown = axes.imshow(
        1e3 * brightest_pixels(np.asarray(pixels), _PICTURE_PIXELS),
        extent=extent,
        origin="lower",
        cmap="inferno",
        norm=AsinhNorm(linear, low, high),
        interpolation="nearest",
    )
    # The beam is tens of arcsec on degrees of sky: an ellipse of true size would be invisible.
    magnified = max(1.0, 0.02 * grid.rows * grid.cell_arcsec / beam.major_arcsec)
    corner = 0.06 * grid.rows
    axes.add_patch(
        Ellipse(
            (corner, corner),
            width=magnified * beam.minor_arcsec / grid.cell_arcsec,
            height=magnified * beam.major_arcsec / grid.cell_arcsec,
            angle=beam.angle_deg,
            facecolor="none",
            edgecolor="tab:cyan",
            linewidth=1.5,
        )
    )
    label = f'{beam.major_arcsec:.1f}" x {beam.minor_arcsec:.1f}"'
    if magnified > 1:
        label += f", drawn {magnified:.0f} times larger"
    axes.text(1.8 * corner, corner, label, color="tab:cyan", va="center", fontsize=9)
    axes.coords[0].set_axislabel("Right ascension (ICRS)")
    axes.coords[1].set_axislabel("Declination (ICRS)")
    axes.set_title(title)
    scale = figure.colorbar(
        shown,
        cax=figure.add_axes((0.885, bottom + 0.04, 0.02, top - bottom - 0.08)),
        label="mJy/beam",
        format="%.3g",
    )
    decades = 10.0 ** np.arange(np.ceil(np.log10(2 * linear)), np.log10(high) + 1e-6)
    scale.set_ticks([-linear, 0.0, linear, *decades], minor=False)
    scale.minorticks_off()
    # Stronger compression takes longer than drawing, and saves a tenth.
    figure.savefig(path, format="png", pil_kwargs={"compress_level": 3})


def thumbnail_png(pixels: Floats, rms_jy: float) -> bytes:
    """Return a small grey picture as PNG of up to `THUMBNAIL_BYTES`.

    Parameters
    ----------
    pixels : ndarray, shape (rows, columns)
        Image, Jy/beam; NaN becomes black.
    rms_jy : float
        Noise, which sets the scale, Jy/beam.

    Notes
    -----
    Each pixel shows the brightest of the pixels that it covers, so that point sources survive.
    """
    low, high, linear = brightness_levels(pixels, rms_jy)
    darkest, brightest = np.arcsinh(low / linear), np.arcsinh(high / linear)
    for side in _THUMBNAIL_PIXELS:
        small = brightest_pixels(np.nan_to_num(np.asarray(pixels), nan=low), side)
        scaled = np.clip((np.arcsinh(small / linear) - darkest) / (brightest - darkest), 0, 1)
        grey = np.rint(scaled * (_GREYS - 1)).astype(np.uint8)[::-1]
        picture = Image.fromarray(grey, mode="P")
        picture.putpalette([int(255 * i / (_GREYS - 1)) for i in range(_GREYS) for _ in "rgb"])
        buffer = BytesIO()
        picture.save(buffer, format="PNG", optimize=True, bits=4)
        if buffer.tell() <= THUMBNAIL_BYTES:
            return buffer.getvalue()
    raise ImagingFailed("a thumbnail of 64 x 64 pixels exceeds its limit")


def celestial_wcs(grid: SkyGrid) -> WCS:
    """Return the two sky axes of an image."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = [f"RA---{grid.projection}", f"DEC--{grid.projection}"]
    wcs.wcs.crval = [grid.ra_deg, grid.dec_deg]
    wcs.wcs.crpix = [grid.columns // 2 + 1, grid.rows // 2 + 1]
    wcs.wcs.cdelt = [-grid.cell_arcsec / 3600, grid.cell_arcsec / 3600]
    wcs.wcs.radesys = "ICRS"
    return wcs


def _paper(grid: SkyGrid) -> tuple[float, float]:
    """Return width and height of the picture, inches: a mosaic is a strip."""
    if grid.columns <= 1.2 * grid.rows:
        return 9.0, 8.0
    return 16.0, float(np.clip(11.84 * grid.rows / grid.columns + 1.12, 3.6, 9.0))


def brightness_levels(pixels: Floats, rms_jy: float) -> tuple[float, float, float]:
    """Return the darkest and brightest level, and the upper end of the linear range, Jy."""
    peak = float(np.nanmax(pixels)) if np.isfinite(pixels).any() else 0.0
    noise = rms_jy if rms_jy > 0 else max(peak, 1e-30) / _BRIGHTEST_RMS[1]
    least, most = (n * noise for n in _BRIGHTEST_RMS)
    return _DARKEST_RMS * noise, min(max(peak, least), most), _LINEAR_RMS * noise


def brightest_pixels(pixels: Floats, side: int) -> Floats:
    """Return a smaller image, each pixel the brightest of the pixels that it covers, NaN without.

    Parameters
    ----------
    pixels : ndarray, shape (rows, columns)
        The image.
    side : int
        Pixels of its longer side; the other is proportional.
    """
    longer = max(pixels.shape)
    rows, columns = (
        np.linspace(0, n, max(1, round(n * min(side, longer) / longer)) + 1).astype(int)[:-1]
        for n in pixels.shape
    )
    return np.asarray(np.fmax.reduceat(np.fmax.reduceat(pixels, rows, 0), columns, 1))
