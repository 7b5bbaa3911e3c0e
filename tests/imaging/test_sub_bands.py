"""Images of parts of the band: flux densities at each frequency, and reasons for missing ones."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from contimg_resources.casa import Casa
from contimg_resources.imaging.make import load_image_result, make_image
from contimg_resources.imaging.model import ImageRequest, ImageResult, ReferenceSource
from contimg_resources.mosaics.model import TileFiles
from contimg_resources.mosaics.tiles import read_response, read_tile
from contimg_resources.photometry.measuring import measure
from contimg_resources.photometry.model import SourceList
from contimg_resources.photometry.reading import read_mosaic
from contimg_resources.settings import ImagingSettings
from tests.imaging.imaging_steps import Sky


def fluxes(image: ImageResult, sources: list[ReferenceSource]) -> tuple[np.ndarray, ...]:
    """Return frequencies, flux densities and errors of sources in the sub-bands."""
    listed = SourceList.of(
        [s.name for s in sources],
        np.array([s.ra_deg for s in sources]),
        np.array([s.dec_deg for s in sources]),
    )
    raw = []
    for band in image.sub_bands:
        seen = read_mosaic(band.image, None, epoch="x")
        tile = read_tile(TileFiles("x", band.image, band.primary_beam, band.image, ""))
        response = read_response(tile)
        seen = replace(
            seen, kind="image", primary_beam=np.where(response > 0.2, response, np.float32(np.nan))
        )
        raw.append(measure(seen, listed))
    frequency_hz = np.array([b.frequency_hz for b in image.sub_bands])
    return frequency_hz, np.array([r.flux_jy for r in raw]), np.array([r.error_jy for r in raw])


def test_each_sub_band_has_the_flux_densities_of_its_frequency(
    imaged: ImageResult, sky: Sky
) -> None:
    assert [b.name for b in imaged.sub_bands] == ["1335MHz", "1382MHz", "1428MHz", "1475MHz"]
    assert imaged.no_sub_bands == {}
    for band in imaged.sub_bands:
        assert band.frequency_hz == pytest.approx(1e6 * float(band.name[:-3]), rel=0.005)
        assert band.rms_jy == pytest.approx(band.expected_rms_jy, rel=0.15)
        assert band.expected_rms_jy == pytest.approx(
            2 * imaged.statistics.expected_rms_jy, rel=0.15
        )
    frequency_hz, flux, error = fluxes(imaged, sky.references)
    true = np.array([[s.flux_at(hz) for s in sky.references] for hz in frequency_hz])
    good = np.isfinite(flux).all(axis=0) & (true / error > 5).all(axis=0)
    assert good.sum() > 30
    pull = ((flux - true) / error)[:, good]
    assert np.abs(np.median(pull, axis=1)).max() < 0.5
    assert 1.4826 * np.median(np.abs(pull)) < 1.3
    # The spectrum is that of the sky, without that of the primary beam, out to its edge.
    x = np.log(frequency_hz / imaged.frequency_hz)
    y, weight = np.log(flux[:, good]), (flux / error)[:, good] ** 2
    off = x[:, None] - (weight * x[:, None]).sum(axis=0) / weight.sum(axis=0)
    index = (weight * off * y).sum(axis=0) / (weight * off**2).sum(axis=0)
    sigma = (weight * off**2).sum(axis=0) ** -0.5
    known = np.array([s.spectral_index for s in sky.references])[good]
    pulls = (index - known) / sigma
    assert abs(np.average(index - known, weights=sigma**-2)) < 3 * (sigma**-2).sum() ** -0.5
    assert 0.7 < 1.4826 * np.median(np.abs(pulls)) < 1.3
    assert np.abs(pulls).max() < 4.5


def test_files_are_found_after_a_move(imaged: ImageResult) -> None:
    assert load_image_result(imaged.directory, "61041.00347") == imaged
    assert all(b.image.is_file() and b.primary_beam.is_file() for b in imaged.sub_bands)


def test_sub_bands_leave_the_image_as_it_is_and_missing_data_leave_one_out(
    casa: Casa, sky: Sky, tmp_path: Path
) -> None:
    def make(name: str, n: int, spw: str) -> ImageResult:
        settings = ImagingSettings(image_size=256, cell_arcsec=30.0, sub_bands=n, niter=200)
        request = ImageRequest(sky.ms, tmp_path / name, "x", settings, spw_selection=spw)
        return casa.run(make_image, request, label="image")

    # Windows are numbered in a scrambled order: all of them but three of the highest four.
    highest = np.argsort([np.mean(w) for w in sky.truth.record.window_frequencies_hz])[-4:]
    spw = ",".join(str(n) for n in range(16) if n not in highest[:-1])
    with_them, without = make("with", 4, spw), make("without", 0, spw)
    for kind in ("image", "pbcor", "residual", "psf", "primary_beam"):
        pair = [fits.getdata(getattr(r.files, kind)).tobytes() for r in (with_them, without)]
        assert pair[0] == pair[1], kind
    assert without.sub_bands == ()
    assert with_them.statistics == without.statistics
    assert with_them.sources == without.sources
    assert len(with_them.sub_bands) == 3
    (reason,) = with_them.no_sub_bands.values()
    assert reason.startswith("it has 25 % as much unflagged data")
