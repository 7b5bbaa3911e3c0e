"""The solutions of a caltable as arrays.

Belongs here: reading them, and which antennas have any. Needs CASA to read.
Doesn't: checking their quality (see `.quality`), other caltable content (see `.inspection`).
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_resources.core.arrays import Bools, Floats


class Solutions:
    """The solutions of one caltable as arrays.

    Parameters
    ----------
    values : ndarray of float or complex, shape (n_receptors, n_channels, n_rows)
        Delays in ns (K) or complex gains.
    flags : ndarray of bool, same shape
        True where there is no solution.
    snr : ndarray of float, same shape
        Signal-to-noise ratios written by the solver.
    antennas, windows : ndarray of int, shape (n_rows,)
        Antenna id and spectral window id of each row.
    times_s : ndarray of float, shape (n_rows,)
        Time of each row, MJD in seconds.
    """

    def __init__(
        self,
        values: NDArray[Any],
        flags: Bools,
        snr: Floats,
        antennas: NDArray[Any],
        windows: NDArray[Any],
        times_s: Floats,
    ) -> None:
        self.values = values
        self.flags = flags
        self.snr = snr
        self.antennas = antennas
        self.windows = windows
        self.times_s = times_s

    @classmethod
    def read(cls, tb: Any) -> "Solutions":
        """Read the main table that the table tool `tb` has open."""
        column = "CPARAM" if "CPARAM" in tb.colnames() else "FPARAM"
        if len(set(tb.getcolshapestring(column))) == 1:
            values, flags, snr = (np.asarray(tb.getcol(c)) for c in (column, "FLAG", "SNR"))
            return cls(values, flags, snr.astype(np.float64), *_rows(tb))
        cells = [
            (tb.getcell(column, i), tb.getcell("FLAG", i), tb.getcell("SNR", i))
            for i in range(tb.nrows())
        ]
        # Windows may differ in their number of channels: pad with flagged solutions.
        channels = max(np.shape(v)[1] for v, _, _ in cells)
        shape = (np.shape(cells[0][0])[0], channels, len(cells))
        values = np.zeros(shape, np.complex128 if column == "CPARAM" else np.float64)
        flags = np.ones(shape, np.bool_)
        snr = np.zeros(shape, np.float64)
        for i, (value, flag, ratio) in enumerate(cells):
            n = np.shape(value)[1]
            values[:, :n, i], flags[:, :n, i], snr[:, :n, i] = value, flag, ratio
        return cls(values, flags, snr, *_rows(tb))

    def working_antennas(self) -> NDArray[Any]:
        """Return the ids of the antennas that have any solution, ascending."""
        with_solution = ~self.flags.all(axis=(0, 1))
        return np.unique(self.antennas[with_solution])

    def identity_fraction(self, subtype: str) -> float:
        """Return the share of unflagged solutions that are exactly 1, or 0 for delays."""
        good = self.values[~self.flags]
        neutral = 0.0 if subtype.startswith("K") else 1.0
        return float((good == neutral).mean()) if good.size else 0.0


def _rows(tb: Any) -> tuple[NDArray[Any], NDArray[Any], Floats]:
    """Return antenna, window and time of each row of a caltable."""
    antennas, windows, times_s = (
        np.asarray(tb.getcol(name)) for name in ("ANTENNA1", "SPECTRAL_WINDOW_ID", "TIME")
    )
    return antennas, windows, times_s.astype(np.float64)


def read_solutions(path: Path) -> Solutions:
    """Read the solutions of one caltable. Runs in a CASA process."""
    from casatools import table

    tb: Any = table()
    tb.open(str(path), lockoptions={"option": "usernoread"})
    try:
        return Solutions.read(tb)
    finally:
        tb.close()
