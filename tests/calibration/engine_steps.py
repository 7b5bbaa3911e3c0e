"""Steps that compare the engines which apply caltables."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Pair:
    one: Path
    other: Path


@dataclass(frozen=True)
class Difference:
    """How two calibrated MS of one observation differ, row by row."""

    n_rows: int
    n_flagged: int
    n_flags_differ: int
    data: float
    """Largest relative difference of unflagged values."""
    weight: float
    """Largest relative difference of the weights of rows that aren't all flagged."""
    uvw_m: float


def difference(pair: Pair) -> Difference:
    """Compare data, flags, weights and UVW of two MS."""
    import casatools

    order = "DATA_DESC_ID,TIME,ANTENNA1,ANTENNA2"
    found = []
    tables: list[Any] = []
    for ms in (pair.one, pair.other):
        table = casatools.table()
        table.open(str(ms))
        tables += [table, table.query("ANTENNA1 != ANTENNA2", sortlist=order)]
        rows = tables[-1]
        found.append([rows.getcol(c) for c in ("DATA", "FLAG", "WEIGHT", "UVW", "TIME")])
    for table in reversed(tables):
        table.close()
    (data, flag, weight, uvw, time), (data2, flag2, weight2, uvw2, time2) = found
    assert np.array_equal(time, time2)
    good = ~flag & ~flag2
    seen = good.any(axis=1)
    return Difference(
        n_rows=time.size,
        n_flagged=int(flag.sum()),
        n_flags_differ=int((flag != flag2).sum()),
        data=float((np.abs(data - data2)[good] / np.abs(data2[good])).max()),
        weight=float(np.abs(weight / weight2 - 1)[seen].max()),
        uvw_m=float(np.abs(uvw - uvw2).max()),
    )


def spoil_tables(tables: list[Path]) -> None:
    """Flag solutions of every kind: channels, an antenna, one moment, all of a receptor."""
    import casatools

    for path in tables:
        table = casatools.table()
        table.open(str(path), nomodify=False)
        flags = table.getcol("FLAG")
        antenna, window = table.getcol("ANTENNA1"), table.getcol("SPECTRAL_WINDOW_ID")
        if path.name.endswith("_bacal"):
            flags[:, 1, (antenna == 3) & (window == 5)] = True
            flags[0, :, antenna == 6] = True
        elif path.name.endswith("_gacal"):
            flags[:, :, antenna == 4] = True
        elif path.name.endswith("_2gcal"):
            # Windows with other flags have their solutions at slightly other times.
            minute = np.round((table.getcol("TIME") - table.getcol("TIME").min()) / 60)
            flags[:, :, (minute == 2) & (antenna == 7)] = True
            flags[:, :, (antenna == 8) & (window == 2)] = True
            flags[1, :, (minute == 0) & (antenna == 9)] = True
        table.putcol("FLAG", flags)
        table.close()
