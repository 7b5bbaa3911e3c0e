"""Copy an export directory to an address of fsspec, such as a bucket of S3.

Belongs here: which files are new, and the order that keeps the copy readable throughout. Doesn't:
the documents (see `directory`), access keys, which the library of each protocol finds itself.

New files go first, then the index, and files that no index names any more are removed last: a
reader, or a copy that ends in between, has the earlier index with all of its files.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contimg_resources.core.errors import ConfigurationError, ExportFailed, in_words_of_network
from contimg_resources.core.plain_text import plain_line, without_passwords
from contimg_resources.core.progress import Progress, no_progress
from contimg_resources.export.directory import INDEX

#: Object with the size and the time of each copied file; it marks a copy of an export.
LIST = "contimg-export.json"
_AT_ONCE = 100


@dataclass(frozen=True)
class Copied:
    """The outcome of a copy."""

    address: str  #: Address of the copy, without a password.
    n_files: int  #: Number of its files.
    n_written: int  #: Number of files that were copied; the others were there.
    n_removed: int  #: Number of files that were removed.
    size_bytes: int  #: Size of all files, bytes.


def copy_export(directory: Path, address: str, progress: Progress = no_progress) -> Copied:
    """Make the copy of an export directory at an address the same as the directory.

    Parameters
    ----------
    directory : Path
        The export directory; nobody may write into it meanwhile (see `directory.opened`).
    address : str
        An address that fsspec knows: ``s3://bucket/prefix``, ``file:///data/copy``.
    progress : callable
        Receives the progress.

    Raises
    ------
    ConfigurationError
        If there is no such protocol, or the package for it isn't installed.
    ExportFailed
        If the place holds something else, or can't be reached or written to.
    """
    shown = without_passwords(address)
    store, root = _opened(address, shown)
    with _told(shown):
        present = _present(store, root)
        if not present:
            # The mark of a copy, should this one end before it is complete.
            store.pipe_file(f"{root}/{LIST}", b"{}")
        there = _listed(store, root, shown)
        here = dict(_files(directory))
        # Also those that somebody removed there.
        new = {n for n, stamp in here.items() if there.get(n) != stamp or n not in present}
        gone = sorted(there.keys() & present - here.keys())
        *pages, index = sorted(new, key=lambda name: (name == INDEX, name)) or [""]
        for start in range(0, len(pages), _AT_ONCE):
            progress(f"copying {len(pages)} files to {shown}", start / len(pages))
            some = pages[start : start + _AT_ONCE]
            store.put([str(directory / n) for n in some], [f"{root}/{n}" for n in some])
        if index:
            store.put_file(str(directory / index), f"{root}/{index}")
        for start in range(0, len(gone), _AT_ONCE):
            store.rm([f"{root}/{n}" for n in gone[start : start + _AT_ONCE]])
        if new or gone:
            store.pipe_file(f"{root}/{LIST}", json.dumps(here, indent=0).encode())
    size_bytes = sum(size for size, _ in here.values())
    return Copied(shown, len(here), len(new), len(gone), size_bytes)


def _opened(address: str, shown: str) -> tuple[Any, str]:
    from fsspec.core import split_protocol, url_to_fs

    # A bucket has no directories that have to be made.
    is_local = split_protocol(address)[0] in (None, "file", "local")
    try:
        store, root = url_to_fs(address, **({"auto_mkdir": True} if is_local else {}))
    except ImportError as error:
        raise ConfigurationError(
            f"{shown} needs a Python package that isn't installed: {plain_line(str(error))} "
            "(for s3:// install contimg[bucket])"
        ) from error
    except ValueError as error:
        raise ConfigurationError(
            f"{shown} is no address of a file system: {plain_line(str(error))}"
        ) from error
    store.invalidate_cache()
    return store, str(root).rstrip("/")


@contextmanager
def _told(shown: str) -> Iterator[None]:
    """Convert the errors of any protocol's library, none of which has a common base class."""
    try:
        yield
    except ExportFailed:
        raise
    except Exception as error:
        raise ExportFailed(
            f"the export can't be copied to {shown}: {in_words_of_network(error)}; the earlier "
            "copy is still there",
            address=shown,
        ) from error


def _present(store: Any, root: str) -> set[str]:
    """Return the names of all files at a place; empty if it doesn't exist."""
    try:
        return {str(path)[len(root) + 1 :] for path in store.find(root)}
    except FileNotFoundError:
        return set()


def _listed(store: Any, root: str, shown: str) -> dict[str, list[int]]:
    """Return size and time of each file that was copied before, by name."""
    try:
        told = json.loads(store.cat_file(f"{root}/{LIST}"))
        return {str(name): [int(size), int(time)] for name, (size, time) in told.items()}
    except FileNotFoundError:
        raise ExportFailed(
            f"{shown} isn't empty and holds no copy of contimg's documents; give another prefix",
            address=shown,
        ) from None
    except (ValueError, TypeError, AttributeError) as error:
        raise ExportFailed(
            f"{shown}/{LIST} is no list of copied files: remove it together with the copy",
            address=shown,
        ) from error


def _files(directory: Path) -> Iterator[tuple[str, list[int]]]:
    """Yield name, size in bytes and time in nanoseconds of each file of an export directory."""
    for place, folders, names in os.walk(directory):
        # Names with a dot are those of locks and unfinished files.
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if not name.startswith("."):
                file = Path(place, name)
                status = file.stat()
                yield file.relative_to(directory).as_posix(), [status.st_size, status.st_mtime_ns]
