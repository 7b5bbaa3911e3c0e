"""Walk and remove directory trees of any shape that others wrote.

Belongs here: the walk with its limits, and removing a tree that is too deep for `shutil.rmtree`.
Doesn't: the meaning of a tree's content (see `contimg_resources.core.checksums` and
`contimg_resources.observations.settling`).

Nothing here recurses: a delivery of 1500 nested directories must only cause a message.
"""

import errno
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True)
class TreeLimits:
    """Limits of a walk, beyond which a tree is refused."""

    depth: int = 32  #: Maximum depth of nested directories. An MS has two or three levels.
    entries: int = 200_000  #: Maximum number of files and directories. An MS has some hundreds.
    seconds: float = 60.0  #: Maximum duration of the walk, seconds.


LIMITS = TreeLimits()


class TreeRefused(OSError):
    """A tree beyond the limits of a walk; ``strerror`` states which, ``filename`` the tree."""


@dataclass(frozen=True)
class TreeFile:
    """A file, link or special file within a tree."""

    name: str  #: Path relative to the tree, with ``/``.
    entry: "os.DirEntry[str]"  #: Its entry; a link isn't followed.

    @property
    def path(self) -> Path:
        """Its path."""
        return Path(self.entry.path)

    @property
    def is_link(self) -> bool:
        """Whether it is a symbolic link, to any target."""
        return self.entry.is_symlink()


def walk_files(root: Path, limits: TreeLimits = LIMITS) -> Iterator[TreeFile]:
    """Yield all entries of a tree except directories, unordered; links aren't followed.

    Raises
    ------
    TreeRefused
        If the tree is deeper, has more entries, or takes longer than the limits.
    OSError
        If a directory can't be listed, or vanished during the walk.
    """
    deadline_s = time.monotonic() + limits.seconds
    n_entries = 0
    to_list = [(str(root), "", 1)]
    while to_list:
        directory, prefix, depth = to_list.pop()
        with _listed(root, directory) as entries:
            for entry in entries:
                n_entries += 1
                if n_entries > limits.entries:
                    raise _refused(root, f"holds more than {limits.entries} files and directories")
                if time.monotonic() > deadline_s:
                    raise _refused(
                        root, f"can't be listed within {limits.seconds:g} s: {n_entries} entries"
                    )
                if not entry.is_dir(follow_symlinks=False):
                    yield TreeFile(prefix + entry.name, entry)
                elif depth >= limits.depth:
                    raise _refused(root, f"holds directories nested more than {limits.depth} deep")
                else:
                    to_list.append((entry.path, f"{prefix}{entry.name}/", depth + 1))


@contextmanager
def _listed(root: Path, directory: str) -> Iterator[Iterator["os.DirEntry[str]"]]:
    try:
        with os.scandir(directory) as entries:
            yield entries
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise _refused(root, "holds a path that is too long for this system") from error


def kind_of_special_file(mode: int) -> str:
    """Return the kind of a special file in words; empty for files, directories and links."""
    for is_kind, words in (
        (stat.S_ISFIFO, "named pipe"),
        (stat.S_ISSOCK, "socket"),
        (stat.S_ISCHR, "device"),
        (stat.S_ISBLK, "device"),
    ):
        if is_kind(mode):
            return words
    return ""


def remove_tree(root: Path, *, ignore_errors: bool = False) -> None:
    """Remove a directory and its content, however deep it is; links aren't followed.

    A link to a directory is refused. Entries that can't be removed don't stop the removal of the
    others; with `ignore_errors` they are no error.

    Raises
    ------
    OSError
        The first error, unless errors are ignored.
    """
    errors: list[OSError] = []
    try:
        _empty(root, errors)
        root.rmdir()
    except OSError as error:
        errors.append(error)
    if errors and not ignore_errors:
        raise errors[0]


@dataclass(frozen=True)
class _Level:
    name: str
    identity: tuple[int, int]
    to_do: list[str]


def _empty(root: Path, errors: list[OSError]) -> None:
    """Remove the content of a directory, with one open directory at a time.

    A path of 1500 names is too long for the system, and 1500 open directories are too many: each
    directory is opened by name from its parent, and the parent by ``..``.
    """
    here = os.open(root, _DIRECTORY)
    try:
        levels = [_Level("", _identity(here), _remove_files(here, errors))]
        while True:
            if levels[-1].to_do:
                name = levels[-1].to_do.pop()
                try:
                    below = os.open(name, _DIRECTORY, dir_fd=here)
                except OSError as error:
                    errors.append(error)
                    continue
                os.close(here)
                here = below
                levels.append(_Level(name, _identity(here), _remove_files(here, errors)))
                continue
            done = levels.pop()
            if not levels:
                return
            above = os.open("..", _DIRECTORY, dir_fd=here)
            os.close(here)
            here = above
            if _identity(here) != levels[-1].identity:
                raise OSError(errno.ESTALE, "was moved while it was removed", str(root))
            try:
                os.rmdir(done.name, dir_fd=here)
            except OSError as error:
                errors.append(error)
    finally:
        os.close(here)


def _remove_files(directory: int, errors: list[OSError]) -> list[str]:
    """Remove the files of a directory; return the names of its subdirectories."""
    directories = []
    try:
        with os.scandir(directory) as entries:
            found = [(e.name, e.is_dir(follow_symlinks=False)) for e in entries]
    except OSError as error:
        errors.append(error)
        return []
    for name, is_directory in found:
        if is_directory:
            directories.append(name)
            continue
        try:
            os.unlink(name, dir_fd=directory)
        except FileNotFoundError:
            continue
        except OSError as error:
            errors.append(error)
    return directories


def _identity(directory: int) -> tuple[int, int]:
    found = os.fstat(directory)
    return found.st_dev, found.st_ino


def _refused(root: Path, reason: str) -> TreeRefused:
    return TreeRefused(errno.EFBIG, reason, str(root))
