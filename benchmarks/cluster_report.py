"""The report of the benchmark of several machines: tables, a plot and a page.

Belongs here: its record, and formatting it. Doesn't: measuring.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.cluster_curves import EARLY_SOURCES, FULL_DAYS, CurveCosts
from benchmarks.cluster_stores import StoreCosts
from benchmarks.cluster_workers import Throughput
from benchmarks.platform_years import Cost
from benchmarks.report import markdown_table

#: Goals of light curves, seconds; and of the throughput of `GOAL_WORKERS` runs at once.
CURVE_GOAL_S, UPDATE_GOAL_S = 0.1, 60.0
SHARE_GOAL, GOAL_WORKERS = 0.95, 16


@dataclass(frozen=True)
class ClusterReport:
    """Results, each of the last run that measured it."""

    machine: str  #: Processor architecture and cores.
    software: dict[str, str]  #: Versions.
    stores: tuple[StoreCosts, ...] = ()  #: Stores in Postgres, by size.
    workers: tuple[Throughput, ...] = ()  #: Throughput, by number of runs at once.
    curves: tuple[CurveCosts, ...] = ()  #: Light curves, by number of sources.

    def completed(self, before: "ClusterReport") -> "ClusterReport":
        """Return this report with the results that only an earlier run has."""
        return replace(
            self,
            stores=self.stores or before.stores,
            workers=self.workers or before.workers,
            curves=self.curves or before.curves,
        )


def store_rows(stores: Sequence[StoreCosts]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return headings and rows: one row for each query, one column for each size."""
    headings = ("query", *(f"{s.n_observations:,} (s)" for s in stores), "goal (s)")
    if not stores:
        return headings, []
    rows = []
    for name in dict.fromkeys(c.name for s in stores for c in s.costs):
        found = [next((c for c in s.costs if c.name == name), None) for s in stores]
        rows.append((name, *("" if c is None else _cost(c) for c in found), _goal(found)))
    rows += [
        ("*size of both stores, GB*", *(f"{s.size_gb:.1f}" for s in stores), ""),
        ("*load of the machine*", *(f"{s.load:.0f}" for s in stores), ""),
    ]
    return headings, rows


def _cost(cost: Cost) -> str:
    used = "" if cost.cpu_s is None else f" ({_seconds(cost.cpu_s)})"
    return _seconds(cost.seconds) + used


def _goal(costs: Sequence[Cost | None]) -> str:
    """Return the goal of a query, and whether the largest size that was measured misses it."""
    last = next(c for c in reversed(costs) if c is not None)
    if last.goal_s is None:
        return ""
    if last.seconds <= last.goal_s:
        return f"{last.goal_s:g}"
    waits = last.cpu_s is not None and last.cpu_s <= last.goal_s
    return f"{last.goal_s:g} (missed{' under this load' if waits else ''})"


def worker_rows(workers: Sequence[Throughput]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return headings and rows: one for each number of runs at once."""
    headings: tuple[str, ...] = (
        "runs at once",
        "runs",
        "took (s)",
        "all began after (s)",
        "of the ideal",
        "between two runs (s)",
        "load",
        "goal",
    )
    rows: list[tuple[str, ...]] = [
        (
            str(w.n_workers),
            str(w.n_runs),
            f"{w.took_s:.0f}",
            f"{w.ramp_s:.0f}",
            f"{100 * w.share:.0f} %",
            f"{w.between_s:.2f}",
            f"{w.load:.0f}",
            f"{100 * SHARE_GOAL:.0f} %" + (" (missed)" if w.share < SHARE_GOAL else "")
            if w.n_workers == GOAL_WORKERS
            else "",
        )
        for w in workers
    ]
    return headings, rows


def curve_rows(curves: Sequence[CurveCosts]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return headings and rows: one for each query, one column for each number of sources."""
    headings = ("", *(f"{c.n_sources:,} x {c.n_epochs:,}" for c in curves), "goal")
    if not curves:
        return headings, []

    def row(name: str, values: Sequence[float], goal: float | None) -> tuple[str, ...]:
        missed = goal is not None and values[-1] > goal
        told = "" if goal is None else f"{goal:g}" + (" (missed)" if missed else "")
        return (name, *(_seconds(v) for v in values), told)

    rows = [
        row("light curve of one source (s)", [c.curve_s for c in curves], CURVE_GOAL_S),
        row("the first one in a process (s)", [c.first_curve_s for c in curves], None),
        row("a day's update (s)", [c.update_s for c in curves], UPDATE_GOAL_S),
        row("compaction of all epochs (s)", [c.compact_s for c in curves], None),
        row("size of the files (GB)", [c.size_gb for c in curves], None),
        row("peak memory, light curves (GB)", [c.peak_gb for c in curves], None),
    ]
    return headings, rows


def draw_cluster(report: ClusterReport, png: Path) -> None:
    """Plot the growth of the queries, and the throughput."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    sizes = [s.n_observations for s in report.stores]
    for name in dict.fromkeys(c.name for s in report.stores for c in s.costs if c.goal_s):
        points = [
            (n, c.seconds)
            for n, s in zip(sizes, report.stores, strict=True)
            for c in s.costs
            if c.name == name
        ]
        left.plot(*zip(*points, strict=True), "o-", label=name.replace("`", ""), markersize=4)
    left.set(xscale="log", yscale="log", xlabel="observations", ylabel="seconds")
    left.grid(alpha=0.3)
    left.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    numbers = [w.n_workers for w in report.workers]
    right.plot(numbers, [w.n_workers * w.share for w in report.workers], "o-", label="measured")
    right.plot(numbers, numbers, ":", color="grey", label="ideal")
    right.set(xlabel="runs at once", ylabel="throughput, in runs at once")
    right.grid(alpha=0.3)
    right.legend()
    figure.savefig(png, dpi=110)


def cluster_page(report: ClusterReport, picture: str) -> str:
    """Return the page of the documentation, Markdown."""
    versions = ", ".join(f"{name} {number}" for name, number in report.software.items())
    lines = [
        "# Performance on several machines",
        "",
        f"`make bench-cluster` wrote this page, on {report.machine}; {versions}. Servers, workers "
        "and what they serve share these cores.",
        "",
        f"![growth of the queries, and throughput]({picture})",
    ]
    if report.stores:
        n_sets = max(s.n_sets for s in report.stores)
        lines += [
            "",
            "## Ten years of observations in Postgres",
            "",
            f"Both stores are in Postgres with its default settings, with {n_sets:,} active "
            "caltable sets; the observations are simulated, the MS of the latest 90 days are in "
            "the MS directory. Each sensor is evaluated alone, in a fresh process: its first ticks "
            "query all MS of the directory and check all days for stale products. A tick in "
            "Dagster, beside those of the other sensors, and Dagster's pages are measured with its "
            "storage in Postgres and the window of keys (`retention.partition_days`), at the "
            "smallest and the largest size, after these first ticks. Times are by the "
            "clock; in parentheses is the processor time of client and server, which other work on "
            "the machine changes less. With a load above the number of cores queries wait for "
            "their turn.",
            "",
            *markdown_table(*store_rows(report.stores)),
            "",
            "The sensor that lists stale products checks the days that a changed set or product "
            "affects; all days are checked once, by its first ticks, and when the settings of the "
            "look-up change.",
        ]
    if report.workers:
        first = report.workers[0]
        lines += [
            "",
            "## Throughput of workers",
            "",
            f"Each run is one of Dagster's, in Celery's worker, and waits for {first.run_s:g} s; "
            "the time in between is what queue, launcher and worker need. The ideal are workers "
            "that lose no time; it is compared from when as many runs have begun as can run at "
            "once, all of which are started together, to the start of the last run. "
            "All workers share the cores with Postgres, Redis, the control plane; on hosts of "
            "their own they have more. The load is that of the whole machine, with other work.",
            "",
            *markdown_table(*worker_rows(report.workers)),
        ]
    if report.curves:
        lines += [
            "",
            "## Light curves of ten years",
            "",
            "Measurements in Parquet files, one epoch a day, compacted into files sorted by "
            f"source; sources x epochs. The last {FULL_DAYS} days have all sources, earlier days "
            f"at most {EARLY_SOURCES:,} of them: a light curve reads one part of each compacted "
            "file, and these parts have as many rows as with all sources. The light curves are of "
            "sources that every day has.",
            "",
            *markdown_table(*curve_rows(report.curves)),
        ]
    return "\n".join(lines) + "\n"


def _seconds(value: float) -> str:
    return f"{value:.1f}" if value >= 10 else f"{value:#.2g}"
