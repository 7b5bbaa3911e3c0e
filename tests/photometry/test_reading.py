"""What isn't an image to measure is refused with one error that names the file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from contimg_resources.core.errors import UnreadableImage
from contimg_resources.imaging.fits import HeaderFacts, write_fits
from contimg_resources.imaging.model import ImageFiles
from contimg_resources.mosaics.model import MosaicGrid
from contimg_resources.photometry.reading import read_image, read_mosaic
from contimg_resources.simulation.tiles import MadeUpTile, write_tile
from tests.photometry.skies import BEAM, CELL_ARCSEC, grid

STEM = "61041.00000"


@pytest.fixture
def files(tmp_path: Path) -> ImageFiles:
    write_tile(MadeUpTile(STEM, grid(size=64), 61_041.0, BEAM), tmp_path)
    return ImageFiles.in_directory(tmp_path, STEM)


def rewrite(path: Path, change: Callable[[fits.PrimaryHDU], Any]) -> None:
    with fits.open(path) as hdus:
        hdu = fits.PrimaryHDU(hdus[0].data.copy(), hdus[0].header.copy())
    change(hdu)
    hdu.writeto(path, overwrite=True)


def test_an_image_is_read(files: ImageFiles) -> None:
    image = read_image(files.image.parent, STEM)
    assert (image.kind, image.epoch) == ("image", STEM)
    assert image.pixels.shape == (64, 64)
    assert image.pixels.dtype == np.float32
    assert image.sigma_jy is None
    assert image.primary_beam is not None
    assert image.primary_beam[32, 32] == pytest.approx(1.0)
    assert image.beam.major_arcsec == pytest.approx(100.0)
    assert (image.beam.minor_arcsec, image.beam.angle_deg) == pytest.approx((60.0, 25.0))
    assert image.frequency_hz == 1.405e9
    assert image.mid_mjd == pytest.approx(61_041.0)
    assert image.end_mjd - image.start_mjd == pytest.approx(300 / 86_400)
    assert image.wcs.all_pix2world(32, 32, 0) == [pytest.approx(180.0), pytest.approx(54.0)]
    assert read_image(files.image.parent, STEM, epoch="other").epoch == "other"


def test_a_mosaic_is_read(tmp_path: Path) -> None:
    facts = HeaderFacts(
        grid=MosaicGrid(40, 20, CELL_ARCSEC, 10.0, 80.0),
        beam=BEAM,
        frequency_hz=1.4e9,
        bandwidth_hz=1e8,
        telescope="DSA110",
        object_name="m",
        start_mjd=61_041.0,
        end_mjd=61_041.1,
        cards={},
        provenance={},
    )
    pixels = np.arange(800.0).reshape(20, 40)
    write_fits(tmp_path / "m.fits", pixels, "m", "Jy/beam", facts)
    write_fits(tmp_path / "s.fits", pixels + 1, "s", "Jy/beam", facts)
    mosaic = read_mosaic(tmp_path / "m.fits", tmp_path / "s.fits", epoch="e")
    np.testing.assert_array_equal(mosaic.pixels, pixels)
    assert mosaic.sigma_jy is not None
    np.testing.assert_array_equal(mosaic.sigma_jy, pixels + 1)
    assert (mosaic.kind, mosaic.epoch, mosaic.primary_beam) == ("mosaic", "e", None)
    with pytest.raises(UnreadableImage, match=r"absent\.fits"):
        read_mosaic(tmp_path / "m.fits", tmp_path / "absent.fits", epoch="e")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.4, 0.7, 0.95])
@pytest.mark.parametrize("which", ["image", "primary_beam"])
def test_a_truncated_file_is_refused(files: ImageFiles, which: str, share: float) -> None:
    path: Path = getattr(files, which)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(UnreadableImage) as refused:
        read_image(files.image.parent, STEM)
    assert path.name in str(refused.value)
    assert refused.value.details["path"] == str(path)


def test_what_is_no_fits_file_is_refused(files: ImageFiles) -> None:
    for wrong in (b"", b"<html>" * 1000, bytes(10_000)):
        files.image.write_bytes(wrong)
        with pytest.raises(UnreadableImage, match="61041"):
            read_image(files.image.parent, STEM)
    files.image.unlink()
    files.image.mkdir()
    with pytest.raises(UnreadableImage, match="61041"):
        read_image(files.image.parent, STEM)


@pytest.mark.parametrize(
    ("keywords", "said"),
    [
        (["BMAJ"], "no restoring beam"),
        (["BMIN"], "BMIN = None"),
        (["BPA"], "BPA = None"),
        (["DATE-OBS", "MJD-OBS", "DATE-AVG", "MJD-AVG"], "no time of observation"),
        (["CTYPE3", "RESTFRQ"], "no frequency"),
        (["BUNIT"], "no unit"),
        (["CTYPE1"], "sky"),
    ],
)
def test_a_missing_keyword_is_refused(files: ImageFiles, keywords: list[str], said: str) -> None:
    def remove(hdu: fits.PrimaryHDU) -> None:
        for keyword in keywords:
            hdu.header.remove(keyword)

    rewrite(files.image, remove)
    with pytest.raises(UnreadableImage, match=said) as refused:
        read_image(files.image.parent, STEM)
    assert files.image.name in str(refused.value)


@pytest.mark.parametrize(
    ("keyword", "value", "said"),
    [
        ("BUNIT", "K", "BUNIT = 'K' is no flux density per beam"),
        ("BUNIT", "Jy/pixel", "BUNIT = 'Jy/pixel' is no flux density per beam"),
        ("BMAJ", "wide", "BMAJ = 'wide'"),
        ("BMAJ", 1e-9, "isn't sane"),
        ("BMIN", 1.0, "isn't sane"),
        ("CRVAL3", -1.4e9, "FREQ gives -1.4e+09 Hz"),
        ("DATE-END", "2024-01-01T00:00:00", "ends before it begins"),
        ("CTYPE1", "GLON-SIN", "sky"),
        ("CTYPE1", "PIXEL", "sky"),
        ("CDELT1", 0.0, "sky"),
        ("CRVAL2", 95.0, "sky"),
        ("RADESYS", "GAPPT", "RADESYS = 'GAPPT' is no frame"),
        ("TIMESYS", "LOCAL", "TIMESYS = 'LOCAL' is no time scale"),
        ("CRVAL4", 4.0, "Stokes V"),
    ],
)
def test_a_header_that_cannot_be_is_refused(
    files: ImageFiles, keyword: str, value: Any, said: str
) -> None:
    rewrite(files.image, lambda hdu: hdu.header.set(keyword, value))
    with pytest.raises(UnreadableImage) as refused:
        read_image(files.image.parent, STEM)
    assert said in str(refused.value)
    assert files.image.name in str(refused.value)
    assert refused.value.details["path"] == str(files.image)


def test_all_that_is_wrong_is_told_at_once(files: ImageFiles) -> None:
    def spoil(hdu: fits.PrimaryHDU) -> None:
        hdu.header["BUNIT"], hdu.header["TIMESYS"], hdu.header["CRVAL4"] = "K", "LOCAL", 2.0
        del hdu.header["BMAJ"]

    rewrite(files.image, spoil)
    with pytest.raises(UnreadableImage) as refused:
        read_image(files.image.parent, STEM)
    for said in ("BUNIT = 'K'", "TIMESYS = 'LOCAL'", "Stokes Q", "no restoring beam"):
        assert said in str(refused.value)


def test_pixels_of_another_kind_are_refused(files: ImageFiles) -> None:
    for pixels, said in (
        (np.zeros((1, 1, 64, 64), np.float32), "no pixel of it was observed"),
        (np.zeros((1, 2, 64, 64), np.float32), "cube of 2 planes along FREQ: one plane was"),
        (np.zeros(64, np.float32), "one plane of sky was expected"),
        (None, "it holds no image"),
    ):
        with fits.open(files.image) as hdus:
            header = hdus[0].header.copy()
        fits.PrimaryHDU(pixels, header).writeto(files.residual, overwrite=True)
        files.residual.replace(files.image)
        with pytest.raises(UnreadableImage, match=said) as refused:
            read_image(files.image.parent, STEM)
        assert refused.value.details["path"] == str(files.image)


def test_a_primary_beam_of_another_size_or_unit_is_refused(files: ImageFiles) -> None:
    whole = files.primary_beam.read_bytes()
    rewrite(files.primary_beam, lambda hdu: setattr(hdu, "data", hdu.data[..., :32]))
    with pytest.raises(UnreadableImage, match=r"\(64, 32\) pixels.*\(64, 64\)"):
        read_image(files.image.parent, STEM)
    files.primary_beam.write_bytes(whole)
    rewrite(files.primary_beam, lambda hdu: hdu.header.set("BUNIT", "K"))
    with pytest.raises(UnreadableImage, match="BUNIT = 'K': a primary beam has no unit"):
        read_image(files.image.parent, STEM)
