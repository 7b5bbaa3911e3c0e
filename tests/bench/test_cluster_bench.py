"""What `contimg bench-cluster` fills stores with, and what its page tells."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from benchmarks import cluster_curves, cluster_stores, years
from benchmarks.cluster_curves import CurveCosts, measure_curves
from benchmarks.cluster_report import (
    ClusterReport,
    cluster_page,
    curve_rows,
    draw_cluster,
    store_rows,
)
from benchmarks.cluster_stores import StoreCosts, measure_stores
from benchmarks.cluster_workers import Throughput, throughput
from benchmarks.platform_years import Cost
from contimg_resources.products.tables import artefacts, observations
from contimg_resources.steps.staleness import stale_observations
from contimg_resources.steps.workshop import Workshop
from tests import postgres


def quiet(message: str, share: float | None = None) -> None:
    """Say nothing."""


def test_earlier_years_are_as_consistent_as_the_first_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two more blocks of observations: each has its image, made with the set that is nearest."""
    if postgres.programs() is None:
        pytest.skip("needs Postgres (Debian: postgresql)")

    def once(question: Callable[[], object], _repeats: int = 1) -> float:
        question()
        return 0.5

    seen: list[tuple[int, int, int]] = []
    real = cluster_stores._size_gb

    def look(settings: Any) -> float:
        workshop = Workshop.from_settings(settings)
        keys, made = (
            workshop.products.all(
                sa.select(sa.func.count(sa.distinct(table.c.key))), lambda row: int(row[0])
            )[0]
            for table in (observations, artefacts)
        )
        seen.append((keys, made, len(stale_observations(workshop))))
        return real(settings)

    monkeypatch.setattr(years, "timed", once)
    monkeypatch.setattr(cluster_stores, "timed", once)
    monkeypatch.setattr(cluster_stores, "_size_gb", look)
    results = list(measure_stores(tmp_path, (1, 3), quiet, block=60, with_platform=False))
    assert seen == [(60, 60, 0), (180, 180, 0)]
    assert [r.n_observations for r in results] == [60, 180]
    names = [c.name for c in results[0].costs]
    assert names == [c.name for c in results[1].costs]
    assert {c.goal_s for c in results[1].costs} == {2e-3, 1.0, None, 10.0}


def test_light_curves_are_measured_with_every_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_curves, "in_fresh_process", lambda f, argument: f(argument))
    told = measure_curves(tmp_path, 50, 40, quiet)
    assert (told.n_sources, told.n_epochs) == (50, 40)
    assert min(told.compact_s, told.update_s, told.curve_s, told.size_gb) > 0


def test_workers_that_begin_late_lose_only_the_time_between_their_runs() -> None:
    """Two runs at once: the second begins 4 s after the first, and 1 s passes between two runs."""
    first = [[11.0 * i, 11.0 * i + 10.0] for i in range(3)]
    second = [[began + 4.0, end + 4.0] for began, end in first]
    told = throughput([*second, *first], 2, 10.0)
    assert (told.n_runs, told.took_s, told.ramp_s, told.between_s) == (6, 36.0, 4.0, 1.0)
    # From 4 s to 26 s each has 20 s of work.
    assert told.share == pytest.approx(20.0 / 22.0)


def test_the_page_names_what_missed_its_goal(tmp_path: Path) -> None:
    def stores(n: int, status_s: float) -> StoreCosts:
        costs = (Cost("`contimg status`", status_s, 1.0), Cost("a tick", status_s, 1.0, 0.4))
        return StoreCosts(n, 400, 0.5, 10.0, costs, load=12.0)

    report = ClusterReport(
        machine="2 cores",
        software={"contimg": "0.1.0"},
        stores=(stores(26_000, 0.6), stores(1_014_000, 1.5)),
        workers=(
            Throughput(8, 24, 60.0, 185.0, 2.0, 0.4, 0.97),
            Throughput(16, 48, 60.0, 200.0, 9.0, 1.4, 0.9, 17.0),
        ),
        curves=(CurveCosts(100_000, 3650, 22.0, 900.0, 9.0, 0.05, 0.3, 0.4),),
    )
    page = cluster_page(report, "images/x.png")
    assert "| `contimg status` | 0.60 | 1.5 | 1 (missed) |" in page
    assert "| a tick | 0.60 (0.40) | 1.5 (0.40) | 1 (missed under this load) |" in page
    assert "| *load of the machine* | 12 | 12 |  |" in page
    assert "| 8 | 24 | 185 | 2 | 97 % | 0.40 | 0 |  |" in page
    assert "| 16 | 48 | 200 | 9 | 90 % | 1.40 | 17 | 95 % (missed) |" in page
    assert "| light curve of one source (s) | 0.050 | 0.1 |" in page
    draw_cluster(report, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 10_000
    # A run of one part keeps the others.
    again = ClusterReport(machine="2 cores", software={}, workers=report.workers[:1])
    assert again.completed(report).stores == report.stores
    assert again.completed(report).workers == report.workers[:1]
    # A part that was never measured has no table.
    for rows in (store_rows(again.stores), curve_rows(again.curves)):
        assert rows[1] == []
    assert "Light curves" not in cluster_page(again, "images/x.png")
