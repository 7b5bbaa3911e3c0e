"""Progress reports from a CASA process to its caller."""

import json
import os
from collections.abc import Callable

#: Called with a message and the finished fraction of the step (0 to 1, or None).
Progress = Callable[[str, float | None], None]

#: Environment variable with the number of the file descriptor for progress reports.
PROGRESS_FD_VARIABLE = "CONTIMG_PROGRESS_FD"
#: Line that ends the reports of a request.
DONE = b"null"
#: Line with which a CASA process asks whether it may rename a product (see `fencing`).
ASK = b"true"


def no_progress(message: str, fraction: float | None = None) -> None:
    """Ignore progress."""


def report_done() -> None:
    """Report to the caller that its request is done."""
    _write(DONE)


def ask() -> None:
    """Ask the caller whether a product may be renamed."""
    _write(ASK)


def report_progress(message: str, fraction: float | None = None) -> None:
    """Report activity and finished fraction (0 to 1) of a step to the caller.

    It does nothing outside a CASA process.
    """
    _write(json.dumps({"message": message, "fraction": fraction}).encode())


def _write(line: bytes) -> None:
    fd = os.environ.get(PROGRESS_FD_VARIABLE)
    if fd:
        os.write(int(fd), line + b"\n")
