"""A fortnight of observations with the real gaps: when mosaics are made.

The log and the clock are simulated, and nothing is imaged; which mosaics are made, and what they
wait for, is the sensor's own decision.
"""

import itertools
import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from statistics import median

import numpy as np
import pytest

from contimg_resources.mosaics.due import Waiting, find_open
from contimg_resources.mosaics.windows import WindowGrid
from contimg_resources.products.epochs import TileSource
from contimg_resources.settings import (
    ArrivalSettings,
    CalibrationSettings,
    MosaicSettings,
    SensorSettings,
)
from tests import cadence

SETTINGS = MosaicSettings()
SETTLE_S = ArrivalSettings().settle_age_s
TICK_S = SensorSettings().interval_s
SEED = 11
FIRST_MJD = 61_041.0
STRIP_DEG = 54.6
#: Observations before that don't change any more.
_HORIZON_S = 4.5 * 3600.0
#: What the telescope and its disks do, by share of the observations.
REJECTED, FAILED, LATE = 0.01, 0.03, 0.02


def mjd(s: float) -> float:
    return FIRST_MJD + s / 86_400


@dataclass(frozen=True)
class Logged:
    """An observation in the log; times in seconds since the first began."""

    key: str
    mid_s: float
    registered_s: float
    done_s: float
    failed: bool
    late: bool


@dataclass(frozen=True)
class Made:
    """A mosaic when it was made."""

    at_s: float
    tiles: frozenset[str]


def log_of(n: int) -> list[Logged]:
    """Return observations that arrive, and are imaged 60-120 s later; a few late or never."""
    rng, found = random.Random(5), []
    for start_s in cadence.starts(n, SEED):
        # It is complete after it hasn't changed for a while, and the next scan registers it.
        registered_s = start_s + cadence.STEP_S + 30.0 + rng.uniform(0, TICK_S)
        kind = rng.random()
        if kind < REJECTED:
            continue
        if late := kind > 1 - LATE:
            registered_s += rng.uniform(600, 7200)
        mid_s = start_s + 0.5 * cadence.STEP_S
        failed = REJECTED < kind < REJECTED + FAILED
        done_s = registered_s + rng.uniform(60, 120)
        found.append(Logged(f"{mjd(mid_s):.5f}", mid_s, registered_s, done_s, failed, late))
    return found


@dataclass
class Simulation:
    """A simulated clock: what has arrived and is imaged, and the mosaics that were made."""

    log: list[Logged]
    proven: bool = True
    mosaics: dict[str, list[Made]] = field(default_factory=lambda: defaultdict(list))
    windows: dict[str, tuple[float, float]] = field(default_factory=dict)

    def run(self) -> None:
        """Let the sensor tick whenever its decision may change; more ticks would wait less."""
        longest_s = 60.0 * SETTINGS.wait_min
        changes_s = {1800.0 * n + longest_s for n in range(int(self.log[-1].mid_s // 1800) + 3)}
        for o in self.log:
            changes_s |= {o.registered_s + SETTLE_S, o.done_s, o.done_s + longest_s}
            if o.late:
                changes_s.add(o.done_s + SETTINGS.slot_s)
        ticks = {int(t // TICK_S) + 1 for t in changes_s}
        existing: dict[str, dict[str, str]] = {}
        reach = 0
        for tick in sorted(ticks):
            now_s = float(tick * TICK_S)
            while self.log[reach].mid_s < now_s - _HORIZON_S:
                reach += 1
            recent = []
            for o in self.log[reach:]:
                if o.mid_s > now_s:
                    break
                if o.registered_s <= now_s:
                    recent.append(o)
            self._tick(now_s, recent, existing)

    def _tick(
        self, now_s: float, recent: list[Logged], existing: dict[str, dict[str, str]]
    ) -> None:
        if not recent:
            return
        arrived = {o.key: mjd(o.registered_s) for o in recent}
        found = find_open(
            [_source(o, now_s) for o in recent],
            {key: existing[key] for key in list(existing)[-14:]},
            arrivals=lambda *_: arrived if self.proven else dict.fromkeys(arrived, 0.0),
            waiting=Waiting(SETTINGS, SETTLE_S),
            strip_tolerance_deg=CalibrationSettings().strip_tolerance_deg,
            now_mjd=mjd(now_s),
        )
        for one in found:
            if not one.waits_for and one.planned.start_mjd > mjd(now_s - _HORIZON_S):
                existing[one.key] = one.tiles
                self.mosaics[one.key].append(Made(now_s, frozenset(one.tiles)))
                self.windows[one.key] = one.planned.start_mjd, one.planned.end_mjd


def _source(o: Logged, now_s: float) -> TileSource:
    done = now_s >= o.done_s
    return TileSource(
        o.key,
        mjd(o.mid_s),
        STRIP_DEG,
        in_progress=not done,
        waits=False,
        checksum=f"sha256:{o.key}" if done and not o.failed else "",
        updated_mjd=mjd(o.done_s if done else o.registered_s),
    )


@pytest.fixture(scope="module")
def fortnight() -> Simulation:
    simulation = Simulation(log_of(cadence.FORTNIGHT))
    simulation.run()
    return simulation


def waits_s(simulation: Simulation) -> list[tuple[float, str, Made]]:
    """Return the wait from the last image to the mosaic, each time that one was made."""
    done_s = {o.key: o.done_s for o in simulation.log}
    return [
        (made.at_s - max(done_s[key] for key in made.tiles), name, made)
        for name, versions in simulation.mosaics.items()
        for made in versions
    ]


def test_the_log_is_like_the_real_one() -> None:
    begin = np.array(cadence.starts(cadence.FORTNIGHT, SEED))
    steps = np.diff(begin)
    assert begin[-1] / 86_400 == pytest.approx(14.0, abs=0.5)
    assert np.mean(steps < 311) == pytest.approx(0.82, abs=0.02)
    assert np.mean((steps > 311) & (steps < 620)) == pytest.approx(1 / 6.5, abs=0.02)
    # Hours with observations that some are missing from.
    hours = np.arange(0, begin[-1], 1800)
    observed = [h for h in hours if np.any((begin >= h) & (begin < h + 3600))]
    with_gap = [np.any((steps > 311) & (begin[:-1] < h + 3300) & (begin[1:] > h)) for h in observed]
    assert np.mean(with_gap) == pytest.approx(0.89, abs=0.05)


def test_hardly_any_mosaic_waits_for_a_gap(fortnight: Simulation) -> None:
    waits = waits_s(fortnight)
    assert median(wait_s for wait_s, _, _ in waits) < 60.0
    slow = [w for w in waits if w[0] > 15 * 60]
    stops = np.diff(cadence.starts(cadence.FORTNIGHT, SEED)) > 1000
    # A stop cuts two windows.
    assert len(slow) < 2 * np.sum(stops)
    for wait_s, name, made in slow:
        # The telescope had stopped: nothing came after the window's last gap, until just now.
        window = fortnight.windows[name]
        last_s = max(o.mid_s for o in fortnight.log if window[0] <= mjd(o.mid_s) < window[1])
        proof_s = (
            o.registered_s
            for o in fortnight.log
            if last_s < o.mid_s < last_s + 3600 and o.registered_s > made.at_s - wait_s
        )
        assert min(proof_s, default=made.at_s) > made.at_s - SETTLE_S - 2 * TICK_S
        assert wait_s <= 60 * SETTINGS.wait_min + 3600 + TICK_S


def test_without_proof_they_would_wait_for_an_hour() -> None:
    simulation = Simulation(log_of(cadence.FORTNIGHT)[:200], proven=False)
    simulation.run()
    assert median(wait_s for wait_s, _, _ in waits_s(simulation)) > 45 * 60


def test_late_images_join_and_nothing_else_makes_a_mosaic_again(fortnight: Simulation) -> None:
    late = {o.key for o in fortnight.log if o.late}
    remade = 0
    for versions in fortnight.mosaics.values():
        for before, after in itertools.pairwise(versions):
            remade += 1
            added = after.tiles - before.tiles
            assert before.tiles < after.tiles
            assert added <= late
    assert remade >= 50
    for key, versions in fortnight.mosaics.items():
        start_mjd, end_mjd = fortnight.windows[key]
        imaged = {
            o.key for o in fortnight.log if start_mjd <= mjd(o.mid_s) < end_mjd and not o.failed
        }
        assert versions[-1].tiles == imaged


def test_every_window_has_its_mosaic(fortnight: Simulation) -> None:
    counts: Counter[tuple[float, float]] = Counter()
    grid = WindowGrid(SETTINGS)
    for o in fortnight.log:
        counts.update(grid.bounds_mjd(n) for n in grid.windows_of(mjd(o.mid_s)) if not o.failed)
    enough = {w for w, n in counts.items() if n >= SETTINGS.min_tiles}
    assert enough - set(fortnight.windows.values()) == set()
