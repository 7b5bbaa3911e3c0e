"""Write a product, directory or file, so that it is complete or not there at all.

Belongs here: the temporary name, and the rename to the final one.
Doesn't: the content.
"""

import glob
import os
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from contimg_resources.core.fencing import may_rename
from contimg_resources.core.trees import remove_tree

_STALE_S = 86_400.0

#: Environment variable that names a directory with links to every directory being written: after
#: killing this process, its parent removes the unfinished ones.
UNFINISHED_VARIABLE = "CONTIMG_UNFINISHED"


@contextmanager
def whole_directory(place: Path) -> Iterator[Path]:
    """Provide a temporary directory beside `place`, and rename it to `place` on success.

    Yields a path beside `place` that doesn't exist yet, for tasks that make their own directory;
    its name ends in ``.partial``, so that it isn't mistaken for a product. Parents are made. An
    existing directory at `place` is replaced only when the new one is complete. After an exception
    it is unchanged, and the new one is removed.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    _sweep(place)
    # A separate directory for each call: two writers of one product never interfere.
    room = Path(tempfile.mkdtemp(prefix=f".{place.name}.", suffix=".partial", dir=place.parent))
    if links := os.environ.get(UNFINISHED_VARIABLE):
        (Path(links) / room.name).symlink_to(room.absolute())
    try:
        partial = room / f"{place.name}.partial"
        yield partial
        may_rename()
        replace_directory(partial, place)
    finally:
        remove_tree(room, ignore_errors=True)


def whole_file(place: Path, write: Callable[[Path], object], *, is_product: bool = True) -> None:
    """Write a file under a temporary name, and rename it on success.

    `write` gets the temporary path, whose name ends in ``.partial``. The directory exists. A file
    that isn't a product is also written by a run that was given up.
    """
    _sweep_files(place.parent)
    # Not `tempfile`, whose files only their owner may read.
    partial = place.parent / f".{place.name}.{uuid.uuid4().hex}.partial"
    try:
        write(partial)
        if is_product:
            may_rename()
        partial.replace(place)
    finally:
        partial.unlink(missing_ok=True)


def replace_directory(new: Path, place: Path) -> None:
    """Replace the directory `place`, which may not exist, by `new` on the same file system."""
    try:
        new.rename(place)
    except OSError:
        if not place.is_dir():
            raise
    else:
        return
    # A directory that isn't empty can't be replaced by a rename: the old one is moved away first.
    old = Path(tempfile.mkdtemp(prefix=f".{place.name}.", suffix=".old", dir=place.parent))
    place.rename(old / place.name)
    try:
        new.rename(place)
    except OSError:
        os.rename(old / place.name, place)  # noqa: PTH104 - the pair of the rename above
        raise
    finally:
        remove_tree(old, ignore_errors=True)


def remove_unfinished(links: Path) -> None:
    """Remove the unfinished `whole_directory` directories of a process that ended.

    `UNFINISHED_VARIABLE` named the directory `links` in its environment.
    """
    # If all of scratch was removed, so were the links; the daily sweep finds the rest.
    with suppress(FileNotFoundError):
        for link in links.iterdir():
            # The link of a finished directory points nowhere.
            remove_tree(link.resolve(), ignore_errors=True)


def _sweep(place: Path) -> None:
    # Orphaned directories of processes that were killed with their caller; a day is longer than
    # any step may run.
    for left in place.parent.glob(f".{glob.escape(place.name)}.*"):
        if left.suffix in (".partial", ".old") and time.time() - left.stat().st_mtime > _STALE_S:
            remove_tree(left, ignore_errors=True)


def _sweep_files(directory: Path) -> None:
    for left in directory.glob(".*.partial"):
        with suppress(FileNotFoundError):
            if left.is_file() and time.time() - left.stat().st_mtime > _STALE_S:
                left.unlink()
