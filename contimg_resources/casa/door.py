"""Call a function in a CASA process of its own.

casatools is not thread-safe, keeps table locks per process, writes logs into the current
directory, and crashes with SIGSEGV. So one step is one child process, with its own working
directory, log file and process group; its crash ends one step and its end leaves nothing running.
"""

import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter

from contimg_resources.casa.progress import PROGRESS_FD_VARIABLE
from contimg_resources.casa.siteconfig import write_site_config
from contimg_resources.directories import UNFINISHED_VARIABLE, remove_unfinished
from contimg_resources.errors import CasaCrashed, CasaError, CasaTimeout, ContimgError

A = TypeVar("A")
R = TypeVar("R")

#: Called with what is being done and how much of the step is done (0 to 1, or None).
Progress = Callable[[str, float | None], None]

_POLL_S = 0.5
#: glibc gives the memory of each large array back to the system and asks for it anew, which then
#: clears it: in imaging that costs a fifth of the time. So all of it stays in the process.
_KEEPS_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40)}


def no_progress(message: str, fraction: float | None = None) -> None:
    """Ignore progress."""


@dataclass(frozen=True)
class Timed(Generic[R]):
    """What a CASA process returned.

    Parameters
    ----------
    value : object
        It.
    seconds : float
        How long its function took, without the start of the process, seconds.
    """

    value: R
    seconds: float


class Casa:
    """The door to CASA.

    Parameters
    ----------
    scratch : Path
        Under it each call gets a working directory, removed afterwards.
    logs : Path
        Under it each call leaves one log file, ``LABEL.log``, appended to.
    timeout_s : float
        A call is ended after this many seconds.
    threads : int
        OpenMP threads of the child process.
    keeps_memory : bool
        Whether the child process keeps freed memory until it ends, which is faster.
    """

    def __init__(
        self,
        scratch: Path,
        logs: Path,
        *,
        timeout_s: float = 3600.0,
        threads: int = 1,
        keeps_memory: bool = True,
    ) -> None:
        self.scratch = scratch
        self.logs = logs
        self.timeout_s = timeout_s
        self.threads = threads
        self.keeps_memory = keeps_memory

    def log_file(self, label: str) -> Path:
        """Return where the calls of this label log."""
        return self.logs / f"{label}.log"

    def run(
        self,
        function: Callable[[A], R],
        argument: A,
        *,
        label: str,
        progress: Progress = no_progress,
        timeout_s: float | None = None,
    ) -> R:
        """Call ``function(argument)`` in a CASA process and return what it returns.

        See `run_timed`.
        """
        return self.run_timed(
            function, argument, label=label, progress=progress, timeout_s=timeout_s
        ).value

    def run_timed(
        self,
        function: Callable[[A], R],
        argument: A,
        *,
        label: str,
        progress: Progress = no_progress,
        timeout_s: float | None = None,
    ) -> "Timed[R]":
        """Call ``function(argument)`` in a CASA process; return what it returns, and its time.

        Parameters
        ----------
        function : callable
            A module-level function of one annotated argument and an annotated return value, both
            of types that pydantic can turn into JSON and back (dataclasses, paths, numbers, ...).
            It imports CASA inside its body. Its working directory is empty scratch space.
        argument : object
            The argument.
        label : str
            Names the working directory and the log file, such as ``61041.00347-image``.
        progress : callable, optional
            Called with (message, fraction) whenever the function reports.
        timeout_s : float, optional
            Overrides the door's limit, in seconds.

        Returns
        -------
        Timed
            What the function returned, and its seconds.

        Raises
        ------
        ContimgError
            Of the class that the function raised.
        CasaError
            If the function raised anything else; `CasaCrashed` when the process died of a signal,
            `CasaTimeout` when it was ended for its time.
        """
        self.scratch.mkdir(parents=True, exist_ok=True)
        self.logs.mkdir(parents=True, exist_ok=True)
        workdir = Path(tempfile.mkdtemp(prefix=f"{label}-", dir=self.scratch))
        try:
            return self._run_in(workdir, function, argument, label, progress, timeout_s)
        finally:
            shutil.rmtree(workdir, ignore_errors=True)

    def _run_in(
        self,
        workdir: Path,
        function: Callable[[A], R],
        argument: A,
        label: str,
        progress: Progress,
        timeout_s: float | None,
    ) -> "Timed[R]":
        exchange = workdir / ".exchange"
        unfinished = exchange / "unfinished"
        unfinished.mkdir(parents=True)
        hints = {k: v for k, v in function.__annotations__.items() if k != "return"}
        request = {
            "target": f"{function.__module__}:{function.__qualname__}",
            "argument": TypeAdapter(next(iter(hints.values()))).dump_python(argument, mode="json"),
        }
        (exchange / "request.json").write_text(json.dumps(request))
        try:
            limit_s = timeout_s or self.timeout_s
            status = self._supervise(workdir, exchange, label, progress, limit_s)
        finally:
            remove_unfinished(unfinished)
        result = exchange / "result.json"
        if not result.is_file():
            raise self._death(request["target"], status, label)
        payload = json.loads(result.read_text())
        if "error" in payload:
            raise ContimgError.from_dict(payload["error"])
        returned = function.__annotations__["return"]
        value: R = TypeAdapter(returned).validate_python(payload["value"])
        return Timed(value, float(payload["seconds"]))

    def _supervise(
        self, workdir: Path, exchange: Path, label: str, progress: Progress, timeout_s: float
    ) -> int:
        death_read, death_write = os.pipe()
        progress_read, progress_write = os.pipe()
        environment = self._environment(workdir, label)
        environment[PROGRESS_FD_VARIABLE] = str(progress_write)
        environment[UNFINISHED_VARIABLE] = str(exchange / "unfinished")
        command = [
            *(sys.executable, "-I", "-S", str(Path(__file__).with_name("supervisor.py"))),
            str(death_read),
            *(sys.executable, "-m", "contimg_resources.casa.child", str(exchange)),
        ]
        with self.log_file(label).open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd=workdir,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=(death_read, progress_write),
            )
        os.close(death_read)
        os.close(progress_write)
        try:
            return _watch(process, progress_read, progress, timeout_s, label)
        finally:
            # Reached on return, on an exception and on an interrupt: end whatever is left.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            os.close(death_write)
            os.close(progress_read)

    def _environment(self, workdir: Path, label: str) -> dict[str, str]:
        root = str(Path(__file__).parents[2])
        path = os.pathsep.join(p for p in (root, os.environ.get("PYTHONPATH", "")) if p)
        return {
            **os.environ,
            **(_KEEPS_MEMORY if self.keeps_memory else {}),
            **write_site_config(workdir, self.log_file(label)),
            "PYTHONPATH": path,
            "OMP_NUM_THREADS": str(self.threads),
            "MPLBACKEND": "Agg",
            "PYTHONFAULTHANDLER": "1",
        }

    def _death(self, target: str, status: int, label: str) -> CasaError:
        tail = _tail(self.log_file(label))
        number = -status if status < 0 else status - 128
        if number in signal.valid_signals():
            return CasaCrashed(
                f"the CASA process of {target} died of {signal.Signals(number).name}; "
                f"log {self.log_file(label)} ends: {tail}",
                signal=number,
                log=str(self.log_file(label)),
            )
        return CasaError(
            f"the CASA process of {target} ended with status {status} and no result; "
            f"log {self.log_file(label)} ends: {tail}",
            status=status,
            log=str(self.log_file(label)),
        )


def _watch(
    process: "subprocess.Popen[bytes]",
    progress_read: int,
    progress: Progress,
    timeout_s: float,
    label: str,
) -> int:
    deadline = time.monotonic() + timeout_s
    pending = b""
    with selectors.DefaultSelector() as selector:
        selector.register(progress_read, selectors.EVENT_READ)
        while True:
            if selector.get_map() and selector.select(_POLL_S):
                chunk = os.read(progress_read, 65536)
                if not chunk:
                    selector.unregister(progress_read)
                *lines, pending = (pending + chunk).split(b"\n")
                for line in lines:
                    _relay(line, progress)
            status = process.poll()
            if status is None and not selector.get_map():
                with suppress(subprocess.TimeoutExpired):
                    status = process.wait(_POLL_S)
            if status is not None:
                return status
            if time.monotonic() > deadline:
                raise CasaTimeout(
                    f"{label}: CASA was ended after {timeout_s:.0f} s, the limit of a step",
                    timeout_s=timeout_s,
                )


def _relay(line: bytes, progress: Progress) -> None:
    with suppress(ValueError):
        report: dict[str, Any] = json.loads(line)
        progress(str(report["message"]), report["fraction"])


def _tail(path: Path, lines: int = 5) -> str:
    with suppress(OSError):
        return " | ".join(path.read_text(errors="replace").splitlines()[-lines:])
    return "(no log)"
