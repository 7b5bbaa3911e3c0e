"""The benchmark of the search for Extreme Scattering Events: all of its measurements.

Belongs here: which skies, the replay, times and memory, goals. Doesn't: measuring one sky (see
`cells`), the report (see `events_report`).
"""

import hashlib
import os
import resource
import time
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import numpy as np
from pydantic import TypeAdapter
from scipy.optimize import minimize

from benchmarks.cells import DAY, OnSky, measure_sky
from benchmarks.replay import Replay, replay
from benchmarks.report import describe_machine
from benchmarks.skies import AGN_LIKE, ANNUAL, FLARING, STEADY, TWO_WALKS, Kind, Population, Sky
from contimg_resources.casa import Progress
from contimg_resources.core.arrays import Floats
from contimg_resources.settings import EseSettings, VariabilitySettings
from contimg_resources.simulation.light_curves import Watch, write_light_curves
from contimg_resources.variability import candidates
from contimg_resources.variability.measuring import measure_variability
from contimg_resources.variability.model import LightCurves
from contimg_resources.variability.points import read_points

DEPTHS = (0.1, 0.2, 0.3, 0.5, 0.7)
WIDTHS_DAYS = (10.0, 20.0, 40.0, 80.0, 120.0, 180.0)
CADENCES_DAYS, ERRORS = (1.0, 2.0, 4.0, 7.0), (0.02, 0.05, 0.1, 0.2)
_DAILY = Watch(n_days=730)
#: The population of the search's times: one source in twenty varies like an AGN.
_USUAL = Population("usual", (*(Kind(),) * 209, *AGN_LIKE.kinds[1:]))
_YEARS_REPLAYED = 4
#: Sources without an event on each sky, for each event of a kind.
_ALONE = 20
#: Light curves that are fitted with celerite2.
_PEER_SAMPLE = 100


@dataclass(frozen=True)
class Size:
    """The amount of work."""

    n_events: int  #: Events of each kind on each sky.
    n_sources: int  #: Sources of the search whose time is measured.
    step_days: int  #: Days between the searches of the replay.
    n_replayed: int  #: Sources of the replay.
    all_skies: bool  #: All skies, or one of each population.

    @property
    def n_alone(self) -> int:
        """Sources without an event on each sky."""
        return _ALONE * self.n_events


FULL = Size(6, 10_000, 15, 24, all_skies=True)
QUICK = Size(6, 1_000, 30, 12, all_skies=False)


@dataclass(frozen=True)
class Times:
    """Time and memory of one search of many sources, with noise, threshold and fits."""

    n_sources: int  #: Sources.
    n_days: int  #: Length of their light curves, days.
    n_fitted: int  #: Candidates and rejected dips.
    search_s: float  #: Time of the search, seconds.
    search_cpu_s: float  #: Its CPU time, seconds.
    #: CPU time of its main thread, seconds: the time of the search when no other work is running.
    main_cpu_s: float
    measures_s: float  #: Time of reading the measurements, a file a day, and their metrics.
    memory_gb: float  #: Highest memory of the process.
    #: CPU time, seconds, of fitting one random walk with jitter to each of the sources with
    #: celerite2 and scipy, from a sample of them: a part of what the search does.
    peer_cpu_s: float


@dataclass(frozen=True)
class EventsReport:
    """Results of one run."""

    skies: tuple[OnSky, ...]  #: The search beside the ideal observer.
    replay: Replay  #: Events once found.
    times: Times  #: Time and memory.
    cpu_s: float  #: CPU time of the skies, seconds.
    machine: str  #: Processor and cores.
    software: dict[str, str]  #: Versions.


_Part = TypeVar("_Part", Times, OnSky, Replay)


def run_events_bench(size: Size, out_dir: Path, say: Progress, seed: int = 1) -> EventsReport:
    """Measure times, skies and the replay; the same seed gives the same events.

    Finished parts are kept in a directory for the size, the seed and the code, below `out_dir`: a
    run that was stopped continues there.
    """
    settings = EseSettings()
    name = f"{size.n_events}-{size.n_sources}-{seed}-{_code()}"
    kept = out_dir / name
    kept.mkdir(parents=True, exist_ok=True)
    say("times of a search", 0.0)
    times = _read(kept / "times.json", Times)
    if times is None:
        with (
            TemporaryDirectory(prefix="contimg-bench-") as made_up,
            # A process of its own: the memory is that of reading and searching alone.
            ProcessPoolExecutor(1, get_context("spawn")) as pool,
        ):
            _write_curves(Path(made_up), size.n_sources, seed)
            times = pool.submit(_times, Path(made_up), size.n_sources, settings).result()
        _write(kept / "times.json", Times, times)
    skies = list(_skies(size.all_skies))
    seeds = np.random.SeedSequence(seed).spawn(len(skies) + 1)
    kinds = [(depth, width) for depth in DEPTHS for width in WIDTHS_DAYS]
    cores = len(os.sched_getaffinity(0))
    measured: dict[int, OnSky] = {}
    again = _read(kept / "replay.json", Replay)
    with ProcessPoolExecutor(cores, get_context("spawn"), _one_core) as pool:
        at_work: dict[Future[Any], int] = {}
        for number, sky in enumerate(skies):
            done = _read(kept / f"sky-{number}.json", OnSky)
            if done is not None:
                measured[number] = done
                continue
            one = partial(measure_sky, sky, kinds, size.n_events, size.n_alone, settings)
            at_work[pool.submit(one, seed=seeds[number])] = number
        if again is None:
            at_work[pool.submit(_replay, size, settings, seeds[-1])] = len(skies)
        for future in as_completed(at_work):
            number, result = at_work[future], future.result()
            if isinstance(result, Replay):
                again = result
                _write(kept / "replay.json", Replay, result)
            else:
                measured[number] = result
                _write(kept / f"sky-{number}.json", OnSky, result)
            say(f"{len(measured)} of {len(skies)} skies", 0.1 + 0.85 * len(measured) / len(skies))
    assert again is not None
    return EventsReport(
        tuple(measured[number] for number in range(len(skies))),
        again,
        times,
        sum(on_sky.cpu_s for on_sky in measured.values()),
        describe_machine(cores),
        {name: version(name) for name in ("contimg", "numpy", "scipy", "numba", "celerite2")},
    )


def _code() -> str:
    """Return a checksum of the search and of the benchmark."""
    folders = (Path(__file__).parent, Path(candidates.__file__).parent)
    files = sorted(file for folder in folders for file in folder.glob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:8]


def _read(path: Path, kind: type[_Part]) -> _Part | None:
    return TypeAdapter(kind).validate_json(path.read_bytes()) if path.is_file() else None


def _write(path: Path, kind: type[_Part], part: _Part) -> None:
    beside = path.with_suffix(".part")
    beside.write_bytes(TypeAdapter(kind).dump_json(part, indent=1))
    beside.replace(path)


def _skies(every: bool) -> Iterator[Sky]:
    """Yield skies; the first of each population is watched daily for two years, errors 5 %."""
    for population in (AGN_LIKE, STEADY, TWO_WALKS, FLARING, ANNUAL):
        yield Sky(population, _DAILY)
        if not every:
            continue
        others = [
            replace(_DAILY, cadence_days=cadence, error=error)
            for cadence in CADENCES_DAYS
            for error in ERRORS
            # All pairs for sources like AGN; each alone for the others.
            if (cadence, error) != (1.0, 0.05)
            and (population is AGN_LIKE or cadence == 1.0 or error == 0.05)
        ]
        if population in (FLARING, ANNUAL):
            others = others[::3]
        if population is AGN_LIKE:
            others += [
                replace(_DAILY, gap_days=40.0),
                replace(_DAILY, n_days=1461),
                replace(_DAILY, epoch_days=20.0),
            ]
        yield from (Sky(population, watch) for watch in others)


def _one_core() -> None:
    import numba

    numba.set_num_threads(1)


def _replay(size: Size, settings: EseSettings, seed: np.random.SeedSequence) -> Replay:
    sky = Sky(AGN_LIKE, replace(_DAILY, n_days=round(365.25 * _YEARS_REPLAYED)))
    random = np.random.default_rng(seed)
    return replay(sky, size.n_replayed, size.step_days, settings, random)


def _write_curves(root: Path, n_sources: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    write_light_curves(root, Sky(_USUAL, _DAILY).light_curves(n_sources, random)[0])


def _times(root: Path, n_sources: int, settings: EseSettings) -> Times:
    # Compiled before the clock starts.
    few = Sky(_USUAL, Watch(n_days=120)).light_curves(20, np.random.default_rng(1))[0]
    candidates.search_candidates(few, settings, DAY)
    began_s = time.perf_counter()
    curves = read_points(root)
    measure_variability(curves, VariabilitySettings(), DAY)
    measures_s = time.perf_counter() - began_s
    began_s, began_cpu_s, began_main_s = (
        time.perf_counter(),
        time.process_time(),
        time.thread_time(),
    )
    found = candidates.search_candidates(curves, settings, DAY)
    return Times(
        n_sources,
        _DAILY.n_days,
        len(found.candidates) + len(found.rejected),
        time.perf_counter() - began_s,
        time.process_time() - began_cpu_s,
        time.thread_time() - began_main_s,
        measures_s,
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        len(curves) * _peer_cpu_s(curves),
    )


def _peer_cpu_s(curves: LightCurves) -> float:
    """Return the CPU time of one fit by celerite2 and scipy, seconds."""
    import celerite2

    process = celerite2.GaussianProcess(celerite2.terms.RealTerm(a=1.0, c=1.0))

    def unlikelihood(logs: Floats, mjd: Floats, error: Floats, values: Floats) -> float:
        sigma, tau_days, jitter = np.exp(logs)
        process.mean = values.mean()
        process.kernel = celerite2.terms.RealTerm(a=sigma**2, c=1.0 / tau_days)
        process.compute(mjd, diag=error**2 + jitter**2, quiet=True)
        return -float(process.log_likelihood(values))

    sample = range(0, len(curves), max(1, len(curves) // _PEER_SAMPLE))
    began_s = time.process_time()
    for number in sample:
        one = curves.of(number)
        flux_jy = curves.flux_jy[one].astype(np.float64)
        data = curves.mid_mjd[one], curves.error_jy[one] / flux_jy, np.log(flux_jy)
        minimize(
            unlikelihood,
            np.log([0.1, 30.0, 0.02]),
            args=data,
            method="L-BFGS-B",
            bounds=[(-7.0, 0.7), (0.0, 7.6), (-9.0, -0.7)],
        )
    return (time.process_time() - began_s) / len(sample)
