"""Functions that the tests of the door run in a CASA process."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from contimg_resources.casa.progress import report_progress
from contimg_resources.directories import whole_directory
from contimg_resources.errors import CalibrationFailed


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


def fail_on_purpose(reason: str) -> None:
    """Raise one of our own errors."""
    raise CalibrationFailed(reason, reasons=[reason])


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
