"""Process groups that are ended as a whole: with SIGTERM first, then with SIGKILL.

Belongs here: starting a program so that neither it nor its children outlive us.
Doesn't: CASA processes (`contimg_resources.casa.door`), which answer calls.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import contimg_resources.casa.supervisor
from contimg_resources.core.errors import PlatformError


class SupervisedGroup:
    """A process in a separate session, under a supervisor, so that it dies with this process.

    `name` is for messages, `environment` the whole one; output is appended to `log`.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        cwd: Path,
        environment: Mapping[str, str],
        log: Path,
    ) -> None:
        self.name = name
        self.log = log
        supervisor = contimg_resources.casa.supervisor.__file__
        death_read, self._death_write = os.pipe()
        try:
            with log.open("ab") as stream:
                self._log_start = stream.tell()
                self.process = subprocess.Popen(
                    (sys.executable, "-I", "-S", supervisor, str(death_read), *command),
                    cwd=cwd,
                    env=dict(environment),
                    stdin=subprocess.DEVNULL,
                    stdout=stream,
                    stderr=stream,
                    start_new_session=True,
                    pass_fds=(death_read,),
                )
        except BaseException:
            os.close(self._death_write)
            raise
        finally:
            os.close(death_read)

    def check_alive(self) -> None:
        """Raise PlatformError, with the end of its log, when it has ended."""
        if not self.alive:
            raise PlatformError(
                f"{self.name} ended with status {self.process.returncode}; {self.end_of_log()}"
            )

    @property
    def alive(self) -> bool:
        """Whether it is still running."""
        return self.process.poll() is None

    def end_of_log(self) -> str:
        """Return the end of its log as a message."""
        with self.log.open("rb") as stream:
            stream.seek(self._log_start)
            tail = stream.read().decode(errors="replace").strip().splitlines()[-5:]
        return f"{self.log} ends: {' | '.join(tail)}"

    def ask_to_end(self) -> None:
        """Send SIGTERM to every process of the group."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)

    def end(self, deadline: float) -> None:
        """Wait until the group is empty, until `deadline` (monotonic seconds); then kill it."""
        while self.process.poll() is None or _group_members(self.process.pid):
            if time.monotonic() > deadline:
                break
            time.sleep(0.05)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        if self._death_write >= 0:
            os.close(self._death_write)
            self._death_write = -1


def _group_members(group: int) -> list[int]:
    """Return the live processes of a process group, without zombies."""
    members = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with suppress(OSError, IndexError, ValueError):
            # The command, in parentheses, may hold anything; the fields after it are fixed.
            state, _, process_group = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
            if int(process_group) == group and state not in "ZX":
                members.append(int(entry.name))
    return members
