"""An image of a known sky: every source, its flux, its place, and no more noise than there is."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from PIL import Image
from pydantic import ValidationError

from contimg_resources.casa import Casa
from contimg_resources.core.checksums import content_checksum
from contimg_resources.core.errors import ConfigurationError, ImagingFailed, UnreadableObservation
from contimg_resources.imaging.engines.base import engine_named
from contimg_resources.imaging.make import load_image_result, make_image
from contimg_resources.imaging.matching import MatchReport, match_image
from contimg_resources.imaging.model import ImageRequest, ImageResult
from contimg_resources.instrument.primary_beam import MODEL_SHAPE
from contimg_resources.settings import ImagingSettings
from tests.imaging.conftest import as_it_came
from tests.imaging.imaging_steps import Sky, Spoil, spoil


@pytest.fixture(scope="module")
def report(imaged: ImageResult, sky: Sky) -> MatchReport:
    return match_image(imaged, sky.references, min_snr=10.0)


def test_every_source_above_ten_sigma_is_found(report: MatchReport) -> None:
    assert report.n_expected > 30
    assert report.missed == ()


def test_fluxes_are_right_after_primary_beam_correction(report: MatchReport) -> None:
    assert report.median_flux_ratio == pytest.approx(1.0, abs=0.02)
    assert max(abs(m.pull) for m in report.matches) < 5
    bright = [m.flux_ratio for m in report.matches if m.source.snr > 80]
    assert np.median(bright) == pytest.approx(1.0, abs=0.01)


def test_fluxes_are_right_at_the_edge_of_the_beam_too(report: MatchReport) -> None:
    edge = [m.flux_ratio for m in report.matches if m.source.primary_beam < 0.4]
    assert len(edge) > 8
    assert np.median(edge) == pytest.approx(1.0, abs=0.04)


def test_positions_are_right_within_a_tenth_of_the_beam(
    report: MatchReport, imaged: ImageResult
) -> None:
    beam = imaged.statistics.beam
    bright = [m for m in report.matches if m.source.snr > 15]
    assert len(bright) > 30
    assert max(m.offset_arcsec for m in bright) < 0.1 * beam.major_arcsec
    # At 10 sigma the noise alone moves a source by 0.04 beams (Condon 1997, equation 21), and one
    # of fifty by more than a tenth.
    sigma_beams = [
        m.offset_arcsec / beam.major_arcsec * 2.355 * m.source.snr for m in report.matches
    ]
    assert max(sigma_beams) < 4.5
    assert report.median_offset_arcsec < 0.05 * beam.minor_arcsec


def test_only_noise_moves_a_source_of_ten_sigma_by_a_tenth_of_the_beam(
    report: MatchReport, casa: Casa, quiet_sky: Sky, tmp_path: Path
) -> None:
    request = ImageRequest(quiet_sky.ms, tmp_path / "quiet", "quiet", ImagingSettings(sub_bands=0))
    quiet = casa.run(make_image, request, label="image")
    expected = {m.reference.name for m in report.matches}
    again = match_image(quiet, quiet_sky.references, min_snr=10.0)
    found = {m.reference.name: m for m in again.matches}
    assert len(expected) > 30
    assert expected <= set(found)
    for name in expected:
        assert found[name].offset_arcsec < 0.1 * quiet.statistics.beam.minor_arcsec, name
        assert found[name].flux_ratio == pytest.approx(1.0, abs=0.06), name


def test_the_rms_is_what_the_noise_predicts(imaged: ImageResult, sky: Sky) -> None:
    statistics = imaged.statistics
    assert statistics.rms_jy == pytest.approx(statistics.expected_rms_jy, rel=0.15)
    # Briggs weights cost something against natural ones, and never gain.
    inflation = statistics.expected_rms_jy / sky.truth.record.expected_rms_jy
    assert 1.0 < inflation < 1.5


def test_its_sources_show_the_primary_beam_that_they_were_simulated_with(
    imaged: ImageResult,
) -> None:
    found = imaged.primary_beam
    assert found is not None
    assert found.used == MODEL_SHAPE
    whole, *bands = found.fits
    assert whole.name == "whole band"
    assert {b.name for b in bands} <= {b.name for b in imaged.sub_bands}
    for fit in found.fits:
        pulls = fit.shape.beside_model / np.sqrt(np.diag(fit.covariance))
        assert (np.abs(pulls) < 4).all()
    assert whole.scale == pytest.approx(1, abs=0.03)


def test_the_grid_follows_the_beam_and_the_primary_beam(imaged: ImageResult) -> None:
    beam, grid = imaged.statistics.beam, imaged.grid
    assert 2.7 < beam.minor_arcsec / grid.cell_arcsec < 4.5
    assert grid.size % 2 == 0
    with fits.open(imaged.files.primary_beam) as hdus:
        response = hdus[0].data.squeeze()
    border = np.concatenate([response[0], response[-1], response[:, 0], response[:, -1]])
    assert np.isnan(border).all(), "the cut lies inside the image"
    assert 0.9 < np.nanmax(response) < 1, "the beam of a drift is below 1 even at its centre"
    assert np.nanmin(response) == pytest.approx(0.2, abs=1e-3)


def test_headers_say_what_it_is_and_where_it_comes_from(imaged: ImageResult, sky: Sky) -> None:
    for name in ("image", "pbcor", "residual", "psf", "primary_beam"):
        path = getattr(imaged.files, name)
        with fits.open(path, checksum=True) as hdus:
            header = hdus[0].header
            assert hdus[0].data.shape == (1, 1, imaged.grid.size, imaged.grid.size)
        assert header["BUNIT"] == ("" if name == "primary_beam" else "Jy/beam")
        assert header["CTYPE1"] == "RA---SIN"
        assert header["RADESYS"] == "ICRS"
        assert header["BMAJ"] * 3600 == pytest.approx(imaged.statistics.beam.major_arcsec)
        assert header["MJD-AVG"] == pytest.approx(sky.truth.mid_mjd, abs=1e-6)
        assert header["DATE-OBS"].startswith("2025-10-06T14:24:00")
        assert (header["OBSID"], header["CALSET"], header["CALVER"]) == ("61041.00347", "3C48", 2)
        assert header["ORIGIN"].startswith("contimg ")
        assert header["CRVAL3"] == pytest.approx(1.405e9, rel=0.01)
        assert "DATASUM" in header
        assert any("caltable_set = 3C48" in line for line in header["HISTORY"])


def test_the_wcs_of_the_files_is_where_sources_are(
    report: MatchReport, imaged: ImageResult
) -> None:
    brightest = report.matches[0]
    with fits.open(imaged.files.pbcor) as hdus:
        wcs, pixels = WCS(hdus[0].header).celestial, hdus[0].data.squeeze()
    x, y = wcs.all_world2pix(brightest.reference.ra_deg, brightest.reference.dec_deg, 0)
    nearby = pixels[
        round(float(y)) - 1 : round(float(y)) + 2, round(float(x)) - 1 : round(float(x)) + 2
    ]
    assert nearby.max() == pytest.approx(brightest.reference.flux_at(imaged.frequency_hz), rel=0.05)


def test_pictures_open_and_the_thumbnail_is_small(imaged: ImageResult) -> None:
    with Image.open(imaged.files.png) as picture:
        assert min(picture.size) > 600
    assert imaged.files.thumbnail.stat().st_size <= 10_000
    with Image.open(imaged.files.thumbnail) as picture:
        grey = np.asarray(picture.convert("L"))
    assert grey.max() == 255, "the brightest sources are seen"
    assert np.median(grey) < 128


def test_the_directory_was_replaced_as_a_whole(imaged: ImageResult) -> None:
    names = {p.name for p in imaged.directory.iterdir()}
    assert "left from before" not in names
    assert len(names) == 16
    assert [p.name for p in imaged.directory.parent.iterdir()] == [imaged.directory.name]
    assert load_image_result(imaged.directory, "61041.00347") == imaged


def small(ms: Path, directory: Path) -> ImageRequest:
    return ImageRequest(
        ms, directory, "x", ImagingSettings(image_size=128, cell_arcsec=7.0, niter=0, sub_bands=0)
    )


def test_the_calibrated_ms_is_only_read(casa: Casa, sky: Sky, tmp_path: Path) -> None:
    before = content_checksum(sky.ms)
    casa.run(make_image, small(sky.ms, tmp_path / "x"), label="image")
    assert content_checksum(sky.ms) == before


@pytest.mark.parametrize(
    ("how", "words"), [("flagged", "all selected data are flagged"), ("nan", "not finite")]
)
def test_hostile_data_give_one_clear_error_and_no_product(
    casa: Casa, sky: Sky, tmp_path: Path, how: str, words: str
) -> None:
    spoiled = casa.run(spoil, Spoil(sky.ms, tmp_path / "bad.ms", how), label="spoil")
    request = small(spoiled, tmp_path / "out" / "x")
    with pytest.raises(ImagingFailed, match=words):
        casa.run(make_image, request, label="image")
    assert not (tmp_path / "out").exists()


def test_fields_with_several_phase_centres_are_refused(
    casa: Casa, sky: Sky, tmp_path: Path
) -> None:
    original = as_it_came(sky.ms)
    with pytest.raises(ImagingFailed, match=r"24 fields have phase centres 1\.0"):
        casa.run(make_image, small(original, tmp_path / "x"), label="image")


def test_a_request_that_makes_no_sense_is_refused(casa: Casa, sky: Sky, tmp_path: Path) -> None:
    good = small(sky.ms, tmp_path / "x")
    for bad, words in (
        ({"engine": "aips"}, r"engine\n.*should be 'casa', 'fast' or 'wsclean'.*'aips'"),
        ({"image_size": 127}, r"image_size\n.*multiple of 2.*127"),
    ):
        with pytest.raises(ValidationError, match=words):
            good.settings.changed(**bad)
    with pytest.raises(ConfigurationError, match="no imaging engine 'aips'; there are: casa, fast"):
        engine_named("aips")
    with pytest.raises(UnreadableObservation, match="no MeasurementSet"):
        casa.run(make_image, replace(good, ms=tmp_path), label="image")
    with pytest.raises(ImagingFailed, match="nothing is selected"):
        casa.run(make_image, replace(good, field_selection="M31"), label="image")
