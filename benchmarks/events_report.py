"""What the benchmark of the search for events tells: tables and a page.

Belongs here: how its records are told. Doesn't: measuring (see `events`).
"""

from collections.abc import Sequence

from benchmarks.events import (
    GOAL_COMPLETENESS,
    GOAL_DEPTH,
    GOAL_FALSE_ALARMS,
    GOAL_MEASURES_S,
    GOAL_S,
    GOAL_WIDTHS_DAYS,
    Alarms,
    Cell,
    EventsReport,
)
from benchmarks.report import markdown_table

CELL_HEADINGS = (
    "depth (%)",
    "width (d)",
    "cadence (d)",
    "error (%)",
    "found",
    "in progress",
    "besides",
    "middle off by (d)",
    "width, found / true",
    "depth, found - true (%)",
)
ALARM_HEADINGS = ("sources", "source-years", "candidates", "in 1000 source-years", "refused dips")


def cell_rows(cells: Sequence[Cell]) -> list[tuple[str, ...]]:
    """Return completeness as rows under `CELL_HEADINGS`."""
    return [
        (
            f"{100 * c.depth:.0f}",
            f"{c.width_days:g}",
            f"{c.cadence_days:g}",
            f"{100 * c.error:.0f}",
            f"{100 * c.completeness:.1f} %" + (" (goal missed)" if _missed(c) else ""),
            f"{100 * c.n_in_progress / c.n:.0f} %",
            f"{100 * c.n_besides / c.n:.0f} %",
            f"{c.mid_off_days:.1f}",
            f"{c.width_ratio:.2f}",
            f"{100 * c.depth_off:+.1f}",
        )
        for c in cells
    ]


def alarm_rows(alarms: Sequence[Alarms]) -> list[tuple[str, ...]]:
    """Return false alarms as rows under `ALARM_HEADINGS`."""
    return [
        (a.name, f"{a.source_years:.0f}", str(a.n), f"{a.per_1000_years:.2f}", str(a.n_rejected))
        for a in alarms
    ]


def in_words(report: EventsReport) -> tuple[str, ...]:
    """Say which goals were reached."""
    goal = [c for c in report.cells if is_goal(c)]
    worst = min(goal, key=lambda c: c.completeness)
    rate = report.alarms[0].per_1000_years
    return (
        f"Completeness of {100 * GOAL_DEPTH:.0f} % dips of {GOAL_WIDTHS_DAYS[0]:g} to "
        f"{GOAL_WIDTHS_DAYS[-1]:g} days at 5 % and daily cadence: {100 * worst.completeness:.1f} % "
        f"at least (goal {100 * GOAL_COMPLETENESS:.0f} %"
        + (")" if worst.completeness >= GOAL_COMPLETENESS else ", missed)"),
        f"False alarms in 1000 source-years of steady sources: {rate:.2f} (goal "
        f"{GOAL_FALSE_ALARMS:g}" + (")" if rate <= GOAL_FALSE_ALARMS else ", missed)"),
        f"Searching {report.n_sources} sources over {report.n_days} days, threshold included: "
        f"{report.search_s:.0f} s (goal {GOAL_S:.0f} s"
        + (")" if report.search_s <= GOAL_S else ", missed)"),
        "Reading their points, a file a day, and measuring their variability: "
        f"{report.measures_s:.1f} s (goal {GOAL_MEASURES_S:.0f} s"
        + (")" if report.measures_s <= GOAL_MEASURES_S else ", missed)"),
    )


def is_goal(cell: Cell) -> bool:
    """Tell whether a goal is set for these events."""
    return (
        cell.depth == GOAL_DEPTH
        and cell.width_days in GOAL_WIDTHS_DAYS
        and cell.cadence_days == 1.0
        and cell.error == 0.05
    )


def events_page(report: EventsReport) -> str:
    """Return the page of the documentation, Markdown."""
    versions = ", ".join(f"{name} {number}" for name, number in report.software.items())
    lines = [
        "# What the search for Extreme Scattering Events finds",
        "",
        f"`contimg bench-ese` wrote this page, in one run on {report.machine}; {versions}. Light "
        "curves are of a year, with 8 % of the epochs lost and gaps of six days, 2 % of error that "
        "an epoch's sources share and 1.5 % of their own that their errors don't tell. Events are "
        "lenses drawn at random, of Fiedler's kind and of Clegg's, which the bank of templates "
        "doesn't hold, anywhere from a width after the beginning to half a width before the end; "
        "found is what the whole search calls a candidate within a width of the true middle; "
        "besides are further candidates in the same light curves. The "
        f"threshold, measured on the steady light curves, is {report.alarms[0].threshold:.1f}.",
        "",
        *(f"- {words}." for words in in_words(report)),
        "",
        "## Completeness",
        "",
        *markdown_table(CELL_HEADINGS, cell_rows(report.cells)),
        "",
        "## False alarms",
        "",
        *markdown_table(ALARM_HEADINGS, alarm_rows(report.alarms)),
        "",
    ]
    return "\n".join(lines)


def _missed(cell: Cell) -> bool:
    return is_goal(cell) and cell.completeness < GOAL_COMPLETENESS
