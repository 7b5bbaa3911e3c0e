"""How a CASA process tells the process that asked how far the work is."""

import json
import os
from collections.abc import Callable

#: Called with what is being done and how much of the step is done (0 to 1, or None).
Progress = Callable[[str, float | None], None]

#: Environment variable with the number of the file descriptor for progress reports.
PROGRESS_FD_VARIABLE = "CONTIMG_PROGRESS_FD"
#: The line that ends the reports of a request.
DONE = b"null"


def no_progress(message: str, fraction: float | None = None) -> None:
    """Ignore progress."""


def report_done() -> None:
    """Tell the process that asked that its request is done."""
    _write(DONE)


def report_progress(message: str, fraction: float | None = None) -> None:
    """Tell the process that asked how far the work is; does nothing outside a CASA process.

    Parameters
    ----------
    message : str
        What is being done now.
    fraction : float, optional
        How much of this step is done, 0 to 1.
    """
    _write(json.dumps({"message": message, "fraction": fraction}).encode())


def _write(line: bytes) -> None:
    fd = os.environ.get(PROGRESS_FD_VARIABLE)
    if fd:
        os.write(int(fd), line + b"\n")
