"""Steps that write and read large columns and look at them through casatools."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Moved:
    """What came of large columns: which way they went and whether all came through."""

    as_one_array: bool
    data_equal: bool
    flag_equal: bool
    read_equal: bool


@dataclass(frozen=True)
class Columns:
    path: Path
    n_rows: int
    n_channels: tuple[int, int]
    tile_rows: int


def move_columns(columns: Columns) -> Moved:
    """Write and read DATA and FLAG of two descriptions whose rows alternate unevenly."""
    import casatools

    from contimg_resources.calibration.large_columns import _tiles, read_large, write_large

    rng = np.random.default_rng(1)
    one_shape = len(set(columns.n_channels)) == 1
    kind = "TiledColumnStMan" if one_shape else "TiledShapeStMan"
    tile = [2, columns.n_channels[0], columns.tile_rows]
    made, managers = {}, {}
    for i, (name, of) in enumerate((("DATA", "complex"), ("FLAG", "boolean"))):
        made[name] = {"valueType": of, "ndim": 2, "option": 0, "comment": "", "maxlen": 0}
        made[name] |= {"dataManagerType": kind, "dataManagerGroup": name, "keywords": {}}
        if one_shape:
            made[name] |= {"shape": tile[:2], "option": 5}
        managers[f"*{i + 1}"] = {"COLUMNS": [name], "NAME": name, "TYPE": kind, "SEQNR": i}
        managers[f"*{i + 1}"]["SPEC"] = {"DEFAULTTILESHAPE": tile}
    tb = casatools.table()
    tb.create(str(columns.path), made, endianformat="little", memtype="plain", dminfo=managers)
    tb.addrows(columns.n_rows)
    of_row = rng.random(columns.n_rows) < 0.3
    rows = {0: np.flatnonzero(~of_row), 5: np.flatnonzero(of_row)}
    data, flag = {}, {}
    for number, channels in zip(rows, columns.n_channels, strict=True):
        shape = (rows[number].size, channels, 2)
        parts = rng.normal(size=(2, *shape))
        data[number] = (parts[0] + 1j * parts[1]).astype(np.complex64)
        flag[number] = rng.random(shape) < 0.4
    data[0][3, 1] = np.nan
    for name, cells in (("DATA", data), ("FLAG", flag)):
        write_large(tb, columns.path, name, {n: (rows[n], cells[n]) for n in rows})
    tb.close()
    tb.open(str(columns.path))
    seen = {
        n: [(tb.getcell("DATA", int(r)), tb.getcell("FLAG", int(r))) for r in rows[n]] for n in rows
    }
    read = {name: read_large(tb, columns.path, name, rows) for name in ("DATA", "FLAG")}
    found = Moved(
        as_one_array=_tiles(tb, columns.path, "DATA") is not None,
        data_equal=all(
            np.array_equal(c[0].T.astype(np.complex64), d, equal_nan=True)
            for n in rows
            for c, d in zip(seen[n], data[n], strict=True)
        ),
        flag_equal=all(
            np.array_equal(c[1].T, f) for n in rows for c, f in zip(seen[n], flag[n], strict=True)
        ),
        read_equal=all(
            np.array_equal(read["DATA"][n], data[n], equal_nan=True)
            and np.array_equal(read["FLAG"][n], flag[n])
            for n in rows
        ),
    )
    tb.close()
    return found
