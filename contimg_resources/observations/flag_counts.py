"""Which antennas work, and how much of their data is flagged.

Belongs here: counting over FLAG, FLAG_ROW and a sample of DATA.
Doesn't: opening tables; whoever calls hands in an open one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

#: Times nearer than this belong to one integration, s.
_SAME_TIME_S = 1e-3


class VisibilityTable(Protocol):
    """What is asked of the main table."""

    def column(self, name: str, start: int = 0, count: int = -1) -> NDArray[np.generic]:
        """Return cells of consecutive rows; the row is the last axis."""

    def rows(self, name: str, rows: Ints) -> NDArray[np.generic]:
        """Return cells of the given rows; the row is the last axis."""


@dataclass(frozen=True, eq=False)
class MainColumns:
    """Scalar columns of the main table, each of shape (n_rows,).

    Parameters
    ----------
    time_s, interval_s : ndarray of float
        Middle and length of the row's integration, seconds.
    antenna1, antenna2, field_id, data_desc_id : ndarray of int
        Rows of the sub-tables.
    flag_row : ndarray of bool
        True where the whole row is flagged.
    """

    time_s: Floats
    interval_s: Floats
    antenna1: Ints
    antenna2: Ints
    field_id: Ints
    data_desc_id: Ints
    flag_row: Bools

    @cached_property
    def cross(self) -> Bools:
        """True for cross-correlations."""
        return np.asarray(self.antenna1 != self.antenna2)

    @cached_property
    def integration(self) -> Ints:
        """Number of the integration of each row, from 0, in order of time."""
        times, inverse = np.unique(self.time_s, return_inverse=True)
        steps = np.concatenate(([0], np.cumsum(np.diff(times) > _SAME_TIME_S)))
        return np.asarray(steps[inverse], dtype=np.int64)

    @cached_property
    def n_integrations(self) -> int:
        """Number of distinct times."""
        return int(self.integration.max()) + 1


@dataclass(frozen=True, eq=False)
class FlagCounts:
    """What the counting gave.

    Parameters
    ----------
    working : ndarray of bool, shape (n_antennas,)
        Whether an unflagged, finite, non-zero cross-correlation was found.
    antenna_flagged_fraction : ndarray of float, shape (n_antennas,)
        Flagged share of each antenna's cross-correlations; 1 for one without rows.
    flagged_fraction : float
        Flagged share of the cross-correlations between working antennas; 1 when there are none.
    """

    working: Bools
    antenna_flagged_fraction: Floats
    flagged_fraction: float


def count_flags(
    table: VisibilityTable,
    columns: MainColumns,
    shapes: Ints,
    n_antennas: int,
    *,
    sampled_integrations: int,
    chunk_bytes: int,
) -> FlagCounts:
    """Count flags over all rows, and look for working antennas in a sample.

    A visibility is flagged when FLAG or FLAG_ROW says so. All flags are counted. DATA is read for
    at most `sampled_integrations` integrations, all their channels and correlations: each time the
    integration that has most unflagged rows of antennas not yet found to work (the middle one
    first, where they are alike), and of it only those rows. So an antenna counts as dead when all
    its unflagged data there are zero or not finite; an observation of no more integrations than
    that is searched whole.

    Parameters
    ----------
    table : VisibilityTable
        The main table.
    columns : MainColumns
        Its scalar columns.
    shapes : ndarray of int, shape (n_data_descriptions, 2)
        Correlations and channels of each data description.
    n_antennas : int
        Rows of the ANTENNA table.
    sampled_integrations : int
        See above.
    chunk_bytes : int
        Size of one piece that is read, bytes.
    """
    size = shapes.prod(axis=1)[columns.data_desc_id]
    flagged = _flagged_per_row(table, columns, shapes, chunk_bytes)
    working = _find_working(
        table, columns, shapes, flagged < size, n_antennas, sampled_integrations, chunk_bytes
    )
    antenna_flagged, antenna_total = (
        np.bincount(columns.antenna1, np.where(columns.cross, counts, 0), n_antennas)
        + np.bincount(columns.antenna2, np.where(columns.cross, counts, 0), n_antennas)
        for counts in (flagged, size)
    )
    share = np.ones(n_antennas)
    present = antenna_total > 0
    share[present] = antenna_flagged[present] / antenna_total[present]
    counted = columns.cross & working[columns.antenna1] & working[columns.antenna2]
    total = int(size[counted].sum())
    return FlagCounts(working, share, int(flagged[counted].sum()) / total if total else 1.0)


def _groups(columns: MainColumns, shapes: Ints) -> Iterator[tuple[tuple[int, int], Bools]]:
    """Yield each shape of cells with its rows: one read can't mix shapes."""
    for shape in np.unique(shapes, axis=0):
        same = np.flatnonzero(np.all(shapes == shape, axis=1))
        rows = np.isin(columns.data_desc_id, same)
        if rows.any():
            yield (int(shape[0]), int(shape[1])), rows


def _flagged_per_row(
    table: VisibilityTable, columns: MainColumns, shapes: Ints, chunk_bytes: int
) -> Ints:
    n_rows = columns.time_s.size
    flagged = np.zeros(n_rows, dtype=np.int64)
    for shape, members in _groups(columns, shapes):
        step = max(1, chunk_bytes // (shape[0] * shape[1]))
        if members.all():
            for start in range(0, n_rows, step):
                count = min(step, n_rows - start)
                flagged[start : start + count] = _count(table.column("FLAG", start, count))
        else:
            rows = np.flatnonzero(members)
            for start in range(0, rows.size, step):
                part = rows[start : start + step]
                flagged[part] = _count(table.rows("FLAG", part))
        whole = members & columns.flag_row
        flagged[whole] = shape[0] * shape[1]
    return flagged


def _count(flags: NDArray[np.generic]) -> Ints:
    """Count the True of each row; the row is the last axis, and the slowest in memory."""
    cells = flags.T.reshape(flags.shape[-1], -1)
    return np.asarray(np.count_nonzero(cells, axis=1), dtype=np.int64)


def _find_working(
    table: VisibilityTable,
    columns: MainColumns,
    shapes: Ints,
    unflagged: Bools,
    n_antennas: int,
    sampled_integrations: int,
    chunk_bytes: int,
) -> Bools:
    working = np.zeros(n_antennas, dtype=np.bool_)
    candidates = columns.cross & unflagged
    groups = list(_groups(columns, shapes))
    from_middle = np.abs(np.arange(columns.n_integrations) - columns.n_integrations // 2)
    searched = np.zeros(columns.n_integrations, dtype=np.bool_)
    for _ in range(min(sampled_integrations, columns.n_integrations)):
        open_rows = (
            candidates
            & ~(working[columns.antenna1] & working[columns.antenna2])
            & ~searched[columns.integration]
        )
        if not open_rows.any():
            break
        rows_each = np.bincount(columns.integration[open_rows], minlength=columns.n_integrations)
        best = int(np.lexsort((from_middle, -rows_each))[0])
        searched[best] = True
        for shape, members in groups:
            rows = np.flatnonzero(open_rows & members & (columns.integration == best))
            step = max(1, chunk_bytes // (8 * shape[0] * shape[1]))
            for start in range(0, rows.size, step):
                part = rows[start : start + step]
                good = _has_data(table, part)
                working[columns.antenna1[part[good]]] = True
                working[columns.antenna2[part[good]]] = True
    return working


def _has_data(table: VisibilityTable, rows: Ints) -> Bools:
    """Tell which rows hold an unflagged, finite, non-zero visibility."""
    data = table.rows("DATA", rows)
    flags = table.rows("FLAG", rows).astype(np.bool_)
    with np.errstate(invalid="ignore"):
        usable = np.isfinite(data) & (data != 0) & ~flags
    return np.asarray(usable.any(axis=(0, 1)), dtype=np.bool_)
