"""Edit the caltables that CASA's solvers write, and put them in place. Runs in a CASA process.

Belongs here: flagged rows for windows without any solution, splitting a complex caltable into its
amplitude and its phase, exact times of solutions, the source recorded in a table, and its move
into place, completely or not at all.
Doesn't: interpolating between solutions (see `contimg_resources.calibration.apply.jones`).

CASA writes no rows for a spectral window whose data were all flagged, and when such a table is
applied that window passes **uncalibrated and unflagged**. A flagged solution marks that there is
none. CASA also marks such windows as flagged in the table's SPECTRAL_WINDOW, as it does with
windows missing from part of the data. Data in a marked window also pass, regardless of its
solutions.

A solver averages the times of its data in each spectral window and rounds differently every time. A
solution some microseconds after its intended integration leaves that integration also to the
solution before, and to its flags.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from contimg_resources.casa.tables import copy_table
from contimg_resources.core.arrays import Floats
from contimg_resources.core.trees import remove_tree
from contimg_resources.instrument.caltables import CaltableType, caltable_path, check_prefix


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


def split_amplitude_phase(table_path: Path, amplitude: Path, phase: Path) -> None:
    """Write ``|g|`` and ``g / |g|`` of a caltable of complex solutions as two new caltables.

    They have the flags and SNR of the original.
    """
    copy_table(table_path, amplitude)
    copy_table(table_path, phase)
    rewrite_gains(amplitude, "amplitude")
    rewrite_gains(phase, "phase")


def rewrite_gains(path: Path, keep: str) -> None:
    """Keep only the ``amplitude`` or the ``phase`` of a caltable's solutions, in place."""
    from casatools import table

    tb: Any = table()
    tb.open(str(path), nomodify=False)
    try:
        for row in range(tb.nrows()):
            gain = np.asarray(tb.getcell("CPARAM", row))
            size = np.abs(gain)
            # Where there is no solution CASA writes 1; an exact 0 would have no phase.
            unit = np.where(size > 0, gain / np.where(size > 0, size, 1), 1)
            tb.putcell("CPARAM", row, size.astype(complex) if keep == "amplitude" else unit)
    finally:
        tb.close()


#: Times closer than this are the same, seconds.
_SAME_S = 1e-3


def snapped(times_s: Floats, exact_s: Floats) -> Floats:
    """Return times, replacing those next to an exact one by it; both in seconds."""
    nearest = exact_s[np.abs(times_s[:, None] - exact_s[None, :]).argmin(axis=1)]
    return np.where(np.abs(times_s - nearest) < _SAME_S, nearest, times_s)


def snap_solutions(caltable: Path, exact_s: tuple[float, ...]) -> None:
    """Move the times of a caltable, which is changed in place, to exact ones.

    These are MJD in seconds; if there are none, nothing is moved.
    """
    from casatools import table

    if not exact_s:
        return
    tb: Any = table()
    tb.open(str(caltable), nomodify=False)
    try:
        tb.putcol("TIME", snapped(np.asarray(tb.getcol("TIME")), np.asarray(exact_s)))
    finally:
        tb.close()


def place_tables(
    tables: Mapping[CaltableType, Path],
    prefix: Path,
    copy: Callable[[Path, Path], object] = copy_table,
) -> dict[CaltableType, Path]:
    """Copy tables from scratch next to their destination, then rename them.

    Each destination is `prefix` plus the suffix of the type; the result has the order of `tables`.
    Tables of an earlier solve under the same prefix are replaced, those that this solve did not
    make are removed: the tables of one prefix always belong to one solve.
    """
    check_prefix(prefix)
    staging = prefix.with_name(f".{prefix.name}.writing")
    remove_tree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    try:
        for kind, source in tables.items():
            copy(source, staging / kind.name)
        for kind in CaltableType:
            for suffix in kind.suffixes:
                earlier = prefix.with_name(prefix.name + suffix)
                if earlier.is_dir():
                    earlier.rename(staging / f"earlier{suffix}")
        placed = {}
        for kind in tables:
            placed[kind] = caltable_path(prefix, kind)
            (staging / kind.name).rename(placed[kind])
        return placed
    finally:
        remove_tree(staging, ignore_errors=True)


def state_source(path: Path, ms: Path, declination_deg: float | None) -> None:
    """Record in a caltable the MS from which it was solved, and the telescope's pointing.

    CASA solved averages or a copy, whose name it writes into the table, and which were shifted to
    the calibrator's position. The strip determines to which observations a table may be applied.
    `declination_deg` is that of a drift scan, in the frame of the fields; None: the phase centres
    are correct.
    """
    from casatools import table

    tb: Any = table()
    tb.open(str(path), nomodify=False)
    try:
        tb.putkeyword("MSName", ms.name)
    finally:
        tb.close()
    if declination_deg is None:
        return
    tb.open(str(path / "FIELD"), nomodify=False)
    try:
        for row in range(tb.nrows()):
            cell = np.asarray(tb.getcell("PHASE_DIR", row))
            cell[1, :] = 0.0
            cell[1, 0] = np.radians(declination_deg)
            tb.putcell("PHASE_DIR", row, cell)
    finally:
        tb.close()
