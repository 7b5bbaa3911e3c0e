"""Checksums of the content of a file or a directory (a caltable, an MS, an image).

Belongs here: checksums of content, and the cheap signature that shows whether content may have
changed. Doesn't: deciding what to do about a change.
"""

import errno
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from contimg_resources.core.trees import kind_of_special_file, walk_files

#: Files that CASA touches when it only reads.
_VOLATILE = frozenset({"table.lock"})

#: (relative name, size, mtime in ns, ctime in ns) of each file.
StatSignature = tuple[tuple[str, int, int, int], ...]


def content_checksum(path: Path) -> str:
    """Return the checksum ``sha256:...`` of a file, or of all files of a directory.

    For a directory the digest covers each file's relative name, length and content, in the
    order of the names; ``table.lock``, which CASA touches when it only reads, is left out.

    Raises
    ------
    OSError
        If it is missing, can't be read, or is too deep or too large for a product.
    """
    digest = hashlib.sha256()
    if path.is_dir():
        for name, file in _files(path):
            label = os.fsencode(name)
            digest.update(f"{len(label)}:{file.stat().st_size}:".encode() + label)
            _update(digest, file)
    else:
        _update(digest, path)
    return f"sha256:{digest.hexdigest()}"


def stat_signature(path: Path) -> StatSignature:
    """Return name, size and times of each file; they are equal if nothing was written.

    Raises
    ------
    OSError
        If it is missing or can't be read.
    """
    if not path.is_dir():
        return (_stat_entry("", path),)
    return tuple(_stat_entry(name, file) for name, file in _files(path))


def content_size_bytes(path: Path) -> int:
    """Return the size of a file, or of all files of a directory, in bytes."""
    return sum(entry[1] for entry in stat_signature(path))


def _stat_entry(name: str, file: Path) -> tuple[str, int, int, int]:
    found = file.stat()
    return (name, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _files(root: Path) -> Iterator[tuple[str, Path]]:
    found = [(f.name, f.path) for f in walk_files(root) if f.entry.name not in _VOLATILE]
    # A link to a directory isn't one of the tree's files.
    return iter(sorted((name, path) for name, path in found if not path.is_dir()))


def _update(digest: "hashlib._Hash", file: Path) -> None:
    if special := kind_of_special_file(file.stat().st_mode):
        # Opening a pipe would wait for its writer.
        raise OSError(errno.EINVAL, f"is a {special}", str(file))
    with file.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
