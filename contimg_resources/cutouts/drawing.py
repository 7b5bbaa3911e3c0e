"""Drawing of cutouts.

Belongs here: drawing a cutout, as a PNG and as a frame. Doesn't: FITS files, measuring.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_resources.core.arrays import Singles
from contimg_resources.core.errors import CutoutFailed
from contimg_resources.core.times import isot_from_mjd
from contimg_resources.cutouts.model import BrightnessScale, Cutout, shown_name
from contimg_resources.imaging.model import Beam

#: PNG text chunk that holds the brightness scale.
_SCALE_TEXT = "contimg brightness scale (Jy/beam)"
_DPI = 100
_SIDE_INCH = 4.0
_TITLE_INCH = 0.62
_FOOT_INCH = 0.3
_PAPER = "#101014"
_INK = "#f2f2f2"
_MARK = "#6fe8ff"


@dataclass(frozen=True)
class Caption:
    """Text above a cutout."""

    title: str  #: Upper line.
    subtitle: str  #: Lower line.


def shown_time(mid_mjd: float) -> str:
    """Return a time as shown in a picture."""
    return isot_from_mjd(mid_mjd)[:16].replace("T", " ") + " UTC"


class Panel:
    """A figure on which cutouts of one grid are drawn, one after the other.

    The marker is at `ra_deg`, `dec_deg` (ICRS degrees). With `dpi` as resolution, a side of the sky
    has four times as many pixels. `shape` holds rows and columns.
    """

    def __init__(
        self,
        wcs: Any,
        shape: tuple[int, int],
        ra_deg: float,
        dec_deg: float,
        scale: BrightnessScale,
        dpi: int = _DPI,
    ) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        height = _SIDE_INCH + _TITLE_INCH + _FOOT_INCH
        figure = Figure(figsize=(_SIDE_INCH, height), dpi=dpi, facecolor=_PAPER)
        self._canvas: Any = FigureCanvasAgg(figure)
        self._scale = scale
        self._x, self._y = (float(v) for v in wcs.all_world2pix(ra_deg, dec_deg, 0))
        self._cell_arcsec, self._north_deg = _orientation(wcs, ra_deg, dec_deg)
        rows, columns = shape
        axes: Any = figure.add_axes(
            (0.0, _FOOT_INCH / height, 1.0, _SIDE_INCH / height), facecolor="#3a3a42"
        )
        axes.set_axis_off()
        axes.add_patch(_backdrop(rows, columns))
        self._image = axes.imshow(
            np.zeros(shape, np.float32),
            origin="lower",
            cmap="inferno",
            vmin=0.0,
            vmax=1.0,
            interpolation="nearest",
            aspect="equal",
        )
        self._axes, self._shape = axes, shape
        axes.set(xlim=(-0.5, columns - 0.5), ylim=(-0.5, rows - 0.5))
        self._mark()
        top = 1 - 0.21 / height
        style: dict[str, Any] = {
            "ha": "center",
            "va": "center",
            "color": _INK,
            "parse_math": False,
        }
        self._title = figure.text(0.5, top, "", fontsize=13, weight="bold", **style)
        self._subtitle = figure.text(0.5, 1 - 0.45 / height, "", fontsize=12, **style)
        foot = 0.5 * _FOOT_INCH / height
        side_arcmin = columns * self._cell_arcsec / 60
        figure.text(
            0.5,
            foot,
            f"{side_arcmin:.1f}' wide    {_shown_flux(scale.low_jy)} to "
            f"{_shown_flux(scale.high_jy)}/beam",
            fontsize=9,
            **style,
        )
        self._beam: Any = None

    def _mark(self) -> None:
        """Draw four strokes around the source."""
        reach = 0.5 * min(self._shape)
        for east, north in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            self._axes.plot(
                [self._x + f * reach * east for f in (0.2, 0.34)],
                [self._y + f * reach * north for f in (0.2, 0.34)],
                color=_MARK,
                linewidth=2.0,
                solid_capstyle="butt",
            )

    def _draw_beam(self, beam: Beam) -> None:
        from matplotlib.patches import Ellipse

        if self._beam is not None:
            self._beam.remove()
        width, height = (a / self._cell_arcsec for a in (beam.minor_arcsec, beam.major_arcsec))
        margin = 0.5 * max(width, height) + 0.03 * self._shape[1]
        self._beam = self._axes.add_patch(
            Ellipse(
                (margin - 0.5, margin - 0.5),
                width=width,
                height=height,
                angle=beam.angle_deg + self._north_deg,
                facecolor="#ffffff30",
                edgecolor=_INK,
                linewidth=1.3,
            )
        )

    def draw(self, pixels: Singles, beam: Beam, caption: Caption) -> NDArray[np.uint8]:
        """Draw a cutout: return red, green and blue, shape (height, width, 3).

        Pixels are in Jy/beam, shape (rows, columns); NaN is grey. The beam's angle is relative to
        local north.
        """
        self._image.set_data(_stretched(pixels, self._scale))
        self._draw_beam(beam)
        self._title.set_text(caption.title)
        self._subtitle.set_text(caption.subtitle)
        self._canvas.draw()
        return np.array(self._canvas.buffer_rgba())[..., :3]


def write_picture(
    path: Path,
    cutout: Cutout,
    scale: BrightnessScale | None = None,
    caption: Caption | None = None,
) -> None:
    """Draw a cutout into a PNG.

    The default scale is from the noise to the peak; the default caption is the name and the time.
    """
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    facts = cutout.facts
    used = scale or BrightnessScale.of(facts.rms_jy, float(np.nanmax(cutout.pixels)))
    panel = Panel(cutout.wcs, cutout.pixels.shape, facts.ra_deg, facts.dec_deg, used)
    drawn = panel.draw(
        cutout.pixels,
        facts.beam,
        caption or Caption(shown_name(facts.source_id), shown_time(facts.mid_mjd)),
    )
    told = PngInfo()
    told.add_text(_SCALE_TEXT, f"{used.low_jy!r} {used.high_jy!r}")
    # The image has few colours: a palette halves the size without visible loss.
    Image.fromarray(drawn).quantize(160, dither=Image.Dither.NONE).save(
        path, format="PNG", pnginfo=told, optimize=True
    )


def scale_of_picture(path: Path) -> BrightnessScale | None:
    """Return the brightness scale of a PNG; None if it isn't recorded."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            low, high = (float(v) for v in str(picture.info[_SCALE_TEXT]).split())
    except (OSError, KeyError, ValueError, SyntaxError):
        return None
    return BrightnessScale(low, high)


def _stretched(pixels: Singles, scale: BrightnessScale) -> Any:
    # Linear in the noise, logarithmic far above it: neighbours of a bright source stay visible.
    soft = -scale.low_jy
    with np.errstate(invalid="ignore"):
        bent = np.arcsinh(np.clip(pixels, scale.low_jy, scale.high_jy) / soft)
    low, high = (math.asinh(v / soft) for v in (scale.low_jy, scale.high_jy))
    return np.ma.masked_invalid((bent - low) / (high - low))


def _orientation(wcs: Any, ra_deg: float, dec_deg: float) -> tuple[float, float]:
    """Return the pixel size in arcsec, and the angle from up to north, counterclockwise, deg."""
    from astropy.wcs.utils import proj_plane_pixel_scales

    cell_deg = float(np.mean(proj_plane_pixel_scales(wcs)))
    step_deg = cell_deg if dec_deg + cell_deg < 90 else -cell_deg
    x, y = wcs.all_world2pix([ra_deg, ra_deg], [dec_deg, dec_deg + step_deg], 0)
    sign = math.copysign(1.0, step_deg)
    north_deg = math.degrees(math.atan2(-sign * (x[1] - x[0]), sign * (y[1] - y[0])))
    if not math.isfinite(north_deg):
        raise CutoutFailed(f"no direction to north at RA {ra_deg:.5f}, Dec {dec_deg:+.5f}")
    return 3600 * cell_deg, north_deg


def _shown_flux(jy: float) -> str:
    return f"{jy:.3g} Jy" if abs(jy) >= 1 else f"{1e3 * jy:.3g} mJy"


def _backdrop(rows: int, columns: int) -> Any:
    from matplotlib.patches import Rectangle

    # Colour of unobserved pixels; an axes object without axis lines has no background.
    return Rectangle((-0.5, -0.5), columns, rows, facecolor="#3a3a42", zorder=-1)
