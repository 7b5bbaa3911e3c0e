"""A product, directory or file, is whole or it isn't there.

Belongs here: the name under which it is written, and putting it in its place.
Doesn't: what is inside.
"""

import glob
import os
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from contimg_resources.core.trees import remove_tree

_STALE_S = 86_400.0

#: Environment variable with a directory that gets a link to every directory being written: so
#: whoever kills this process can remove what it had no time to.
UNFINISHED_VARIABLE = "CONTIMG_UNFINISHED"


@contextmanager
def whole_directory(place: Path) -> Iterator[Path]:
    """Give a temporary sibling of `place` to write into, and rename it when all went well.

    What stood at `place` before stays until the new directory is complete and is replaced then.
    After an exception it stands as before, and nothing of the new one is left.

    Parameters
    ----------
    place : Path
        Where the directory shall stand; its parents are made.

    Yields
    ------
    Path
        A path beside it that doesn't exist yet, for a task that insists on making its own; its
        name ends in ``.partial``, so that nobody takes it for a product.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    _sweep(place)
    # A directory of its own per call: two writers of one product never write into each other's.
    room = Path(tempfile.mkdtemp(prefix=f".{place.name}.", suffix=".partial", dir=place.parent))
    if links := os.environ.get(UNFINISHED_VARIABLE):
        (Path(links) / room.name).symlink_to(room.absolute())
    try:
        partial = room / f"{place.name}.partial"
        yield partial
        replace_directory(partial, place)
    finally:
        remove_tree(room, ignore_errors=True)


def whole_file(place: Path, write: Callable[[Path], object]) -> None:
    """Write a file under another name beside its place, and rename it.

    Parameters
    ----------
    place : Path
        Its place; the directory is there.
    write : callable
        Called with the path to write to, whose name ends in ``.partial``.
    """
    _sweep_files(place.parent)
    # Not `tempfile`, whose files nobody else may read.
    partial = place.parent / f".{place.name}.{uuid.uuid4().hex}.partial"
    try:
        write(partial)
        partial.replace(place)
    finally:
        partial.unlink(missing_ok=True)


def replace_directory(new: Path, place: Path) -> None:
    """Put the directory `new` where `place` is, and remove what stood there.

    Parameters
    ----------
    new : Path
        A complete directory on the same file system.
    place : Path
        Its place; may exist.
    """
    try:
        new.rename(place)
    except OSError:
        if not place.is_dir():
            raise
    else:
        return
    # A directory that isn't empty can't be renamed over: away with the old, in with the new.
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
    """Remove what a process that is gone was writing with `whole_directory`.

    Parameters
    ----------
    links : Path
        The directory that its environment named.
    """
    # Whoever removed all of scratch removed the links too; the daily sweep finds the rest.
    with suppress(FileNotFoundError):
        for link in links.iterdir():
            # Of what was finished the link leads nowhere.
            remove_tree(link.resolve(), ignore_errors=True)


def _sweep(place: Path) -> None:
    # What a process left that was killed with its caller; a day is longer than any step may run.
    for left in place.parent.glob(f".{glob.escape(place.name)}.*"):
        if left.suffix in (".partial", ".old") and time.time() - left.stat().st_mtime > _STALE_S:
            remove_tree(left, ignore_errors=True)


def _sweep_files(directory: Path) -> None:
    for left in directory.glob(".*.partial"):
        with suppress(FileNotFoundError):
            if left.is_file() and time.time() - left.stat().st_mtime > _STALE_S:
                left.unlink()
