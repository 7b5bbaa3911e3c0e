"""Select the rows of an MS that count, and their weights. Runs in a CASA process.

Belongs here: reading the columns of the main table that `contimg_resources.observations.counting`
and `.meaning` need. Doesn't: deciding, or reading visibilities.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_resources.calibration.ms.large_columns import read_large, tiles_of
from contimg_resources.calibration.ms.visibility_loops import alike_along_channels
from contimg_resources.core.arrays import Bools, Ints, Singles
from contimg_resources.observations.counting import number_integrations, repeated_rows
from contimg_resources.observations.meaning import (
    spectrum_column,
    weights_of_channels,
    weights_of_rows,
)

#: Number of rows whose weights are checked for variation along the channels.
_LOOKED_AT = 64
#: Number of visibilities whose flags are read at once.
_CHUNK = 20_000_000


def rows_once(table: Any, known: Mapping[str, NDArray[Any]] | None = None) -> Bools:
    """Return which rows don't repeat the visibilities of an earlier row.

    Among rows that repeat one another, it is the first that isn't completely flagged. `known` are
    columns that have been read. The result has the shape (n_rows,).
    """
    known = known or {}
    time_s, first, second, description = (
        np.asarray(known[name] if name in known else table.getcol(name))
        for name in ("TIME", "ANTENNA1", "ANTENNA2", "DATA_DESC_ID")
    )
    feeds = [
        np.asarray(table.getcol(name)) if name in table.colnames() else None
        for name in ("FEED1", "FEED2")
    ]
    keys = (number_integrations(time_s), first, second, description)
    flagged = np.zeros(time_s.size, np.bool_)
    repeated = repeated_rows(*keys, flagged, *feeds)
    if repeated.any():
        backwards = [None if key is None else key[::-1] for key in (*keys, flagged, *feeds)]
        involved = repeated | repeated_rows(*backwards)[::-1]  # type: ignore[arg-type]
        rows = np.flatnonzero(involved)
        flagged[rows] = _wholly_flagged(table, rows)
        repeated = repeated_rows(*keys, flagged, *feeds)
    return ~repeated


def _wholly_flagged(table: Any, rows: Ints) -> Bools:
    found = np.asarray(table.getcol("FLAG_ROW"))[rows].astype(np.bool_)
    # Rows of one data description have cells of one shape.
    description = np.asarray(table.getcol("DATA_DESC_ID"))[rows]
    for number in np.unique(description):
        mine = np.flatnonzero(description == number)
        step = max(1, _CHUNK // max(1, np.size(table.getcell("FLAG", int(rows[mine[0]])))))
        for start in range(0, mine.size, step):
            some = mine[start : start + step]
            part = table.selectrows(rows[some].tolist())
            try:
                found[some] |= np.asarray(part.getcol("FLAG")).all(axis=(0, 1))
            finally:
                part.close()
    return found


def row_weights(table: Any, rows: Ints) -> Singles:
    """Return the weights of rows without weights per channel, shape (n_rows, n_correlations)."""
    weight = np.asarray(table.getcol("WEIGHT")).T[rows]
    if "SIGMA" not in table.colnames():
        return weights_of_rows(weight, np.zeros_like(weight))
    return weights_of_rows(weight, np.asarray(table.getcol("SIGMA")).T[rows])


def rows_with_spectrum(table: Any, path: Path, rows: Ints) -> tuple[str, Bools]:
    """Return the column with weights per channel, and whether each of some rows has them there.

    Row numbers ascend.
    """
    column = spectrum_column(table.colnames())
    if column is None:
        return "", np.zeros(rows.size, np.bool_)
    if tiles_of(table, path, column) is not None:
        return column, np.ones(rows.size, np.bool_)
    found = table.query(f"isdefined({column})")
    try:
        defined = np.asarray(found.rownumbers(), np.int64)
    finally:
        found.close()
    return column, np.isin(rows, defined)


class Weights:
    """The weights of some rows, read on demand.

    Parameters
    ----------
    table : casatools.table
        The MS, open.
    path : Path
        The MS.
    rows : ndarray of int, shape (n_rows,)
        Row numbers, ascending.
    shape : (int, int)
        Numbers of channels and correlations of a row.

    Attributes
    ----------
    shape : (int, int)
        Numbers of channels and correlations of a row.
    """

    def __init__(self, table: Any, path: Path, rows: Ints, shape: tuple[int, int]) -> None:
        self._table, self._path, self._rows = table, path, rows
        self.shape = shape
        self._column, self._spectral = rows_with_spectrum(table, path, rows)
        self._by_row: Singles | None = None
        if not self._spectral.any():
            self._by_row = row_weights(table, rows)
        elif self._spectral.all() and not self._varies_somewhere():
            self._by_row = self._collapsed()

    @property
    def vary(self) -> bool:
        """Return whether they differ between the channels of any row."""
        return self._by_row is None

    def read(self, into: Singles | None = None, places: Ints | None = None) -> Singles:
        """Return the weights.

        Parameters
        ----------
        into : ndarray of float32, shape (n_rows, n_channels, n_correlations), optional
            Destination of weights that vary.
        places : ndarray of int, optional
            Indices of the rows, ascending; None: all.

        Returns
        -------
        ndarray of float32, shape (n_rows, 1 or n_channels, n_correlations)
            Weights, 1 over the square of the unit of DATA; 0: not to be used.
        """
        if self._by_row is not None:
            return (self._by_row if places is None else self._by_row[places])[:, None, :]
        rows = self._rows if places is None else self._rows[places]
        spectral = np.flatnonzero(self._spectral if places is None else self._spectral[places])
        found = np.empty((rows.size, *self.shape), np.float32) if into is None else into
        if spectral.size < rows.size:
            found[...] = row_weights(self._table, rows)[:, None, :]

        def put(place: int, cells: NDArray[Any]) -> None:
            found[spectral[place : place + len(cells)]] = weights_of_channels(self._column, cells)

        self._read_spectrum(rows[spectral], put)
        return found

    def _varies_somewhere(self) -> bool:
        some = np.unique(np.linspace(0, self._rows.size - 1, _LOOKED_AT).astype(np.int64))
        cells = (self._table.getcell(self._column, int(self._rows[i])) for i in some)
        return any(_varies(weights_of_channels(self._column, cell.T[None])) for cell in cells)

    def _collapsed(self) -> Singles | None:
        """Return the weights of rows; None when they vary after all."""
        found = np.empty((self._rows.size, self.shape[1]), np.float32)
        varying: list[bool] = []

        def put(place: int, cells: NDArray[Any]) -> None:
            # Cells that are alike have weights that are alike, which needn't be computed.
            same = alike_along_channels(cells)
            weight = weights_of_channels(self._column, cells[:, :1] if same else cells)
            found[place : place + len(cells)] = weight[:, 0]
            if not same and _varies(weight):
                varying.append(True)

        self._read_spectrum(self._rows, put)
        return None if varying else found

    def _read_spectrum(self, rows: Ints, put: Callable[[int, NDArray[Any]], None]) -> None:
        read_large(self._table, self._path, self._column, rows, self.shape, put)


def _varies(weight: Singles) -> bool:
    return bool((weight != weight[:, :1]).any())
