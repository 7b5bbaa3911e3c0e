"""Read the small chunks of a sub-band file without HDF5's own copying.

Belongs here: finding the chunks, and putting their cells in place. Doesn't: opening files.

The correlator's chunks hold one polarisation and a part of the channels, so HDF5 copies single
numbers, at a hundred times the cost. Chunks that aren't compressed are parts of the file: it is
read at once, and a compiled loop copies them. All other datasets are read by HDF5.
"""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from contimg_resources.compiling import compiled
from contimg_resources.correlator.uvh5 import Ints


class FileBytes:
    """The bytes of a file, in memory that is used for one file after the other."""

    def __init__(self) -> None:
        self._room = np.empty(0, np.uint8)

    def read(self, path: Path) -> NDArray[np.uint8]:
        """Return the bytes of a file; valid until the next call."""
        size = path.stat().st_size
        if self._room.size < size:
            self._room = np.empty(size, np.uint8)
        with path.open("rb", buffering=0) as file:
            n, left = 0, self._room[:size].data
            while n < size and (n_read := file.readinto(left[n:])):
                n += n_read
        return self._room[:n]


def read_dataset(dataset: h5py.Dataset, content: NDArray[np.uint8], place: NDArray[Any]) -> bool:
    """Read a dataset from the bytes of its file, if it is stored simply.

    Parameters
    ----------
    dataset : h5py.Dataset
        The dataset, with an axis for windows or without.
    content : ndarray of uint8
        The bytes of the file.
    place : ndarray, shape (rows, channels, polarisations)
        Receives the values.

    Returns
    -------
    bool
        Whether it was read; otherwise HDF5 must read it.
    """
    stored = dataset.id.get_create_plist()
    simple = (
        dataset.chunks is not None
        and not stored.get_nfilters()
        and dataset.dtype == place.dtype
        and dataset.file.userblock_size == 0
    )
    if not simple:
        return False
    # The axis of windows has one element.
    axes = [0, *range(dataset.ndim - 2, dataset.ndim)]
    chunk = tuple(dataset.chunks[a] for a in axes)
    n = dataset.id.get_num_chunks()
    if n != np.prod([-(-size // part) for size, part in zip(place.shape, chunk, strict=True)]):
        # Chunks that were never written hold the fill value.
        return False
    found: list[Any] = []
    dataset.id.chunk_iter(found.append)
    corners = np.array([info.chunk_offset for info in found], np.int64)[:, axes]
    starts = np.array([info.byte_offset for info in found], np.int64)
    n_bytes = int(np.prod(dataset.chunks)) * place.itemsize
    inside = starts.min() >= 0 and starts.max() + n_bytes <= content.size
    within = np.all(corners >= 0) and np.all(corners < place.shape)
    whole = np.unique(corners, axis=0).shape[0] == n and not np.any(corners % chunk)
    if {info.size for info in found} != {n_bytes} or not inside or not within or not whole:
        return False
    if np.any(starts % place.itemsize):
        return False
    items = content[: content.size // place.itemsize * place.itemsize].view(place.dtype)
    put_chunks(items, starts // place.itemsize, corners, np.array(chunk, np.int64), place)
    return True


@compiled()
def put_chunks(  # type: ignore[no-untyped-def]  # numba: types follow the arguments
    items, starts: Ints, corners: Ints, chunk: Ints, place
):
    """Copy chunks to their places.

    Parameters
    ----------
    items : ndarray
        The file, as items.
    starts : ndarray of int, shape (chunks,)
        First item of each chunk.
    corners : ndarray of int, shape (chunks, 3)
        Place of its first item.
    chunk : ndarray of int, shape (3,)
        Shape of a chunk.
    place : ndarray, shape (rows, channels, polarisations)
        Receives the values.
    """
    for k in range(starts.size):
        row, channel, product = corners[k, 0], corners[k, 1], corners[k, 2]
        n_channels = min(chunk[1], place.shape[1] - channel)
        n_products = min(chunk[2], place.shape[2] - product)
        for r in range(min(chunk[0], place.shape[0] - row)):
            first = starts[k] + r * chunk[1] * chunk[2]
            for p in range(n_products):
                for c in range(n_channels):
                    place[row + r, channel + c, product + p] = items[first + c * chunk[2] + p]
