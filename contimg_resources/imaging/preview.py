"""Pictures of a fixed size for Dagster's pages, also small enough for a line of metadata.

Belongs here: shrinking a picture into a data address of limited length, the size at which browsers
show one. Doesn't: drawing one (see `.png`, which loads much more: Dagster's code server loads
this).
"""

import base64
import io
from pathlib import Path
from urllib.parse import quote

from PIL import Image

#: Sizes (pixels a side) that are tried after the picture's own, and WebP qualities, best first.
_SIDES = (720, 560, 400, 280, 200, 160, 128, 112, 96, 80, 64, 48)
_QUALITIES = (60, 45, 30, 20, 10)


def preview_address(png: Path, *, max_chars: int, shown_pixels: int = 320) -> str | None:
    """Return a picture as a ``data:`` address that a browser shows at a fixed size.

    The picture is WebP inside an SVG, which enlarges it: a picture that fits would otherwise be
    shown tiny.

    Parameters
    ----------
    png : Path
        The picture.
    max_chars : int
        Maximum length of the address, characters.
    shown_pixels : int
        Displayed width, pixels.

    Returns
    -------
    str or None
        The address, without spaces and brackets; None when the picture doesn't fit at any size.
    """
    with Image.open(png) as opened:
        picture = opened.convert("RGB")
    height = round(shown_pixels * picture.height / picture.width)
    largest = max(picture.size)
    for side in (largest, *(s for s in _SIDES if s < largest)):
        small = picture.copy()
        small.thumbnail((side, side), Image.Resampling.LANCZOS)
        if len(_address(small, _QUALITIES[-1], shown_pixels, height)) > max_chars:
            continue
        for quality in _QUALITIES:
            address = _address(small, quality, shown_pixels, height)
            if len(address) <= max_chars:
                return address
    return None


def _address(picture: Image.Image, quality: int, width: int, height: int) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=quality, method=6)
    svg = svg_of(buffer.getvalue(), width, height)
    return "data:image/svg+xml," + quote(svg, safe="=:;,/+'")


def svg_of(webp: bytes, width: int, height: int) -> str:
    """Return a WebP picture, of any number of pixels, that is shown at a size in CSS pixels."""
    data = base64.b64encode(webp).decode()
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}'>"
        f"<image width='{width}' height='{height}' href='data:image/webp;base64,{data}'/></svg>"
    )
