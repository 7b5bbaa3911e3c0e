"""Disk space: how much is free, and whether a disk is full or not writable.

Belongs here: asking the operating system. Doesn't: what to do about it (see
`contimg_resources.steps.disk_space`).
"""

import errno
import os
import shutil
from pathlib import Path

#: Below this nothing useful can be written: SQLite needs 32 kB to open a store.
_FULL_BYTES = 256 * 1024

#: A disk with less free space than this is full for CASA, which writes in pieces of some MB.
NO_ROOM_BYTES = 16_000_000

#: Error numbers of a full disk, and of a disk that can't be written or read; both may pass.
FULL = (errno.ENOSPC, errno.EDQUOT)
REFUSED = (errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE, errno.ENOTCONN)


def free_bytes(directory: Path) -> int:
    """Return the free space on the disk of a directory, bytes."""
    return shutil.disk_usage(directory).free


def what_refuses(directory: Path) -> str:
    """Return the system's reason why a few MB can't be written; empty when they can.

    Call it immediately after a failure: a moment later the disk may have free space again.
    """
    try:
        if free_bytes(directory) < NO_ROOM_BYTES:
            return os.strerror(errno.ENOSPC)
    except OSError as error:
        return os.strerror(error.errno or errno.EIO)
    return "" if os.access(directory, os.W_OK) else os.strerror(errno.EROFS)


def fullness(path: Path) -> str:
    """Return a message if the file system of a path is full; empty when it isn't.

    The path needn't exist.
    """
    place = _nearest(path)
    try:
        found = os.statvfs(place)
    except OSError:
        return ""
    if found.f_files and not found.f_favail:
        return f"the file system {mount_point(place)} is full: it can hold no more files"
    free = found.f_bavail * found.f_frsize
    if free >= _FULL_BYTES:
        return ""
    return f"the file system {mount_point(place)} is full: {free} bytes are free"


def mount_point(path: Path) -> Path:
    """Return the mount point of the file system of a path."""
    place = _nearest(path).resolve()
    while not place.is_mount() and place != place.parent:
        place = place.parent
    return place


def _nearest(path: Path) -> Path:
    return next((p for p in (path, *path.absolute().parents) if p.exists()), Path("/"))
