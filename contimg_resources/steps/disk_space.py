"""Disk space of the state directory, and whether it is writable.

Belongs here: checking whether a step can start, and waiting until it can.
Doesn't: freeing disk space (see `.retention`).
"""

import os
import time

from contimg_resources.casa import Progress, no_progress
from contimg_resources.core.disk_space import free_bytes
from contimg_resources.core.errors import DiskRefused, DiskShort
from contimg_resources.settings import Settings

_GB = 1e9
_POLL_S = 10.0
#: The reserve is made where at least this many times its size is free.
_PLENTY = 10


def shortage(settings: Settings) -> str:
    """Return why no step can start for lack of disk space; empty when there is enough."""
    least_gb = settings.retention.pause_below_gb
    free_gb = free_bytes(settings.state) / _GB
    if free_gb >= least_gb:
        return ""
    return (
        f"only {free_gb:.1f} GB are free on the disk of {settings.state}, no step starts below "
        f"{least_gb:g} GB (retention.pause_below_gb)"
    )


def unwritable(settings: Settings) -> str:
    """Return which directory of products can't be written to; empty when all can."""
    layout = settings.layout
    for directory in (layout.root, layout.scratch, layout.logs, layout.caltables,
                      layout.calibrated, layout.images, layout.mosaics):  # fmt: skip
        if directory.is_dir() and not os.access(directory, os.W_OK | os.X_OK):
            return (
                f"{directory} can't be written to: it is read-only, or user {os.geteuid()} lacks "
                "permission"
            )
    return ""


def wait_for_disk_space(settings: Settings, progress: Progress = no_progress) -> None:
    """Wait until there is enough disk space for a step, and products can be written.

    Raises
    ------
    DiskShort
        If the disk space is still too low at the end.
    DiskRefused
        If a directory still can't be written to at the end.
    """
    deadline = time.monotonic() + settings.retention.wait_for_room_s
    while why := unwritable(settings) or shortage(settings):
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            refused = DiskRefused if unwritable(settings) else DiskShort
            raise refused(why, path=str(settings.state))
        progress(f"waiting for the disk: {why}", None)
        time.sleep(min(_POLL_S, left_s))


def keep_reserve(settings: Settings) -> None:
    """Make the reserve of disk space, if the disk has plenty."""
    reserve = settings.layout.reserve
    size_bytes = int(settings.retention.reserve_mb * 1e6)
    if not size_bytes:
        reserve.unlink(missing_ok=True)
        return
    if reserve.is_file() and reserve.stat().st_size == size_bytes:
        return
    if free_bytes(settings.state) < _PLENTY * size_bytes:
        return
    try:
        with reserve.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, size_bytes)
    except OSError:
        # A file system that can't allocate space in advance has no reserve.
        reserve.unlink(missing_ok=True)


def give_up_reserve(settings: Settings) -> int:
    """Remove the reserve of disk space; return the freed space, bytes."""
    reserve = settings.layout.reserve
    try:
        size_bytes = reserve.stat().st_size
        reserve.unlink()
    except OSError:
        return 0
    return size_bytes
