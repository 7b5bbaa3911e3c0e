"""Chunks are read as HDF5 reads them, or left to HDF5."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from contimg_resources.correlator.chunks import Chunks, FileBytes, Places, places_of
from contimg_resources.correlator.loops import turn_visibilities

SHAPE = (50, 7, 2)
VALUES = np.random.default_rng(2).uniform(1, 2, size=SHAPE).astype(np.float32)
KINDS = {"visdata": np.complex64, "flags": np.bool_, "nsamples": np.float32}


def places(path: Path, name: str = "x", kind: type = np.float32) -> Places | None:
    with h5py.File(path) as file:
        return places_of(file[name], SHAPE, np.dtype(kind))


def turned(stored: list[Chunks], descending: bool) -> list[NDArray[Any]]:
    """Turn all rows by nothing: as they are stored, but for the order of the channels."""
    found: list[NDArray[Any]] = [np.empty(SHAPE, kind) for kind in KINDS.values()]
    visibilities, flags, samples = stored
    data, flag, spectrum = found
    turn_visibilities(
        visibilities,
        flags,
        samples,
        np.arange(SHAPE[0]),
        np.zeros(SHAPE[0]),
        np.zeros(SHAPE[0], np.bool_),
        descending,
        np.linspace(1.3e9, 1.4e9, SHAPE[1]),
        True,
        np.arange(2),
        np.arange(2),
        data,
        flag,
        spectrum,
        np.empty((SHAPE[0], 2), np.float32),
        np.empty((SHAPE[0], 4), np.int64),
    )
    return found


@pytest.mark.parametrize("chunks", [(16, 3, 1), (50, 6, 2), (8, 7, 2), (64, 2, 2)])
def test_chunks_of_any_shape_are_found(chunks: tuple[int, int, int], tmp_path: Path) -> None:
    given: dict[str, NDArray[Any]] = {
        "visdata": (VALUES + 1j * VALUES[::-1]).astype(np.complex64),
        "flags": VALUES > 1.5,
        "nsamples": VALUES,
    }
    path = tmp_path / "x.hdf5"
    with h5py.File(path, "w") as file:
        # Chunks are in the order of writing, with others between them, and odd addresses.
        file.create_dataset("text", data=np.zeros(2049 * 3, np.int8))
        for name, kind in KINDS.items():
            file.create_dataset(
                name, (0, *SHAPE[1:]), kind, maxshape=(None, *SHAPE[1:]), chunks=chunks
            )
        for n in range(0, SHAPE[0], 10):
            for name, values in given.items():
                file[name].resize(n + 10, axis=0)
                file[name][n:] = values[n : n + 10]
    stored: list[Chunks] = []
    found = [places(path, name, kind) for name, kind in KINDS.items()]
    assert found[0] is not None
    content = FileBytes().read(path, int(found[0].starts.min()))
    assert content.tobytes() == path.read_bytes()
    for place in found:
        assert place is not None
        chunk = place.found_in(content)
        assert chunk is not None
        stored.append(chunk)
    for there, expected in zip(turned(stored, False), given.values(), strict=True):
        np.testing.assert_array_equal(there, expected)
    whole = [Chunks.of_array(values) for values in given.values()]
    for there, expected in zip(turned(whole, True), given.values(), strict=True):
        np.testing.assert_array_equal(there, expected[:, ::-1])


def test_the_axis_of_windows_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "x.hdf5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=VALUES[:, None], chunks=(16, 1, 3, 1))
        file.create_dataset("y", data=VALUES, chunks=(16, 3, 1))
    found, other = places(path), places(path, "y")
    assert found is not None
    assert other is not None
    assert found.shape == other.shape == (16, 3, 1)
    assert found.starts.shape == other.starts.shape == (4, 3, 2)


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
    assert places(path) is None


def test_chunks_that_are_lacking_or_beyond_the_end_are_left_to_hdf5(tmp_path: Path) -> None:
    path = tmp_path / "x.hdf5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", SHAPE, np.float32, chunks=(16, 7, 2))[:10] = VALUES[:10]
    assert places(path) is None
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=VALUES, chunks=(16, 7, 2))
    found = places(path)
    assert found is not None
    content = FileBytes().read(path, int(found.starts.min()))
    assert found.found_in(content) is not None
    assert found.found_in(content[: content.size - 500]) is None
    # Some numbers at odd addresses.
    odd = found.starts.copy()
    odd[1:] += 1
    assert found._replace(starts=odd).found_in(content) is None
