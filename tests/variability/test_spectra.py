"""Spectral change in a dip, from files of sub-bands."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contimg_resources.core.errors import InvalidName, PhotometryFailed
from contimg_resources.database import plain_json
from contimg_resources.database.values import read_json
from contimg_resources.photometry import subbands
from contimg_resources.photometry.measurements import write_measurements
from contimg_resources.photometry.subbands import BandFluxes, band_path, check_band, check_subband
from contimg_resources.products.dips import DipEvidence, FittedDip
from contimg_resources.products.events import CandidateRecord, CandidateState
from contimg_resources.simulation.light_curves import Event
from contimg_resources.variability import spectra
from contimg_resources.variability.cards import draw_card
from contimg_resources.variability.model import LightCurves
from contimg_resources.variability.spectra import (
    BandDepth,
    band_depth,
    spectral_change,
    spectral_evidence,
)
from contimg_resources.variability.templates import bank
from tests.photometry import epochs

FREQUENCIES_HZ = {"low": 1.335e9, "middle": 1.405e9, "high": 1.475e9}
SHAPE = bank(("fiedler",))[1]
DIP = Event(SHAPE, 61_100.0, 30.0, 0.4)
ERROR_JY, FLUX_JY = 2e-3, 0.1
NAME = "nvss-NVSS_J120000+540000"


def depths_of(change: float, depth: float = 0.5) -> dict[str, float]:
    """Return depths in the bands; `depth` in the middle one."""
    return {
        band: 1 - (1 - depth) * (hz / FREQUENCIES_HZ["middle"]) ** change
        for band, hz in FREQUENCIES_HZ.items()
    }


def curve(depth: float, rng: np.random.Generator, alpha: float = 0.0) -> Any:
    mjd = DIP.mid_mjd + np.arange(-80.0, 81.0, 2.0)
    true = FLUX_JY * (1 + depth * SHAPE.at((mjd - DIP.mid_mjd) / DIP.width_days))
    return mjd, true * 1.1**alpha + rng.normal(0, ERROR_JY, len(mjd))


def draw(change: float, rng: np.random.Generator) -> tuple[float, float]:
    told = []
    for number, (band, depth) in enumerate(depths_of(change).items()):
        # The baseline has a spectrum of its own.
        mjd, flux = curve(depth, rng, number)
        fluxes = BandFluxes(
            band, FREQUENCIES_HZ[band], 180.0, mjd, flux, np.full(len(mjd), ERROR_JY)
        )
        found = band_depth(DIP, SHAPE, fluxes)
        assert found is not None
        told.append(found)
    result = spectral_change(told)
    assert result is not None
    return result


@pytest.mark.parametrize("change", [0.0, 2.0])
def test_the_change_is_the_injected_one(change: float) -> None:
    rng = np.random.default_rng(7)
    found = np.array([draw(change, rng) for _ in range(400)])
    pull = (found[:, 0] - change) / found[:, 1]
    assert abs(pull.mean()) < 0.2
    assert pull.std() == pytest.approx(1.0, abs=0.12)
    # In 400 draws of normal numbers more than four are hardly ever beyond three.
    assert (np.abs(pull) > 3).sum() <= 4
    assert 0.1 < np.median(found[:, 1]) < 1.0


def test_what_scatters_more_than_its_errors_has_larger_ones() -> None:
    rng = np.random.default_rng(8)
    mjd, flux = curve(0.5, rng)
    points = (mjd, flux + rng.normal(0, 3 * ERROR_JY, len(mjd)), np.full(len(mjd), ERROR_JY))
    quiet = band_depth(DIP, SHAPE, BandFluxes("low", 1.3e9, 180.0, mjd, flux, points[2]))
    noisy = band_depth(DIP, SHAPE, BandFluxes("low", 1.3e9, 180.0, *points))
    assert quiet is not None
    assert noisy is not None
    assert noisy.error == pytest.approx(np.sqrt(10) * quiet.error, rel=0.3)


@pytest.mark.parametrize(
    "depths",
    [
        [],
        [BandDepth(1.4e9, 0.5, 0.01)],
        [BandDepth(1.4e9, 0.5, 0.01), BandDepth(1.4e9, 0.4, 0.01)],
        # Nothing is left of it, within its error, or less than that.
        [BandDepth(1.3e9, 0.5, 0.01), BandDepth(1.4e9, 0.98, 0.01)],
        [BandDepth(1.3e9, 0.5, 0.01), BandDepth(1.4e9, 1.2, 0.01)],
    ],
)
def test_fewer_than_two_bands_tell_no_change(depths: list[BandDepth]) -> None:
    assert spectral_change(depths) is None


def test_two_bands_tell_their_difference() -> None:
    told = spectral_change([BandDepth(1.3e9, 0.5, 0.01), BandDepth(1.5e9, 0.4, 0.012)])
    apart = np.log(1.5 / 1.3)
    assert told == pytest.approx(
        (np.log(0.6 / 0.5) / apart, np.hypot(0.01 / 0.5, 0.012 / 0.6) / apart)
    )


def candidate() -> CandidateRecord:
    half = DIP.width_days / 2
    return CandidateRecord(
        id=f"ese-61100-{NAME}",
        source_id=NAME,
        ra_deg=180.0,
        dec_deg=54.0,
        state=CandidateState.COMPLETE,
        start_mjd=DIP.mid_mjd - half,
        mid_mjd=DIP.mid_mjd,
        end_mjd=DIP.mid_mjd + half,
        score=300.0,
        parameters=FittedDip(
            template=SHAPE.name,
            depth=0.5,
            depth_error=0.01,
            width_days=DIP.width_days,
            width_error_days=1.0,
            mid_error_days=0.5,
            threshold=20.0,
            template_mjd=(DIP.mid_mjd,),
            template_jy=(0.05,),
        ),
    )


def evidence(root: Path, of: CandidateRecord, end_mjd: float) -> DipEvidence:
    return spectral_evidence(root, of, lambda: bank(("fiedler",)), end_mjd)


def write_band(root: Path, band: str, depth: float, *, shifted_hz: float = 0.0) -> list[Path]:
    mjd, flux = curve(depth, np.random.default_rng([len(band), 3]))
    paths = []
    for number, (day, jy) in enumerate(zip(mjd, flux, strict=True)):
        image = replace(
            epochs.image(float(day)),
            frequency_hz=FREQUENCIES_HZ.get(band, 1.4e9) + shifted_hz * number,
        )
        path = band_path(root, band, int(day), image.epoch)
        measured = epochs.raw([jy, 0.2], error_jy=np.full(2, ERROR_JY))
        sources = epochs.sources([NAME, "other"])
        write_measurements(path, image, sources, measured, epochs.scale(2))
        paths.append(path)
    return paths


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for band, depth in depths_of(2.0).items():
        write_band(tmp_path, band, depth)
    return tmp_path


def test_evidence_is_read_from_files(root: Path) -> None:
    told = evidence(root, candidate(), 61_200.0)
    assert told.spectral_note == ""
    assert told.n_bands == 3
    assert [hz for hz, _, _ in told.band_depths] == sorted(FREQUENCIES_HZ.values())
    for (_, depth, error), true in zip(told.band_depths, depths_of(2.0).values(), strict=True):
        assert abs(depth - true) < 4 * error
    assert abs(told.spectral_change - 2.0) < 3 * told.spectral_change_error
    stored = json.loads(json.dumps(plain_json(asdict(told)), allow_nan=False))
    # Dictionaries: a NaN is equal to itself there.
    assert asdict(read_json(DipEvidence, stored)) == asdict(told)


def test_nothing_later_is_looked_at(root: Path) -> None:
    assert asdict(evidence(root, candidate(), 61_060.0)) == asdict(candidate().evidence)
    early = evidence(root, candidate(), 61_110.0)
    late = evidence(root, candidate(), 61_200.0)
    assert early.spectral_change_error > late.spectral_change_error


def test_one_band_tells_no_change(tmp_path: Path) -> None:
    write_band(tmp_path, "low", 0.5)
    told = evidence(tmp_path, candidate(), 61_200.0)
    assert len(told.band_depths) == 1
    assert np.isnan(told.spectral_change)
    assert np.isnan(told.spectral_change_error)
    assert told.n_bands == 1


def test_a_source_that_no_sub_band_has_tells_nothing(root: Path) -> None:
    stranger = replace(candidate(), source_id="'; DROP TABLE sources; --")
    assert asdict(evidence(root, stranger, 61_200.0)) == asdict(stranger.evidence)


def test_a_damaged_file_is_told_and_costs_its_band_alone(root: Path) -> None:
    damaged = sorted((root / "subbands" / "low").glob("*/*.parquet"))[40]
    damaged.write_bytes(b"none of ours")
    told = evidence(root, candidate(), 61_200.0)
    assert damaged.name in told.spectral_note
    assert told.n_bands == 2
    assert abs(told.spectral_change - 2.0) < 3 * told.spectral_change_error


def test_a_band_of_several_frequencies_is_told(tmp_path: Path) -> None:
    write_band(tmp_path, "low", 0.5, shifted_hz=1e6)
    told = evidence(tmp_path, candidate(), 61_200.0)
    assert "those are several sub-bands" in told.spectral_note
    assert told.band_depths == ()


HOSTILE = ["../low", "a/b", "", ".hidden", "low band", "x" * 200, "by_source", "lo*", "a..b"]


@pytest.mark.parametrize("band", HOSTILE)
def test_a_hostile_name_of_a_band_is_refused(tmp_path: Path, band: str) -> None:
    with pytest.raises(InvalidName):
        check_band(band)
    with pytest.raises(InvalidName):
        band_path(tmp_path, band, 61_100, "61100.02083+54.0")
    with pytest.raises(InvalidName):
        band_path(tmp_path, "low", 61_100, "../61100.02083+54.0")
    with pytest.raises(InvalidName):
        subbands.band_fluxes(tmp_path, band, NAME, 61_000.0, 61_100.0)


def test_a_directory_with_a_hostile_name_is_told(root: Path) -> None:
    (root / "subbands" / "low * band").mkdir()
    (root / "subbands" / ".low.partial").mkdir()
    (root / "subbands" / "README").write_text("ours")
    told = evidence(root, candidate(), 61_200.0)
    assert "'low * band' is no valid name of a sub-band" in told.spectral_note
    assert told.n_bands == 3


def test_without_sub_bands_nothing_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: Any) -> None:
        raise AssertionError("nothing is there to be read")

    epochs.write(tmp_path, 61_100.0)
    for module, name in ((spectra, "list_bands"), (spectra, "band_fluxes"), (subbands, "query")):
        monkeypatch.setattr(module, name, read)
    assert asdict(evidence(tmp_path, candidate(), 61_200.0)) == asdict(candidate().evidence)


def test_an_image_of_another_frequency_time_or_sky_is_refused(root: Path) -> None:
    mosaic = epochs.image(61_100.0)
    fits = replace(mosaic, frequency_hz=FREQUENCIES_HZ["low"])
    check_subband(root, "low", fits, mosaic)
    check_subband(root, "new", fits, mosaic)
    away = fits.wcs.deepcopy()
    away.wcs.crval = [40.0, 0.0]
    blank = replace(fits, pixels=np.full((2, 2), np.nan, np.float32))
    for wrong, why in (
        (replace(fits, frequency_hz=2.0e9), "2.0000 GHz aren't between"),
        (replace(fits, frequency_hz=FREQUENCIES_HZ["high"]), "aren't the band's"),
        (replace(fits, mid_mjd=61_101.0), "MJD 61101"),
        (replace(fits, wcs=away), "0 % of its sky"),
        (blank, "no observed pixels"),
    ):
        with pytest.raises(PhotometryFailed, match=why):
            check_subband(root, "low", wrong, mosaic)


def test_the_card_says_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.figure import Figure

    said: list[str] = []
    monkeypatch.setattr(Figure, "suptitle", lambda self, text, **_: said.append(text))
    mjd, flux = curve(0.5, np.random.default_rng(1))
    n = len(mjd)
    curves = LightCurves(
        source_id=np.array([NAME]),
        ra_deg=np.array([180.0]),
        dec_deg=np.array([54.0]),
        offsets=np.array([0, n]),
        mid_mjd=mjd,
        flux_jy=flux,
        error_jy=np.full(n, ERROR_JY),
        flags=np.zeros(n, np.int64),
        is_reference=np.zeros(n, bool),
        epoch=np.full(n, "61100.02083+54.0"),
    )
    told = DipEvidence(n_bands=3, spectral_change=1.96, spectral_change_error=0.31)
    for number, known in enumerate((DipEvidence(), told)):
        drawn = replace(candidate(), evidence=known)
        draw_card(tmp_path / f"{number}.png", drawn, curves)
        assert (tmp_path / f"{number}.png").stat().st_size > 10_000
    assert "spectral index" not in said[0]
    assert said[1].endswith("spectral index changes by +1.96 ± 0.31 in the dip (3 sub-bands)")


def bands_of(
    factor: Any, rng: np.random.Generator, error: float = 0.04, n: int = 4
) -> list[BandFluxes]:
    """Return an AGN's sub-bands behind something that changes them by a factor of time and Hz."""
    mjd = DIP.mid_mjd + np.arange(-60.0, 61.0, 1.0)
    # Whatever all sub-bands share says nothing: here a walk, and errors of the epochs' scale.
    common = np.exp(0.05 * np.cumsum(rng.normal(size=len(mjd))) + 0.03 * rng.normal(size=len(mjd)))
    made = []
    for hz in np.linspace(1.335e9, 1.475e9, n):
        level = 0.1 * (hz / 1.4e9) ** -0.7
        flux = level * (common * factor(mjd, hz) + error * rng.normal(size=len(mjd)))
        kept = rng.random(len(mjd)) > 0.1
        errors = np.full(int(kept.sum()), error * level)
        made.append(BandFluxes(f"{hz:.0f}", float(hz), 180.0, mjd[kept], flux[kept], errors))
    return made


def lens(mjd: Any, hz: float, depth: float = 0.4) -> Any:
    """Return the magnification by a convergence that follows the square of the wavelength."""
    at_middle = 1 + depth * SHAPE.at((mjd - DIP.mid_mjd) / DIP.width_days)
    return 1 / (1 + (1 / at_middle - 1) * (1.404e9 / hz) ** 2)


def grey(mjd: Any, hz: float) -> Any:
    return lens(mjd, 1.404e9)


@pytest.mark.parametrize(("dimmed", "fraction"), [(lens, 1.0), (grey, 0.0)])
def test_a_lens_is_told_from_a_grey_dip(dimmed: Any, fraction: float) -> None:
    rng = np.random.default_rng(9)
    found = []
    for _ in range(300):
        colour = spectra.colour_of(DIP, SHAPE, 0.4, bands_of(dimmed, rng))
        assert colour is not None
        found.append((colour.lens_fraction, colour.lens_fraction_error, colour.lens_over_grey))
    value, error, evidence = np.array(found).T
    pull = (value - fraction) / error
    assert abs(pull.mean()) < 0.2
    assert pull.std() == pytest.approx(1.0, abs=0.12)
    # The evidence favours the true kind of dip, within its error.
    sign = 2 * fraction - 1
    assert np.median(sign * evidence) == pytest.approx(np.median(error**-2), rel=0.35)
    assert (sign * evidence > 0).mean() > 0.9


def test_a_colour_needs_two_bands_inside_and_outside_the_dip() -> None:
    bands = bands_of(lens, np.random.default_rng(2))
    assert spectra.colour_of(DIP, SHAPE, 0.4, bands[:1]) is None
    assert spectra.colour_of(DIP, SHAPE, np.nan, bands) is None
    same = [replace(b, frequency_hz=1.4e9) for b in bands]
    assert spectra.colour_of(DIP, SHAPE, 0.4, same) is None
    for low, high in ((0, 10), (20, 60)):
        parts = []
        for b in bands:
            away = np.abs(b.mid_mjd - DIP.mid_mjd)
            chosen = (low <= away) & (away <= high)
            columns = {n: getattr(b, n)[chosen] for n in ("mid_mjd", "flux_jy", "error_jy")}
            parts.append(replace(b, **columns))
        assert spectra.colour_of(DIP, SHAPE, 0.4, parts) is None
    # Transits that only one of them has don't count, and neither does one that is gone.
    apart = [replace(b, mid_mjd=b.mid_mjd + 400 * i) for i, b in enumerate(bands)]
    assert spectra.colour_of(DIP, SHAPE, 0.4, apart) is None
    gone = replace(bands[0], flux_jy=-np.abs(bands[0].flux_jy))
    assert spectra.colour_of(DIP, SHAPE, 0.4, [gone, *bands[1:]]) is not None
