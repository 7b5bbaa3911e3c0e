"""The export directory.

Belongs here: writing pages, pictures, reports and the index so that a reader with an index of the
last day can read all files that it names; removing files that no such index names; allowing one
writer at a time. Doesn't: the contents of the documents.

Pages, pictures and reports have their content's checksum in their names and never change. The index
is replaced last: an export that is killed leaves the previous index with all of its pages. A
replaced index is kept in ``previous`` for a day, counted from its replacement. Only files with such
names are ever removed.
"""

import fcntl
import filecmp
import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from contimg_resources.core.checksums import content_checksum
from contimg_resources.core.directories import whole_file
from contimg_resources.core.errors import ExportFailed
from contimg_resources.export.model import DOCUMENTS
from contimg_resources.export.pages import PageContent
from contimg_resources.products.derived import ProductFile

INDEX = "index.json"
PICTURES = "pictures"
#: A replaced index, and the files that it names, are kept for this time.
KEPT_DAYS = 1.0

_MARKER = ".contimg-export"
_PREVIOUS = "previous"
_POLL_S = 0.2
_PAGE_NAME = re.compile(r"[0-9]{4,}-[0-9a-f]{12}\.json", re.ASCII)
_PICTURE_NAME = re.compile(r"[0-9a-f]{32}\.(png|json|xml)", re.ASCII)
_PREVIOUS_NAME = re.compile(r"([0-9]{5}\.[0-9]{5})-[0-9a-f]{12}\.json", re.ASCII)


class ExportDirectory:
    """An export directory, held by one writer and made by `opened`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.n_written = 0
        """Number of files written, without those that existed already."""
        self.files: dict[Path, ProductFile] = {}
        """Files of the export without the index, as they should be; also those that existed."""

    def put_page(self, document: str, page: PageContent) -> str:
        """Write a page unless it exists; return its path relative to the index."""
        digest = hashlib.sha256(page.data).hexdigest()
        name = f"{page.number:04d}-{digest[:12]}.json"
        self._put(self.root / document / name, page.data, digest)
        return f"{document}/{name}"

    def put_copy(self, file: Path) -> str | None:
        """Copy a PNG, JSON or XML file unless it exists; return its relative path.

        None is returned if there is no such file.
        """
        try:
            data = file.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        digest = hashlib.sha256(data).hexdigest()
        name = f"{digest[:32]}{file.suffix}"
        self._put(self.root / PICTURES / name, data, digest)
        return f"{PICTURES}/{name}"

    def put_file(self, relative: str, write: Callable[[Path], object]) -> None:
        """Write a file with a fixed name, unless one with the same content exists."""
        place = self.root / relative
        place.parent.mkdir(parents=True, exist_ok=True)
        # First written under a temporary name: only then is its content known.
        new = place.with_name(f".{place.name}.new.partial")
        try:
            write(new)
            self.files[place] = ProductFile(place, content_checksum(new), new.stat().st_size)
            if not (place.is_file() and filecmp.cmp(new, place, shallow=False)):
                new.replace(place)
                self.n_written += 1
        finally:
            new.unlink(missing_ok=True)

    def publish(self, index: bytes, now_mjd: float) -> Path:
        """Publish the index, then remove the files that no index of the last day names."""
        place = self.root / INDEX
        if place.is_file():
            old = place.read_bytes()
            name = f"{now_mjd:.5f}-{hashlib.sha256(old).hexdigest()[:12]}.json"
            kept = self.root / _PREVIOUS / name
            kept.parent.mkdir(exist_ok=True)
            whole_file(kept, lambda partial: partial.write_bytes(old))
        whole_file(place, lambda partial: partial.write_bytes(index))
        self.n_written += 1
        self._prune(now_mjd)
        return place

    def _put(self, place: Path, data: bytes, digest: str) -> None:
        self.files[place] = ProductFile(place, f"sha256:{digest}", len(data))
        if place.is_file() and place.stat().st_size == len(data):
            return
        place.parent.mkdir(exist_ok=True)
        whole_file(place, lambda partial: partial.write_bytes(data))
        self.n_written += 1

    def _prune(self, now_mjd: float) -> None:
        indexes = [self.root / INDEX]
        for kept in sorted(_named_like(self.root / _PREVIOUS, _PREVIOUS_NAME)):
            if float(kept.name.partition("-")[0]) < now_mjd - KEPT_DAYS:
                kept.unlink()
            else:
                indexes.append(kept)
        named = self._named_by(indexes)
        folders = dict.fromkeys(DOCUMENTS, _PAGE_NAME) | {PICTURES: _PICTURE_NAME}
        for folder, pattern in folders.items():
            for file in _named_like(self.root / folder, pattern):
                if f"{folder}/{file.name}" not in named:
                    file.unlink(missing_ok=True)

    def _named_by(self, indexes: list[Path]) -> set[str]:
        named: set[str] = set()
        candidates: set[str] = set()
        for file in indexes:
            for document, pages in json.loads(file.read_bytes())["pages"].items():
                paths = {page["path"] for page in pages}
                named |= paths
                candidates |= paths if document == "candidates" else set()
        # The candidates' pages name the pictures.
        for path in candidates:
            page = self.root / path
            # Somebody may have removed the page.
            cards = json.loads(page.read_bytes())["candidates"] if page.is_file() else ()
            for card in cards:
                named |= {card["card_png"], *(cutout["png"] for cutout in card["cutouts"])}
                # Pages of an earlier release have none of these.
                named |= {card.get(n) for n in ("chart_png", "follow_up_json", "voevent_xml")}
        return named


@contextmanager
def opened(root: Path, *, wait_s: float = 20.0) -> Iterator[ExportDirectory]:
    """Open an export directory as its only writer; make it if it doesn't exist.

    Another export may take `wait_s` seconds.

    Raises
    ------
    ExportFailed
        If it holds other files, can't be written to, or another export doesn't end in time.
    """
    try:
        _claim(root)
        lock = (root / _MARKER).open("a")
    except OSError as error:
        raise ExportFailed(f"can't export into {root}: {error.strerror}", path=str(root)) from error
    # Closing the file, also by the end of the process, releases the lock.
    with lock:
        _wait_for(lock, root, wait_s)
        yield ExportDirectory(root)


def _claim(root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    index = root / INDEX
    is_ours = (root / _MARKER).is_file() or (index.is_file() and _is_our_index(index))
    if index.exists() and not _is_our_index(index):
        raise ExportFailed(
            f"{index} is not an index of contimg's documents; export into another directory",
            path=str(index),
        )
    if not is_ours and any(root.iterdir()):
        raise ExportFailed(
            f"{root} isn't empty and holds no {INDEX} of contimg's documents; export into another "
            "directory",
            path=str(root),
        )


def _is_our_index(file: Path) -> bool:
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and found.get("document") == "index" and "pages" in found


def _wait_for(lock: Any, root: Path, wait_s: float) -> None:
    deadline = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() >= deadline:
                raise ExportFailed(
                    f"another export is writing into {root}; try again when it has finished",
                    path=str(root),
                ) from error
            time.sleep(_POLL_S)
        else:
            return


def _named_like(directory: Path, pattern: re.Pattern[str]) -> Iterator[Path]:
    if directory.is_dir():
        yield from (f for f in list(directory.iterdir()) if pattern.fullmatch(f.name))
