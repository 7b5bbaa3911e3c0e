"""Supervision of the platform's child processes, which are restarted when they die or hang.

Belongs here: the fault of a child, and when it may be started again. Doesn't: the list of children
(`contimg_resources.cli.platform`), sending alerts (`contimg_resources.cli.up`).
"""

import os
import signal
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from contimg_resources.cli.processes import SupervisedGroup
from contimg_resources.core.errors import PlatformError

#: Maximum number of restarts of a child within this many seconds; then the platform ends.
MAX_RESTARTS, WITHIN_S = 5, 600.0
#: Pause before the first restart, the second, ..., seconds.
PAUSES_S = (0.0, 5.0, 15.0, 45.0, 120.0)
#: Time after which a stopped (SIGSTOP) child, or a silent and idle one, counts as hung, seconds.
STOPPED_S, SILENT_S = 5.0, 6.0
#: The same for a silent and busy child, and for a child that never answered.
BUSY_S, NEVER_S = 120.0, 180.0
#: Time after which any other stopped process is killed, so that its run ends, seconds.
STOPPED_WORKER_S = 60.0

#: A process that used less of a core than this, while it was silent, was idle.
_IDLE_SHARE = 0.05


@dataclass(frozen=True)
class Restart:
    """A child that was started again."""

    name: str  #: The child.
    why: str  #: Its fault.
    number: int  #: Number of recent restarts; 0: it had no fault.
    hindrance: str = ""  #: Why the restart failed; empty when it didn't. It is tried again.

    def __str__(self) -> str:
        done = f"couldn't be started again: {self.hindrance}" if self.hindrance else ""
        tried = f" ({self.number} of {MAX_RESTARTS})" if self.number else ""
        return f"{self.name} {self.why}; it {done or 'was started again'}{tried}"


@dataclass
class Child:
    """A process group that must live as long as the platform."""

    name: str  #: Name in messages.
    start: Callable[[], SupervisedGroup]  #: Starts it.
    answers: Callable[[], bool] | None = None  #: Returns whether it answers now.
    #: Called when it has ended, before it is started again.
    before_restart: Callable[[], None] | None = None
    #: Called after the restart, with the time at which the restart began, Unix time in seconds.
    after_restart: Callable[[float], None] | None = None
    group: SupervisedGroup = field(init=False)
    _restarts_s: deque[float] = field(init=False, default_factory=deque)
    _watch: "_Silence" = field(init=False)

    def __post_init__(self) -> None:
        self._begin()

    def keep_alive(self, processes: "Processes") -> Restart | None:
        """Start it again when it died or hangs; return the restart, or None.

        Raises
        ------
        PlatformError
            When it was started again too often.
        """
        why = self._trouble(processes)
        if not why:
            return None
        now_s = time.monotonic()
        while self._restarts_s and now_s - self._restarts_s[0] > WITHIN_S:
            self._restarts_s.popleft()
        number = len(self._restarts_s)
        if number >= MAX_RESTARTS:
            raise PlatformError(
                f"{self.name} {why}, after it was started again {number} times within "
                f"{WITHIN_S / 60:.0f} minutes; {self.group.end_of_log()}"
            )
        if number and now_s - self._restarts_s[-1] < PAUSES_S[number]:
            return None
        self._restarts_s.append(now_s)
        return self.start_again(why, number + 1)

    def start_again(self, why: str, number: int = 0) -> Restart:
        """End it and start it again, for a reason that may be no fault; return the restart."""
        ended_s = time.time()
        self.group.ask_to_end()
        # A hung process doesn't end on SIGTERM.
        self.group.end(time.monotonic() + (0.0 if self.group.alive else STOPPED_S))
        try:
            if self.before_restart is not None:
                self.before_restart()
            self._begin()
            if self.after_restart is not None:
                self.after_restart(ended_s)
        except (PlatformError, OSError) as error:
            # A full disk, a locked store: it is transient, and the other children go on.
            return Restart(self.name, why, number, str(error))
        return Restart(self.name, why, number)

    def _begin(self) -> None:
        self.group = self.start()
        self._watch = _Silence(time.monotonic())

    def _trouble(self, processes: "Processes") -> str:
        status = self.group.process.poll()
        if status is not None:
            return f"ended with status {status}"
        leader = self.group.process.pid
        members = (leader, *processes.children_of(leader))
        if any(processes.stopped_s(pid) > STOPPED_S for pid in members):
            return "was stopped"
        if self.answers is not None and self._watch.hangs(self.answers(), members):
            return "didn't answer any more"
        return ""


@dataclass
class _Silence:
    """Time for which a child has been silent."""

    started_s: float
    answered: bool = False
    since_s: float | None = None
    used_s: float = 0.0

    def hangs(self, answers: bool, members: tuple[int, ...]) -> bool:
        """Return whether it hangs, given whether it answers now."""
        now_s = time.monotonic()
        used_s = sum(_cpu_s(pid) for pid in members)
        if answers:
            self.answered, self.since_s = True, None
            return False
        if not self.answered:
            return now_s - self.started_s > NEVER_S
        if self.since_s is None:
            self.since_s, self.used_s = now_s, used_s
        silent_s = now_s - self.since_s
        idle = used_s - self.used_s < _IDLE_SHARE * silent_s
        return silent_s > (SILENT_S if idle else BUSY_S)


class Processes:
    """The descendants of this process, as of the last scan."""

    def __init__(self) -> None:
        self._parents: dict[int, int] = {}
        self._stopped_since_s: dict[tuple[int, str], float] = {}
        self._names: dict[int, tuple[int, str]] = {}

    def look(self) -> None:
        """Scan all processes of the machine."""
        now_s = time.monotonic()
        self._parents, self._names, stopped = {}, {}, {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with suppress(OSError, IndexError, ValueError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                pid = int(entry.name)
                self._parents[pid] = int(fields[1])
                # With the start time, since process ids are reused.
                self._names[pid] = (pid, fields[19])
                if fields[0] == "T":
                    stopped[self._names[pid]] = self._stopped_since_s.get(self._names[pid], now_s)
        self._stopped_since_s = stopped

    def children_of(self, parent: int) -> tuple[int, ...]:
        """Return the children of a process."""
        return tuple(pid for pid, its in self._parents.items() if its == parent)

    def stopped_s(self, pid: int) -> float:
        """Return the time for which a process was stopped, seconds."""
        since_s = self._stopped_since_s.get(self._names.get(pid, (0, "")))
        return 0.0 if since_s is None else time.monotonic() - since_s

    def kill_stopped(self) -> tuple[int, ...]:
        """Kill the descendants that were stopped for too long, and return them."""
        killed = tuple(
            pid
            for pid, _ in self._stopped_since_s
            if self.stopped_s(pid) > STOPPED_WORKER_S and self._is_ours(pid)
        )
        for pid in killed:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return killed

    def _is_ours(self, pid: int) -> bool:
        while pid > 1:
            pid = self._parents.get(pid, 0)
            if pid == os.getpid():
                return True
        return False


def _cpu_s(pid: int) -> float:
    """Return how much processor time a process has used, seconds."""
    with suppress(OSError, IndexError, ValueError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0
