"""Chunks are read as HDF5 reads them, or left to HDF5."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from contimg_resources.correlator.chunks import FileBytes, read_dataset

SHAPE = (50, 7, 2)
VALUES = np.random.default_rng(2).normal(size=SHAPE).astype(np.float32)


def read(path: Path, place: NDArray[Any], content: bytes | None = None) -> bool:
    with h5py.File(path) as file:
        stored = FileBytes().read(path) if content is None else np.frombuffer(content, np.uint8)
        return read_dataset(file["x"], stored, place)


@pytest.mark.parametrize("chunks", [(16, 3, 1), (50, 7, 2), (7, 7, 2), (64, 2, 2)])
@pytest.mark.parametrize("kind", [np.float32, np.complex64, np.bool_])
def test_chunks_of_any_shape_are_put_in_place(
    chunks: tuple[int, int, int], kind: type, tmp_path: Path
) -> None:
    values: NDArray[Any] = (VALUES > 0 if kind is np.bool_ else VALUES * 2).astype(kind)
    path = tmp_path / "x.hdf5"
    with h5py.File(path, "w") as file:
        # Other data between the chunks, as when files are appended to.
        for name in ("x", "y"):
            file.create_dataset(
                name, (0, *SHAPE[1:]), kind, maxshape=(None, *SHAPE[1:]), chunks=chunks
            )
        for n in range(0, 50, 10):
            for name in ("y", "x"):
                file[name].resize(n + 10, axis=0)
                file[name][n:] = values[n : n + 10]
    place: NDArray[Any] = np.empty(SHAPE, kind)
    assert read(path, place)
    np.testing.assert_array_equal(place, values)


def test_the_axis_of_windows_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "x.hdf5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=VALUES[:, None], chunks=(16, 1, 3, 1))
    place = np.empty(SHAPE, np.float32)
    assert read(path, place)
    np.testing.assert_array_equal(place, VALUES)


STORED: dict[str, dict[str, Any]] = {
    "compressed": {"compression": "gzip", "chunks": (16, 3, 1)},
    "shuffled": {"shuffle": True, "chunks": (16, 3, 1)},
    "not in chunks": {},
    "big-endian": {"dtype": ">f4", "chunks": (16, 3, 1)},
    "double": {"dtype": "f8", "chunks": (16, 3, 1)},
}


@pytest.mark.parametrize("how", STORED)
def test_other_datasets_are_left_to_hdf5(how: str, tmp_path: Path) -> None:
    path = tmp_path / "x.hdf5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=VALUES, **STORED[how])
    assert not read(path, np.empty(SHAPE, np.float32))


def test_chunks_that_are_lacking_or_beyond_the_end_are_left_to_hdf5(tmp_path: Path) -> None:
    path = tmp_path / "x.hdf5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", SHAPE, np.float32, chunks=(16, 7, 2))[:10] = VALUES[:10]
    assert not read(path, np.empty(SHAPE, np.float32))
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=VALUES, chunks=(16, 7, 2))
    whole = path.read_bytes()
    assert read(path, np.empty(SHAPE, np.float32), whole)
    assert not read(path, np.empty(SHAPE, np.float32), whole[: len(whole) - 500])
