"""What `contimg bench-sky` measures is what it says, and what it tells is what it measured."""

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from typer.testing import CliRunner

from benchmarks import sky_mosaics, sky_questions, surveying
from benchmarks.fresh import in_fresh_process
from benchmarks.sky_report import Row, SkyReport, sky_page, sky_rows
from contimg_resources.cli.main import app
from contimg_resources.core.errors import BenchFailed, MosaicFailed, PhotometryFailed
from tests.bench.alone import end, refuse, timed_hold

_TINY = ("--tiles", "3", "--size", "300", "--sources", "100", "--days", "3", "--rounds", "1")


def _here(function: Callable[[Any], Any], argument: Any) -> Any:
    return function(argument)


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run the command on next to nothing, in this process: a dozen others would take longer."""
    monkeypatch.setattr(surveying, "in_fresh_process", _here)
    arguments = [*_TINY, "--catalogue", "20000", "--out-dir", str(tmp_path / "out")]
    page = tmp_path / "docs" / "page.md"
    told = CliRunner().invoke(app, ["bench-sky", *arguments, "--page", str(page), "--json"])
    assert told.exit_code == 0, told.output
    printed = json.loads(told.stdout)
    assert printed == json.loads((tmp_path / "out" / "bench-sky.json").read_text())
    return tmp_path


def test_a_tiny_run_measures_everything(tiny: Path) -> None:
    told = json.loads((tiny / "out" / "bench-sky.json").read_text())
    goals = [row["goal_s"] for row in told["rows"]]
    assert goals == [60, 10, 5, 5, 5, 0.05, None, None, None]
    assert all(row["seconds"] > 0 and row["peak_gb"] > 0.01 for row in told["rows"])
    compared = [row for row in told["rows"] if row["peer_name"]]
    assert len(compared) == 4
    assert all(row["peer_s"] > 0 for row in compared)
    assert [p.name for p in (tiny / "out").iterdir()] == ["bench-sky.json"]
    page = (tiny / "docs" / "page.md").read_text()
    assert all(row["name"] in page for row in told["rows"])
    assert told["notes"]
    assert all(note in page for note in told["notes"])


def test_a_fresh_process_knows_its_own_memory_only() -> None:
    held = np.ones(400_000_000, np.uint8)
    small, peak_gb = in_fresh_process(timed_hold, 1000)
    assert (small, held.size) == (1000, 400_000_000)
    assert peak_gb < 0.4
    _, larger_gb = in_fresh_process(timed_hold, 200_000_000)
    assert larger_gb - peak_gb == pytest.approx(0.2, abs=0.02)


def test_a_killed_process_and_its_errors_are_told() -> None:
    with pytest.raises(BenchFailed, match="ran end was killed"):
        in_fresh_process(end, signal.SIGKILL)
    with pytest.raises(MosaicFailed, match="no tile") as raised:
        in_fresh_process(refuse, "no tile")
    assert raised.value.details == {"key": "k"}


def test_the_peer_makes_the_same_mosaic(tmp_path: Path) -> None:
    sky = sky_mosaics.make_tiles(sky_mosaics.TilesToMake(tmp_path / "tiles", 3, 300, 50))
    result, _ = sky_mosaics.mosaic(sky.request(tmp_path / "ours"))
    plain = tmp_path / "plain.fits"
    sky_mosaics.reproject_coadds(sky_mosaics.PlainTask(result, sky.tiles, plain))
    ours, sigma = fits.getdata(result.files.image), fits.getdata(result.files.sigma)
    difference = np.abs((np.squeeze(ours) - fits.getdata(plain)) / np.squeeze(sigma))
    assert np.nanmedian(difference) < 0.01


def test_what_was_not_measured_is_refused(tmp_path: Path) -> None:
    sky = sky_mosaics.make_tiles(sky_mosaics.TilesToMake(tmp_path / "tiles", 2, 300, 50))
    with pytest.raises(MosaicFailed, match="not the last tile alone"):
        sky_mosaics.add_last_tile(sky.request(tmp_path / "nothing-there"))
    sky.tiles[1].residual.unlink()
    with pytest.raises(MosaicFailed, match="tiles were refused"):
        sky_mosaics.mosaic(sky.request(tmp_path / "mosaic"))
    year = sky_questions.Year(tmp_path / "year", 2, 20)
    sky_questions.fill_year(year)
    with pytest.raises(PhotometryFailed, match="2 epochs of 3"):
        sky_questions.ask_light_curves(sky_questions.Year(year.root, 3, 20))


def test_missed_goals_and_peers_are_told() -> None:
    rows = (
        Row("mosaic", 20.0, 60.0, 1.25, "reproject", 110.0),
        Row("curve", 0.0612, 0.05, 0.3),
        Row("cone", 0.0094, None, 0.3),
    )
    assert sky_rows(rows) == [
        ("mosaic", "20.0", "60", "1.25", "reproject", "110.0", "5.5"),
        ("curve", "0.061", "0.05 (missed)", "0.30", "", "", ""),
        ("cone", "0.0094", "", "0.30", "", "", ""),
    ]
    page = sky_page(SkyReport(12, 2400, 10, 365, 9, "2 cores", {"duckdb": "1"}, rows, ("so",)))
    assert "| mosaic | 20.0 | 60 | 1.25 | reproject | 110.0 | 5.5 |" in page
    assert page.endswith("\n- so\n")
