"""Sub-bands between the stores: measured from images made elsewhere, told of candidates."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from contimg_resources.cli.main import run
from contimg_resources.mosaics.model import MosaicFiles
from contimg_resources.photometry.measurements import read_measurements, write_measurements
from contimg_resources.photometry.subbands import band_path
from contimg_resources.settings import Settings
from contimg_resources.steps.cards import card_path
from contimg_resources.steps.mosaicking import mosaic_observations
from contimg_resources.steps.retention import choose_removals
from contimg_resources.steps.verifying import verify_products
from contimg_resources.steps.workshop import Workshop
from contimg_resources.variability.points import DayPoints, write_points
from contimg_resources.variability.templates import bank
from tests.photometry import epochs
from tests.steps.sky import Sky, make_sky
from tests.variability.curves import search

KEY = "61041.02083+54.0"


@pytest.fixture
def sky(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sky:
    monkeypatch.setenv("CONTIMG_CATALOGUE__REFERENCE", "simulated")
    monkeypatch.setenv("CONTIMG_CATALOGUE__DEFAULT_SPECTRAL_INDEX", "0")
    monkeypatch.setenv("CONTIMG_STATE", str(tmp_path / "state"))
    sky = make_sky(tmp_path)
    for number in range(4):
        sky.image(number)
    mosaic_observations(sky.workshop, KEY)
    return sky


def subband(sky: Sky, path: Path, frequency_hz: float) -> list[str]:
    """Write the mosaic as one of another frequency; return the arguments that measure it."""
    directory = sky.workshop.products.mosaics.get(KEY).directory
    files = MosaicFiles.in_directory(directory, KEY)
    with fits.open(files.image) as hdus:
        hdus[0].header["CRVAL3"] = frequency_hz
        hdus.writeto(path)
    return ["--image", str(path), "--sigma", str(files.sigma)]


def test_a_sub_band_is_measured_from_an_image_made_elsewhere(
    sky: Sky, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = subband(sky, tmp_path / "low.fits", 1.335e9)
    assert run(["photometry", KEY, "--subband", "low", *image]) == 0
    told = capsys.readouterr().err
    assert "at 1.3350 GHz" in told
    assert "flux scale" in told
    root = sky.workshop.settings.layout.photometry
    path = band_path(root, "low", 61_041, KEY)
    columns, facts = read_measurements(path)
    assert facts["subband"] == "low"
    assert set(columns["frequency_hz"]) == {1.335e9}
    # Again, and as JSON, without a map of noise.
    assert run(["photometry", KEY, "--subband", "low", *image[:2], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["n_sources"] == len(columns["source_id"])

    # It is no epoch: no light curve, record, check or housekeeping sees it.
    assert sky.workshop.products.mosaics.list_epochs() == ()
    assert run(["lightcurve", str(columns["source_id"][0])]) == 1
    problems = verify_products(sky.workshop).problems
    assert not any("subbands" in str(p.path) for p in problems)
    assert not any("subbands" in str(r.path) for r in choose_removals(sky.workshop))
    assert [p.name for p in root.iterdir()] == ["subbands"]


def test_what_is_no_sub_band_is_refused(
    sky: Sky, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = subband(sky, tmp_path / "low.fits", 1.335e9)
    radio = subband(sky, tmp_path / "radio.fits", 3.0e9)
    for arguments, code, why in (
        ([KEY, "--subband", "../low", *image], 2, "is no valid name of a sub-band"),
        ([KEY, "--subband", "low"], 2, "needs all of MOSAIC, --subband and --image"),
        ([KEY, *image], 2, "needs all of MOSAIC, --subband and --image"),
        (["../" + KEY, "--subband", "low", *image], 2, "is not a mosaic key"),
        (["61050.02083+54.0", "--subband", "low", *image], 1, "there is no mosaic"),
        ([KEY, "--subband", "low", *radio], 1, "3.0000 GHz aren't between"),
    ):
        assert run(["photometry", *arguments]) == code
        assert why in " ".join(capsys.readouterr().err.split())
    assert not (sky.workshop.settings.layout.photometry / "subbands").exists()


N_SOURCES, FIRST, DAYS = 24, 61_000, 220
MID, WIDTH = 61_110.0, 30.0
LENSED = "s00"


def write_platform(workshop: Workshop) -> None:
    """Write a season of points with one dip, and the dip in two sub-bands, twice as deep in one."""
    rng = np.random.default_rng(11)
    shape = bank(("fiedler",))[1]
    names = np.array([f"s{i:02d}" for i in range(N_SOURCES)])
    layout = workshop.settings.layout
    for day in range(FIRST, FIRST + DAYS):
        dip = float(shape.at(np.array([(day + 0.5 - MID) / WIDTH]))[0])
        flux = 0.1 * (1 + rng.normal(0, 0.02, N_SOURCES))
        flux[0] += 0.1 * 0.45 * dip
        n = N_SOURCES
        points = {
            "source_id": names,
            "ra_deg": 180.0 + 0.1 * np.arange(n),
            "dec_deg": np.full(n, 54.0),
            "transit_mjd": np.full(n, day + 0.5),
            "mid_mjd": np.full(n, day + 0.5),
            "flux_jy": flux,
            "error_jy": np.full(n, 2e-3),
            "integrated_flux_jy": np.full(n, np.nan),
            "integrated_error_jy": np.full(n, np.nan),
            "flags": np.zeros(n, np.int64),
            "is_reference": np.arange(n) > 0,
            "n_mosaics": np.ones(n, np.int64),
            "epoch": np.full(n, f"{day + 0.5:.5f}+54.0"),
        }
        write_points(layout.light_curves, DayPoints(day, points, n, ()))
        for band, hz, depth in (("low", 1.335e9, 0.6), ("high", 1.475e9, 0.3)):
            shown = replace(epochs.image(day + 0.5), frequency_hz=hz)
            jy = 0.1 * (1 + depth * dip) + rng.normal(0, 3e-3)
            write_measurements(
                band_path(layout.photometry, band, day, shown.epoch),
                shown,
                epochs.sources([LENSED]),
                epochs.raw([jy], error_jy=np.full(1, 3e-3)),
                epochs.scale(1),
            )


def test_a_candidate_is_recorded_with_its_spectral_change(tmp_path: Path) -> None:
    workshop = Workshop.from_settings(Settings(state=tmp_path / "state"))
    write_platform(workshop)
    last = FIRST + DAYS - 1
    searched = search(workshop, last)
    assert "sub-bands" not in searched.words
    (recorded,) = workshop.products.events.list_candidates()
    assert recorded.source_id == LENSED
    told = recorded.evidence
    expected = np.log(0.7 / 0.4) / np.log(1.475 / 1.335)
    assert abs(told.spectral_change - expected) < 3 * told.spectral_change_error
    assert told.spectral_change > 5 * told.spectral_change_error
    assert told.n_bands == 2
    assert told.neighbours

    damaged = workshop.settings.layout.photometry / "subbands/low/61110/61110.50000+54.0.parquet"
    damaged.write_bytes(damaged.read_bytes()[:200])
    searched = search(workshop, last)
    (recorded,) = workshop.products.events.list_candidates()
    assert recorded.id == searched.candidates[0].id
    assert np.isnan(recorded.evidence.spectral_change)
    assert damaged.name in recorded.evidence.spectral_note
    assert "not all sub-bands are used" in searched.words
    assert card_path(workshop, recorded.id).stat().st_size > 10_000
