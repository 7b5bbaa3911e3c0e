"""The benchmark of the search for events on little of everything, and its ideal observer."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import events, events_report
from benchmarks.events import Size
from benchmarks.ideal import IdealObserver
from benchmarks.skies import AGN_LIKE, STEADY, Kind, Population, Sky
from contimg_resources.cli.main import run
from contimg_resources.settings import EseSettings
from contimg_resources.simulation.light_curves import Watch, steady_light_curves
from contimg_resources.variability.ese import matches
from contimg_resources.variability.ese_loops import SCORE
from contimg_resources.variability.noise import LogCurves, log_curves, relative


def test_it_counts_and_writes_its_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sky = Sky(AGN_LIKE, Watch(n_days=200))
    monkeypatch.setattr(events, "QUICK", Size(3, 12, 500, 3, all_skies=False))
    monkeypatch.setattr(events, "_ALONE", 4)
    monkeypatch.setattr(events, "_skies", lambda _every: [sky])
    for module in (events, events_report):
        monkeypatch.setattr(module, "DEPTHS", (0.3, 0.5))
        monkeypatch.setattr(module, "WIDTHS_DAYS", (20.0, 40.0))
    page = tmp_path / "page.md"
    command = ["bench-ese", "--quick", "--events", "3", "--page", str(page)]
    command += ["--out-dir", str(tmp_path / "parts")]
    assert run(command) == 0
    text = page.read_text()
    assert text.count("| yes |") + text.count("| no |") == 13
    n, found_and_ideal = text.split("| 50 % | ")[1].split(" | ")[:2]
    found, ideal = found_and_ideal.split(" / ")
    assert n == "3"
    assert int(found) >= 3
    assert int(ideal) >= 3
    assert "| like real AGN | 1 | 5 | 200 |" in text
    check = text.split("## The check of the threshold")[1].split("| like real AGN | ")[1]
    of_all, flipped, shuffled, *_ = check.split(" | ")
    assert " in 7)" in of_all
    assert " in " in flipped
    assert " in " in shuffled

    # A run that was stopped continues with the finished parts.
    monkeypatch.setattr(events, "measure_sky", None)
    monkeypatch.setattr(events, "_times", None)
    page.unlink()
    assert run(command) == 0
    assert page.read_text() == text


def test_the_ideal_observer_knows_the_covariance() -> None:
    kind = Kind(((0.1, 20.0),), jitter=0.03)
    sky = Sky(Population("one", (kind,)), Watch(n_days=300))
    curves, kinds = sky.light_curves(20, np.random.default_rng(3))
    mjd = curves.mid_mjd[curves.of(0)]
    ((which, scores),) = IdealObserver(sky, mjd, EseSettings()).scores(curves, kinds)
    assert which.tolist() == list(range(20))
    # The search's own recursions, in the same noise.
    _, flux, error = relative(curves)
    logs = log_curves(curves.offsets, curves.mid_mjd, flux, error)
    watch = sky.watch
    same = np.full_like(
        error, np.sqrt(watch.error**2 + watch.own_scatter**2 + watch.epoch_scatter**2)
    )
    noise = np.tile([0.1, 20.0, 0.03], (20, 1))
    logs = LogCurves(logs.offsets, logs.mjd, logs.values, same)
    found = matches(logs, noise, EseSettings())
    assert scores.max(axis=1) == pytest.approx(found[:, 0, SCORE], rel=0.02)


def test_light_curves_have_the_covariance_that_is_known() -> None:
    watch = replace(Watch(n_days=400), gap_days=0.0, lost=0.0)
    kind = Kind(((0.1, 20.0),), jitter=0.05, annual=0.1, flares=(3.0, 0.2, 15.0))
    mjd = 60_676.0 + np.arange(0.0, watch.n_days, 8.0)
    values = kind.drawn(mjd, 20_000, np.random.default_rng(5))
    assert np.cov(values.T) == pytest.approx(kind.covariance(mjd), abs=0.003)


def test_epoch_errors_drift_for_all_sources_alike() -> None:
    watch = Watch(n_days=40, error=1e-6, lost=0.0, gap_days=0.0, own_scatter=1e-6, epoch_days=20.0)
    random = np.random.default_rng(6)
    drawn = [steady_light_curves(2, watch, random) for _ in range(300)]
    values = np.array([np.log(c.flux_jy.reshape(2, -1)) for c in drawn])
    change = values[:, :, 10:] - values[:, :, :-10]
    assert change[:, 0] == pytest.approx(change[:, 1], abs=1e-4)
    covariance = Sky(STEADY, watch).covariance(0, drawn[0].mid_mjd[:11])
    expected = covariance[0, 0] + covariance[10, 10] - 2 * covariance[0, 10]
    assert expected == pytest.approx(2 * 0.02**2 * (1 - np.exp(-0.5)), rel=1e-3)
    assert np.mean(np.square(change)) == pytest.approx(expected, rel=0.15)
