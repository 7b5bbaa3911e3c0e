"""Room on the disk of the state directory.

Belongs here: whether there is enough of it to begin something, and waiting until there is.
Doesn't: making room (see `.retention`).
"""

import shutil
import time
from pathlib import Path

from contimg_resources.casa import Progress, no_progress
from contimg_resources.errors import DiskShort
from contimg_resources.settings import Settings

_GB = 1e9
_POLL_S = 10.0


def free_bytes(directory: Path) -> int:
    """Return what is free on the disk of a directory, bytes."""
    return shutil.disk_usage(directory).free


def shortage(settings: Settings) -> str:
    """Say that too little room is free to begin anything; empty when there is enough.

    Parameters
    ----------
    settings : Settings
        The state directory and its limit.
    """
    least_gb = settings.retention.pause_below_gb
    free_gb = free_bytes(settings.state) / _GB
    if free_gb >= least_gb:
        return ""
    return (
        f"only {free_gb:.1f} GB are free on the disk of {settings.state}, nothing is begun below "
        f"{least_gb:g} GB (retention.pause_below_gb)"
    )


def wait_for_room(settings: Settings, progress: Progress = no_progress) -> None:
    """Wait until there is room to begin a step.

    Parameters
    ----------
    settings : Settings
        The state directory, its limit, and how long to wait.
    progress : callable
        Told what is waited for.

    Raises
    ------
    DiskShort
        If there is none in time.
    """
    deadline = time.monotonic() + settings.retention.wait_for_room_s
    while why := shortage(settings):
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise DiskShort(why, path=str(settings.state))
        progress(f"waits for room: {why}", None)
        time.sleep(min(_POLL_S, left_s))
