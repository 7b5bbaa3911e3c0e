"""DATA and FLAG of an MS straight from and to their tiles. Runs in a CASA process.

Belongs here: the large columns, by data description. Doesn't: what stands in them.

casatools turns every visibility into double precision and back, which at full size is most of the
time of reading and writing. Where a column is stored simply (one hypercube whose tiles hold whole
cells) its file is the array itself, tile after tile, so that is read and written here. What was
moved so is compared with casatools in some rows; any other storage goes through casatools.
"""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_resources.compiling import n_cores
from contimg_resources.errors import CasaError

Ints = NDArray[np.int64]

#: Bytes moved at once.
_CHUNK_BYTES = 32_000_000
#: Rows that are compared with what casatools sees.
_COMPARED = 16


_ROOMS = threading.local()


@dataclass(frozen=True)
class Tiles:
    """Where the cells of a column lie.

    Parameters
    ----------
    file : Path
        The file of its hypercube.
    dtype : numpy.dtype
        ``complex64`` or ``bool``; the latter are stored as bits.
    shape : (int, int)
        Channels and correlations of a cell.
    rows : int
        Rows of a tile.
    tile_bytes : int
        Bytes of a tile.
    """

    file: Path
    dtype: np.dtype[Any]
    shape: tuple[int, int]
    rows: int
    tile_bytes: int

    @property
    def rows_at_once(self) -> int:
        """Rows of a chunk: whole tiles."""
        cell_bytes = self.shape[0] * self.shape[1] * 8
        return self.rows * max(1, _CHUNK_BYTES // (self.rows * cell_bytes))

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
            return tiles
        return np.ascontiguousarray(cells, self.dtype).view(np.uint8)


def read_large(table: Any, path: Path, column: str, rows: Mapping[int, Ints]) -> dict[int, Any]:
    """Read some rows of a large column.

    Parameters
    ----------
    table : casatools.table
        The MS, open.
    path : Path
        The MS.
    column : str
        ``DATA`` or ``FLAG``.
    rows : mapping of int to ndarray of int
        Row numbers, ascending, of each data description.

    Returns
    -------
    dict of int to ndarray, shape (n_rows, n_channels, n_correlations)
        complex64 or bool.
    """
    tiles = _tiles(table, path, column)
    if tiles is not None:
        found = {
            number: np.empty((wanted.size, *tiles.shape), tiles.dtype)
            for number, wanted in rows.items()
        }
        n_rows = int(table.nrows())

        def read(start: int) -> None:
            cells = _chunk(tiles, start, n_rows)
            for number, wanted in rows.items():
                low, high = np.searchsorted(wanted, (start, start + len(cells)))
                found[number][low:high] = _taken(cells, wanted[low:high] - start)

        _at_once(read, tiles, n_rows)
        if _agrees(table, column, rows, found):
            return found
    return {number: _through_casa(table, column, wanted) for number, wanted in rows.items()}


def write_large(
    table: Any, path: Path, column: str, parts: Mapping[int, tuple[Ints, NDArray[Any]]]
) -> None:
    """Write all rows of a large column.

    Parameters
    ----------
    table : casatools.table
        The MS, open for writing, with its rows; closed and opened again meanwhile.
    path : Path
        The MS.
    column : str
        ``DATA`` or ``FLAG``.
    parts : mapping of int to (ndarray of int, ndarray)
        Row numbers, ascending, of each data description and their cells; together all rows.

    Raises
    ------
    CasaError
        If casatools then sees something else.
    """
    n_rows = int(table.nrows())
    # Rows that were just added are in the file once the table was closed.
    table.close()
    table.open(str(path), nomodify=False)
    tiles = _tiles(table, path, column)
    if tiles is None:
        for rows, cells in parts.values():
            part = table.selectrows(rows.tolist())
            part.putcol(column, cells.T)
            part.close()
        return
    table.close()
    _write_tiles(tiles, n_rows, parts)
    table.open(str(path), nomodify=False)
    rows_of = {number: rows for number, (rows, _) in parts.items()}
    if not _agrees(table, column, rows_of, {n: cells for n, (_, cells) in parts.items()}):
        raise CasaError(f"{path}: {column} was written and reads otherwise", path=str(path))


def _write_tiles(tiles: Tiles, n_rows: int, parts: Mapping[int, tuple[Ints, NDArray[Any]]]) -> None:
    def write(start: int) -> None:
        n_tiles = -(-min(tiles.rows_at_once, n_rows - start) // tiles.rows)
        room = _room(tiles.rows_at_once * tiles.shape[0] * tiles.shape[1] * tiles.dtype.itemsize)
        chunk = room.view(tiles.dtype).reshape(-1, *tiles.shape)[: n_tiles * tiles.rows]
        chunk[n_rows - start :] = 0
        for rows, cells in parts.values():
            low, high = np.searchsorted(rows, (start, start + len(chunk)))
            _put(chunk, rows[low:high] - start, cells[low:high])
        with tiles.file.open("r+b", buffering=0) as file:
            file.seek(start // tiles.rows * tiles.tile_bytes)
            left = tiles.encoded(chunk).reshape(-1).view(np.uint8).data
            while left:
                left = left[file.write(left) :]

    _at_once(write, tiles, n_rows)


def _chunk(tiles: Tiles, start: int, n_rows: int) -> NDArray[Any]:
    """Return the cells of some tiles, from row `start` on."""
    n_tiles = -(-min(tiles.rows_at_once, n_rows - start) // tiles.rows)
    buffer = _room(n_tiles * tiles.tile_bytes)
    with tiles.file.open("rb", buffering=0) as file:
        file.seek(start // tiles.rows * tiles.tile_bytes)
        left = buffer.data
        while left and (n_bytes := file.readinto(left)):
            left = left[n_bytes:]
    if len(left):
        raise OSError(f"{tiles.file} ends {len(left)} bytes too early")
    return tiles.decoded(buffer)[: n_rows - start]


def _room(n_bytes: int) -> NDArray[np.uint8]:
    """Return memory that this thread uses again: fresh memory costs as much as copying into it."""
    known = getattr(_ROOMS, "room", None)
    if known is None or len(known) < n_bytes:
        _ROOMS.room = known = np.empty(n_bytes, np.uint8)
    return np.asarray(known[:n_bytes])


def _at_once(move: Callable[[int], None], tiles: Tiles, n_rows: int) -> None:
    """Move all chunks, as many at once as there are cores: copying is what takes the time."""
    with ThreadPoolExecutor(n_cores()) as pool:
        list(pool.map(move, range(0, n_rows, tiles.rows_at_once)))


def _taken(cells: NDArray[Any], rows: Ints) -> NDArray[Any]:
    """Return some rows; those that follow one another without a copy."""
    if rows.size and rows[-1] - rows[0] == rows.size - 1:
        return cells[rows[0] : rows[-1] + 1]
    return cells[rows]


def _put(chunk: NDArray[Any], rows: Ints, cells: NDArray[Any]) -> None:
    if rows.size and rows[-1] - rows[0] == rows.size - 1:
        chunk[rows[0] : rows[-1] + 1] = cells
    else:
        chunk[rows] = cells


def _tiles(table: Any, path: Path, column: str) -> Tiles | None:
    """Return where the cells of a column lie, or None if they aren't stored simply."""
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
    dtype = {"complex": np.dtype(np.complex64), "boolean": np.dtype(np.bool_)}.get(
        str(table.coldatatype(column))
    )
    file = path / f"table.f{int(manager['SEQNR'])}_TSM{last}"
    n_tiles = -(-int(table.nrows()) // rows)
    tile_bytes = int(cubes[0]["BucketSize"])
    if dtype is None or not file.is_file() or file.stat().st_size < n_tiles * tile_bytes:
        return None
    return Tiles(file, dtype, (channels, correlations), rows, tile_bytes)


def _agrees(table: Any, column: str, rows: Mapping[int, Ints], found: Mapping[int, Any]) -> bool:
    """Compare some cells with what casatools sees."""
    for number, wanted in rows.items():
        for i in np.unique(
            np.linspace(0, wanted.size - 1, min(wanted.size, _COMPARED)).astype(int)
        ):
            seen = np.asarray(table.getcell(column, int(wanted[i]))).T
            if not np.array_equal(
                seen.astype(found[number].dtype), found[number][i], equal_nan=column == "DATA"
            ):
                return False
    return True


def _through_casa(table: Any, column: str, rows: Ints) -> NDArray[Any]:
    part = table.selectrows(rows.tolist())
    try:
        cells = part.getcol(column).T
    finally:
        part.close()
    return np.ascontiguousarray(cells, np.complex64 if column == "DATA" else np.bool_)
