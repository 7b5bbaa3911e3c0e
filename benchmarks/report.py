"""The results as a table, JSON, a plot and a page.

Belongs here: how results are told. Doesn't: measuring.
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
    """A part of a step.

    Parameters
    ----------
    step : str
        The step, such as ``image``.
    name : str
        What was being done.
    seconds : float
        How long, seconds.
    """

    step: str
    name: str
    seconds: float


@dataclass(frozen=True)
class Growth:
    """One point of how the cost grows.

    Parameters
    ----------
    along : str
        What was changed: ``antennas``, ``channels`` or ``pixels a side``.
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
    """Everything that one run of the benchmark measured.

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
        The contests.
    overhead : Overhead, optional
        What the platform adds to an observation; None: not measured.
    stages : tuple of Stage
        What costs what within the steps.
    growth : tuple of Growth
        How the cost grows.
    notes : tuple of str
        What was left out, and why.
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
        """Return this report with what only an earlier run measured, on the same machine.

        Step and peer of a row are always of one run. A report of another size, machine or software
        adds nothing.
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


#: A stage gets its number in the picture from this share of the longest step.
_NUMBERED_SHARE = 0.015
HEADINGS = (
    *("step", "this (s)", "peer", "peer (s)", "times faster", "goal", "peak memory (GB)"),
    "turns",
)


def table_rows(results: Sequence[Result]) -> list[tuple[str, ...]]:
    """Return the contests as rows under `HEADINGS`."""
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
    """Say what the platform adds to an observation."""
    missed = "" if overhead.overhead_s < GOAL_S else ", missed"
    return (
        f"The platform adds {overhead.overhead_s:.1f} s to an observation (goal: under "
        f"{GOAL_S:g} s{missed}): the median, over {len(overhead.run_s)} runs of a tiny night, of a "
        "run from its launch by the daemon to its end, less the time inside of its two steps."
    )


def describe_machine(cores: int) -> str:
    """Return architecture, cores and system."""
    return f"{cores} cores, {platform.machine()}, {platform.system()}"


def draw(report: BenchReport, png: Path) -> None:
    """Draw the time of each stage and how the cost grows."""
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
        "# What costs what",
        "",
        f"`make bench` wrote this page: a simulated observation of size `{report.size}` "
        f"({report.n_visibilities / 1e6:.0f} million visibilities, with a WEIGHT_SPECTRUM) on "
        f"{report.machine}; "
        f"{versions}. Step and peer took turns in one run; times are medians, memory the most of "
        "any turn. Before each turn the machine is made ready: nothing is left "
        "to be written to disk, and the memory that a virtual machine gave back to its host is at "
        "hand again, which would else cost seconds a GB, by chance. Both sides have loaded their "
        "programs when the clock starts, as in a run of the platform, where that is done while "
        "Dagster starts.",
        "",
        *markdown_table(HEADINGS, table_rows(report.results)),
        "",
        *((overhead_in_words(report.overhead), "") if report.overhead else ()),
        *(f"- {note}" for note in report.notes),
        *([""] if report.notes else []),
        f"![Time of each stage, and how it grows]({picture})",
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
        headings = ("along", "value", "million visibilities", "apply (s)", "image (s)")
        lines += ["", "## Growth", "", *markdown_table(headings, rows)]
    return "\n".join(lines) + "\n"


def markdown_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table, Markdown."""
    return [
        f"| {' | '.join(headings)} |",
        f"|{'---|' * len(headings)}",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]
