"""Steps that write and read large columns and look at them through casatools."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

N_ROWS = 1000
#: 33 rows of 7 channels are a tile whose bits don't fill its last byte.
TILE_ROWS = 33
SHAPE = (7, 2)


@dataclass(frozen=True)
class Moved:
    """What came of large columns: which way they went and whether all came through."""

    as_one_array: bool
    data_equal: bool
    flag_equal: bool
    told_once: bool


@dataclass(frozen=True)
class Columns:
    path: Path
    one_shape: bool


def _cells() -> dict[str, np.ndarray[Any, Any]]:
    rng = np.random.default_rng(1)
    parts = rng.normal(size=(2, N_ROWS, *SHAPE))
    data = (parts[0] + 1j * parts[1]).astype(np.complex64)
    data[3, 1] = np.nan
    return {"DATA": data, "FLAG": rng.random(data.shape) < 0.4}


def _table(columns: Columns) -> Any:
    import casatools

    kind = "TiledColumnStMan" if columns.one_shape else "TiledShapeStMan"
    tile = [*SHAPE[::-1], TILE_ROWS]
    made, managers = {}, {}
    for i, (name, of) in enumerate((("DATA", "complex"), ("FLAG", "boolean"))):
        made[name] = {"valueType": of, "ndim": 2, "option": 0, "comment": "", "maxlen": 0}
        made[name] |= {"dataManagerType": kind, "dataManagerGroup": name, "keywords": {}}
        if columns.one_shape:
            made[name] |= {"shape": tile[:2], "option": 5}
        managers[f"*{i + 1}"] = {"COLUMNS": [name], "NAME": name, "TYPE": kind, "SEQNR": i}
        managers[f"*{i + 1}"]["SPEC"] = {"DEFAULTTILESHAPE": tile}
    tb = casatools.table()
    tb.create(str(columns.path), made, endianformat="little", memtype="plain", dminfo=managers)
    return tb


def read_columns(columns: Columns) -> Moved:
    """Read some rows that casatools wrote, in a table that is stored simply or isn't."""
    from contimg_resources.calibration.ms.large_columns import read_large, tiles_of

    tb, cells = _table(columns), _cells()
    others = 0 if columns.one_shape else 40
    tb.addrows(N_ROWS + others)
    for name, values in cells.items():
        tb.putcol(name, values.T, 0, N_ROWS)
        for row in range(N_ROWS, N_ROWS + others):
            tb.putcell(name, row, values[0, :3].T)
    tb.close()
    tb.open(str(columns.path))
    rows = np.flatnonzero(np.random.default_rng(2).random(N_ROWS) < 0.7)
    read = {name: np.empty_like(values[rows]) for name, values in cells.items()}
    told = np.zeros(rows.size, np.int64)
    for name, into in read.items():

        def each(place: int, part: np.ndarray[Any, Any], into: Any = into) -> None:
            into[place : place + len(part)] = part
            told[place : place + len(part)] += 1

        read_large(tb, columns.path, name, rows, SHAPE, each)
    found = Moved(
        as_one_array=tiles_of(tb, columns.path, "DATA") is not None,
        data_equal=np.array_equal(read["DATA"], cells["DATA"][rows], equal_nan=True),
        flag_equal=np.array_equal(read["FLAG"], cells["FLAG"][rows]),
        told_once=bool((told == 2).all()),
    )
    tb.close()
    return found


def write_columns(columns: Columns) -> Moved:
    """Write columns whose rows were added as a hole, in parts, and let casatools read them."""
    from contimg_resources.calibration.ms.large_columns import NewColumn, write_flags
    from contimg_resources.calibration.ms.new import add_rows

    tb, cells = _table(columns), _cells()
    tb.close()
    add_rows(columns.path, N_ROWS, ["DATA"])
    new = NewColumn(columns.path, "DATA")
    parts = [(400, 1000), (0, 17), (17, 400)]
    for first, last in parts:
        new.place(slice(first, last))[...] = cells["DATA"][first:last]
    write_flags(columns.path, cells["FLAG"])
    tb.open(str(columns.path))
    found = Moved(
        as_one_array=True,
        data_equal=np.array_equal(new.array(), cells["DATA"], equal_nan=True)
        and np.array_equal(tb.getcol("DATA").T.astype(np.complex64), cells["DATA"], equal_nan=True),
        flag_equal=np.array_equal(tb.getcol("FLAG").T, cells["FLAG"]),
        told_once=True,
    )
    tb.close()
    return found
