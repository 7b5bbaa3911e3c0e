"""Find the working antennas, and the flagged fraction of their data.

Belongs here: counting over FLAG, FLAG_ROW, the weights and a sample of DATA.
Doesn't: opening tables; the caller passes an open one. Which rows and weights count (see
`contimg_resources.observations.counting`).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from contimg_resources.core.arrays import Bools, Floats, Ints
from contimg_resources.observations.counting import has_weight, number_integrations, repeated_rows


class VisibilityTable(Protocol):
    """The methods of the main table that are used here."""

    def column(self, name: str, start: int = 0, count: int = -1) -> NDArray[Any]:
        """Return cells of consecutive rows; the row is the last axis."""

    def rows(self, name: str, rows: Ints) -> NDArray[Any]:
        """Return cells of the given rows; the row is the last axis."""

    def filled_rows(self, name: str) -> Ints:
        """Return the rows in which a column has a value that isn't empty; none if it is missing."""

    def rows_to_check(self, name: str) -> Ints:
        """Return at least all rows in which a column has a value that isn't finite and above 0."""


@dataclass(frozen=True, eq=False)
class MainColumns:
    """Scalar columns of the main table, each of shape (n_rows,)."""

    time_s: Floats  #: Middle of the row's integration, seconds.
    interval_s: Floats  #: Length of the row's integration, seconds.
    antenna1: Ints  #: Rows of the sub-tables.
    antenna2: Ints  #: Rows of the sub-tables.
    field_id: Ints  #: Rows of the sub-tables.
    data_desc_id: Ints  #: Rows of the sub-tables.
    flag_row: Bools  #: True where the whole row is flagged.
    feed1: Ints | None = None  #: Feeds of the two antennas; None where the MS doesn't state them.
    feed2: Ints | None = None  #: Feeds of the two antennas; None where the MS doesn't state them.

    @cached_property
    def cross(self) -> Bools:
        """Return True for cross-correlations."""
        return np.asarray(self.antenna1 != self.antenna2)

    @cached_property
    def integration(self) -> Ints:
        """Return the integration number of each row, from 0, in order of time."""
        return number_integrations(self.time_s)

    @cached_property
    def n_integrations(self) -> int:
        """Return the number of distinct times."""
        return int(self.integration.max()) + 1


@dataclass(frozen=True, eq=False)
class FlagCounts:
    """Results of the flag counts."""

    #: True for rows whose visibilities are already counted in another row. Shape (n_rows,).
    repeated: Bools
    #: Whether the antenna has an unflagged, finite, non-zero cross-correlation. Shape
    #: (n_antennas,).
    working: Bools
    #: Flagged share of each antenna's cross-correlations; 1 for an antenna without rows. Shape
    #: (n_antennas,).
    antenna_flagged_fraction: Floats
    #: Flagged share of the cross-correlations between working antennas; 1 if there are none.
    flagged_fraction: float
    #: Share of all cross-correlations flagged by neither FLAG nor FLAG_ROW, regardless of weights.
    unflagged_fraction: float
    #: Share of all cross-correlations that are unflagged and have a valid weight.
    weighted_fraction: float


def count_flags(
    table: VisibilityTable,
    columns: MainColumns,
    shapes: Ints,
    n_antennas: int,
    *,
    sampled_integrations: int,
    chunk_bytes: int,
) -> FlagCounts:
    """Count flags over all rows, and search a sample for working antennas.

    A visibility is flagged by FLAG, by FLAG_ROW, or by an invalid weight (see `has_weight`).
    All flags and weights are counted, each visibility once. DATA is read for at most
    `sampled_integrations` integrations, with all their channels and correlations: each time the
    integration with the most unflagged rows of antennas not yet found to work (the middle one
    first, where they are equal), and only those rows of it. An antenna thus counts as dead when
    all its unflagged data there are zero or not finite; an observation with fewer integrations is
    searched completely.

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
        Maximum number of integrations searched, see above.
    chunk_bytes : int
        Size of one piece that is read, bytes.
    """
    size = shapes.prod(axis=1)[columns.data_desc_id]
    spectral = np.zeros(columns.time_s.size, np.bool_)
    spectral[table.filled_rows("WEIGHT_SPECTRUM")] = True
    groups = _groups(columns, shapes, spectral)
    unflagged, flagged = _flagged_per_row(table, columns, groups, chunk_bytes)
    repeated = repeated_rows(
        columns.integration,
        columns.antenna1,
        columns.antenna2,
        columns.data_desc_id,
        flagged >= size,
        columns.feed1,
        columns.feed2,
    )
    cross = columns.cross & ~repeated
    working = _find_working(
        table,
        columns,
        groups,
        cross & (flagged < size),
        n_antennas,
        sampled_integrations,
        chunk_bytes,
    )
    antenna_flagged, antenna_total = (
        np.bincount(columns.antenna1, np.where(cross, counts, 0), n_antennas)
        + np.bincount(columns.antenna2, np.where(cross, counts, 0), n_antennas)
        for counts in (flagged, size)
    )
    share = np.ones(n_antennas)
    present = antenna_total > 0
    share[present] = antenna_flagged[present] / antenna_total[present]
    counted = cross & working[columns.antenna1] & working[columns.antenna2]
    total = int(size[counted].sum())
    everything = max(1, int(size[cross].sum()))
    return FlagCounts(
        repeated=repeated,
        working=working,
        antenna_flagged_fraction=share,
        flagged_fraction=int(flagged[counted].sum()) / total if total else 1.0,
        unflagged_fraction=int(unflagged[cross].sum()) / everything,
        weighted_fraction=int((size - flagged)[cross].sum()) / everything,
    )


@dataclass(frozen=True, eq=False)
class _Group:
    """Rows that one read can cover: cells of one shape, and weights of one kind."""

    n_correlations: int
    n_channels: int
    spectral: bool
    members: Bools

    @property
    def size(self) -> int:
        """Return the number of visibilities in a row."""
        return self.n_correlations * self.n_channels

    def weighted(self, table: VisibilityTable, rows: Ints) -> Bools:
        """Return which visibilities of some of the rows have a valid weight; broadcasts to FLAG."""
        if self.spectral:
            return has_weight(_read(table, "WEIGHT_SPECTRUM", rows))
        return has_weight(_read(table, "WEIGHT", rows))[:, np.newaxis, :]


def _groups(columns: MainColumns, shapes: Ints, spectral: Bools) -> list[_Group]:
    """Return the rows grouped by the shape of their cells and the column of their weights."""
    found = []
    for n_correlations, n_channels in np.unique(shapes, axis=0):
        same = np.flatnonzero(np.all(shapes == (n_correlations, n_channels), axis=1))
        rows = np.isin(columns.data_desc_id, same)
        for kind, members in ((False, rows & ~spectral), (True, rows & spectral)):
            if members.any():
                found.append(_Group(int(n_correlations), int(n_channels), kind, members))
    return found


def _flagged_per_row(
    table: VisibilityTable, columns: MainColumns, groups: Iterable[_Group], chunk_bytes: int
) -> tuple[Ints, Ints]:
    """Return the numbers of unflagged visibilities of each row, and of those counted as flagged."""
    unflagged = np.zeros(columns.time_s.size, dtype=np.int64)
    flagged = np.zeros(columns.time_s.size, dtype=np.int64)
    for group in groups:
        to_check = group.members.copy()
        if group.spectral:
            to_check[:] = False
            to_check[table.rows_to_check("WEIGHT_SPECTRUM")] = True
        for part in _chunks(np.flatnonzero(group.members), chunk_bytes // group.size):
            flags = _read(table, "FLAG", part).astype(np.bool_, copy=False)
            by_flag = _count(flags)
            unflagged[part], flagged[part] = group.size - by_flag, by_flag
            check = to_check[part]
            if check.any():
                weighted = group.weighted(table, part[check])
                flagged[part[check]] = _count(flags[..., check] | ~weighted)
        whole = group.members & columns.flag_row
        unflagged[whole], flagged[whole] = 0, group.size
    return unflagged, flagged


def _chunks(rows: Ints, step: int) -> Iterator[Ints]:
    step = max(1, step)
    for start in range(0, rows.size, step):
        yield rows[start : start + step]


def _read(table: VisibilityTable, name: str, rows: Ints) -> NDArray[Any]:
    """Read some rows, ascending; uses the faster call where they are consecutive."""
    if rows[-1] - rows[0] + 1 == rows.size:
        return table.column(name, int(rows[0]), rows.size)
    return table.rows(name, rows)


def _count(flags: NDArray[np.generic]) -> Ints:
    """Count the True of each row; the row is the last axis, and the slowest in memory."""
    cells = flags.T.reshape(flags.shape[-1], -1)
    return np.asarray(np.count_nonzero(cells, axis=1), dtype=np.int64)


def _find_working(
    table: VisibilityTable,
    columns: MainColumns,
    groups: Iterable[_Group],
    candidates: Bools,
    n_antennas: int,
    sampled_integrations: int,
    chunk_bytes: int,
) -> Bools:
    working = np.zeros(n_antennas, dtype=np.bool_)
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
        for group in groups:
            rows = np.flatnonzero(open_rows & group.members & (columns.integration == best))
            for part in _chunks(rows, chunk_bytes // (8 * group.size)):
                good = _has_data(table, group, part)
                working[columns.antenna1[part[good]]] = True
                working[columns.antenna2[part[good]]] = True
    return working


def _has_data(table: VisibilityTable, group: _Group, rows: Ints) -> Bools:
    """Return which rows hold a finite, non-zero, unflagged visibility with a valid weight."""
    data = table.rows("DATA", rows)
    flags = table.rows("FLAG", rows).astype(np.bool_)
    with np.errstate(invalid="ignore"):
        usable = np.isfinite(data) & (data != 0) & ~flags & group.weighted(table, rows)
    return np.asarray(usable.any(axis=(0, 1)), dtype=np.bool_)
