"""What the benchmark of mosaics, photometry and catalogues tells: a table and a page.

Belongs here: its records, how they are told. Doesn't: measuring.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.report import markdown_table

HEADINGS = ("what", "this (s)", "goal (s)", "peak memory (GB)", "peer", "peer (s)", "times faster")


@dataclass(frozen=True)
class Row:
    """One thing that was measured.

    Parameters
    ----------
    name : str
        What.
    seconds : float
        How long it took, seconds.
    goal_s : float or None
        How long it may take, seconds; None: nothing was promised.
    peak_gb : float
        Most memory of its process, GB.
    peer_name : str, optional
        What it is compared with; empty: nothing.
    peer_s : float, optional
        How long that took, seconds.
    """

    name: str
    seconds: float
    goal_s: float | None
    peak_gb: float
    peer_name: str = ""
    peer_s: float | None = None

    @property
    def reached(self) -> bool:
        """Whether the goal, if there is one, is reached."""
        return self.goal_s is None or self.seconds <= self.goal_s

    @property
    def ratio(self) -> float | None:
        """How many times faster than its peer; None without one."""
        return None if self.peer_s is None else self.peer_s / self.seconds


@dataclass(frozen=True)
class SkyReport:
    """Everything that one run measured.

    Parameters
    ----------
    n_tiles, size : int
        Tiles of the mosaic, and pixels a side of each.
    n_sources : int
        Sources that were measured.
    n_days : int
        Days of the light curves.
    n_catalogue : int
        Sources in the catalogue.
    machine : str
        Processor architecture and cores.
    software : dict of str to str
        Versions.
    rows : tuple of Row
        What was measured.
    notes : tuple of str
        What belongs to it.
    """

    n_tiles: int
    size: int
    n_sources: int
    n_days: int
    n_catalogue: int
    machine: str
    software: dict[str, str]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]


def sky_rows(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """Return what was measured as rows under `HEADINGS`."""
    return [
        (
            r.name,
            _seconds(r.seconds),
            "" if r.goal_s is None else f"{r.goal_s:g}" + ("" if r.reached else " (missed)"),
            f"{r.peak_gb:.2f}",
            r.peer_name,
            "" if r.peer_s is None else _seconds(r.peer_s),
            "" if r.ratio is None else f"{r.ratio:.1f}",
        )
        for r in rows
    ]


def sky_page(report: SkyReport) -> str:
    """Return the page of the documentation, Markdown."""
    versions = ", ".join(f"{name} {number}" for name, number in report.software.items())
    lines = [
        "# What mosaics, photometry and catalogues cost",
        "",
        f"`contimg bench-sky` wrote this page, in one run on {report.machine}; {versions}. Tiles, "
        "measurements and the catalogue are made up. Each row is measured in a process of its own, "
        "which has loaded its programs before; mosaic and photometry took turns with their peers "
        "(medians), and all run on as many cores as they use by themselves. Light curves and "
        "pieces of the catalogue: median of several, each about another source or place.",
        "",
        *markdown_table(HEADINGS, sky_rows(report.rows)),
        "",
        *(f"- {note}" for note in report.notes),
    ]
    return "\n".join(lines) + "\n"


def _seconds(value: float) -> str:
    return f"{value:.1f}" if value >= 10 else f"{value:#.2g}"
