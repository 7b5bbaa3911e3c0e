"""The benchmark of the search for Extreme Scattering Events: completeness and false alarms.

Belongs here: injecting, searching, counting. Doesn't: the report (see `events_report`).
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.ideal import DAY, Beside, any_shape, measure_beside
from benchmarks.report import describe_machine
from contimg_resources.casa import Progress
from contimg_resources.products.events import CandidateRecord
from contimg_resources.settings import EseSettings, VariabilitySettings
from contimg_resources.simulation.light_curves import (
    Event,
    Watch,
    steady_light_curves,
    with_events,
    with_variables,
    write_light_curves,
)
from contimg_resources.variability.candidates import Found, search_candidates
from contimg_resources.variability.measuring import measure_variability
from contimg_resources.variability.model import LightCurves
from contimg_resources.variability.points import read_points

DEPTHS = (0.1, 0.15, 0.2, 0.3, 0.5)
WIDTHS_DAYS = (10.0, 20.0, 40.0, 80.0, 120.0, 180.0)
CADENCES_DAYS = (1.0, 2.0, 4.0, 7.0)
ERRORS = (0.02, 0.05, 0.1, 0.2)
#: The goal: 30 % dips of these widths, daily, at 5 %.
GOAL_WIDTHS_DAYS = (20.0, 40.0, 80.0, 120.0)
GOAL_DEPTH, GOAL_COMPLETENESS, GOAL_FALSE_ALARMS = 0.3, 0.9, 1.0
#: 60 s on two cores.
GOAL_CPU_S = 120.0
#: The goals on sources like real AGN: fraction of what the ideal observer finds, where that is more
#: than 30 %; false alarms.
GOAL_RATIO, GOAL_FALSE_ALARMS_AGN = 0.9, 5.0
GOAL_MEASURES_S = 10.0
_OTHER_WIDTHS_DAYS = (20.0, 60.0, 120.0)
_STEADY_DAYS = 730
#: Sources for each source with an event.
_BESIDE = 5


@dataclass(frozen=True)
class Cell:
    """Completeness for one kind of event."""

    depth: float  #: Depth of the events.
    width_days: float  #: Width of the events.
    cadence_days: float  #: Cadence of the observations.
    error: float  #: Relative error of the observations.
    n: int  #: Injected events.
    n_found: int  #: Events found within a width of their epoch of minimum.
    n_in_progress: int  #: Found events whose state is still in progress.
    n_besides: int  #: Candidates of the same sources that don't match the event.
    #: `mid_off_days`, `width_ratio`, `depth_off`: Medians over the found events: absolute offset of
    #: the epoch of minimum, measured over true width, measured less true depth.
    mid_off_days: float
    width_ratio: float
    depth_off: float

    @property
    def completeness(self) -> float:
        """Fraction of the events that was found."""
        return self.n_found / self.n


@dataclass(frozen=True)
class Alarms:
    """False alarms on sources without an event."""

    name: str  #: Kind of sources.
    source_years: float  #: Total observed time of the sources, years.
    n: int  #: Candidates.
    n_rejected: int  #: Dips above the threshold that failed the vetting.
    threshold: float  #: Minimum score of a dip.

    @property
    def per_1000_years(self) -> float:
        """False alarms in 1000 source-years."""
        return 1000 * self.n / self.source_years


@dataclass(frozen=True)
class EventsReport:
    """Results of one run."""

    cells: tuple[Cell, ...]  #: Completeness.
    alarms: tuple[Alarms, ...]  #: False alarms.
    beside: tuple[Beside, ...]  #: The search beside an ideal observer, on sources like real AGN.
    #: CPU time of searching `n_sources` light curves of `n_days`, with the threshold; seconds.
    search_cpu_s: float
    #: Time of reading them, one file per day, and computing their variability metrics; seconds.
    measures_s: float
    n_sources: int  #: Number of these light curves.
    n_days: int  #: Length of these light curves.
    machine: str  #: Processor and cores.
    software: dict[str, str]  #: Versions.


def run_events_bench(
    n_events: int, n_sources: int, say: Progress, *, seed: int = 1, clegg_too: bool = False
) -> EventsReport:
    """Inject events, search, and count.

    There are `n_events` events of each kind, and `n_sources` steady sources, two years each, for
    the false alarms and the times. `clegg_too`: search with Clegg's templates as well as Fiedler's.
    """
    random = np.random.default_rng(seed)
    settings = EseSettings(templates=("fiedler", "clegg") if clegg_too else ("fiedler",))
    say("steady sources", 0.0)
    # Compiled before the clock starts.
    _search(steady_light_curves(20, Watch(n_days=120), random), settings)
    watch = Watch(n_days=_STEADY_DAYS)
    steady = steady_light_curves(n_sources, watch, random)
    with TemporaryDirectory(prefix="contimg-bench-") as made_up:
        root = Path(made_up)
        say("files of measurements, one per day", 0.05)
        write_light_curves(root, steady)
        began_s = time.perf_counter()
        steady = read_points(root)
        measure_variability(steady, VariabilitySettings(), DAY)
        measures_s = time.perf_counter() - began_s
    began_s = time.process_time()
    found = search_candidates(steady, settings, DAY)
    search_cpu_s = time.process_time() - began_s
    alarms = [_alarms("steady", found)]
    threshold = found.threshold
    say("variables", 0.3)
    varying, which = with_variables(
        steady_light_curves(max(200, n_sources // 10), Watch(), random), 0.3, random
    )
    found = _search(varying, settings)
    names = set(varying.source_id[which])
    of_steady = replace(
        found, candidates=tuple(c for c in found.candidates if c.source_id not in names)
    )
    years = found.source_years / len(varying)
    alarms.append(
        replace(
            _alarms("steady, among variables", of_steady),
            source_years=years * float((~which).sum()),
        )
    )
    alarms.append(
        Alarms(
            "intrinsically variable (damped random walks of 5 to 20 %, flares)",
            years * float(which.sum()),
            len(found.candidates) - len(of_steady.candidates),
            len(found.rejected),
            found.threshold,
        )
    )
    say("sources like real AGN", 0.35)
    alone, agn_cells = measure_beside(n_events, max(24, n_sources // 5), settings, random)
    alarms.append(_alarms("like real AGN, two years", alone))
    beside = tuple(agn_cells)
    kinds = _kinds()
    thresholds: dict[tuple[float, float], float] = {(1.0, 0.05): threshold}
    cells = []
    for number, (depth, width, cadence, error) in enumerate(kinds):
        say(f"{100 * depth:.0f} % over {width:g} d", 0.4 + 0.6 * number / len(kinds))
        watch = Watch(cadence_days=cadence, error=error)
        if (cadence, error) not in thresholds:
            calm = steady_light_curves(max(300, n_sources // 10), watch, random)
            thresholds[cadence, error] = _search(calm, settings).threshold
        cells.append(
            _inject(depth, width, watch, n_events, settings, thresholds[cadence, error], random)
        )
    return EventsReport(
        tuple(cells),
        tuple(alarms),
        beside,
        search_cpu_s,
        measures_s,
        n_sources,
        _STEADY_DAYS,
        describe_machine(len(os.sched_getaffinity(0))),
        {name: version(name) for name in ("contimg", "numpy", "scipy", "numba")},
    )


def _kinds() -> list[tuple[float, float, float, float]]:
    daily = [(d, w, 1.0, 0.05) for d in DEPTHS for w in WIDTHS_DAYS]
    sparser = [(GOAL_DEPTH, w, c, 0.05) for c in CADENCES_DAYS if c > 1 for w in _OTHER_WIDTHS_DAYS]
    noisier = [(GOAL_DEPTH, w, 1.0, e) for e in ERRORS if e != 0.05 for w in _OTHER_WIDTHS_DAYS]
    return daily + sparser + noisier


def _search(curves: LightCurves, settings: EseSettings, threshold: float | None = None) -> Found:
    return search_candidates(curves, settings, DAY, threshold=threshold)


def _alarms(name: str, found: Found) -> Alarms:
    return Alarms(
        name, found.source_years, len(found.candidates), len(found.rejected), found.threshold
    )


def _inject(
    depth: float,
    width_days: float,
    watch: Watch,
    n_events: int,
    settings: EseSettings,
    threshold: float,
    random: np.random.Generator,
) -> Cell:
    # With steady sources beside them: neighbours of an event have no event at the same time.
    curves = steady_light_curves(_BESIDE * n_events, watch, random)
    first, last = curves.mid_mjd[0], curves.mid_mjd[-1]
    events = {
        _BESIDE * index: Event(
            any_shape(random),
            # Its ingress lies within the observed time, with a baseline before it.
            random.uniform(first + width_days, last - width_days / 2),
            width_days,
            depth,
        )
        for index in range(n_events)
    }
    found = _search(with_events(curves, events), settings, threshold)
    best: dict[int, CandidateRecord] = {}
    besides = 0
    for candidate in found.candidates:
        index = int(np.searchsorted(curves.source_id, candidate.source_id))
        event = events.get(index)
        near = event and abs(candidate.mid_mjd - event.mid_mjd) <= event.width_days
        if near and index not in best:
            best[index] = candidate
        elif event:
            besides += 1
    told = list(best.items())
    return Cell(
        depth,
        width_days,
        watch.cadence_days,
        watch.error,
        n_events,
        len(told),
        sum(c.state.value == "in progress" for _, c in told),
        besides,
        _median([abs(c.mid_mjd - events[i].mid_mjd) for i, c in told]),
        _median([c.parameters.width_days / width_days for _, c in told]),
        _median([c.parameters.depth - depth for _, c in told]),
    )


def _median(values: Sequence[float]) -> float:
    return float(np.median(values)) if values else float("nan")
