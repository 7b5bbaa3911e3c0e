"""The size limit of the cutouts.

Belongs here: choosing the cutouts to remove, and removing them. Doesn't: which sources need theirs.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from contimg_resources.cutouts.places import directory_name, epoch_of

_BYTES_PER_GB = 1e9
#: Longer than the time to write a cutout.
_STALE_S = 86_400.0
#: Removal stops just below the limit.
_FULL_SHARE = 0.9


@dataclass(frozen=True)
class _Pair:
    directory: Path
    epoch: str
    mid_mjd: float
    files: tuple[Path, ...]
    size_bytes: int
    is_needed: bool


@dataclass
class _Directory:
    pairs: list[_Pair]
    #: Stack and animation: made from the cutouts, and useless without them.
    others: dict[Path, int]
    in_work: bool


def keep_within(
    root: Path,
    max_gb: float,
    needed: Set[str],
    forget: Callable[[Sequence[Path]], object] = lambda _: None,
) -> tuple[Path, ...]:
    """Remove the oldest cutouts until all together are within `max_gb`; return the removed.

    GB are 10^9 bytes. Cutouts of sources in `needed` are removed last. `forget` is called with the
    files before they are removed, to delete their records.

    Notes
    -----
    FITS and PNG of an epoch are removed together, and never while they are being written; a
    source's stack and animation are removed with its last epoch.
    """
    kept_names = {directory_name(source_id) for source_id in needed}
    directories = {d: _look(d, d.name in kept_names) for d in _directories(root)}
    size_bytes = sum(
        sum(p.size_bytes for p in d.pairs) + sum(d.others.values()) for d in directories.values()
    )
    removed: list[Path] = []
    left = {d: len(found.pairs) for d, found in directories.items()}
    pairs = [p for found in directories.values() for p in found.pairs]
    for pair in sorted(pairs, key=lambda p: (p.is_needed, p.mid_mjd, p.epoch, p.directory)):
        if size_bytes <= max_gb * _BYTES_PER_GB:
            break
        # One that is being written stays.
        if any(path.name.startswith(f".{pair.epoch}.") for path, _, _ in _files(pair.directory)):
            continue
        removed += pair.files
        size_bytes -= pair.size_bytes
        left[pair.directory] -= 1
        found = directories[pair.directory]
        if not left[pair.directory] and not found.in_work:
            removed += found.others
            size_bytes -= sum(found.others.values())
    if removed:
        forget(removed)
    for path in removed:
        path.unlink(missing_ok=True)
    for directory in directories:
        # A directory in which a file is being written isn't empty.
        with suppress(OSError):
            directory.rmdir()
    return tuple(removed)


def full_since(root: Path, max_gb: float, needed: Set[str]) -> float | None:
    """Return the time before which there is no disk space for cutouts of needed sources.

    Cutouts before it would be made and removed again and again. The result is the time of the
    oldest existing cutout, MJD in days, by its key; None if there is disk space within `max_gb`.
    """
    found = [_look(d, True) for d in (root / directory_name(i) for i in needed) if d.is_dir()]
    pairs = [p for d in found for p in d.pairs]
    size_bytes = sum(p.size_bytes for p in pairs) + sum(sum(d.others.values()) for d in found)
    limit_bytes = max_gb * _BYTES_PER_GB
    one_bytes = size_bytes / max(1, len(pairs))
    if size_bytes < _FULL_SHARE * limit_bytes and size_bytes + one_bytes < limit_bytes:
        return None
    return min((p.mid_mjd for p in pairs), default=None)


def _directories(root: Path) -> list[Path]:
    if not root.is_dir():
        return []
    return sorted(Path(e.path) for e in os.scandir(root) if e.is_dir(follow_symlinks=False))


def _look(directory: Path, is_needed: bool) -> _Directory:
    by_epoch: dict[tuple[str, float], list[tuple[Path, int]]] = {}
    others: dict[Path, int] = {}
    in_work = False
    for path, size_bytes, modified_s in _files(directory):
        if path.name.startswith("."):
            if time.time() - modified_s > _STALE_S:
                # Written by a process that was killed.
                path.unlink(missing_ok=True)
            else:
                in_work = True
        elif found := epoch_of(path.name):
            by_epoch.setdefault(found, []).append((path, size_bytes))
        else:
            others[path] = size_bytes
    pairs = [
        _Pair(
            directory,
            epoch,
            mid_mjd,
            tuple(p for p, _ in files),
            sum(b for _, b in files),
            is_needed,
        )
        for (epoch, mid_mjd), files in by_epoch.items()
    ]
    return _Directory(pairs, others, in_work)


def _files(directory: Path) -> Iterator[tuple[Path, int, float]]:
    with suppress(FileNotFoundError), os.scandir(directory) as entries:
        for entry in entries:
            # Other processes may write and remove files meanwhile.
            with suppress(FileNotFoundError):
                if entry.is_file(follow_symlinks=False):
                    told = entry.stat(follow_symlinks=False)
                    yield Path(entry.path), told.st_size, told.st_mtime
