"""How a CASA process tells the process that asked how far the work is."""

import json
import os

#: Environment variable with the number of the file descriptor for progress reports.
PROGRESS_FD_VARIABLE = "CONTIMG_PROGRESS_FD"


def report_progress(message: str, fraction: float | None = None) -> None:
    """Tell the process that asked how far the work is; does nothing outside a CASA process.

    Parameters
    ----------
    message : str
        What is being done now.
    fraction : float, optional
        How much of this step is done, 0 to 1.
    """
    fd = os.environ.get(PROGRESS_FD_VARIABLE)
    if fd:
        line = json.dumps({"message": message, "fraction": fraction}) + "\n"
        os.write(int(fd), line.encode())
