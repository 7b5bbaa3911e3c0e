"""Sub-band images of an hour: flux densities and spectral indices of every source."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from contimg_resources.cli.main import run
from contimg_resources.imaging.model import ImageFiles
from contimg_resources.photometry.spectral_indices import (
    fit_spectra,
    mean_indices,
    read_spectra,
    spectra_of,
)
from contimg_resources.photometry.subbands import band_fluxes, list_bands
from contimg_resources.products.derived import DerivedKind
from contimg_resources.products.model import Artefact, ArtefactKind
from contimg_resources.simulation.tiles import drifting_tiles, write_tile
from contimg_resources.steps.imaging import SUB_BAND
from contimg_resources.steps.mosaicking import mosaic_observations
from contimg_resources.steps.photometry import Unmeasured, measure_mosaic, sort_measurements
from contimg_resources.steps.provenance import provenance_of
from contimg_resources.steps.sub_bands import MeasuredSpectra, measure_sub_bands
from contimg_resources.steps.verifying import unrecorded_files, verify_products
from tests.steps.sky import BEAM, CELL_ARCSEC, START, STRIP_DEG, Sky, make_sky

KEY = "61041.02083+54.0"
BANDS_HZ = {f"{mhz}MHz": 1e6 * mhz for mhz in (1335, 1382, 1428, 1475)}
N_TILES = 5


def write_sub_bands(sky: Sky, index: np.ndarray, tilt: float = 0.0) -> None:
    """Write and record sub-band images of the first observations; `tilt` is a wrong bandpass."""
    tiles = drifting_tiles(
        N_TILES, size=260, cell_arcsec=CELL_ARCSEC, beam=BEAM, fwhm_deg=2.0, start_mjd=START,
        dec_deg=STRIP_DEG, rms_jy=5e-4,
    )  # fmt: skip
    store = sky.workshop.products
    for tile in tiles:
        made = []
        for number, (band, hz) in enumerate(BANDS_HZ.items(), start=1):
            directory = sky.workshop.settings.layout.image_dir(tile.key) / band
            seen = replace(tile, frequency_hz=hz, bandwidth_hz=4.7e7, seed=tile.seed + 100 * number)
            factor = (hz / 1.4e9) ** (index + tilt)
            shown = [
                (ra, dec, jy * f) for (ra, dec, jy), f in zip(sky.sources, factor, strict=True)
            ]
            files = write_tile(seen, directory, shown)
            for kind, path in (
                (ArtefactKind.SUB_BAND_IMAGE, files.image),
                (ArtefactKind.SUB_BAND_PRIMARY_BEAM, files.primary_beam),
            ):
                told = {SUB_BAND: band}
                size = path.stat().st_size
                made.append(Artefact(kind, path, number, size_bytes=size, parameters=told))
        store.put_artefacts(tile.key, made)


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory) -> Sky:
    return whole_sky(tmp_path_factory.mktemp("sub-bands"))


def whole_sky(root: Path) -> Sky:
    sky = make_sky(root)
    settings = sky.workshop.settings
    listed = root / "spectra.csv"
    lines = [
        f"s{i},{ra},{dec},{jy},1.4,{alpha}"
        for i, ((ra, dec, jy), alpha) in enumerate(zip(sky.sources, true_index(sky), strict=True))
    ]
    header = "name,ra_deg,dec_deg,flux_jy,reference_ghz,spectral_index\n"
    listed.write_text(header + "\n".join(lines) + "\n")
    sky.workshop.catalogues.add("spectra", listed)
    catalogue = settings.catalogue.model_copy(update={"reference": "spectra"})
    changed = settings.model_copy(update={"catalogue": catalogue})
    sky = replace(sky, workshop=replace(sky.workshop, settings=changed))
    for number in range(N_TILES):
        sky.image(number)
    mosaic_observations(sky.workshop, KEY)
    return sky


def true_index(sky: Sky) -> np.ndarray:
    return np.random.default_rng(5).normal(-0.7, 0.8, len(sky.sources))


@pytest.fixture(scope="module")
def measured(sky: Sky) -> MeasuredSpectra:
    write_sub_bands(sky, true_index(sky))
    measured = measure_sub_bands(sky.workshop, KEY, run_id="r")
    assert isinstance(measured, MeasuredSpectra)
    return measured


def test_the_index_of_each_source_is_that_of_the_sky(sky: Sky, measured: MeasuredSpectra) -> None:
    assert measured.reasons == {}
    assert [b.band for b in measured.bands] == list(BANDS_HZ)
    assert measured.path is not None
    columns, facts = read_spectra(measured.path)
    assert [b["name"] for b in facts["subbands"]] == list(BANDS_HZ)
    known = np.isfinite(columns["spectral_index"])
    assert measured.n_spectra == known.sum() > 60
    number = np.array([int(n.removeprefix("spectra-s")) for n in columns["source_id"]])
    off = (columns["spectral_index"] - true_index(sky)[number])[known]
    pull = off / columns["spectral_index_error"][known]
    assert abs(np.median(pull)) < 0.4
    assert 0.7 < 1.4826 * np.median(np.abs(pull)) < 1.4
    curvature = (columns["curvature"] / columns["curvature_error"])[known]
    assert 0.7 < 1.4826 * np.nanmedian(np.abs(curvature)) < 1.4
    assert measured.verdict.passed
    assert measured.verdict.evaluated
    assert abs(measured.verdict.measures["index_offset"]) < 0.2


def test_a_wrong_bandpass_fails_the_check_and_leaves_the_indices(tmp_path: Path) -> None:
    sky = whole_sky(tmp_path)
    write_sub_bands(sky, true_index(sky), tilt=0.8)
    told = measure_sub_bands(sky.workshop, KEY)
    assert isinstance(told, MeasuredSpectra)
    assert not told.verdict.passed
    assert told.verdict.measures["scale_index"] == pytest.approx(0.8, abs=0.3)
    assert abs(told.verdict.measures["index_offset"]) < 0.2


def test_the_files_are_products_that_the_store_knows(
    sky: Sky, measured: MeasuredSpectra, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    workshop = sky.workshop
    root = workshop.settings.layout.photometry
    assert list_bands(root) == sorted(BANDS_HZ)
    record = workshop.products.derived.get(DerivedKind.SPECTRA, KEY)
    assert record is not None
    assert {f.path for f in record.files} == {
        measured.path,
        *(b.written.path for b in measured.bands),
    }
    told = provenance_of(workshop, measured.bands[0].written.path)
    assert told.kind == "spectra"
    assert [path.name for path in told.made_from] == [f"{KEY}.mosaic.fits"]
    assert DerivedKind.SPECTRA not in unrecorded_files(workshop)
    assert not any("spectra" in p.kind for p in verify_products(workshop).problems)
    # No mosaic of a sub-band is left, and copies serve the light curves of sub-bands.
    assert not list(workshop.settings.layout.scratch.glob("*MHz*"))
    columns, _ = read_spectra(measured.path or Path())
    brightest = str(columns["source_id"][np.nanargmax(columns["flux_jy"])])
    (flux,) = band_fluxes(root, "1335MHz", brightest, START, START + 1).flux_jy
    sort_measurements(workshop)
    assert band_fluxes(root, "1335MHz", brightest, START, START + 1).flux_jy == flux
    (index,) = spectra_of(root, brightest).spectral_index
    mean, error = mean_indices(root, START, START + 1)[brightest]
    assert mean == pytest.approx(index)
    assert 0 < error < 1
    assert mean_indices(root, START + 1, START + 2) == {}
    measure_mosaic(workshop, KEY)
    monkeypatch.setenv("CONTIMG_STATE", str(workshop.settings.state))
    capsys.readouterr()
    assert run(["lightcurve", brightest]) == 0
    assert "spectral index" in capsys.readouterr().out


def test_a_damaged_sub_band_is_named_and_one_that_is_gone_leaves_no_file(tmp_path: Path) -> None:
    sky = whole_sky(tmp_path)
    assert isinstance(measure_sub_bands(sky.workshop, KEY), Unmeasured)
    write_sub_bands(sky, true_index(sky))
    first = measure_sub_bands(sky.workshop, KEY)
    assert isinstance(first, MeasuredSpectra)
    for number in range(N_TILES):
        key = sky.keys[number]
        files = ImageFiles.in_directory(
            sky.workshop.settings.layout.image_dir(key) / "1335MHz", key
        )
        files.image.write_bytes(files.image.read_bytes()[:5000])
    second = measure_sub_bands(sky.workshop, KEY)
    assert isinstance(second, MeasuredSpectra)
    assert list(second.reasons) == ["1335MHz"]
    assert "1335MHz" in second.reasons["1335MHz"]
    assert not first.bands[0].written.path.exists()
    assert second.n_spectra > 60


@pytest.mark.parametrize("snr", [8.0, 100.0])
def test_fitted_spectra_have_no_bias_and_right_errors(snr: float) -> None:
    rng = np.random.default_rng(4)
    hz = np.array([*BANDS_HZ.values()])
    index, curvature = rng.normal(-0.7, 0.8, 2000), rng.normal(0.0, 3.0, 2000)
    x = np.log(hz / 1.405e9)[:, None]
    error = np.full((4, 2000), 1.0 / snr)
    for bend in (0.0, 1.0):
        true = np.exp(index * x + bend * curvature * x**2)
        flux = true + error * rng.normal(size=error.shape)
        flux[0, :10] = np.nan
        flux[:3, 10] = np.nan
        flux[:, 11] = -1.0
        found = fit_spectra(hz, flux, error, 1.405e9)
        assert found.n_bands[[0, 10, 20]].tolist() == [3, 1, 4]
        assert np.isnan(found.spectral_index[[10, 11]]).all()
        assert np.isfinite(found.spectral_index[:10]).all()
        for pull in (
            (found.curvature - bend * curvature) / found.curvature_error,
            *([(found.spectral_index - index) / found.spectral_index_error] if not bend else []),
        ):
            assert abs(np.nanmean(pull)) < 0.1
            assert np.nanstd(pull) == pytest.approx(1.0, abs=0.06)
