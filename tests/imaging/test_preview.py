"""A picture in so many characters."""

import base64
import io
import re
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

from contimg_resources.imaging.preview import preview_address


def picture_of(address: str) -> Image.Image:
    """Return what a browser would decode."""
    svg = unquote(address.removeprefix("data:image/svg+xml,"))
    found = re.search(r"href='data:image/webp;base64,([^']+)'", svg)
    assert found is not None
    return Image.open(io.BytesIO(base64.b64decode(found.group(1)))).convert("L")


@pytest.fixture
def sky(tmp_path: Path) -> Path:
    """A dark field with one bright source right of and above the middle."""
    pixels = np.full((160, 160), 30, np.uint8)
    pixels[38:44, 118:124] = 255
    path = tmp_path / "sky.png"
    Image.fromarray(pixels).save(path)
    return path


def test_a_preview_fits_and_shows_the_source_where_it_is(sky: Path) -> None:
    address = preview_address(sky, max_chars=980)
    assert address is not None
    assert len(address) <= 980
    # Nothing in it may end a Markdown link.
    assert not set(address) & set(' ()<>"\n')
    pixels = np.asarray(picture_of(address), float)
    row, column = np.unravel_index(pixels.argmax(), pixels.shape)
    assert row / pixels.shape[0] == pytest.approx(41 / 160, abs=0.03)
    assert column / pixels.shape[1] == pytest.approx(121 / 160, abs=0.03)


def test_a_busy_picture_is_made_coarser_until_it_fits(tmp_path: Path) -> None:
    path = tmp_path / "noise.png"
    Image.effect_noise((160, 160), 80).save(path)
    address = preview_address(path, max_chars=980)
    assert address is not None
    assert len(address) <= 980
    assert picture_of(address).width < 160


def test_what_does_not_fit_at_all_is_no_picture(sky: Path) -> None:
    assert preview_address(sky, max_chars=100) is None
