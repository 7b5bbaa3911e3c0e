"""The report of the benchmark of the search for events: tables and a page.

Belongs here: goals, formatting results. Doesn't: measuring (see `events`).
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from benchmarks.cells import Cell, OnSky
from benchmarks.events import DEPTHS, WIDTHS_DAYS, EventsReport
from benchmarks.report import markdown_table
from contimg_resources.core.statistics import STD_OF_MAD
from contimg_resources.simulation.light_curves import Watch

#: Goals: fraction of what the ideal observer finds, in each kind of event of which that finds more
#: than `_IDEAL_FINDS`.
_GOAL_RATIO, _IDEAL_FINDS = 0.9, 0.3
#: Completeness by depth, for dips of these widths (days) in sources like AGN, daily, at 5 %.
_GOAL_COMPLETENESS, _GOAL_WIDTHS_DAYS = {0.3: 0.75, 0.5: 0.92}, (20.0, 120.0)
#: False alarms in 1000 source-years, by population.
_GOAL_ALARMS = {"steady": 1.0, "like real AGN": 5.0}
_GOAL_LISTED, _GOAL_SEARCH_S, _GOAL_MEMORY_GB = 0.98, 60.0, 2.0
_GOAL_DEPTH_OFF, _GOAL_MID_OFF_DAYS, _GOAL_PULL = 0.02, 2.0, 0.15

SKY_HEADINGS = (
    *("sources", "cadence (d)", "error (%)", "days", "threshold", "kinds", "found (%)"),
    *("ideal (%)", "ratio", "worst kind", "false alarms", "per 1000 source-years"),
)
_EPOCH_HEADINGS = (
    *("epochs", "skies", "found", "by the informed search", "by the ideal observer"),
    *("found / informed", "found / ideal"),
)
_OWN_HEADINGS = (
    *("sources", "false alarms without events", "flipped", "shuffled", "sources with flares"),
    *("skies with a warning", "thresholds raised"),
)


def goal_rows(report: EventsReport) -> list[tuple[str, str, str, str]]:
    """Return the goals: what is measured, the figure, the goal, whether it is met."""
    return [
        (what, figure, goal, "yes" if met else "no") for what, figure, goal, met in _goals(report)
    ]


def _goals(report: EventsReport) -> Iterator[tuple[str, str, str, bool]]:
    agn = report.skies[0]
    for depth, least in _GOAL_COMPLETENESS.items():
        own = [
            c
            for c in agn.cells
            if c.depth == depth and _GOAL_WIDTHS_DAYS[0] <= c.width_days <= _GOAL_WIDTHS_DAYS[1]
        ]
        share = sum(c.n_found for c in own) / sum(c.n for c in own)
        yield (
            f"dips of {100 * depth:.0f} % over 20 to 120 d in sources like real AGN, daily, 5 %",
            f"{100 * share:.0f} %",
            f"{100 * least:.0f} %",
            share >= least,
        )
    of_sources = [c for cells in _by_sources(report.skies).values() for c in cells.values()]
    of_skies = [c for on_sky in report.skies for c in on_sky.cells]
    for where, every in (("all skies of some sources", of_sources), ("any sky", of_skies)):
        cells = _counted(every)
        low = [c for c in cells if c.n_found < _GOAL_RATIO * c.n_ideal]
        surely = [
            c for c in low if _GOAL_RATIO * c.n_ideal - c.n_found > 2 * np.sqrt(c.n_only_ideal)
        ]
        yield (
            f"kinds of events (depth, width) on {where} of which the search finds fewer than "
            f"{_GOAL_RATIO:g} of those of the ideal observer (by more than two standard "
            "deviations)",
            f"{len(low)} ({len(surely)}) of {len(cells)}",
            "0",
            not low,
        )
    known = [s for s in report.skies if s.cells[0].n_informed is not None]
    informed = [c for cells in _by_sources(known).values() for c in _counted(cells.values())]
    low = [c for c in informed if c.n_found < _GOAL_RATIO * (c.n_informed or 0)]
    yield (
        "the same for the informed search (below): sources like real AGN, all skies "
        "with independent epoch errors; lower are "
        + (", ".join(f"{100 * c.depth:.0f} % over {c.width_days:g} d" for c in low) or "none"),
        f"{len(low)} of {len(informed)}",
        "0",
        not low,
    )
    for name, most in _GOAL_ALARMS.items():
        own_skies = [s for s in report.skies if s.sky.population.name == name]
        if not own_skies:
            continue
        n, years = sum(s.n_alarms for s in own_skies), sum(s.source_years for s in own_skies)
        yield (
            f"false alarms in 1000 source-years, sources {name}",
            f"{1000 * n / years:.1f} ({n} in {years:.0f})",
            f"{most:g}",
            1000 * n / years <= most,
        )
    depth_off, mid_off, depth_error, mid_error = np.array(
        [
            row
            for on_sky in report.skies
            for c in on_sky.cells
            if on_sky.sky.population.name == agn.sky.population.name
            and c.depth in _GOAL_COMPLETENESS
            for row in c.off
        ]
    ).T
    for what, off, unit, most in (
        ("depth", 100 * depth_off, "%", 100 * _GOAL_DEPTH_OFF),
        ("epoch of minimum", mid_off, "d", _GOAL_MID_OFF_DAYS),
    ):
        median = float(np.median(off))
        yield (
            f"{what}, measured - true, median of {len(off)} events of 30 and 50 % on all skies of "
            "sources like real AGN",
            f"{median:+.2f} {unit}",
            f"within {most:g} {unit}",
            abs(median) <= most,
        )
    for what, pulls in (("depth", depth_off / depth_error), ("minimum", mid_off / mid_error)):
        spread = float(STD_OF_MAD * np.median(np.abs(pulls - np.median(pulls))))
        yield (
            f"pull of the {what} (standard deviation)",
            f"{spread:.2f}",
            f"1 within {_GOAL_PULL:g}",
            abs(spread - 1) <= _GOAL_PULL,
        )
    again, times = report.replay, report.times
    yield (
        f"searches since an event was found after which it is listed ({again.n_found} of "
        f"{again.n_events} events found, {again.n_days} days, a search every {again.step_days} d)",
        f"{100 * again.listed:.1f} %",
        f"{100 * _GOAL_LISTED:.0f} %",
        again.listed >= _GOAL_LISTED,
    )
    yield (
        f"search of {times.n_sources} sources over {times.n_days} days, noise, threshold and "
        f"{times.n_fitted} fits included: CPU time of the main thread, which is the time without "
        f"other work on the machine (of all threads {times.search_cpu_s:.0f} s; elapsed in this "
        f"run {times.search_s:.0f} s)",
        f"{times.main_cpu_s:.0f} s",
        f"{_GOAL_SEARCH_S:.0f} s on two cores",
        times.main_cpu_s <= _GOAL_SEARCH_S,
    )
    yield (
        "highest memory of that process, with the reading of the measurements",
        f"{times.memory_gb:.2f} GB",
        f"{_GOAL_MEMORY_GB:g} GB",
        times.memory_gb <= _GOAL_MEMORY_GB,
    )


def _counted(cells: Iterable[Cell]) -> list[Cell]:
    """Return the kinds of events of which the ideal observer finds enough."""
    return [c for c in cells if c.n_ideal > _IDEAL_FINDS * c.n]


def _by_sources(skies: Sequence[OnSky]) -> dict[str, dict[tuple[float, float], Cell]]:
    """Return the sums over all skies of each population, by depth and width (days)."""
    sums: dict[str, dict[tuple[float, float], Cell]] = {}
    for on_sky in skies:
        own = sums.setdefault(on_sky.sky.population.name, {})
        for cell in on_sky.cells:
            kind = (cell.depth, cell.width_days)
            own[kind] = own[kind].plus(cell) if kind in own else cell
    return sums


def sky_rows(skies: Sequence[OnSky]) -> list[tuple[str, ...]]:
    """Return a line for each sky, under `SKY_HEADINGS`."""
    rows: list[tuple[str, ...]] = []
    for on_sky in skies:
        watch, cells = on_sky.sky.watch, _counted(on_sky.cells)
        n, found, ideal = (sum(getattr(c, k) for c in cells) for k in ("n", "n_found", "n_ideal"))
        worst = min(cells, key=lambda c: c.n_found / c.n_ideal, default=None)
        rows.append(
            (
                on_sky.sky.population.name
                + (f", gaps of {watch.gap_days:g} d" if watch.gap_days != Watch().gap_days else "")
                + (f", epoch errors over {watch.epoch_days:g} d" if watch.epoch_days else ""),
                f"{watch.cadence_days:g}",
                f"{100 * watch.error:.0f}",
                f"{watch.n_days}",
                f"{on_sky.threshold:.1f}",
                f"{len(cells)}",
                f"{100 * found / max(n, 1):.0f}",
                f"{100 * ideal / max(n, 1):.0f}",
                f"{found / max(ideal, 1):.2f}",
                ""
                if worst is None
                else f"{worst.n_found} of {worst.n_ideal}: {100 * worst.depth:.0f} %, "
                f"{worst.width_days:g} d",
                f"{on_sky.n_alarms}",
                f"{1000 * on_sky.n_alarms / on_sky.source_years:.1f}",
            )
        )
    return rows


def _kind_rows(skies: Sequence[OnSky]) -> list[tuple[str, ...]]:
    """Return found events, by the search and by the ideal observer, a line for each depth."""
    return [
        (
            name,
            f"{100 * depth:.0f} %",
            f"{of[depth, WIDTHS_DAYS[0]].n}",
            *(f"{of[depth, w].n_found} / {of[depth, w].n_ideal}" for w in WIDTHS_DAYS),
        )
        for name, of in _by_sources(skies).items()
        for depth in DEPTHS
    ]


def _own_alarm_rows(skies: Sequence[OnSky]) -> list[tuple[str, ...]]:
    """Return false alarms on flipped and shuffled light curves, a line for each population."""
    rows = []
    for name in _by_sources(skies):
        own = [s for s in skies if s.sky.population.name == name]
        checks = [s.own_alarms for s in own if s.own_alarms is not None]
        told = [(sum(s.n_alarms for s in own), sum(s.source_years for s in own))]
        for every in ([c.flipped for c in checks], [c.shuffled for c in checks]):
            told.append((sum(a.n for a in every), sum(a.source_years for a in every)))
        rows.append(
            (
                name,
                *(f"{1000 * n / max(years, 1e-9):.1f} ({n} in {years:.0f})" for n, years in told),
                f"{sum(c.n_flaring for c in checks)}",
                f"{sum(bool(c.warning()) for c in checks)} of {len(own)}",
                f"{sum(c.threshold > c.measured for c in checks)}",
            )
        )
    return rows


def _missed_rows(skies: Sequence[OnSky]) -> list[tuple[str, ...]]:
    """Return how many events of the ideal observer were missed, a line for each reason."""
    missed: dict[str, Counter[str]] = {}
    for on_sky in skies:
        missed.setdefault(on_sky.sky.population.name, Counter()).update(on_sky.missed)
    every: Counter[str] = Counter()
    for own in missed.values():
        every.update(own)
    n_ideal = [sum(c.n_ideal for c in of.values()) for of in _by_sources(skies).values()]
    return [
        ("found by the ideal observer", *(str(n) for n in n_ideal)),
        *(
            (f"missed: {reason}", *(str(own[reason]) for own in missed.values()))
            for reason, _ in every.most_common()
        ),
    ]


def _rows_by_epochs(skies: Sequence[OnSky]) -> list[tuple[str, ...]]:
    """Return found events of skies with an informed search by the number of epochs."""
    groups: dict[int, list[list[Cell]]] = {}
    for on_sky in skies:
        cells = [c for c in _counted(on_sky.cells) if c.n_informed is not None]
        if cells:
            watch = on_sky.sky.watch
            groups.setdefault(round(watch.n_days / watch.cadence_days), []).append(cells)
    rows = []
    for epochs, own in sorted(groups.items(), reverse=True):
        found, informed, ideal = (
            sum(getattr(c, name) for cells in own for c in cells)
            for name in ("n_found", "n_informed", "n_ideal")
        )
        rows.append(
            (
                *(f"{n}" for n in (epochs, len(own), found, informed, ideal)),
                *(f"{found / max(n, 1):.2f}" for n in (informed, ideal)),
            )
        )
    return rows


def events_page(report: EventsReport) -> str:
    """Return the page of the documentation, Markdown."""
    versions = ", ".join(f"{name} {number}" for name, number in report.software.items())
    again, first, times = report.replay, report.skies[0], report.times
    lines = [
        "# Performance of the search for Extreme Scattering Events",
        "",
        f"`contimg bench-ese` (`make bench-ese`) wrote this page on {report.machine}; {versions}. "
        f"The skies took {report.cpu_s / 60:.0f} min of CPU time, with {first.cells[0].n} events "
        f"of each kind on each of {len(report.skies)} skies.",
        "",
        *markdown_table(("measured", "result", "goal", "met"), goal_rows(report)),
        "",
        "## The search beside an ideal observer",
        "",
        "Light curves have 8 % of the epochs lost and a gap of six days every 110, an error of 2 % "
        "that all sources of an epoch share, and a scatter of 1.5 % per measurement that isn't in "
        "the errors. The events are random lenses of Fiedler's and Clegg's kinds, which aren't in "
        "the template bank, from a width after the beginning to half a width before the end, and "
        "multiply the intrinsic variability. An event is found when there is a candidate within a "
        "width of the true epoch of minimum. The ideal observer knows the covariance of each "
        "source, has the same templates, the same light curves and the same rate of false alarms.",
        "",
        "*Like real AGN*: a steady source and damped random walks of 3 to 42 % with jitter, of "
        "eleven AGN. *Two walks each*: 4 or 6 % over 3 or 8 days and 8 to 30 % over 60 to 800 "
        "days. *Epoch errors over 20 d*: the shared error is correlated over 20 days. *Flares*: a "
        "third steady, the others with two flares a year, of 30 % in the mean, that decay in 10 "
        "or 30 days. *Annual waves*: 5 %, three of four sources with a walk.",
        "",
        f"The table counts the kinds of events of which the ideal observer finds more than "
        f"{100 * _IDEAL_FINDS:.0f} %, and the false alarms of the search among sources without "
        "events.",
        "",
        *markdown_table(SKY_HEADINGS, sky_rows(report.skies)),
        "",
        "Events found by the search / by the ideal observer, of all skies of the same sources:",
        "",
        *markdown_table(
            ("sources", "depth", "events of each width", *(f"{w:g} d" for w in WIDTHS_DAYS)),
            _kind_rows(report.skies),
        ),
        "",
        "Why the search missed events that the ideal observer found:",
        "",
        *markdown_table(
            ("", *(name for name in _by_sources(report.skies))), _missed_rows(report.skies)
        ),
        "",
        "The ideal observer knows the noise of each source. The search learns it from the same "
        "light curve, in which a dip resembles noise: the fewer measurements, the more of the dips "
        "just above the threshold of the ideal observer are just below that of the search. The "
        "*informed* search knows the noises of the population, each with its fraction of the "
        "sources, but not which source has which: nothing but the light curve could say it. In "
        "sources like real AGN:",
        "",
        *markdown_table(
            _EPOCH_HEADINGS,
            _rows_by_epochs(report.skies),
        ),
        "",
        "Flares aren't Gaussian, so the observer who knows their covariance isn't ideal: flares "
        "raise its threshold, while the search fits flares beside dips. Two walks and annual waves "
        "aren't the noise that the search assumes, so they can have more false alarms than "
        "`ese.false_alarms`. Steady sources have fewer, and dips of 10 % in them are missed: the "
        "ideal observer is allowed as many false alarms there as in variable sources.",
        "",
        "Errors with heavy tails and bad measurements can have more false alarms, too: [the "
        "description of the search](variability.md) has the figures.",
        "",
        "## The check of the threshold",
        "",
        "Each search counts the false alarms in the sources' own light curves (without those with "
        "known flares or steps), mirrored and with shuffled innovations: see [the description of "
        "the search](variability.md). Number in 1000 source-years, and number in source-years:",
        "",
        *markdown_table(_OWN_HEADINGS, _own_alarm_rows(report.skies)),
        "",
    ]
    lines += [
        "## Events once found",
        "",
        f"{again.n_sources} sources like real AGN, {again.n_events} with an event of 20 to 50 % "
        f"and 15 to 120 days, searched every {again.step_days} days with the candidates that the "
        f"searches before knew. {again.n_found} were found; they were listed after "
        f"{again.n_listed} of {again.n_searches} searches since then. They had {again.n_names} "
        f"ids. Of {again.n_false} other candidates {again.n_false_withdrawn} were withdrawn.",
        "",
        *(
            markdown_table(
                ("reason for which one was withdrawn", "times"),
                [(reason, str(n)) for reason, n in sorted(again.withdrawn.items())],
            )
            if again.withdrawn
            else ["None was withdrawn at any time."]
        ),
        "",
        "## Time",
        "",
        f"{times.n_sources} sources over {times.n_days} days, one in twenty like an AGN: the "
        f"search took {times.search_s:.0f} s, with {times.main_cpu_s:.0f} s of CPU time in its "
        f"main thread and {times.search_cpu_s:.0f} s in all; reading the measurements, one file "
        f"per day, and computing the variability metrics took {times.measures_s:.0f} s.",
        "",
        "Fitting one random walk with jitter to each source with celerite2 and scipy (L-BFGS-B), "
        f"which is a part of the search, would take {times.peer_cpu_s:.0f} s of CPU time, by a "
        f"sample of them in the same process: {times.peer_cpu_s / times.search_cpu_s:.1f} times "
        "the CPU time of the whole search.",
        "",
    ]
    return "\n".join(lines)
