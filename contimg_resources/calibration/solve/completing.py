"""Add flagged rows to a caltable for windows without any solution. Runs in a CASA process.

CASA writes no rows for a spectral window whose data were all flagged, and when such a table is
applied that window passes **uncalibrated and unflagged**. A flagged solution marks that there is
none.

CASA also marks such windows as flagged in the table's SPECTRAL_WINDOW, as it does with windows
missing from part of the data. Data in a marked window also pass, regardless of its solutions.
"""

from pathlib import Path
from typing import Any

import numpy as np


def complete_windows(path: Path, windows: tuple[int, ...]) -> tuple[int, ...]:
    """Append flagged solutions for the windows missing from a caltable, so that it covers all.

    The table is changed in place; the windows that were missing are returned.
    """
    from casatools import table

    tb: Any = table()
    tb.open(str(path / "SPECTRAL_WINDOW"), nomodify=False)
    try:
        n_channels = [int(n) for n in tb.getcol("NUM_CHAN")]
        flags = np.asarray(tb.getcol("FLAG_ROW"))
        flags[list(windows)] = False
        tb.putcol("FLAG_ROW", flags)
    finally:
        tb.close()
    tb.open(str(path), nomodify=False)
    try:
        of_row = np.asarray(tb.getcol("SPECTRAL_WINDOW_ID"))
        missing = tuple(w for w in windows if w not in set(of_row.tolist()))
        if not missing:
            return ()
        counts = np.bincount(of_row)
        # The window with the most rows has every antenna and time.
        template = np.flatnonzero(of_row == int(counts.argmax()))
        for window in missing:
            first = tb.nrows()
            tb.addrows(template.size)
            for offset, row in enumerate(template):
                _copy_flagged(tb, int(row), first + offset, window, n_channels[window])
        return missing
    finally:
        tb.close()


def _copy_flagged(tb: Any, source: int, target: int, window: int, channels: int) -> None:
    for column in tb.colnames():
        if not tb.iscelldefined(column, source):
            continue
        value = tb.getcell(column, source)
        if column == "SPECTRAL_WINDOW_ID":
            value = window
        elif isinstance(value, np.ndarray):
            shape = (value.shape[0], channels)
            filling = {"FLAG": True, "CPARAM": 1, "FPARAM": 0}.get(column, 0)
            value = np.full(shape, filling, value.dtype)
        tb.putcell(column, target, value)
