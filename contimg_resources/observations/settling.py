"""Check whether an incoming MeasurementSet is complete.

Belongs here: the signature of a directory's content and the decision from two of them.
Doesn't: storing the previous signature (the caller does), opening the MS.

An MS is a directory of files that are written in place for minutes. The directory's own
modification time is no evidence: it doesn't change while the files inside grow.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from contimg_resources.core.errors import ObservationNotSettled, UnreadableObservation
from contimg_resources.core.trees import (
    LIMITS,
    TreeLimits,
    TreeRefused,
    kind_of_special_file,
    walk_files,
)
from contimg_resources.settings import ArrivalSettings

#: Holds no data, and other programs modify it when reading.
_LOCK_FILE = "table.lock"


@dataclass(frozen=True)
class Signature:
    """The state of a directory's content at one moment."""

    newest_mtime_ns: int  #: Latest modification of any file inside, ns since 1970; 0 without files.
    total_bytes: int  #: Sum of the files' sizes, bytes.
    n_files: int  #: Number of files.
    #: SHA-256 over every file's relative path, size and modification time, hexadecimal.
    digest: str


@dataclass(frozen=True)
class SettleDecision:
    """Whether an MS may be processed, and why."""

    settled: bool  #: True when it is complete.
    reason: str  #: Reason for the log.


def content_signature(path: Path, limits: TreeLimits = LIMITS) -> Signature:
    """Return the signature of a directory's files without opening any.

    CASA's ``table.lock`` files are left out: they change even when the MS is only read. A tree
    larger than the limits isn't an MS.

    Raises
    ------
    ObservationNotSettled
        If it, or a file inside, vanished meanwhile: it is being moved or written.
    UnreadableObservation
        If it isn't a directory, is too deep or too large for an MS, or holds a pipe, a device or
        a symbolic link that points outside.
    """
    if not path.is_dir():
        what = "is a file, not a directory" if path.exists() else "does not exist"
        raise UnreadableObservation(f"{path} {what}", path=str(path))
    root = path.resolve()
    digest = hashlib.sha256()
    newest = total = count = 0
    try:
        for name, status in sorted(_files(path, root, limits)):
            digest.update(f"{name}\0{status[0]}\0{status[1]}\n".encode(errors="surrogateescape"))
            total += status[0]
            newest = max(newest, status[1])
            count += 1
    except FileNotFoundError as error:
        raise ObservationNotSettled(
            f"{path} is being moved or written: {error.filename} vanished during the scan",
            path=str(path),
        ) from error
    except TreeRefused as error:
        raise UnreadableObservation(
            f"{path} {error.strerror}, so it is no MeasurementSet", path=str(path)
        ) from error
    except OSError as error:
        raise UnreadableObservation(
            f"{path} can't be read: {error.filename}: {error.strerror}", path=str(path)
        ) from error
    return Signature(newest, total, count, digest.hexdigest())


def _files(
    directory: Path, root: Path, limits: TreeLimits
) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield relative name, size and mtime of each file below `directory`."""
    for file in walk_files(directory, limits):
        if file.is_link:
            _refuse_link_out(file.path, root)
        if file.entry.name != _LOCK_FILE:
            # A link that stays inside points to a file that is counted separately.
            status = file.entry.stat(follow_symlinks=False)
            if special := kind_of_special_file(status.st_mode):
                raise UnreadableObservation(
                    f"{root} holds the {special} {file.name}; a MeasurementSet holds files only",
                    path=str(root),
                )
            yield file.name, (status.st_size, status.st_mtime_ns)


def _refuse_link_out(link: Path, root: Path) -> None:
    try:
        target = link.resolve(strict=True)
    except (FileNotFoundError, RuntimeError, OSError) as error:
        raise UnreadableObservation(
            f"{root} holds the symbolic link {link} that leads nowhere", path=str(root)
        ) from error
    if not target.is_relative_to(root):
        raise UnreadableObservation(
            f"{root} holds the symbolic link {link} that leads out of it, to {target}; "
            "an observation must hold its own data",
            path=str(root),
        )


def decide_settled(
    previous: Signature | None,
    current: Signature,
    now_s: float,
    done_marker: bool,
    settle_age_s: float,
) -> SettleDecision:
    """Decide whether an MS is complete, without reading any files.

    Parameters
    ----------
    previous : Signature or None
        Signature at the previous scan; None at the first.
    current : Signature
        Signature now.
    now_s : float
        Time of this scan, seconds since 1970 (UTC).
    done_marker : bool
        Whether the writer created its done-marker, which is sufficient.
    settle_age_s : float
        Time without changes that is required if there is no marker, seconds.
    """
    if current.n_files == 0:
        return SettleDecision(False, "it holds no files yet")
    if done_marker:
        return SettleDecision(True, "its done-marker is there")
    if previous is None:
        return SettleDecision(
            False, "seen for the first time; it settles after two identical scans"
        )
    if previous != current:
        return SettleDecision(False, _change(previous, current))
    age_s = now_s - current.newest_mtime_ns / 1e9
    if age_s < 0:
        return SettleDecision(
            False,
            f"a file inside is dated {-age_s:.0f} s in the future: clocks differ, or it is "
            "still being written",
        )
    if age_s < settle_age_s:
        return SettleDecision(
            False, f"a file inside changed {age_s:.0f} s ago; {settle_age_s:.0f} s are required"
        )
    return SettleDecision(True, f"two identical scans, and unchanged for {age_s:.0f} s")


def _change(previous: Signature, current: Signature) -> str:
    files = current.n_files - previous.n_files
    size = current.total_bytes - previous.total_bytes
    if files or size:
        return f"it changed since the last scan ({files:+d} files, {size:+d} bytes)"
    return "files inside were rewritten since the last scan"


def done_marker(path: Path) -> Path:
    """Return the path of an MS's done-marker with the default ending, beside it."""
    return path.with_name(path.name + ArrivalSettings().done_suffix)
