"""Functions that the tests of the door run in a CASA process."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from contimg_resources.casa.tasks import call_task
from contimg_resources.core import disk_space
from contimg_resources.core.directories import whole_directory
from contimg_resources.core.errors import CalibrationFailed, CasaError
from contimg_resources.core.progress import report_progress


@dataclass(frozen=True)
class Question:
    """What is asked."""

    directory: Path
    values: tuple[float, ...]


@dataclass(frozen=True)
class Answer:
    """What is answered."""

    version: str
    total: float
    directory: Path
    workdir: Path


def add_up(question: Question) -> Answer:
    """Answer with CASA's version, reporting progress."""
    import casatools

    report_progress("adding", 0.5)
    return Answer(casatools.version_string(), sum(question.values), question.directory, Path.cwd())


def remove_everything_in(scratch: Path) -> None:
    """Do what somebody does who wants disk space back."""
    for entry in scratch.iterdir():
        shutil.rmtree(entry)


def meet_a_read_only_disk(place: Path) -> None:
    """Raise what the system does."""
    raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(place))


def die_of_a_read_only_disk(place: Path) -> None:
    """End as a process does that can't write its result; its disk may be written to again."""
    sys.stderr.write(f"OSError: [Errno 30] {os.strerror(errno.EROFS)}: '{place}'\n")
    sys.stderr.flush()
    os._exit(1)


def solve_on_a_full_disk(said: str) -> None:
    """Call a task that fails while the disk is full, which it isn't any more a moment later."""

    def gaincal() -> None:
        raise RuntimeError(said)

    disk_space.free_bytes = lambda directory: 0
    try:
        call_task(gaincal)
    except CasaError as error:
        raise CalibrationFailed(f"the delays can't be solved: {error.message}") from error


def fail_on_purpose(reason: str) -> None:
    """Raise one of our own errors."""
    raise CalibrationFailed(reason, reasons=[reason])


@dataclass(frozen=True)
class Observed:
    """What is worked on."""

    ms: Path


def fail_on_a_copy(observed: Observed) -> None:
    """Raise an error about a working copy, in the words of casacore."""
    raise CasaError(
        f"Table {Path.cwd()}/work.ms/FIELD: (/source/casa6/ms/MSColumns.cc : 123) Failed "
        f"AlwaysAssert nrow() == rhs.nrow(); see {Path.cwd()}/k_1",
        reasons=[f"{Path.cwd()}/work.ms is empty"],
    )


def fail_by_accident(value: int) -> int:
    """Raise an error of Python's."""
    return value // 0


def crash(signal_number: int) -> None:
    """Die as CASA does."""
    os.kill(os.getpid(), signal.Signals(signal_number))


def linger(pid_file: Path) -> None:
    """Start a child, write its pid, and outstay."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    pid_file.write_text(f"{os.getpid()} {child.pid}")
    time.sleep(600)


def linger_over_a_product(place: Path) -> None:
    """Begin a directory that shall be whole, and outstay."""
    with whole_directory(place) as partial:
        partial.mkdir()
        (partial / "half").write_text("half")
        time.sleep(600)


@dataclass(frozen=True)
class Trace:
    """Where a step ran, and what it found loaded."""

    pid: int
    workdir: Path
    loaded: tuple[str, ...]


def make_product(place: Path) -> str:
    """Make a directory with a file."""
    with whole_directory(place) as partial:
        partial.mkdir()
        (partial / "made").write_text("new")
    return "made"


def leave_traces(word: str) -> Trace:
    """Print a word, log it in CASA's way, and tell where that was done."""
    loaded = tuple(name for name in ("casatools",) if name in sys.modules)
    from casatasks import casalog

    print(f"printed {word}")
    casalog.post(f"logged {word}")
    return Trace(os.getpid(), Path.cwd(), loaded)


def read_nothing(limit_s: float) -> str:
    """Start a child that reads what is meant for nobody; return what it read."""
    command = [sys.executable, "-c", "import sys; print(repr(sys.stdin.read()))"]
    done = subprocess.run(command, stdout=subprocess.PIPE, timeout=limit_s, check=True)
    return done.stdout.decode().strip()


def load_quickly() -> Iterator[None]:
    """Load CASA."""
    import casatools  # noqa: F401

    yield


def load_for_a_minute() -> Iterator[None]:
    """Load in many pieces until somebody waits."""
    for _ in range(600):
        time.sleep(0.1)
        yield


def load_what_is_not_there() -> Iterator[None]:
    """Fail to load."""
    raise OSError("what was to be loaded isn't there")
    yield
