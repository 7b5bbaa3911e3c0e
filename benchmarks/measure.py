"""Time and memory of a piece of work, and two pieces side by side.

Belongs here: measuring in a process, records, taking turns. Doesn't: what is measured.
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

#: Memory that the machine is to have at hand when a turn begins: as much as a step may take.
_AT_HAND_BYTES = 6_000_000_000
_PIECE_BYTES = 1 << 24
#: `ru_maxrss` counts KiB on Linux.
_GB_PER_KIB = 1024 / 1e9


@dataclass(frozen=True)
class Measured:
    """What one piece of work took.

    Parameters
    ----------
    seconds : float
        Wall-clock time, seconds.
    peak_gb : float
        Most memory of its process or of one of its children, GB.
    """

    seconds: float
    peak_gb: float


def make_ready(*arrived: Path) -> None:
    """Bring the machine into the same state before each turn, whoever's it is.

    What others wrote must not be written out on this turn's time. An MS that has just arrived lies
    in memory in a night, and a machine may have dropped it during the turn before. And a virtual
    machine may have given its free memory back to the host: to get it again costs seconds a GB,
    more or less by chance, so it is asked for before, at the very end, since it's given back within
    seconds.

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
    """Do a piece of work in this process and return what it took."""
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
    """A step and its peer.

    Parameters
    ----------
    name : str
        The step.
    peer_name : str
        What it is compared with.
    goal : float
        How many times faster it should be.
    ours, peer : callable
        Do it once, in a process of its own.
    """

    name: str
    peer_name: str
    goal: float
    ours: Callable[[], Measured]
    peer: Callable[[], Measured]


@dataclass(frozen=True)
class Result:
    """The measurements of a contest.

    Parameters
    ----------
    name, peer_name : str
        The step, and what it is compared with.
    goal : float
        How many times faster it should be.
    ours, peers : tuple of Measured
        One a round.
    """

    name: str
    peer_name: str
    goal: float
    ours: tuple[Measured, ...]
    peers: tuple[Measured, ...]

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
        """How many times faster the step is."""
        return self.peer_s / self.our_s

    @property
    def peak_gb(self) -> float:
        """Most memory that the step took, GB."""
        return max(m.peak_gb for m in self.ours)

    @property
    def reached(self) -> bool:
        """Whether the goal is reached."""
        return self.ratio >= self.goal


def take_turns(contests: Iterable[Contest], rounds: int, progress: Progress) -> tuple[Result, ...]:
    """Run each contest A B A B.

    Parameters
    ----------
    contests : iterable of Contest
        What to measure.
    rounds : int
        Turns of each.
    progress : callable
        Told what is being measured.
    """
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
