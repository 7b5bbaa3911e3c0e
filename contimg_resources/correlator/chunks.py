"""The datasets of a sub-band file in memory, as chunks that compiled loops read in place.

Belongs here: finding the chunks of a dataset among the bytes of its file. Doesn't: opening files,
the loops (`contimg_resources.correlator.loops`).

The correlator's chunks hold one polarisation and a part of the channels, so HDF5 copies single
numbers, at a hundred times the cost. Chunks that aren't compressed are parts of the file, which is
read at once. All other datasets are read by HDF5, and are one chunk.
"""

from array import array
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from contimg_resources.correlator.uvh5 import Ints

#: Alignment of memory and of the largest numbers, bytes.
_ALIGNED = 16


class Chunks(NamedTuple):
    """A dataset of shape (rows, channels, polarisations), in parts."""

    items: NDArray[Any]  #: Numbers, among them those of all chunks. One axis.
    #: First item of each chunk, by its place among the chunks along each axis. Three axes.
    starts: Ints
    shape: Ints  #: Shape of a chunk. Those at the end of an axis have unused cells. Shape (3,).

    @classmethod
    def of_array(cls, values: NDArray[Any]) -> "Chunks":
        """Return an array of three axes as one chunk."""
        items = np.ascontiguousarray(values).reshape(-1)
        return cls(items, np.zeros((1, 1, 1), np.int64), np.array(values.shape, np.int64))


class FileBytes:
    """The bytes of a file, in memory that is used for one file after the other."""

    def __init__(self) -> None:
        self._room = np.empty(0, np.uint8)

    def read(self, path: Path, aligned: int = 0) -> NDArray[np.uint8]:
        """Return the bytes of a file; valid until the next call.

        Parameters
        ----------
        path : Path
            The file.
        aligned : int
            A byte whose address shall be aligned for numbers.
        """
        size = path.stat().st_size
        if self._room.size < size + _ALIGNED:
            self._room = np.empty(size + _ALIGNED, np.uint8)
        first = -(self._room.ctypes.data + aligned) % _ALIGNED
        with path.open("rb", buffering=0) as file:
            n, left = 0, self._room[first : first + size].data
            while n < size and (n_read := file.readinto(left[n:])):
                n += n_read
        return self._room[first : first + n]


class Places(NamedTuple):
    """Where the chunks of a dataset are in its file."""

    starts: Ints  #: First byte of each chunk. Three axes.
    shape: tuple[int, int, int]  #: Shape of a chunk.
    dtype: "np.dtype[Any]"  #: Type of the numbers.

    def found_in(self, content: NDArray[np.uint8]) -> Chunks | None:
        """Return the chunks among the bytes of the file; None if it is shorter, or unaligned."""
        itemsize = self.dtype.itemsize
        first = int(self.starts.min()) % itemsize
        end = int(self.starts.max()) + int(np.prod(self.shape)) * itemsize
        if end > content.size or np.any((self.starts - first) % itemsize):
            return None
        items = content[first : first + (content.size - first) // itemsize * itemsize]
        if items.ctypes.data % itemsize:
            return None
        starts = (self.starts - first) // itemsize
        return Chunks(items.view(self.dtype), starts, np.array(self.shape, np.int64))


def places_of(
    dataset: h5py.Dataset, shape: tuple[int, int, int], dtype: "np.dtype[Any]"
) -> Places | None:
    """Return where a dataset's chunks are, if it is stored simply.

    Parameters
    ----------
    dataset : h5py.Dataset
        The dataset, with an axis for windows or without.
    shape : (int, int, int)
        Its numbers of rows, channels and polarisations.
    dtype : numpy.dtype
        Type that its numbers must have.

    Returns
    -------
    Places or None
        None if HDF5 must read it: it is compressed, of another type, not in chunks, or incomplete.
    """
    stored = dataset.id.get_create_plist()
    if (
        dataset.chunks is None
        or stored.get_nfilters()
        or dataset.dtype != dtype
        or dataset.file.userblock_size
    ):
        return None
    # The axis of windows has one element.
    axes = [0, *range(dataset.ndim - 2, dataset.ndim)]
    n_rows, n_channels, n_products = (int(dataset.chunks[a]) for a in axes)
    chunk = n_rows, n_channels, n_products
    numbers = tuple(-(-size // part) for size, part in zip(shape, chunk, strict=True))
    if dataset.id.get_num_chunks() != np.prod(numbers):
        # Chunks that were never written hold the fill value.
        return None
    # Plain numbers: thousands of objects would set off garbage collection.
    noted = array("q")
    dataset.id.chunk_iter(lambda i: noted.extend((*i.chunk_offset, i.byte_offset, i.size)))
    found = np.frombuffer(noted, np.int64).reshape(-1, dataset.ndim + 2)
    corners, starts_at, sizes = found[:, axes], found[:, -2], found[:, -1]
    if np.any(corners % chunk) or np.any(sizes != np.prod(chunk) * dtype.itemsize):
        return None
    starts = np.full(numbers, -1, np.int64)
    place = corners // chunk
    if np.any(place < 0) or np.any(place >= numbers):
        return None
    starts[tuple(place.T)] = starts_at
    return Places(starts, chunk, dtype) if starts.min() >= 0 else None
