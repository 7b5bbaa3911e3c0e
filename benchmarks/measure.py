"""Time and memory of a piece of work, and comparisons of two.

Belongs here: measuring in a process, records, taking turns. Doesn't: the measured work.
"""

import os
import resource
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from contimg_resources.casa import Progress

#: Free memory that the machine must have when a turn begins: as much as a step may take.
_AT_HAND_BYTES = 6_000_000_000
_PIECE_BYTES = 1 << 24
#: `ru_maxrss` counts KiB on Linux.
_GB_PER_KIB = 1024 / 1e9


@dataclass(frozen=True)
class Measured:
    """Time and memory of a piece of work."""

    seconds: float  #: Wall-clock time, seconds.
    peak_gb: float  #: Peak memory of its process or of one of its children, GB.


def make_ready(*arrived: Path) -> None:
    """Bring the machine into the same state before each turn, ours or the peer's.

    Earlier writes must not be flushed to disk during this turn. In a night an MS that has just
    arrived is still in the page cache, but the machine may have dropped it during the turn before.
    And a virtual machine may have returned its free memory to the host: to get it back takes
    seconds per GB, by chance, so it is allocated beforehand, at the very end, since it is returned
    within seconds.

    Parameters
    ----------
    *arrived : Path
        Each MS.
    """
    os.sync()
    for file in (file for ms in arrived for file in ms.rglob("*") if file.is_file()):
        with file.open("rb") as stream:
            while stream.read(_PIECE_BYTES):
                pass
    free_bytes = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    held = np.ones(min(_AT_HAND_BYTES, free_bytes // 2), np.uint8)
    del held


def measured(work: Callable[[], object]) -> Measured:
    """Do a piece of work in this process and return its time and memory."""
    began_s = time.perf_counter()
    work()
    seconds = time.perf_counter() - began_s
    peak = max(
        resource.getrusage(who).ru_maxrss
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return Measured(seconds, peak * _GB_PER_KIB)


@dataclass(frozen=True)
class Contest:
    """A step and its peer."""

    name: str  #: The step.
    peer_name: str  #: Name of the peer.
    goal: float  #: Factor by which it should be faster.
    ours: Callable[[], Measured]  #: Do it once, in a separate process.
    peer: Callable[[], Measured]  #: Do it once, in a separate process.


@dataclass(frozen=True)
class Result:
    """The measurements of a comparison."""

    name: str  #: The step.
    peer_name: str  #: Its peer.
    goal: float  #: Factor by which it should be faster.
    ours: tuple[Measured, ...]  #: One for each round.
    peers: tuple[Measured, ...]  #: One for each round.

    @property
    def our_s(self) -> float:
        """Median time of the step, seconds."""
        return median(m.seconds for m in self.ours)

    @property
    def peer_s(self) -> float:
        """Median time of the peer, seconds."""
        return median(m.seconds for m in self.peers)

    @property
    def ratio(self) -> float:
        """Factor by which the step is faster."""
        return self.peer_s / self.our_s

    @property
    def peak_gb(self) -> float:
        """Peak memory of the step, GB."""
        return max(m.peak_gb for m in self.ours)

    @property
    def reached(self) -> bool:
        """Whether the goal is reached."""
        return self.ratio >= self.goal


def take_turns(contests: Iterable[Contest], rounds: int, progress: Progress) -> tuple[Result, ...]:
    """Run each comparison in the order A B A B."""
    results = []
    for contest in contests:
        ours, peers = [], []
        for turn in range(rounds):
            progress(f"{contest.name}, turn {turn + 1} of {rounds}", None)
            ours.append(contest.ours())
            progress(f"{contest.peer_name}, turn {turn + 1} of {rounds}", None)
            peers.append(contest.peer())
        results.append(
            Result(contest.name, contest.peer_name, contest.goal, tuple(ours), tuple(peers))
        )
    return tuple(results)
