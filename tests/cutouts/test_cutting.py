"""A cutout has the image's own pixels, the right sky under them, and says what it is."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from PIL import Image

from contimg_resources.core.checksums import content_checksum
from contimg_resources.core.errors import CutoutFailed
from contimg_resources.cutouts.cutting import CutoutOf, cut
from contimg_resources.cutouts.drawing import scale_of_picture
from contimg_resources.cutouts.model import BrightnessScale
from contimg_resources.cutouts.places import png_beside
from contimg_resources.cutouts.reading import read_cutout, read_facts
from contimg_resources.images.reading import SkyImage
from tests.cutouts.mosaics import BEAM, MID_MJD, grid, sky, write

EPOCH = "61041.02083+54.0"
OF = CutoutOf("nvss-s1", EPOCH)


@pytest.mark.parametrize(
    ("centre", "source"),
    [
        ((180.0, 54.0), (180.05, 54.03)),
        ((0.05, 54.0), (359.98, 54.03)),
        ((359.95, 54.0), (0.02, 53.98)),
        ((40.0, 89.9), (100.0, 89.92)),
    ],
)
def test_the_sky_is_where_it_was(
    tmp_path: Path, centre: tuple[float, float], source: tuple[float, float]
) -> None:
    on = grid(*centre)
    image = write(tmp_path / "m.fits", on, sky(on, [(*source, 0.1)]))
    place = tmp_path / "cut" / f"{EPOCH}.fits"
    cut(image, *source, 6.0, place, OF)
    found = read_cutout(place)
    assert found.pixels.shape == (37, 37)
    x, y = found.wcs.all_world2pix(*source, 0)
    parent = WCS(fits.getheader(image)).celestial
    px, py = (float(v) for v in parent.all_world2pix(*source, 0))
    # The same offset from the nearest pixel, and that pixel is in the middle and the brightest.
    np.testing.assert_allclose([x - 18, y - 18], [px - round(px), py - round(py)], atol=0.01)
    row, column = np.unravel_index(np.nanargmax(found.pixels), found.pixels.shape)
    assert max(abs(column - x), abs(row - y)) < 1
    whole = fits.getdata(image)[0, 0]
    rows, columns = slice(round(py) - 18, round(py) + 19), slice(round(px) - 18, round(px) + 19)
    np.testing.assert_array_equal(found.pixels, whole[rows, columns])


def test_the_header_says_what_it_is(tmp_path: Path) -> None:
    on = grid()
    image = write(tmp_path / "m.mosaic.fits", on, sky(on, [(180.0, 54.0, 0.1)]))
    place = tmp_path / f"{EPOCH}.fits"
    told = cut(image, 180.0, 54.0, 6.0, place, OF)
    header = fits.getheader(place)
    assert header["NAXIS"] == 2
    assert not [k for k in header if k.endswith(("3", "4")) and k != "BMAJ3"]
    assert header["BMAJ"] * 3600 == pytest.approx(BEAM.major_arcsec)
    assert (header["BPA"], header["BUNIT"]) == (BEAM.angle_deg, "Jy/beam")
    assert header["RESTFRQ"] == 1.405e9
    assert header["ORIGIN"].startswith("contimg")
    assert header["MJD-AVG"] == pytest.approx(MID_MJD)
    assert header["IMGNAME"] == "m.mosaic.fits"
    assert header["IMGSUM"] == told.image_checksum == content_checksum(image)
    assert (header["SOURCE"], header["CUTEPOCH"]) == ("nvss-s1", EPOCH)
    assert "EPOCH" not in header, "that would be the equinox"
    read = read_facts(place)
    # A card holds 16 digits.
    assert replace(read, rms_jy=told.rms_jy) == told
    assert read.rms_jy == pytest.approx(told.rms_jy)
    assert read.is_of(content_checksum(image), 180.0 + 1e-6, 54.0, 6.0)
    assert not read.is_of("sha256:0", 180.0, 54.0, 6.0)
    assert not read.is_of(content_checksum(image), 180.0, 54.001, 6.0)
    assert not read.is_of(content_checksum(image), 180.0, 54.0, 7.0)
    with fits.open(place, checksum=True) as hdus:
        hdus.verify("exception")


def test_beyond_the_edge_there_is_nothing(tmp_path: Path) -> None:
    on = grid()
    image = write(tmp_path / "m.fits", on, sky(on, []))
    ra_deg, dec_deg = WCS(fits.getheader(image)).celestial.all_pix2world(3.2, 1.1, 0)
    place = tmp_path / f"{EPOCH}.fits"
    cut(image, float(ra_deg), float(dec_deg), 6.0, place, OF)
    pixels = read_cutout(place).pixels
    assert pixels.shape == (37, 37)
    assert np.isnan(pixels[:17]).all()
    assert np.isnan(pixels[:, :15]).all()
    assert np.isfinite(pixels[17:, 15:]).all()
    x, y = read_cutout(place).wcs.all_world2pix(ra_deg, dec_deg, 0)
    np.testing.assert_allclose((x - 18, y - 18), (0.2, 0.1), atol=0.01)


def test_little_of_the_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on = grid(side=400)
    image = write(tmp_path / "m.fits", on, sky(on, []))
    read = []
    piece = SkyImage.piece

    def noted(image: SkyImage, *box: Any) -> Any:
        read.append(piece(image, *box))
        return read[-1]

    monkeypatch.setattr(SkyImage, "piece", noted)
    cut(image, 180.0, 54.0, 6.0, tmp_path / f"{EPOCH}.fits", CutoutOf("s", EPOCH, "sha256:0"))
    assert [p.shape for p in read] == [(37, 37)]


@pytest.mark.parametrize(
    ("ra_deg", "dec_deg", "told"),
    [
        (185.0, 54.0, "outside"),
        (0.0, -54.0, "outside"),
        (float("nan"), 54.0, "not a position"),
        (180.0, 95.0, "not a position"),
        (180.12, 54.0, "nothing was observed"),
    ],
)
def test_where_there_is_nothing_it_says_so(
    tmp_path: Path, ra_deg: float, dec_deg: float, told: str
) -> None:
    on = grid()
    pixels = sky(on, [])
    pixels[:, :50] = np.nan
    image = write(tmp_path / "m.fits", on, pixels)
    with pytest.raises(CutoutFailed, match=told) as failed:
        cut(image, ra_deg, dec_deg, 2.0, tmp_path / "c" / f"{EPOCH}.fits", OF)
    assert str(image) in failed.value.message
    assert "nvss-s1" in failed.value.message
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 0.97])
def test_a_truncated_image_is_refused(tmp_path: Path, share: float) -> None:
    on = grid()
    image = write(tmp_path / "m.fits", on, sky(on, []))
    image.write_bytes(image.read_bytes()[: int(share * image.stat().st_size)])
    with pytest.raises(CutoutFailed, match=r"nvss-s1 from .*m\.fits"):
        cut(image, 180.0, 54.0, 6.0, tmp_path / f"{EPOCH}.fits", OF)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.fits"]


@pytest.mark.parametrize("size_arcmin", [0.0, -1.0, float("nan"), 1e9])
def test_impossible_sizes_are_refused(tmp_path: Path, size_arcmin: float) -> None:
    on = grid()
    image = write(tmp_path / "m.fits", on, sky(on, []))
    with pytest.raises(CutoutFailed, match="not a valid size"):
        cut(image, 180.0, 54.0, size_arcmin, tmp_path / f"{EPOCH}.fits", OF)


def test_a_picture_lies_beside_it(tmp_path: Path) -> None:
    on = grid()
    image = write(tmp_path / "m.fits", on, sky(on, [(180.0, 54.0, 0.05)]))
    place = tmp_path / f"{EPOCH}.fits"
    scale = BrightnessScale.of(1e-3, 0.05)
    cut(image, 180.0, 54.0, 6.0, place, OF, scale)
    png = png_beside(place)
    assert png.name == f"{EPOCH}.png"
    assert scale_of_picture(png) == scale
    with Image.open(png) as opened:
        picture = np.asarray(opened.convert("RGB")).astype(int)
    rows, columns, _ = picture.shape
    sky_rows = slice(62, 462)
    assert (rows, columns) == (492, 400)
    # The source in the middle is the brightest of the sky, and noise isn't black.
    brightness = picture[sky_rows].sum(axis=2)
    middle = brightness[180:220, 180:220]
    assert middle.mean() > 2 * np.median(brightness)
    assert np.median(brightness) > 20
    assert len(np.unique(brightness)) > 40
    # Text above and below.
    assert (picture[:60] > 200).any()
    assert (picture[470:] > 200).any()
