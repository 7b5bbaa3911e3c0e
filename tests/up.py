"""``contimg up`` as a process that can be killed, and the processes that it started.

Belongs here: starting it, cutting its power, ending it. Doesn't: which of them to kill, and when.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path

from contimg_resources.cli.platform import Platform
from tests.cli.live_processes import processes_of
from tests.e2e.at_work import is_below, pids_of


class Up:
    """``contimg up`` on a state directory, started at once.

    Parameters
    ----------
    state : Path
        The state directory.
    port : int
        Of the webserver.
    environment : mapping
        Settings and other variables of it.
    """

    def __init__(self, state: Path, port: int, environment: Mapping[str, str]) -> None:
        self.state, self.port = state, port
        self.environment = {**os.environ, **environment, "CONTIMG_STATE": str(state)}
        # Never started: it asks the one that runs.
        self.platform = Platform(state, port=port)
        self.process = self._started()

    @property
    def log(self) -> Path:
        """What it printed."""
        return self.state.with_name(f"{self.state.name}.up.log")

    def _started(self) -> "subprocess.Popen[bytes]":
        self.state.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "contimg_resources", "up", "--port", str(self.port)],
                env=self.environment,
                stdout=log,
                stderr=log,
            )

    def move(self, state: Path) -> None:
        """Let the next start be on another state directory."""
        self.state = state
        self.environment["CONTIMG_STATE"] = str(state)
        self.platform = Platform(state, port=self.port)

    def again(self) -> None:
        """Start it again."""
        assert self.process.poll() is not None
        self.process = self._started()
        self.platform.wait_until_ready()

    def kill(self, beside: Collection[int] = ()) -> None:
        """Kill it, and wait until what it had started has ended.

        Parameters
        ----------
        beside : collection of int
            Processes on the same state that may go on, with all that they started.
        """
        self.process.kill()
        self.process.wait(300)
        wait(lambda: all(is_below(pid, beside) for pid in pids_of(self.state)), 60)

    def cut_power(self) -> None:
        """Kill every process at once, this one first."""
        self.process.kill()

        def all_gone() -> bool:
            # Again and again: one that was about to start another may just have done so.
            for pid in pids_of(self.state):
                kill(pid, signal.SIGKILL)
            return processes_of(self.state) == []

        wait(all_gone, 60)
        self.process.wait(300)

    def stop(self) -> None:
        """End it as somebody does with Ctrl-C."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(300)


def kill(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process that may be gone."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def wait(condition: Callable[[], bool], timeout_s: float) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)
