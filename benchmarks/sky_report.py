"""The report of the benchmark of mosaics, photometry and catalogues: a table and a page.

Belongs here: its records, and formatting them. Doesn't: measuring.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.report import markdown_table

HEADINGS = ("step", "this (s)", "goal (s)", "peak memory (GB)", "peer", "peer (s)", "times faster")


@dataclass(frozen=True)
class Row:
    """One measurement."""

    name: str  #: Name of the work.
    seconds: float  #: Its time, seconds.
    goal_s: float | None  #: Goal, seconds; None: no goal.
    peak_gb: float  #: Peak memory of its process, GB.
    peer_name: str = ""  #: Name of the peer; empty: no peer.
    peer_s: float | None = None  #: Time of the peer, seconds.

    @property
    def reached(self) -> bool:
        """Whether the goal, if any, is reached."""
        return self.goal_s is None or self.seconds <= self.goal_s

    @property
    def ratio(self) -> float | None:
        """Factor by which it is faster than its peer, if any."""
        return None if self.peer_s is None else self.peer_s / self.seconds


@dataclass(frozen=True)
class SkyReport:
    """Results of one run."""

    n_tiles: int  #: Tiles of the mosaic.
    size: int  #: Pixels per side of each tile.
    n_sources: int  #: Sources that were measured.
    n_days: int  #: Days of the light curves.
    n_catalogue: int  #: Sources in the catalogue.
    machine: str  #: Processor architecture and cores.
    software: dict[str, str]  #: Versions.
    rows: tuple[Row, ...]  #: The measurements.
    notes: tuple[str, ...]  #: Notes on them.


def sky_rows(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """Return the measurements as rows under `HEADINGS`."""
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
        "# Performance of mosaics, photometry and catalogues",
        "",
        f"`contimg bench-sky` wrote this page, in one run on {report.machine}; {versions}. Tiles, "
        "measurements and the catalogue are simulated. Each row is measured in a separate process, "
        "which has loaded its programs before; mosaic and photometry took turns with their peers "
        "(medians), and all run with their default number of cores. Light curves and regions of "
        "the catalogue: median of several, each for another source or position.",
        "",
        *markdown_table(HEADINGS, sky_rows(report.rows)),
        "",
        *(f"- {note}" for note in report.notes),
    ]
    return "\n".join(lines) + "\n"


def _seconds(value: float) -> str:
    return f"{value:.1f}" if value >= 10 else f"{value:#.2g}"
