"""The seeded agent: which faults it injects and when, and whether the platform settles afterwards.

Belongs here: the plan, carrying it out, waiting, the verdict. Doesn't: the faults themselves
(`tests.soak.faults`), judging (`tests.soak.settled`).
"""

import heapq
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random

from contimg_resources.core.errors import PlatformError, StoreUnavailable
from tests.cli.live_processes import processes_of
from tests.soak.faults import FAULTS, Done, Fault, solve_again
from tests.soak.looking import facts_of, unrecorded
from tests.soak.settled import OF_ANOTHER_SET, Facts, Finding, Kind, figure, judge
from tests.soak.site import Site, a_site

#: The platform itself starts a child again five times within ten minutes, then it ends.
_OF_A_CHILD, _WITHIN_S = 4, 600.0
#: While it makes progress it may take several times as long to settle.
_MOST_LIMITS = 6
#: Characters of a finding that is shown on the way.
_SHOWN = 100
#: After so long without a change nothing is in progress any more.
_NOTHING_HAPPENS_S = 20.0
#: The first faults come when there is something to hit.
_QUIET_S = 5.0


@dataclass(frozen=True)
class Planned:
    """What the agent does at a time.

    Parameters
    ----------
    at_s : float
        When, seconds after the start.
    number : int
        Its number: with the seed it decides all that is random in it.
    fault : Fault or None
        The fault; None: an observation is delivered.
    """

    at_s: float
    number: int
    fault: Fault | None


def plan(
    seed: int, seconds: float, n_faults: int, n_targets: int, only: Collection[str] = ()
) -> tuple[Planned, ...]:
    """Return what the agent does, in the order of time: the same on each machine."""
    rng = Random(f"soak {seed}")
    # The calibrator's is the first of the deliveries, and comes early.
    times = [rng.uniform(0.0, 0.2 * seconds), *(
        rng.uniform(0.0, 0.9 * seconds) for _ in range(n_targets)
    )]  # fmt: skip
    drawn: list[tuple[float, Fault | None]] = [(at_s, None) for at_s in times]
    wanted = [f for f in FAULTS if not only or f.name in only]
    hit: dict[str, list[float]] = {}
    for at_s in sorted(rng.uniform(_QUIET_S, seconds) for _ in range(n_faults)):
        lately = {
            child: sum(at_s - before < _WITHIN_S for before in hits) for child, hits in hit.items()
        }
        allowed = [f for f in wanted if lately.get(f.child, 0) < _OF_A_CHILD]
        if not allowed:
            break
        (fault,) = rng.choices(allowed, [f.weight for f in allowed])
        if fault.child:
            hit.setdefault(fault.child, []).append(at_s)
        drawn.append((at_s, fault))
    return tuple(
        Planned(at_s, number, fault)
        for number, (at_s, fault) in enumerate(sorted(drawn, key=lambda one: one[0]))
    )


@dataclass(frozen=True)
class Soaked:
    """How a soak ended.

    Parameters
    ----------
    seed : int
        Its seed.
    injected : Counter of str
        How often each fault was injected.
    settled_s : float
        How long it took to settle after the last fault, seconds.
    findings : tuple of Finding
        What isn't as it should be.
    root : Path
        What is left to look at.
    """

    seed: int
    injected: "Counter[str]"
    settled_s: float
    findings: tuple[Finding, ...]
    root: Path

    @property
    def verdict(self) -> str:
        """The figure to report."""
        return (
            "faults injected / observations lost / doubled / needing a hand: "
            f"{figure(self.findings, self.injected.total())}"
        )


def _was_left_out(found: tuple[Finding, ...], changed_s: float) -> bool:
    """Return whether nothing happens any more, and only stale products are left."""
    over = time.monotonic() - changed_s > _NOTHING_HAPPENS_S
    return over and bool(found) and all(OF_ANOTHER_SET in one.words for one in found)


@dataclass
class Soak:
    """A soak in progress.

    Parameters
    ----------
    site : Site
        The platform and what surrounds it.
    seed : int
        Decides everything random.
    say : callable
        Told each event.
    """

    site: Site
    seed: int
    say: Callable[[str], None]
    started_s: float = field(default_factory=time.monotonic)
    injected: "Counter[str]" = field(default_factory=Counter)
    ended: list[Finding] = field(default_factory=list)
    undos: list[tuple[float, int, str, Callable[[], None]]] = field(default_factory=list)

    @property
    def now_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started_s

    def tell(self, words: str) -> None:
        """Tell an event with its time."""
        self.say(f"{self.now_s:7.1f} s  {words}")

    def attack(self, planned: tuple[Planned, ...]) -> None:
        """Carry out a plan; at its end everything is undone."""
        self.started_s = time.monotonic()
        for one in planned:
            self._wait_until(one.at_s)
            self._do(one)
        self._wait_until(float("inf"))
        for retired in [b for b in self.site.beside if b.arguments[:2] == ("registry", "retire")]:
            retired.process.wait(300)

    def settle(self, limit_s: float) -> tuple[float, Facts, tuple[Finding, ...]]:
        """Wait until it has settled by itself; return how long that took.

        A slow machine has work to do for long: the limit is over so long after the last change,
        or several times as long after the faults.
        """
        since_s = changed_s = time.monotonic()
        said: tuple[Finding, ...] = ()
        facts = Facts()
        solved_again = made_again = False
        while True:
            took_s = time.monotonic() - since_s
            found: tuple[Finding, ...]
            try:
                self._keep_up()
                facts = facts_of(
                    self.site.settings,
                    self.site.up.platform.graphql,
                    self.site.deliveries.values(),
                    list(self.site.hook.bodies),
                )
                found = judge(facts)
            except (PlatformError, StoreUnavailable, KeyError) as error:
                found = (Finding(Kind.BY_HAND, "the platform", f"can't be asked: {error}"),)
            if self._commands_go_on():
                found = (*found, Finding(Kind.BY_HAND, "commands", "some go on"))
            elif not facts.sets and not solved_again and self._was_retired():
                # Who retires the only set solves again; that its command met a fault was ours.
                solved_again = True
                solve_again(self.site)
                continue
            elif not made_again and self._was_retired() and _was_left_out(found, changed_s):
                # A run of the calibrator was in progress when it was to be solved again.
                made_again = True
                self.site.run_beside("reprocess", "--only", "stale")
                continue
            if found != said:
                changed_s = time.monotonic()
            unchanged_s = time.monotonic() - changed_s
            if not found or unchanged_s > limit_s or took_s > _MOST_LIMITS * limit_s:
                return took_s, facts, (*found, *self._of_commands(), *self.ended)
            if found != said:
                self.tell(f"{len(found)} to settle, such as {str(found[0])[:_SHOWN]}")
            said = found
            time.sleep(3.0)

    def stop(self) -> tuple[Finding, ...]:
        """End the platform, have what is left swept, and return what is left all the same."""
        self.site.up.stop()
        left = [f"process {command}" for command in processes_of(self.site.state)]
        for path in unrecorded(self.site.settings):
            os.utime(path, (0, 0))
        swept = subprocess.run(
            [sys.executable, "-m", "contimg_resources", "housekeeping"],
            env=self.site.up.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if swept.returncode:
            left.append(f"housekeeping: {swept.stderr.strip()[-300:]}")
        left += map(str, unrecorded(self.site.settings))
        return tuple(Finding(Kind.BY_HAND, "left behind", thing) for thing in left)

    def _wait_until(self, at_s: float) -> None:
        while True:
            due_s = min(at_s, self.undos[0][0] if self.undos else float("inf"))
            if due_s == float("inf"):
                return
            while (left_s := due_s - self.now_s) > 0:
                self._keep_up()
                time.sleep(min(left_s, 0.5))
            if not self.undos or self.undos[0][0] > at_s:
                return
            _, _, words, undo = heapq.heappop(self.undos)
            undo()
            self.tell(f"  undone: {words}")

    def _do(self, one: Planned) -> None:
        if one.fault is None:
            first = self.site.calibrator.ms.name not in self.site.deliveries
            if first or self.site.stock:
                observation = self.site.calibrator if first else self.site.stock.pop(0)
                self.site.deliver(observation)
                self.tell(f"{observation.ms.name} delivered")
            return
        if one.fault.impossible is not None and one.fault.impossible():
            self.tell(f"{one.fault.name}: left out")
            return
        done: Done | None = one.fault.do(self.site, Random(f"soak {self.seed} {one.number}"))
        if done is None:
            self.tell(f"{one.fault.name}: nothing to hit")
            return
        self.injected[one.fault.name] += 1
        self.tell(done.words)
        if done.undo is not None:
            heapq.heappush(
                self.undos, (self.now_s + done.lasts_s, one.number, done.words, done.undo)
            )

    def _keep_up(self) -> None:
        """Note that the platform ended by itself, and start it again."""
        if self.site.down or self.site.up.process.poll() is None:
            return
        said = self.site.up.log.read_text(errors="replace").strip()[-400:]
        self.tell(f"the platform ended by itself: {said}")
        self.ended.append(Finding(Kind.BY_HAND, "the platform", f"ended by itself: {said}"))
        self.site.down = True
        self.site.start_again()

    def _commands_go_on(self) -> bool:
        return any(b.process.poll() is None and not b.trouble() for b in self.site.beside)

    def _was_retired(self) -> bool:
        return any(b.arguments[:2] == ("registry", "retire") for b in self.site.beside)

    def _of_commands(self) -> tuple[Finding, ...]:
        return tuple(
            Finding(Kind.BY_HAND, " ".join(b.arguments[:3]), trouble)
            for b in self.site.beside
            if (trouble := b.trouble())
        )


def soak(
    root: Path,
    *,
    seed: int,
    minutes: float,
    faults_per_minute: float = 3.0,
    settle_minutes: float = 5.0,
    n_targets: int | None = None,
    only: Collection[str] = (),
    say: Callable[[str], None] = print,
) -> Soaked:
    """Attack a platform for some minutes, and return whether it settled.

    Parameters
    ----------
    root : Path
        Where all of it lies; doesn't exist before.
    seed : int
        Decides everything random but what the machine's own pace does.
    minutes : float
        So long it is attacked.
    faults_per_minute : float
        So often.
    settle_minutes : float
        So long nothing may change before it has settled.
    n_targets : int, optional
        Observations beside the calibrator's; by default some more than one a minute.
    only : collection of str
        The faults that may be injected, by name; empty: all.
    say : callable
        Told each event.
    """
    rng = Random(f"soak engine {seed}")
    engine = rng.choice(("fast", "fast", "casa"))
    if n_targets is None:
        n_targets = 3 + round(1.2 * minutes)
    say(f"seed {seed}: {minutes:g} minutes, caltables by the engine {engine}; {root}")
    for fault in FAULTS:
        if fault.impossible is not None and (why := fault.impossible()):
            say(f"left out: {fault.name}, since {why}")
    with a_site(root, n_targets, engine) as site:
        n_faults = round(faults_per_minute * minutes)
        planned = plan(seed, 60 * minutes, n_faults, n_targets, only)
        rng.shuffle(site.stock)
        one = Soak(site, seed, say)
        one.attack(planned)
        one.tell(f"no more faults; {one.injected.total()} were injected")
        settled_s, facts, findings = one.settle(60 * settle_minutes)
        if not findings:
            one.tell(f"settled after {settled_s:.0f} s")
        findings = (*findings, *one.stop())
        (root / "facts.json").write_text(json.dumps(asdict(facts), default=sorted, indent=1))
    return Soaked(seed, one.injected, settled_s, findings, root)
