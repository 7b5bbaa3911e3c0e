"""Paths of cutouts, and the existing cutouts.

Belongs here: names and paths below the directory of cutouts, listing cutouts. Doesn't: making or
removing them.
"""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from contimg_resources.core.errors import InvalidName
from contimg_resources.core.keys import epoch_mjd
from contimg_resources.core.naming import check_name, plain_name

_PLAIN_CHARS = 64
_HASH_CHARS = 16
FITS, PNG = ".fits", ".png"


class CutoutFiles(NamedTuple):
    """An existing cutout."""

    epoch: str  #: Key of the mosaic, or of the observation.
    mid_mjd: float  #: Time in the key, MJD in days.
    png: Path  #: Its picture.
    fits: Path  #: Its FITS file.


def directory_name(source_id: str) -> str:
    """Return a unique name for a source's directory, whatever characters the source id has."""
    digest = hashlib.sha256(source_id.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_CHARS]
    plain = plain_name(source_id)[:_PLAIN_CHARS].replace("..", "__").lstrip("._+:-") or "source"
    return check_name(f"{plain}-{digest}", "directory of cutouts")


def cutout_directory(root: Path, source_id: str) -> Path:
    """Return the directory of a source's cutouts; the id may be any text."""
    return root / directory_name(source_id)


def cutout_path(root: Path, source_id: str, epoch: str) -> Path:
    """Return the FITS file of a cutout; `epoch` is the key of a mosaic or of an observation.

    Raises
    ------
    InvalidName
        If the key is neither of a mosaic nor of an observation.
    """
    epoch_mjd(epoch)
    return cutout_directory(root, source_id) / f"{epoch}{FITS}"


def png_beside(fits_path: Path) -> Path:
    """Return the PNG of a cutout."""
    # A key contains dots.
    return fits_path.with_name(fits_path.name.removesuffix(FITS) + PNG)


def stack_path(root: Path, source_id: str) -> Path:
    """Return the FITS file of a source's stack."""
    return cutout_directory(root, source_id) / f"stack{FITS}"


def animation_path(root: Path, source_id: str) -> Path:
    """Return the animation of a source's cutouts."""
    return cutout_directory(root, source_id) / "animation.gif"


def cutouts_of(root: Path, source_id: str) -> tuple[CutoutFiles, ...]:
    """Return the existing cutouts of a source, in the order of time, without opening files."""
    directory = cutout_directory(root, source_id)
    if not directory.is_dir():
        return ()
    names = {entry.name for entry in os.scandir(directory)}
    found = [
        CutoutFiles(epoch, mid_mjd, directory / f"{epoch}{PNG}", directory / f"{epoch}{FITS}")
        for epoch, mid_mjd in _epochs(names)
        if {f"{epoch}{PNG}", f"{epoch}{FITS}"} <= names
    ]
    return tuple(sorted(found, key=lambda c: (c.mid_mjd, c.epoch)))


def epoch_of(name: str) -> tuple[str, float] | None:
    """Return the epoch in a file name and its MJD (days); None if there is none."""
    for ending in (FITS, PNG):
        if name.endswith(ending):
            epoch = name.removesuffix(ending)
            try:
                return epoch, epoch_mjd(epoch)
            except InvalidName:
                return None
    return None


def _epochs(names: set[str]) -> Iterator[tuple[str, float]]:
    for name in names:
        if name.endswith(FITS) and (found := epoch_of(name)):
            yield found
