"""The results as a table, JSON, a plot and a page.

Belongs here: formatting results. Doesn't: measuring.
"""

import platform
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.measure import Result
from benchmarks.overhead import GOAL_S, Overhead


@dataclass(frozen=True)
class Stage:
    """A stage of a step.

    Parameters
    ----------
    step : str
        The step, such as ``image``.
    name : str
        Progress message of the stage.
    seconds : float
        Its time, seconds.
    """

    step: str
    name: str
    seconds: float


@dataclass(frozen=True)
class Growth:
    """One point of a scaling curve.

    Parameters
    ----------
    along : str
        The variable: ``antennas``, ``channels`` or ``pixels a side``.
    value : int
        Its value.
    n_visibilities : int
        Visibilities.
    apply_s, image_s : float
        Times of the two steps, seconds.
    """

    along: str
    value: int
    n_visibilities: int
    apply_s: float
    image_s: float


@dataclass(frozen=True)
class BenchReport:
    """Results of one run of the benchmark.

    Parameters
    ----------
    size : str
        Size of the simulation.
    n_visibilities : int
        Visibilities of one observation.
    machine : str
        Processor architecture and cores.
    software : dict of str to str
        Versions.
    results : tuple of Result
        The comparisons.
    overhead : Overhead, optional
        The platform's overhead for an observation; None: not measured.
    stages : tuple of Stage
        Times of the stages within the steps.
    growth : tuple of Growth
        Scaling of the cost.
    notes : tuple of str
        Omissions, with the reasons.
    """

    size: str
    n_visibilities: int
    machine: str
    software: dict[str, str]
    results: tuple[Result, ...]
    overhead: Overhead | None
    stages: tuple[Stage, ...]
    growth: tuple[Growth, ...]
    notes: tuple[str, ...]

    def completed(self, before: "BenchReport") -> "BenchReport":
        """Return this report with the results that only an earlier run on the same machine has.

        Step and peer of a row always come from the same run. A report of another size, machine or
        software adds no results.
        """
        if (before.size, before.machine, before.software) != (
            self.size,
            self.machine,
            self.software,
        ):
            return self
        rows = {(r.name, r.peer_name): r for r in (*before.results, *self.results)}
        return replace(
            self,
            results=tuple(rows.values()),
            overhead=self.overhead or before.overhead,
            growth=self.growth or before.growth,
        )


#: Minimum fraction of the longest step for a stage to be numbered in the plot.
_NUMBERED_SHARE = 0.015
HEADINGS = (
    *("step", "this (s)", "peer", "peer (s)", "times faster", "goal", "peak memory (GB)"),
    "turns",
)


def table_rows(results: Sequence[Result]) -> list[tuple[str, ...]]:
    """Return the comparisons as rows under `HEADINGS`."""
    return [
        (
            r.name,
            f"{r.our_s:.1f}",
            r.peer_name,
            f"{r.peer_s:.1f}",
            f"{r.ratio:.1f}",
            f"{r.goal:g}" + ("" if r.reached else " (missed)"),
            f"{r.peak_gb:.2f}",
            str(len(r.ours)),
        )
        for r in results
    ]


def overhead_in_words(overhead: Overhead) -> str:
    """Return the platform's overhead for an observation as a sentence."""
    missed = "" if overhead.overhead_s < GOAL_S else ", missed"
    return (
        f"The platform adds {overhead.overhead_s:.1f} s to an observation (goal: under "
        f"{GOAL_S:g} s{missed}): the median, over {len(overhead.run_s)} runs of a tiny night, of "
        "the time from the launch by the daemon to the end of a run, less the time in its two "
        "steps."
    )


def describe_machine(cores: int) -> str:
    """Return architecture, cores and system."""
    return f"{cores} cores, {platform.machine()}, {platform.system()}"


def draw(report: BenchReport, png: Path) -> None:
    """Plot the time of each stage and the scaling of the cost."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    along = list(dict.fromkeys(g.along for g in report.growth))
    figure = Figure(figsize=(11, 3.4 + 3.2 * bool(along)), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(1 + bool(along), max(1, len(along)))
    _draw_stages(figure.add_subplot(grid[0, :]), report.stages)
    for column, what in enumerate(along):
        axes = figure.add_subplot(grid[1, column])
        points = sorted((g for g in report.growth if g.along == what), key=lambda g: g.value)
        values = [g.value for g in points]
        axes.plot(values, [g.apply_s for g in points], "o-", label="apply")
        axes.plot(values, [g.image_s for g in points], "s-", label="image")
        axes.set_xlabel(what)
        axes.set_ylabel("seconds")
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(png, dpi=110)


def _draw_stages(axes: Any, stages: Sequence[Stage]) -> None:
    from matplotlib import colormaps

    steps = list(dict.fromkeys(s.step for s in stages))
    widest_s = max(sum(s.seconds for s in stages if s.step == step) for step in steps)
    colours = colormaps["tab20"].colors  # type: ignore[attr-defined]
    for row, step in enumerate(steps):
        left = 0.0
        for i, stage in enumerate(s for s in stages if s.step == step):
            axes.barh(row, stage.seconds, left=left, color=colours[i % len(colours)])
            if stage.seconds > _NUMBERED_SHARE * widest_s:
                axes.text(left + stage.seconds / 2, row, str(i + 1), va="center", ha="center")
            left += stage.seconds
    axes.set_yticks(range(len(steps)), steps)
    axes.invert_yaxis()
    axes.set_xlabel("seconds; numbers as in the table of stages")


def page(report: BenchReport, picture: str) -> str:
    """Return the page of the documentation, Markdown."""
    versions = ", ".join(f"{name} {number}" for name, number in report.software.items())
    lines = [
        "# Performance of calibration and imaging",
        "",
        f"`make bench` wrote this page: a simulated observation of size `{report.size}` "
        f"({report.n_visibilities / 1e6:.0f} million visibilities, with a WEIGHT_SPECTRUM) on "
        f"{report.machine}; "
        f"{versions}. Step and peer took turns in one run; times are medians, memory the peak of "
        "any turn. Before each turn the machine is brought into the same state: all data are "
        "flushed to disk. Right before the clock starts, memory that a virtual machine returned to "
        "its host is allocated again and freed, which otherwise takes seconds per GB, by chance. "
        "Both sides have loaded their programs by then, as in a run of the platform, which loads "
        "them while Dagster starts.",
        "",
        *markdown_table(HEADINGS, table_rows(report.results)),
        "",
        *((overhead_in_words(report.overhead), "") if report.overhead else ()),
        *(f"- {note}" for note in report.notes),
        *([""] if report.notes else []),
        f"![Time of each stage, and scaling]({picture})",
        "",
        "## Stages",
        "",
        *markdown_table(
            ("step", "", "stage", "seconds"),
            [
                (s.step, str(number), s.name, f"{s.seconds:.1f}")
                for step in dict.fromkeys(s.step for s in report.stages)
                for number, s in enumerate((s for s in report.stages if s.step == step), 1)
            ],
        ),
    ]
    if report.growth:
        rows = [
            (
                g.along,
                str(g.value),
                f"{g.n_visibilities / 1e6:.1f}",
                f"{g.apply_s:.1f}",
                f"{g.image_s:.1f}",
            )
            for g in report.growth
        ]
        headings = ("variable", "value", "million visibilities", "apply (s)", "image (s)")
        lines += ["", "## Scaling", "", *markdown_table(headings, rows)]
    return "\n".join(lines) + "\n"


def markdown_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table, Markdown."""
    return [
        f"| {' | '.join(headings)} |",
        f"|{'---|' * len(headings)}",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]
