"""What `contimg bench-real` compares with the truth, and what its page reports."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from typer.testing import CliRunner

from benchmarks import real_chains, real_flaggers, real_outside
from benchmarks.real_chains import TCLEAN, WITH, WITHOUT, Observed
from benchmarks.real_flaggers import Flagged
from benchmarks.real_outside import Outside
from benchmarks.real_quality import Compared, Detections, Quality, quality, scatter
from benchmarks.real_report import RealReport, goal_rows, summary_rows
from benchmarks.real_sky import TrueSky, _whole, given_night
from contimg_resources.cli.main import app
from contimg_resources.core.errors import BenchFailed
from contimg_resources.imaging.beam import sky_of_sin
from contimg_resources.imaging.model import (
    Beam,
    ImageFiles,
    ImageGrid,
    ImageResult,
    ImageStatistics,
    Source,
)
from contimg_resources.simulation.truth import TrueSource

BEAM = Beam(60.0, 40.0, 10.0)
GRID = ImageGrid(200, 15.0, 30.0, 33.0)
HZ = 1.405e9
#: East and north of the centre, arcsec: far from each other but for the last two.
EAST = np.array([0.0, 600.0, -600.0, 0.0, 60.0])
NORTH = np.array([0.0, 0.0, 300.0, 900.0, 900.0])
FLUX_JY = np.array([0.2, 0.1, 0.02, 0.05, 0.04])


@pytest.fixture
def image(tmp_path: Path) -> ImageResult:
    files = ImageFiles.in_directory(tmp_path, "x")
    fits.writeto(files.primary_beam, np.full((GRID.size, GRID.size), 0.5, np.float32))
    statistics = ImageStatistics(1e-3, 1e-3, 1e-3, 0.1, 30.0, 33.0, 100.0, BEAM, 0)
    numbers = (HZ, 6e4, 6e4, 6e4, 1, 4e-3, "fast")
    return ImageResult(tmp_path, files, GRID, statistics, (), *numbers)


def sky() -> TrueSky:
    east, north = np.radians(EAST / 3600), np.radians(NORTH / 3600)
    ra, dec = sky_of_sin(east, north, GRID.ra_deg, GRID.dec_deg)
    extended = np.array([False, True, False, False, False])
    return TrueSky(ra, dec, FLUX_JY, np.full(5, -0.7), extended, *np.zeros((3, 5)))


def source(east: float, north: float, flux_jy: float, snr: float = 50.0) -> Source:
    """Return a detection at some place, arcsec; its integral is 10 % higher."""
    there = np.radians([east / 3600]), np.radians([north / 3600])
    ra, dec = sky_of_sin(*there, GRID.ra_deg, GRID.dec_deg)
    at = float(ra[0]), float(dec[0])
    shape = (60.0, 40.0, 10.0)
    return Source(*at, 0.5 * flux_jy, flux_jy, flux_jy / snr, 1.1 * flux_jy, snr, 1e-3, 0.5, *shape)


def test_detections_are_compared_with_the_sky_through_the_beam(image: ImageResult) -> None:
    found = (
        source(3, 4, 0.19),
        source(600, 0, 0.1),
        source(-600, 300, 0.021, snr=10),
        source(30, 900, 0.08),
        source(-900, -900, 0.03),
    )
    its = quality(Detections(2e-3, BEAM, HZ, found), image, sky())
    assert (its.n_found, its.n_false) == (5, 1)
    # A blend is neither expected nor compared, nor is a source with an S/N of 10 compared.
    assert (its.n_expected, its.n_matched) == (2, 2)
    point, double = its.compared
    assert (point.ratio, point.error) == pytest.approx((0.95, 0.019))
    assert point.offset_arcsec == pytest.approx(5.0, rel=1e-3)
    assert double.extended
    assert double.ratio == pytest.approx(1.1)
    assert its.rms_ratio == pytest.approx(2e-3 / np.hypot(1e-3, its.confusion_jy))
    # Noise of a fiftieth moves a source by a hundredth of the beam.
    assert point.least_arcsec == pytest.approx(0.01 * np.sqrt(60 * 40))
    # One of the two has 7.58 times the least possible noise: noise hides it in 6 of 100.
    assert its.n_possible == pytest.approx(1.943, abs=1e-3)
    wide = replace(sky(), major_arcsec=np.full(5, 2000.0))
    assert quality(Detections(2e-3, BEAM, HZ, found), image, wide).n_false == 0
    nothing = quality(Detections(2e-3, BEAM, HZ, ()), image, sky())
    assert (nothing.n_found, nothing.n_matched, nothing.n_expected) == (0, 0, 2)


def test_scatter_is_what_noise_does_not_explain() -> None:
    rng = np.random.default_rng(1)
    ratios = 1 + rng.normal(0, 0.05, 4000)
    assert scatter([Compared(r, 0.03, 0.0, 0.0, False) for r in ratios]) == pytest.approx(
        0.04, rel=0.1
    )
    assert scatter([Compared(r, 0.2, 0.0, 0.0, False) for r in ratios]) == 0


def test_a_catalogue_has_the_errors_of_a_survey() -> None:
    n = 4000
    rng = np.random.default_rng(2)
    flux_jy = np.concatenate([np.full(n, 0.1), np.full(n, 1e-3)])
    there = TrueSky(
        rng.uniform(30, 31, 2 * n),
        rng.uniform(33, 34, 2 * n),
        flux_jy,
        np.full(2 * n, -0.7),
        np.zeros(2 * n, bool),
        *np.repeat([[40.0, 30.0, 20.0]], 2 * n, axis=0).T,
    )
    listed, _ = there.listed("survey")
    bright = listed.flux_jy > 0.05
    assert bright.sum() == n
    assert (~bright).sum() < 0.01 * n
    assert np.std(listed.flux_jy[bright]) == pytest.approx(3.04e-3, rel=0.05)
    north = 3600 * (listed.dec_deg[bright] - there.dec_deg[:n])
    assert np.std(north) == pytest.approx(0.6, rel=0.05)
    assert np.isnan(listed.spectral_index).all()
    assert np.std(listed.major_arcsec[bright]) == pytest.approx(2.0, rel=0.05)
    assert np.isnan(listed.major_arcsec[~bright]).all()


def test_a_double_within_the_survey_s_beam_is_one_source() -> None:
    def lobe(name: str, dec_deg: float, whole: str) -> TrueSource:
        return TrueSource(name, 30.0, dec_deg, 0.1, 1.405, -0.7, 0.1, 1.0, False, 0.0, whole)

    near = [lobe("a1", 33.0, "a"), lobe("a2", 33.01, "a")]
    far = [lobe("b1", 34.0, "b"), lobe("b2", 34.02, "b")]
    sky = _whole([*near, *far, *near])
    assert sky.dec_deg == pytest.approx([33.005, 34.0, 34.02])
    assert sky.flux_jy == pytest.approx([0.2, 0.1, 0.1])
    assert list(sky.extended) == [True, False, False]
    assert sky.major_arcsec == pytest.approx([1.177 * 36, 0.0, 0.0], rel=1e-3)


def test_a_given_night_needs_its_truth_and_a_target(tmp_path: Path) -> None:
    with pytest.raises(BenchFailed, match=r"truth\.npz has no truth"):
        given_night(tmp_path)
    one = np.ones(2)
    np.savez(
        tmp_path / "truth.npz", ra=one, dec=one, flux_jy=one, spectral_index=one, is_double=one
    )
    with pytest.raises(BenchFailed, match="0 MS"):
        given_night(tmp_path)
    for name in ("b.ms", "a.ms"):
        (tmp_path / name).mkdir()
    night = given_night(tmp_path)
    assert (night.calibrator.name, night.targets) == ("a.ms", (tmp_path / "b.ms",))
    assert night.sky.flux_jy[-1] == pytest.approx(16.2, rel=0.02)


GOOD = Quality(
    *(0.6e-3, 0.5e-3, 0.2e-3, 300, 2, 100, 97, 99.0),
    compared=(Compared(1.004, 0.02, 0.3, 0.2, False), Compared(0.97, 0.02, 0.4, 0.2, True)),
)
OBSERVED = (
    Observed("hard", "2025-10-06T08:28:42.ms", True, WITH, 20.0, replace(GOOD, rms_jy=9.0), "why"),
    Observed("hard", "2025-10-06T08:54:28.ms", False, WITHOUT, 19.0, replace(GOOD, rms_jy=2e-3)),
    Observed("hard", "2025-10-06T08:54:28.ms", False, WITH, 20.0, GOOD, "phases improve"),
    Observed("hard", "2025-10-06T08:54:28.ms", False, TCLEAN, 100.0, replace(GOOD, n_false=50)),
)


def test_goals_are_those_of_targets_and_a_missed_one_is_marked() -> None:
    report = RealReport("2 cores", {"contimg": "0"}, OBSERVED)
    rows = {goal: (told, met) for _, goal, told, met in goal_rows(report)}
    assert len(rows) == 9
    assert {goal for goal, (_, met) in rows.items() if met != "yes"} == {
        "at least 8 times faster than applycal, flagdata, tclean"
    }
    assert rows["at most 1 in 100 false above 6 sigma"] == ("0.7 %", "yes")
    # What noise allows is beside it.
    assert rows["astrometry: 0.5 arcsec in the median"][0] == "0.30 arcsec (by noise alone 0.20)"
    assert "99.0 %" in rows["95 % complete at 7 sigma"][0]
    assert [row[1] for row in summary_rows(report)] == [WITHOUT, WITH, TCLEAN]


def test_the_command_writes_results_and_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def run(*given: object) -> tuple[Observed, ...]:
        asked.append(given[:5])
        return OBSERVED

    outside = Outside("at night", "Cas A", 80.0, 5.0, 0.1, 2e-4, 1e-3, 5e-4, 1e-4)
    flagged = Flagged("the platform", 0.99, 0.1, 0.01, 2.0)
    monkeypatch.setattr(real_chains, "run_real_bench", run)
    # Both take minutes.
    monkeypatch.setattr(real_outside, "outside_effects", lambda say: iter([outside]))
    monkeypatch.setattr(real_flaggers, "contaminated", lambda size: None)
    monkeypatch.setattr(real_flaggers, "compare_flaggers", lambda scene, say: (flagged,))
    page = tmp_path / "docs" / "page.md"
    arguments = ["--size", "tiny", "--targets", "1", "--out-dir", str(tmp_path / "out")]
    told = CliRunner().invoke(app, ["bench-real", *arguments, "--page", str(page), "--json"])
    assert told.exit_code == 0, told.output
    assert asked == [(("tiny",), 1, 5, (), 1)]
    assert json.loads(told.stdout) == json.loads((tmp_path / "out" / "bench-real.json").read_text())
    assert "- hard, 2025-10-06T08:54:28.ms: phases improve." in page.read_text()
    assert "(calibrator)" in page.read_text()
    assert "| at night | Cas A |" in page.read_text()
    assert "| the platform |" in page.read_text()
