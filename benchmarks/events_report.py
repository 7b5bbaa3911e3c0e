"""The report of the benchmark of the search for events: tables and a page.

Belongs here: formatting its results. Doesn't: measuring (see `events`).
"""

from collections.abc import Sequence

from benchmarks.events import (
    GOAL_COMPLETENESS,
    GOAL_CPU_S,
    GOAL_DEPTH,
    GOAL_FALSE_ALARMS,
    GOAL_FALSE_ALARMS_AGN,
    GOAL_MEASURES_S,
    GOAL_RATIO,
    GOAL_WIDTHS_DAYS,
    Alarms,
    Cell,
    EventsReport,
)
from benchmarks.ideal import Beside
from benchmarks.report import markdown_table

CELL_HEADINGS = (
    "depth (%)",
    "width (d)",
    "cadence (d)",
    "error (%)",
    "found",
    "in progress",
    "false in addition",
    "minimum off by (d)",
    "width, measured / true",
    "depth, measured - true (%)",
)
BESIDE_HEADINGS = (
    "depth (%)",
    "width (d)",
    "found",
    "by the ideal observer",
    "ratio",
    "depth, measured - true (%)",
    "minimum, measured - true (d)",
    "pull of the depth",
    "pull of the minimum",
)
ALARM_HEADINGS = ("sources", "source-years", "candidates", "per 1000 source-years", "rejected dips")


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


def beside_rows(cells: Sequence[Beside]) -> list[tuple[str, ...]]:
    """Return the search beside the ideal observer as rows under `BESIDE_HEADINGS`."""
    return [
        (
            f"{100 * c.depth:.0f}",
            f"{c.width_days:g}",
            f"{100 * c.n_found / c.n:.1f} %",
            f"{100 * c.n_ideal / c.n:.1f} %",
            f"{c.n_found / max(c.n_ideal, 1):.2f}",
            f"{100 * c.depth_off:+.1f}",
            f"{c.mid_off_days:+.1f}",
            f"{c.depth_pull:.2f}",
            f"{c.mid_pull:.2f}",
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
    """Return which goals were reached, as sentences."""
    goal = [c for c in report.cells if is_goal(c)]
    worst = min(goal, key=lambda c: c.completeness)
    rate, on_agn = report.alarms[0].per_1000_years, report.alarms[-1].per_1000_years
    ratio = min(c.n_found / c.n_ideal for c in report.beside if c.n_ideal > 0.3 * c.n)
    return (
        f"Completeness of {100 * GOAL_DEPTH:.0f} % dips of {GOAL_WIDTHS_DAYS[0]:g} to "
        f"{GOAL_WIDTHS_DAYS[-1]:g} days at 5 % and daily cadence: {100 * worst.completeness:.1f} % "
        f"at least (goal {100 * GOAL_COMPLETENESS:.0f} %"
        + (")" if worst.completeness >= GOAL_COMPLETENESS else ", missed)"),
        f"False alarms per 1000 source-years of steady sources: {rate:.2f} (goal "
        f"{GOAL_FALSE_ALARMS:g}" + (")" if rate <= GOAL_FALSE_ALARMS else ", missed)"),
        f"Least of the found events over those of the ideal observer, on sources like real AGN: "
        f"{ratio:.2f} (goal {GOAL_RATIO:g}" + (")" if ratio >= GOAL_RATIO else ", missed)"),
        f"False alarms per 1000 source-years of sources like real AGN: {on_agn:.2f} (goal "
        f"{GOAL_FALSE_ALARMS_AGN:g}" + (")" if on_agn <= GOAL_FALSE_ALARMS_AGN else ", missed)"),
        f"Searching {report.n_sources} sources over {report.n_days} days, threshold included: "
        f"{report.search_cpu_s:.0f} s of CPU time (goal {GOAL_CPU_S:.0f} s, a minute on two cores"
        + (")" if report.search_cpu_s <= GOAL_CPU_S else ", missed)"),
        "Reading their measurements, one file per day, and computing the variability metrics: "
        f"{report.measures_s:.1f} s (goal {GOAL_MEASURES_S:.0f} s"
        + (")" if report.measures_s <= GOAL_MEASURES_S else ", missed)"),
    )


def is_goal(cell: Cell) -> bool:
    """Return whether a goal is set for these events."""
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
        "# Performance of the search for Extreme Scattering Events",
        "",
        f"`contimg bench-ese` wrote this page, in one run on {report.machine}; {versions}. The "
        "light curves cover a year (steady sources and those like AGN two), with 8 % of the epochs "
        "lost and gaps of six days, an error of 2 % that all sources of an epoch share, and a "
        "scatter of 1.5 % per measurement that isn't in the errors. The events are random lenses "
        "of Fiedler's and Clegg's kinds, which aren't in the template bank, from a width after the "
        "beginning to half a width before the end. An event is found when the search gives a "
        'candidate within a width of the true epoch of minimum; "false in addition" are further '
        "candidates in the same light curves. The "
        f"threshold, measured on the steady light curves, is {report.alarms[0].threshold:.1f}.",
        "",
        *(f"- {words}." for words in in_words(report)),
        "",
        "## Completeness",
        "",
        *markdown_table(CELL_HEADINGS, cell_rows(report.cells)),
        "",
        "## On sources like real AGN",
        "",
        "The same, on two years of sources with the intrinsic variability of thirteen real AGN: "
        "damped random walks of 3 to 42 % and jitter, the lens multiplying them. The ideal "
        "observer knows the covariance of each source, has the same templates and the same rate "
        "of false alarms.",
        "",
        *markdown_table(BESIDE_HEADINGS, beside_rows(report.beside)),
        "",
        "## False alarms",
        "",
        *markdown_table(ALARM_HEADINGS, alarm_rows(report.alarms)),
        "",
    ]
    return "\n".join(lines)


def _missed(cell: Cell) -> bool:
    return is_goal(cell) and cell.completeness < GOAL_COMPLETENESS
