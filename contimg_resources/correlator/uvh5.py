"""Values of UVH5 files, each checked: a damaged or hostile file gives an error that names it.

Belongs here: opening a file, its datasets, numbers and texts.
Doesn't: their meaning (`contimg_resources.correlator.sub_band`).
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from contimg_resources.core.errors import (
    InvalidName,
    ObservationNotSettled,
    UnreadableSubBand,
    in_words_of_reader,
)
from contimg_resources.core.times import MJD_ZERO_JD, check_mjd

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

#: Above it a number in a header is damaged, and its arrays would fill the memory.
MOST_SAMPLES = 1_000_000_000
_MOST_NUMBERS = 50_000_000


#: HDF5's message when another process has the file open for writing.
_LOCKED = re.compile(r"unable to lock file|resource temporarily unavailable", re.IGNORECASE)

_DAMAGE = (OSError, RuntimeError, ValueError, TypeError, LookupError, ArithmeticError, MemoryError)


@contextmanager
def opened_sub_band(path: Path) -> Iterator[h5py.File]:
    """Open a sub-band file for reading; errors of HDF5 become errors that name the file.

    Parameters
    ----------
    path : Path
        The file.

    Raises
    ------
    UnreadableSubBand
        If it is missing, truncated or damaged.
    ObservationNotSettled
        If a process has it open for writing.
    """
    try:
        with h5py.File(path, "r", locking="best-effort") as file:
            yield file
    except FileNotFoundError as error:
        raise UnreadableSubBand(f"{path} does not exist", path=str(path)) from error
    except _DAMAGE as error:
        if _LOCKED.search(str(error)):
            raise ObservationNotSettled(
                f"{path} is open for writing in another process", path=str(path)
            ) from error
        raise UnreadableSubBand(f"{path} {_damage(path, error)}", path=str(path)) from error


def _damage(path: Path, error: BaseException) -> str:
    text = str(error)
    if path.is_dir():
        return "is a directory, not a sub-band file"
    if "file signature not found" in text:
        return "is no HDF5 file" if path.stat().st_size else "is empty"
    if "truncated file" in text:
        return "is truncated: it is shorter than its HDF5 header states"
    return f"can't be read: {in_words_of_reader(error)}"


def refused(path: Path, reason: str) -> UnreadableSubBand:
    """Return the error that refuses a file for a reason."""
    return UnreadableSubBand(f"{path} {reason}", path=str(path))


def dataset(
    path: Path, group: h5py.Group, name: str, shape: tuple[int, ...] | None = None
) -> h5py.Dataset:
    """Return a dataset that the file itself holds, of the given shape if one is given.

    Raises
    ------
    UnreadableSubBand
        If it is missing, in another file, of another shape, or compressed with an unknown filter.
    """
    found = group.get(name)
    if not isinstance(found, h5py.Dataset):
        raise refused(path, f"is no UVH5: it lacks {group.name}/{name}")
    hard = isinstance(group.get(name, getlink=True), h5py.HardLink)
    if not hard or found.is_virtual or found.external:
        raise refused(path, f"keeps {group.name}/{name} in another file")
    if shape is not None and found.shape != shape:
        raise refused(path, f"has {group.name}/{name} of shape {found.shape}, expected {shape}")
    stored = found.id.get_create_plist()
    for position in range(stored.get_nfilters()):
        code, _, _, called = stored.get_filter(position)
        if not _is_available(code):
            raise refused(
                path,
                f"has {group.name}/{name} compressed with the filter "
                f"{called.decode(errors='replace').split(';')[0] or 'without a name'!r} "
                f"(number {code}), which neither HDF5 nor hdf5plugin has",
            )
    return found


def _is_available(code: int) -> bool:
    """Return whether HDF5 can undo a filter, with those of hdf5plugin, which registers its own."""
    if h5py.h5z.filter_avail(code):
        return True
    import hdf5plugin  # noqa: F401

    return bool(h5py.h5z.filter_avail(code))


def count(path: Path, header: h5py.Group, name: str) -> int:
    """Return a positive whole number of the header."""
    found = dataset(path, header, name)
    if found.size != 1 or found.dtype.kind not in "iu":
        raise refused(path, f"has an implausible header: {name} is no whole number")
    value = int(np.ravel(found[()])[0])
    if value < 1:
        raise refused(path, f"has an implausible header: {name} is {value}")
    return value


def numbers(path: Path, header: h5py.Group, name: str) -> Floats:
    """Return an array of finite numbers of the header."""
    found = dataset(path, header, name)
    if found.size > _MOST_NUMBERS or found.dtype.kind not in "iuf":
        raise refused(path, f"has an implausible header: {name} holds no numbers")
    values = np.asarray(found[()], np.float64)
    if not np.all(np.isfinite(values)):
        raise refused(path, f"has NaN or infinite values in its header: {name}")
    return values


def integers(path: Path, header: h5py.Group, name: str) -> Ints:
    """Return an array of whole numbers of the header."""
    return numbers(path, header, name).astype(np.int64)


def text(group: h5py.Group, name: str) -> str:
    """Return a text of the header; empty if it isn't there."""
    found = group.get(name)
    if not isinstance(found, h5py.Dataset) or found.shape != ():
        return ""
    value = found[()]
    return (value.decode(errors="replace") if isinstance(value, bytes) else str(value)).strip()


def one_number(path: Path, group: h5py.Group, name: str) -> float:
    """Return a number of the header that is stated once, or always the same."""
    values = numbers(path, group, name)
    if not values.size or np.ptp(values) > 1e-9:
        raise refused(path, f"has no single {name}: the strip changes in the middle")
    return float(values.ravel()[0])


def mjd_from_jd(path: Path, jd: float) -> float:
    """Return a time of the header, JD, as MJD in days."""
    try:
        return check_mjd(jd - MJD_ZERO_JD)
    except InvalidName as error:
        raise refused(path, f"has an implausible time_array: {error.message}") from error
