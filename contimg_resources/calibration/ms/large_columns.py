"""Read and write DATA, FLAG and WEIGHT_SPECTRUM of an MS in their tiles. Runs in a CASA process.

Belongs here: the large columns. Doesn't: their values.

casatools converts every visibility to double precision and back, which at full size takes most of
the time of reading and writing. Where a column is stored simply (one hypercube whose tiles hold
whole cells) its file is the array itself, tile after tile, and is read and written here. Some cells
are compared with casatools' values; any other storage is read through casatools.
"""

import mmap
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_resources.compiling import n_cores
from contimg_resources.core.arrays import Bools, Ints
from contimg_resources.core.errors import CasaError, UnreadableObservation

#: Bytes moved at once: the next processing step then finds them in the cache.
_CHUNK_BYTES = 4_000_000
#: Rows that are compared with casatools' values.
_COMPARED = 32

_ROOMS = threading.local()

#: Data type of cells, by casatools' name of a column's type.
_TYPES: dict[str, np.dtype[Any]] = {
    "complex": np.dtype(np.complex64),
    "float": np.dtype(np.float32),
    "boolean": np.dtype(np.bool_),
}

#: Called with cells of a column, shape (n, n_channels, n_correlations), and the position of the
#: first among the requested rows. Called by several threads; the cells may be changed, and are
#: invalid after it returns.
Each = Callable[[int, NDArray[Any]], None]


@dataclass(frozen=True)
class Tiles:
    """The positions of a column's cells in its file."""

    file: Path  #: The file of its hypercube.
    dtype: np.dtype[Any]  #: ``complex64``, ``float32`` or ``bool``; the last are stored as bits.
    shape: tuple[int, int]  #: Numbers of channels and correlations of a cell.
    rows: int  #: Number of rows of a tile.
    tile_bytes: int  #: Number of bytes of a tile.
    n_rows: int  #: Number of rows of the column.

    @property
    def rows_at_once(self) -> int:
        """Return the number of rows of a chunk, a multiple of whole tiles."""
        cell_bytes = self.shape[0] * self.shape[1] * 8
        return self.rows * max(1, _CHUNK_BYTES // (self.rows * cell_bytes))

    @property
    def n_tiles(self) -> int:
        """Return the number of tiles."""
        return -(-self.n_rows // self.rows)

    def decoded(self, raw: NDArray[np.uint8]) -> NDArray[Any]:
        """Return whole tiles as cells, shape (n_rows, n_channels, n_correlations)."""
        if self.dtype == np.bool_:
            bits = np.unpackbits(raw.reshape(-1, self.tile_bytes), axis=1, bitorder="little")
            n_bits = self.rows * self.shape[0] * self.shape[1]
            return bits[:, :n_bits].reshape(-1, *self.shape).view(np.bool_)
        return raw.view(self.dtype).reshape(-1, *self.shape)

    def encoded(self, cells: NDArray[Any]) -> NDArray[np.uint8]:
        """Return whole tiles of cells as bytes."""
        if self.dtype == np.bool_:
            packed = np.packbits(
                cells.reshape(len(cells) // self.rows, -1), axis=1, bitorder="little"
            )
            tiles = np.zeros((len(packed), self.tile_bytes), np.uint8)
            tiles[:, : packed.shape[1]] = packed
            return tiles.ravel()
        return np.ascontiguousarray(cells, self.dtype).reshape(-1).view(np.uint8)


def tiles_of(table: Any, path: Path, column: str) -> Tiles | None:
    """Return the positions of a column's cells, or None if they aren't stored simply.

    The column is ``DATA``, ``FLAG`` or one of weights.
    """
    manager = next(m for m in table.getdminfo().values() if column in m["COLUMNS"])
    cubes = list(manager["SPEC"].get("HYPERCUBES", {}).values())
    last = {"TiledShapeStMan": 1, "TiledColumnStMan": 0}.get(manager["TYPE"])
    if last is None or len(manager["COLUMNS"]) != 1 or table.endianformat() != "little":
        return None
    if len(cubes) != 1 or int(cubes[0]["CubeShape"][-1]) != int(table.nrows()):
        return None
    correlations, channels, rows = (int(n) for n in cubes[0]["TileShape"])
    if [correlations, channels] != [int(n) for n in cubes[0]["CellShape"]]:
        return None
    dtype = _TYPES.get(str(table.coldatatype(column)))
    file = path / f"table.f{int(manager['SEQNR'])}_TSM{last}"
    tile_bytes = int(cubes[0]["BucketSize"])
    n_rows = int(table.nrows())
    if dtype is None or not file.exists():
        return None
    tiles = Tiles(file, dtype, (channels, correlations), rows, tile_bytes, n_rows)
    whole = dtype == np.bool_ or tile_bytes == rows * channels * correlations * dtype.itemsize
    return tiles if whole else None


def read_large(
    table: Any, path: Path, column: str, rows: Ints, shape: tuple[int, int], each: Each
) -> None:
    """Read some rows of a large column (``DATA``, ``FLAG``, or one of weights) in parts.

    All cells are defined and have `shape`, numbers of channels and correlations; row numbers
    ascend. `each` is called once with every part: complex64, float32 or bool.

    Raises
    ------
    UnreadableObservation
        If cells have another shape.
    """
    tiles = tiles_of(table, path, column)
    if (
        tiles is None
        or tiles.file.stat().st_size < tiles.n_tiles * tiles.tile_bytes
        or not _as_casa_sees(table, tiles, column, rows)
    ):
        _read_through_casa(table, path, column, rows, shape, each)
        return
    if rows.size:
        _check_shape(path, column, tiles.shape, shape)

    def read(start: int) -> None:
        n_tiles = -(-min(tiles.rows_at_once, tiles.n_rows - start) // tiles.rows)
        cells = tiles.decoded(_bytes(tiles, start // tiles.rows, n_tiles))[: tiles.n_rows - start]
        low, high = np.searchsorted(rows, (start, start + len(cells)))
        if low < high:
            each(int(low), _taken(cells, rows[low:high] - start))

    _at_once(read, tiles)


def write_flags(path: Path, flag: Bools) -> None:
    """Write the column FLAG of an MS of `contimg_resources.calibration.ms.new`.

    The MS is not open anywhere; the flags, of all its rows, have the shape (n_rows, n_channels,
    n_correlations).

    Raises
    ------
    CasaError
        If casatools reads other values afterwards.
    """
    tiles = _tiles_of_new(path, "FLAG")

    def write(start: int) -> None:
        n_tiles = -(-min(tiles.rows_at_once, tiles.n_rows - start) // tiles.rows)
        cells = flag[start : start + n_tiles * tiles.rows]
        if len(cells) < n_tiles * tiles.rows:
            end = np.zeros((n_tiles * tiles.rows - len(cells), *tiles.shape), np.bool_)
            cells = np.concatenate([cells, end])
        _put(tiles, start // tiles.rows * tiles.tile_bytes, tiles.encoded(cells))

    _at_once(write, tiles)
    _check_written(path, "FLAG", flag)


class NewColumn:
    """A numeric column of an MS of `contimg_resources.calibration.ms.new`, being written.

    Meanwhile nobody reads or writes the column through casatools.
    """

    def __init__(self, path: Path, column: str) -> None:
        self._path = path
        self._column = column
        self._tiles = tiles = _tiles_of_new(path, column)
        with tiles.file.open("r+b") as file:
            mapped = mmap.mmap(file.fileno(), 0)
        # Pages of the usual 4 kB would double the cost of writing; some systems have no others.
        with suppress(OSError):
            mapped.madvise(mmap.MADV_HUGEPAGE)
        cells = np.frombuffer(mapped, tiles.dtype, tiles.n_rows * tiles.shape[0] * tiles.shape[1])
        self._cells = cells.reshape(tiles.n_rows, *tiles.shape)

    def put(self, first: int, cells: NDArray[Any]) -> None:
        """Write the cells of consecutive rows, from row `first` on; by any of several threads.

        A system call costs a third of writing through `place`, which pages in what it overwrites.
        """
        offset = first * self._cells[0].nbytes
        _put(self._tiles, offset, np.ascontiguousarray(cells).reshape(-1).view(np.uint8))

    def place(self, rows: slice) -> NDArray[Any]:
        """Return the array into which the cells of some rows are to be written."""
        return self._cells[rows]

    def array(self) -> NDArray[Any]:
        """Return the written cells, mapped from the file; not to be changed.

        Raises
        ------
        CasaError
            If casatools reads other values.
        """
        _check_written(self._path, self._column, self._cells)
        return self._cells


def _tiles_of_new(path: Path, column: str) -> Tiles:
    import casatools

    table = casatools.table()
    table.open(str(path))
    try:
        tiles = tiles_of(table, path, column)
    finally:
        table.close()
    if tiles is None:
        raise CasaError(f"{path}: {column} isn't stored as it was asked for", path=str(path))
    return tiles


def _check_written(path: Path, column: str, cells: NDArray[Any]) -> None:
    import casatools

    table = casatools.table()
    table.open(str(path))
    try:
        alike = all(
            np.array_equal(
                np.asarray(table.getcell(column, row)).T.astype(cells.dtype),
                cells[row],
                equal_nan=cells.dtype != np.bool_,
            )
            for row in _some(len(cells)).tolist()
        )
    finally:
        table.close()
    if not alike:
        raise CasaError(f"{path}: {column} was written and reads otherwise", path=str(path))


def _put(tiles: Tiles, offset: int, raw: NDArray[np.uint8]) -> None:
    with tiles.file.open("r+b", buffering=0) as file:
        file.seek(offset)
        left = raw.data
        while left:
            left = left[file.write(left) :]


def _bytes(tiles: Tiles, first: int, n_tiles: int) -> NDArray[np.uint8]:
    buffer = _room(n_tiles * tiles.tile_bytes)
    with tiles.file.open("rb", buffering=0) as file:
        file.seek(first * tiles.tile_bytes)
        left = buffer.data
        while left and (n_bytes := file.readinto(left)):
            left = left[n_bytes:]
    if len(left):
        raise OSError(f"{tiles.file} ends {len(left)} bytes too early")
    return buffer


def _room(n_bytes: int) -> NDArray[np.uint8]:
    """Return memory that this thread reuses: new memory costs as much as copying into it."""
    known = getattr(_ROOMS, "room", None)
    if known is None or len(known) < n_bytes:
        _ROOMS.room = known = np.empty(n_bytes, np.uint8)
    return np.asarray(known[:n_bytes])


def _at_once(move: Callable[[int], None], tiles: Tiles) -> None:
    """Move all chunks in parallel on all cores: copying takes the time."""
    with ThreadPoolExecutor(n_cores()) as pool:
        list(pool.map(move, range(0, tiles.n_rows, tiles.rows_at_once)))


def _taken(cells: NDArray[Any], rows: Ints) -> NDArray[Any]:
    """Return some rows; consecutive ones without a copy."""
    if rows[-1] - rows[0] == rows.size - 1:
        return cells[rows[0] : rows[-1] + 1]
    return cells[rows]


def _check_shape(path: Path, column: str, found: tuple[int, ...], wanted: tuple[int, int]) -> None:
    """Refuse cells whose shape differs from the subtables: compiled loops don't check it."""
    if tuple(found) != tuple(wanted):
        raise UnreadableObservation(
            f"{path}: its windows have {wanted[0]} channels and {wanted[1]} correlations, its "
            f"{column} {found[0]} and {found[1]}",
            path=str(path),
        )


def _as_casa_sees(table: Any, tiles: Tiles, column: str, rows: Ints) -> bool:
    """Compare some cells of a column with casatools' values."""
    return all(
        np.array_equal(
            np.asarray(table.getcell(column, row)).T.astype(tiles.dtype),
            tiles.decoded(_bytes(tiles, row // tiles.rows, 1))[row % tiles.rows],
            equal_nan=tiles.dtype != np.bool_,
        )
        for row in rows[_some(rows.size)].tolist()
    )


def _some(n: int) -> Ints:
    """Return numbers below n, spread over the whole range."""
    return np.unique(np.linspace(0, n - 1, min(n, _COMPARED)).astype(np.int64))


def _read_through_casa(
    table: Any, path: Path, column: str, rows: Ints, shape: tuple[int, int], each: Each
) -> None:
    dtype = {"DATA": np.complex64, "FLAG": np.bool_}.get(column, np.float32)
    step = max(1, _CHUNK_BYTES // (8 * shape[0] * shape[1]))
    for first in range(0, rows.size, step):
        part = table.selectrows(rows[first : first + step].tolist())
        try:
            cells = part.getcol(column).T
        finally:
            part.close()
        _check_shape(path, column, cells.shape[1:], shape)
        each(first, np.ascontiguousarray(cells, dtype))
