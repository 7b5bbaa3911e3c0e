"""Start a CASA process, send it requests, watch it, and end it with all of its children.

Belongs here: the process, its group and its pipes. Doesn't: the meaning of requests and answers
(see `.door`), or the program that runs in it (see `.child`).
"""

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from contimg_resources.core import fencing
from contimg_resources.core.errors import CasaTimeout
from contimg_resources.core.progress import ASK, DONE, PROGRESS_FD_VARIABLE, Progress

#: File of a request in its directory, until the process takes it.
REQUEST = "request.json"

_POLL_S = 0.5
_CHUNK_BYTES = 65536
#: Time for a process to end normally, seconds.
_FAREWELL_S = 10.0


class CasaProcess:
    """A process in its own process group that serves requests one after another.

    Parameters
    ----------
    directory : Path
        Its working directory; exists.
    environment : dict of str to str
        Its environment.
    log : Path
        Its output is appended here until a request names another file.
    loads : str, optional
        ``module:function`` of a generator that loads modules before the first request.

    Attributes
    ----------
    directory : Path
        As given.
    n_served : int
        Number of requests so far.
    """

    def __init__(
        self, directory: Path, environment: dict[str, str], log: Path, loads: str | None = None
    ) -> None:
        self.directory = directory
        self.n_served = 0
        death_read, self._death_write = os.pipe()
        self._progress_read, progress_write = os.pipe()
        command = [
            *(sys.executable, "-I", "-S", str(Path(__file__).with_name("supervisor.py"))),
            str(death_read),
            *(sys.executable, "-m", "contimg_resources.casa.child"),
            *([loads] if loads else []),
        ]
        try:
            with log.open("ab") as printed:
                self._process = subprocess.Popen(
                    command,
                    cwd=directory,
                    env={**environment, PROGRESS_FD_VARIABLE: str(progress_write)},
                    stdin=subprocess.PIPE,
                    stdout=printed,
                    stderr=printed,
                    start_new_session=True,
                    pass_fds=(death_read, progress_write),
                )
        except BaseException:
            os.close(self._death_write)
            os.close(self._progress_read)
            raise
        finally:
            os.close(death_read)
            os.close(progress_write)

    def is_alive(self) -> bool:
        """Return whether the process can serve requests."""
        return self._process.poll() is None

    def serve(self, exchange: Path, progress: Progress, timeout_s: float, label: str) -> int | None:
        """Let the process serve the request in `exchange`, a directory, where the answer goes.

        Returns None when the request is done and the process waits for the next; else the status
        with which the process ended, negative or above 128 for a signal. `label` names the request
        in an error.

        Raises
        ------
        CasaTimeout
            If it takes longer.
        """
        self.n_served += 1
        stdin = self._process.stdin
        assert stdin is not None
        # `_watch` reports a process that has died.
        with suppress(BrokenPipeError):
            stdin.write(json.dumps(str(exchange)).encode() + b"\n")
            stdin.flush()
        return self._watch(exchange, progress, time.monotonic() + timeout_s, timeout_s, label)

    def finish(self) -> None:
        """Let the process end normally after its last request, and end its remaining children."""
        try:
            if self._process.stdin is not None:
                self._process.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_FAREWELL_S)
        finally:
            self.end()

    def end(self) -> None:
        """End the process and all of its children; it may have ended before."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._death_write >= 0:
            with suppress(BrokenPipeError):
                if self._process.stdin is not None:
                    self._process.stdin.close()
            os.close(self._death_write)
            os.close(self._progress_read)
            self._death_write = -1

    def _watch(
        self,
        exchange: Path,
        progress: Progress,
        deadline_s: float,
        timeout_s: float,
        label: str,
    ) -> int | None:
        pending = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self._progress_read, selectors.EVENT_READ)
            while True:
                if selector.get_map() and selector.select(_POLL_S):
                    chunk = os.read(self._progress_read, _CHUNK_BYTES)
                    if not chunk:
                        selector.unregister(self._progress_read)
                    *lines, pending = (pending + chunk).split(b"\n")
                    for line in lines:
                        if line == DONE:
                            return None
                        if line == ASK:
                            fencing.answer(exchange)
                        else:
                            _relay(line, progress)
                status = self._process.poll()
                if status is None and not selector.get_map():
                    with suppress(subprocess.TimeoutExpired):
                        status = self._process.wait(_POLL_S)
                if status is not None:
                    return status
                if time.monotonic() > deadline_s:
                    raise CasaTimeout(
                        f"{label}: CASA was ended after {timeout_s:.0f} s, the limit of a step",
                        timeout_s=timeout_s,
                    )


def _relay(line: bytes, progress: Progress) -> None:
    with suppress(ValueError):
        report: dict[str, Any] = json.loads(line)
        progress(str(report["message"]), report["fraction"])
