"""The beam in pixels is that on the sky, wherever a source is."""

from typing import Any

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS

from contimg_resources.imaging.model import ImageGrid
from contimg_resources.imaging.png import celestial_wcs
from contimg_resources.mosaics.model import MosaicGrid
from contimg_resources.photometry.beams import axes_in_pixels, pixel_of_sky, quadratic_forms
from contimg_resources.photometry.measuring import measure
from contimg_resources.photometry.model import Kind, MeasurableImage, SourceList
from tests.photometry.skies import BEAM, CELL_ARCSEC

SIZE = 400


def on(grid: Any, kind: Kind) -> MeasurableImage:
    wcs: WCS = celestial_wcs(grid)
    noise = np.random.default_rng(0).standard_normal((SIZE, SIZE)).astype(np.float32)
    return MeasurableImage(kind, "e", noise, None, None, wcs, BEAM, 1.4e9, 1.0, 1.0, 1.0)


def mosaic(dec_deg: float, ra_deg: float = 180.0) -> MeasurableImage:
    return on(MosaicGrid(SIZE, SIZE, CELL_ARCSEC, ra_deg, dec_deg), "mosaic")


@pytest.mark.parametrize("dec_deg", [-20.0, 54.0, 80.0, 89.5])
def test_half_a_beam_from_a_source_it_is_half_as_bright(dec_deg: float) -> None:
    """Also where north isn't up: the distances and angles are astropy's."""
    image = mosaic(dec_deg)
    columns, rows = np.array([20.0, 200.0, 390.0]), np.array([30.0, 200.0, 60.0])
    ra, dec = image.wcs.all_pix2world(columns, rows, 0)
    forms = quadratic_forms(image.beam, axes_in_pixels(image, ra, dec))
    here = SkyCoord(ra, dec, unit="deg")
    for angle_deg, fwhm_arcsec in (
        (BEAM.angle_deg, BEAM.major_arcsec),
        (BEAM.angle_deg + 90, BEAM.minor_arcsec),
    ):
        there = here.directional_offset_by(angle_deg * u.deg, 0.5 * fwhm_arcsec * u.arcsec)
        y, x = pixel_of_sky(image, there.ra.deg, there.dec.deg)
        dx, dy = x - columns, y - rows
        brightness = np.exp(
            -(forms[:, 0] * dx**2 + 2 * forms[:, 1] * dx * dy + forms[:, 2] * dy**2)
        )
        np.testing.assert_allclose(brightness, 0.5, atol=1e-3)


def test_an_images_beam_is_the_same_everywhere_in_pixels() -> None:
    image = on(ImageGrid(SIZE, CELL_ARCSEC, 180.0, 80.0), "image")
    ra, dec = image.wcs.all_pix2world([20.0, 200.0], [30.0, 200.0], 0)
    forms = quadratic_forms(image.beam, axes_in_pixels(image, ra, dec))
    np.testing.assert_array_equal(forms[0], forms[1])


def test_a_source_at_the_pole_is_measured() -> None:
    image = mosaic(89.5)
    raw = measure(
        image, SourceList.of(["a", "pole"], np.array([200.0, 123.0]), np.array([89.3, 90.0]))
    )
    assert raw.flags.tolist() == [0, 0]
    assert np.isfinite(raw.flux_jy).all()


@pytest.mark.parametrize("ra_deg", [0.0, 180.0, 359.999])
def test_pixels_of_the_whole_sky(ra_deg: float) -> None:
    rng = np.random.default_rng(1)
    near = SkyCoord(ra_deg, 54.0, unit="deg").directional_offset_by(
        np.arange(0, 360, 45) * u.deg, 1.05 * u.deg
    )
    ra = np.r_[rng.uniform(0, 360, 2000), near.ra.deg, (ra_deg + 180) % 360, 0.0, 0.0, ra_deg]
    dec = np.r_[np.degrees(np.arcsin(rng.uniform(-1, 1, 2000))), near.dec.deg, -54, 90, -90, 54]
    names = [f"{i}" for i in range(len(ra))]
    apart = SkyCoord(ra, dec, unit="deg").separation(SkyCoord(ra_deg, 54.0, unit="deg")).deg
    for image in (mosaic(54.0, ra_deg), on(ImageGrid(SIZE, CELL_ARCSEC, ra_deg, 54.0), "image")):
        rows, columns = pixel_of_sky(image, ra, dec)
        inside = (np.abs(rows - 199.5) < 200) & (np.abs(columns - 199.5) < 200)
        assert inside[-1]
        assert apart[inside].max() < 1.6
        assert (apart < 1.1).sum() > 8
        assert inside[apart < 1.1].all()
        # Right ascensions may be told from -180 to 180 as well.
        again = pixel_of_sky(image, (ra + 180) % 360 - 180, dec)
        np.testing.assert_allclose(again[0][inside], rows[inside])
        told = measure(image, SourceList.of(names, ra, dec))
        np.testing.assert_array_equal(told.in_image, inside)
