"""The benchmark of the search for events on little of everything, and its ideal observer."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import events, events_report
from benchmarks.events import Size
from benchmarks.ideal import IdealObserver
from benchmarks.skies import AGN_LIKE, Kind, Population, Sky
from contimg_resources.cli.main import run
from contimg_resources.settings import EseSettings
from contimg_resources.simulation.light_curves import Watch
from contimg_resources.variability.ese import matches
from contimg_resources.variability.ese_loops import SCORE
from contimg_resources.variability.noise import LogCurves, log_curves, relative


def test_it_counts_and_writes_its_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sky = Sky(AGN_LIKE, Watch(n_days=200))
    monkeypatch.setattr(events, "QUICK", Size(4, 24, 400, 4, all_skies=False))
    monkeypatch.setattr(events, "_skies", lambda _every: [sky])
    for module in (events, events_report):
        monkeypatch.setattr(module, "DEPTHS", (0.3, 0.5))
        monkeypatch.setattr(module, "WIDTHS_DAYS", (20.0, 40.0))
    page = tmp_path / "page.md"
    assert run(["bench-ese", "--quick", "--page", str(page), "--out-dir", str(tmp_path)]) == 0
    text = page.read_text()
    assert text.count("| yes |") + text.count("| no |") == 11
    found, ideal = text.split("| 50 % | ")[1].split(" | ")[0].split(" / ")
    assert int(found) >= 3
    assert int(ideal) >= 3
    assert "| like real AGN | 1 | 5 | 200 |" in text


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
