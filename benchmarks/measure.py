"""Time and memory of a piece of work, and comparisons of two.

Belongs here: measuring in a process, records, taking turns. Doesn't: the measured work.
"""

import mmap
import os
import re
import resource
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from contimg_resources.casa import Progress
from contimg_resources.core.errors import BenchFailed

#: Free memory that the machine must have when a turn begins: as much as a step may take.
_AT_HAND_BYTES = 6_000_000_000
#: The same for what a step writes to files: more would be written to disk meanwhile.
_FILES_AT_HAND_BYTES = 2_000_000_000
_PIECE_BYTES = 1 << 24


@dataclass(frozen=True)
class Measured:
    """Time and memory of a piece of work."""

    seconds: float  #: Wall-clock time, seconds.
    peak_gb: float  #: Peak memory of its process or of one of its children, GB.


def make_ready(*arrived: Path) -> None:
    """Bring the machine into the same state before each turn, ours or the peer's.

    Earlier writes must not be flushed to disk during this turn. In a night an MS that has just
    arrived is still in the page cache, but the machine may have dropped it during the turn before.
    Memory is made ready in the process that is measured, right before its clock starts.

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


def have_memory_at_hand() -> None:
    """Get back the memory that a virtual machine returned to its host, which takes seconds per GB.

    Free memory is returned again within seconds: so this comes after all else, in the process that
    is measured; it doesn't count in its peak memory, and the process itself doesn't keep it. The
    kernel takes the memory of files from other, larger pieces than that of processes: so both are
    used here, the files in the working directory and never written to disk.
    """
    free_bytes = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    n_bytes = max(mmap.PAGESIZE, min(_AT_HAND_BYTES, free_bytes // 2))
    with mmap.mmap(-1, n_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        for start in range(0, n_bytes, mmap.PAGESIZE):
            memory[start] = 1
    with tempfile.TemporaryFile(dir=".", buffering=0) as file:
        for _ in range(min(_FILES_AT_HAND_BYTES, free_bytes // 4) // _PIECE_BYTES):
            file.write(bytes(_PIECE_BYTES))
    # Linux: the peak memory so far is forgotten.
    Path("/proc/self/clear_refs").write_text("5")


def peak_bytes() -> int:
    """Return the peak memory of this process since `have_memory_at_hand`, or since its start.

    ``ru_maxrss`` starts at the peak of the parent process, so the kernel's record of this program
    alone is read.
    """
    found = re.search(r"^VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    if found is None:
        raise BenchFailed("/proc/self/status has no peak memory (VmHWM)")
    return int(found[1]) * 1024


def processor_s(pid: int) -> float:
    """Return the processor time of a process and its children so far, seconds."""
    ticks = 0
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for one in (pid, *children):
        with suppress(OSError):
            # Processes that ended are counted with their parent.
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def measured(work: Callable[[], object]) -> Measured:
    """Do a piece of work in this process and return its time and memory."""
    have_memory_at_hand()
    began_s = time.perf_counter()
    work()
    seconds = time.perf_counter() - began_s
    of_children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    return Measured(seconds, max(peak_bytes(), of_children) / 1e9)


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
