"""Call a function in a CASA process.

casatools is not thread-safe, keeps table locks per process, writes logs into the current
directory, and crashes with SIGSEGV. So each step runs in a child process, with its own working
directory, log file and process group; a crash ends only that step, and nothing keeps running.

Starting a process takes seconds. A caller with several steps calls `Casa.open`: the process then
starts at once, loads the modules for the steps while the caller continues, and serves the steps one
after another. A process in which a step failed is not used again.
"""

import json
import os
import shutil
import signal
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter

from contimg_resources.casa.process import REQUEST, CasaProcess
from contimg_resources.casa.siteconfig import user_has_own_configuration, write_site_config
from contimg_resources.core import fencing
from contimg_resources.core.directories import remove_unfinished
from contimg_resources.core.disk_space import FULL, NO_ROOM_BYTES, REFUSED
from contimg_resources.core.errors import (
    CalibrationFailed,
    CasaCrashed,
    CasaError,
    ContimgError,
    DiskRefused,
    DiskShort,
    ScratchLost,
    in_words,
)
from contimg_resources.core.progress import Progress, no_progress
from contimg_resources.core.surroundings import environment_of_children
from contimg_resources.core.trees import remove_tree
from contimg_resources.settings import CasaSettings

A = TypeVar("A")
R = TypeVar("R")

#: glibc returns the memory of each large array to the system and requests it again, and the system
#: clears it: in imaging this costs a fifth of the time. So the process keeps its memory.
_KEEPS_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40)}
#: Label of the log of a process that loads modules ahead of its first step.
_LOADING = "casa-loading"
#: Start of a line with about a hundred modules, which Python prints when a process crashes.
_NO_NEWS = "Extension modules:"
#: A process is replaced after this many calls, to release memory that libraries leak.
_MOST_CALLS = 50

#: Messages of a full disk, and of a disk that can't be written.
_FULL_WORDS = tuple(os.strerror(number) for number in FULL)
_REFUSED_WORDS = tuple(os.strerror(number) for number in REFUSED)


@dataclass(frozen=True)
class Timed(Generic[R]):
    """The return value of a function in a CASA process, with its duration."""

    value: R  #: Return value.
    seconds: float  #: Duration of the function, without the start-up of the process, seconds.


class Casa:
    """Runs functions in CASA processes.

    Parameters
    ----------
    scratch : Path
        Parent of the working directories of the calls, which are removed afterwards.
    logs : Path
        Directory of the log files, ``LABEL.log``; a call appends to its file.
    settings : CasaSettings, optional
        Maximum duration of a call, and threads of the child process; None: the defaults.
    keeps_memory : bool
        Whether the child process keeps freed memory until it ends, which is faster.
    """

    def __init__(
        self,
        scratch: Path,
        logs: Path,
        settings: CasaSettings | None = None,
        *,
        keeps_memory: bool = True,
    ) -> None:
        self.scratch = scratch
        self.logs = logs
        self.settings = settings or CasaSettings()
        self.keeps_memory = keeps_memory
        self._loads: str | None = None
        self._is_open = False
        self._lock = threading.Lock()
        # At most one; in a list, so that it is ended when this object is no longer used.
        self._waiting: list[CasaProcess] = []
        weakref.finalize(self, _discard_all, self._waiting)

    def open(self, loads: Callable[[], Iterator[None]]) -> None:
        """Start a process for the following calls and keep it between them, until `close`.

        It does nothing if it is already open. `loads` is a
        module-level generator function that loads modules for the calls, one after another; it runs
        in the process while no call waits.
        """
        with self._lock:
            if self._is_open:
                return
            self._is_open = True
            self._loads = f"{loads.__module__}:{loads.__qualname__}"
            with self._disk_told(_LOADING):
                self._waiting.append(self._started_ahead())

    def close(self) -> None:
        """End the process that waits for calls, if any; calls work as before `open`."""
        with self._lock:
            self._is_open = False
            for process in self._waiting:
                process.finish()
            _discard_all(self._waiting)

    def log_file(self, label: str) -> Path:
        """Return the log file of the calls with this label."""
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
        """Call ``function(argument)`` in a CASA process and return its value.

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
        """Call ``function(argument)`` in a CASA process; return its value and duration.

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
            Replaces `timeout_s` of this object, seconds.

        Returns
        -------
        Timed
            Return value and duration of the function.

        Raises
        ------
        ContimgError
            Of the class that the function raised.
        CasaError
            If the function raised any other error; `CasaCrashed` if the process died from a signal,
            `CasaTimeout` if it exceeded its time limit.
        DiskShort, DiskRefused
            If the disk of the scratch space is full, or can't be written.
        ScratchLost
            If the working directory was removed during the call.
        """
        with self._disk_told(label):
            self.scratch.mkdir(parents=True, exist_ok=True)
            self.logs.mkdir(parents=True, exist_ok=True)
            workdir = Path(tempfile.mkdtemp(prefix=f"{label}-", dir=self.scratch.absolute()))
            try:
                return self._run_in(workdir, function, argument, label, progress, timeout_s)
            except FileNotFoundError as error:
                if workdir.is_dir():
                    raise
                raise self._scratch_lost(workdir, label) from error
            finally:
                remove_tree(workdir, ignore_errors=True)

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
        target = f"{function.__module__}:{function.__qualname__}"
        request = {
            "target": target,
            "argument": TypeAdapter(next(iter(hints.values()))).dump_python(argument, mode="json"),
            "directory": str(workdir),
            "log": str(self.log_file(label).absolute()),
            "casa_log": not user_has_own_configuration(),
            "fenced": fencing.is_fenced(),
        }
        (exchange / REQUEST).write_text(json.dumps(request))
        process = self._taken() or self._started(self.log_file(label))
        limit_s = timeout_s or self.settings.step_timeout_s
        try:
            status = process.serve(exchange, progress, limit_s, label)
            if status is not None and (exchange / REQUEST).exists():
                # It died while it waited, before this request: no fault of this step.
                _discard(process)
                process = self._started_ahead()
                status = process.serve(exchange, progress, limit_s, label)
        except BaseException:
            _discard(process)
            remove_unfinished(unfinished)
            raise
        payload = _answer(exchange / "result.json")
        # Checked before the partial files of the step are removed.
        lost = not exchange.is_dir()
        refused = not lost and not os.access(workdir, os.W_OK)
        full = not lost and shutil.disk_usage(workdir).free < NO_ROOM_BYTES
        if status is None and payload is not None and "error" not in payload:
            self._put_back(process)
        else:
            _discard(process)
            remove_unfinished(unfinished)
        if payload is None and lost:
            raise self._scratch_lost(workdir, label)
        if payload is None:
            died = self._death(target, status or 0, label)
            # A CASA process that can't write dies in many ways, which don't mention the disk;
            # Python reports it at its end, when the disk can be written again.
            if refused or _says(died, _REFUSED_WORDS):
                raise DiskRefused(f"{label}: {workdir} can't be written to ({died.message})")
            full = full or _says(died, _FULL_WORDS)
            raise (self._disk_full(label, died.message) if full else died)
        if "error" in payload:
            error = ContimgError.from_dict(payload["error"])
            # A refusal by the step itself is unrelated to the disk, but the result of a solver that
            # could not write is no judgement of the data.
            of_casa = isinstance(error, CasaError | CalibrationFailed)
            full = full and of_casa
            full = full or _says(error, _FULL_WORDS)
            refused = of_casa and (refused or _says(error, _REFUSED_WORDS))
            if full:
                raise self._disk_full(label, error.message)
            raise (DiskRefused(f"{label}: {error.message}") if refused else error)
        returned = function.__annotations__["return"]
        value: R = TypeAdapter(returned).validate_python(payload["value"])
        return Timed(value, float(payload["seconds"]))

    def _started(self, log: Path, loads: str | None = None) -> CasaProcess:
        for directory in (self.scratch, self.logs):
            directory.mkdir(parents=True, exist_ok=True)
        home = Path(tempfile.mkdtemp(prefix="casa-", dir=self.scratch.absolute()))
        try:
            return CasaProcess(home, self._environment(home), log, loads)
        except BaseException:
            remove_tree(home, ignore_errors=True)
            raise

    def _started_ahead(self) -> CasaProcess:
        return self._started(self.log_file(_LOADING), self._loads)

    def _taken(self) -> CasaProcess | None:
        """Return the waiting process, or a new one in its place; None if not open."""
        with self._lock:
            if not self._is_open:
                return None
            process = self._waiting.pop() if self._waiting else None
        if process is not None and process.is_alive() and process.directory.is_dir():
            return process
        if process is not None:
            _discard(process)
        return self._started_ahead()

    def _put_back(self, process: CasaProcess) -> None:
        with self._lock:
            if self._is_open and not self._waiting and process.n_served < _MOST_CALLS:
                self._waiting.append(process)
                return
        process.finish()
        _discard(process)

    def _environment(self, directory: Path) -> dict[str, str]:
        root = str(Path(__file__).parents[2])
        path = os.pathsep.join(p for p in (root, os.environ.get("PYTHONPATH", "")) if p)
        return {
            **os.environ,
            **(_KEEPS_MEMORY if self.keeps_memory else {}),
            **environment_of_children(self.scratch.absolute() / "home"),
            **write_site_config(directory),
            "PYTHONPATH": path,
            "OMP_NUM_THREADS": str(self.settings.threads),
            "MPLBACKEND": "Agg",
            "PYTHONFAULTHANDLER": "1",
        }

    @contextmanager
    def _disk_told(self, label: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in FULL:
                raise self._disk_full(label, str(error)) from error
            if error.errno in REFUSED:
                raise DiskRefused(f"{label}: {in_words(error)}") from error
            raise

    @staticmethod
    def _scratch_lost(workdir: Path, label: str) -> ScratchLost:
        return ScratchLost(f"{label}: its working directory {workdir} was removed while it ran")

    def _disk_full(self, label: str, said: str) -> DiskShort:
        return DiskShort(
            f"the disk of {self.scratch} is full: {label} could not go on ({said})",
            path=str(self.scratch),
        )

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


def _says(error: ContimgError, words: tuple[str, ...]) -> bool:
    return any(some in error.message for some in words)


def _answer(file: Path) -> dict[str, Any] | None:
    """Return the answer of a process; None if it is missing or incomplete."""
    try:
        answer: dict[str, Any] = json.loads(file.read_text())
    except (OSError, ValueError):
        return None
    return answer


def _discard(process: CasaProcess) -> None:
    process.end()
    remove_tree(process.directory, ignore_errors=True)


def _discard_all(processes: list[CasaProcess]) -> None:
    while processes:
        _discard(processes.pop())


def _tail(path: Path, lines: int = 5) -> str:
    with suppress(OSError):
        said = path.read_text(errors="replace").splitlines()
        return " | ".join([s for s in said if s and not s.startswith(_NO_NEWS)][-lines:])
    return "(no log)"
