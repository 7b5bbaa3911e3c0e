"""Open caltables and say what is inside them.

Belongs here: reading a caltable as CASA wrote it, in a CASA process.
Doesn't: judging it (see `contimg_resources.calibration.quality` and the registry).
"""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_resources.calibration.tables import ArrayLayout, CaltableInfo
from contimg_resources.errors import InvalidName, RegistrationRefused
from contimg_resources.times import mjd_from_casa_seconds


def inspect_caltables(paths: list[Path]) -> list[CaltableInfo]:
    """Open each caltable and describe it; call through `contimg_resources.casa.Casa.run`.

    Parameters
    ----------
    paths : list of Path
        Table directories.

    Returns
    -------
    list of CaltableInfo
        In the order of `paths`.

    Raises
    ------
    RegistrationRefused
        Naming the first path that is no caltable, can't be read to its end, or holds solutions
        that are not finite, and why.
    """
    return [inspect_caltable(path) for path in paths]


def inspect_caltable(path: Path) -> CaltableInfo:
    """Describe one caltable; see `inspect_caltables`. Runs in a CASA process."""
    _check_directory(path)
    try:
        return _read(path)
    except RegistrationRefused:
        raise
    except (RuntimeError, KeyError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise _refusal(path, f"can't be read: {reason}") from error


def _refusal(path: Path, reason: str) -> RegistrationRefused:
    return RegistrationRefused(f"caltable {path} {reason}", path=str(path), reason=reason)


def _check_directory(path: Path) -> None:
    if not path.exists():
        near = sorted(p.name for p in path.parent.glob("*cal")) if path.parent.is_dir() else []
        beside = f"; beside it: {', '.join(near[:8])}" if near else ""
        raise _refusal(path, f"does not exist{beside}")
    if not path.is_dir():
        raise _refusal(path, "is a file; a CASA table is a directory")
    if not (path / "table.dat").is_file():
        raise _refusal(path, "is no CASA table: it has no table.dat")


def _read(path: Path) -> CaltableInfo:
    from casatools import table

    tb: Any = table()
    # Whoever inspects must neither wait for nor lock out a process that applies the table.
    tb.open(str(path), lockoptions={"option": "usernoread"})
    try:
        if tb.info().get("type") != "Calibration" or "VisCal" not in tb.keywordnames():
            kind = tb.info().get("type") or "unknown"
            raise _refusal(path, f"is a CASA table of type {kind!r}, not a caltable")
        if tb.nrows() == 0:
            raise _refusal(path, "has no solutions: it has no rows")
        subtype = str(tb.getkeyword("VisCal"))
        source_ms = Path(str(tb.getkeyword("MSName"))).name
        solutions = Solutions.read(tb)
        antenna2 = np.asarray(tb.getcol("ANTENNA2"))
        field_ids = sorted({int(f) for f in tb.getcol("FIELD_ID")})
    finally:
        tb.close()
    names = _subtable_column(path, "ANTENNA", "NAME")
    fields = _subtable_column(path, "FIELD", "NAME")
    bad = int((~np.isfinite(solutions.values) & ~solutions.flags).sum())
    if bad:
        raise _refusal(path, f"holds {bad} unflagged solutions that are not finite")
    times = solutions.times_s[solutions.times_s > 0]
    try:
        start, end = (mjd_from_casa_seconds(float(t)) for t in (times.min(), times.max()))
    except (InvalidName, ValueError) as error:
        raise _refusal(path, "has no possible observing date in its TIME column") from error
    return CaltableInfo(
        path=path,
        casa_subtype=subtype,
        n_solutions=solutions.values.size,
        flagged_fraction=solutions.flagged_fraction(),
        identity_fraction=solutions.identity_fraction(subtype),
        layout=ArrayLayout(antenna_names=names, spectral_windows_hz=_spectral_windows(path)),
        start_mjd=start,
        end_mjd=end,
        field_names=tuple(fields[f] for f in field_ids if 0 <= f < len(fields)),
        source_ms=source_ms,
        refant=_most_common_name(antenna2, names),
    )


class Solutions:
    """The solutions of one caltable as arrays.

    Parameters
    ----------
    values : ndarray of float or complex, shape (n_receptors, n_channels, n_rows)
        Delays in ns (K) or complex gains.
    flags : ndarray of bool, same shape
        True where there is no solution.
    snr : ndarray of float, same shape
        Signal-to-noise ratios that the solver wrote.
    antennas, windows : ndarray of int, shape (n_rows,)
        Antenna id and spectral window id of each row.
    times_s : ndarray of float, shape (n_rows,)
        Time of each row, MJD in seconds.
    """

    def __init__(
        self,
        values: NDArray[Any],
        flags: NDArray[np.bool_],
        snr: NDArray[np.float64],
        antennas: NDArray[Any],
        windows: NDArray[Any],
        times_s: NDArray[np.float64],
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

    def flagged_fraction(self) -> float:
        """Return flagged over all solutions of the working antennas; 1 when none works."""
        rows = np.isin(self.antennas, self.working_antennas())
        return float(self.flags[..., rows].mean()) if rows.any() else 1.0

    def identity_fraction(self, subtype: str) -> float:
        """Return the share of unflagged solutions that are exactly 1, or 0 for delays."""
        good = self.values[~self.flags]
        neutral = 0.0 if subtype.startswith("K") else 1.0
        return float((good == neutral).mean()) if good.size else 0.0


def _rows(tb: Any) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.float64]]:
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


def _subtable_column(path: Path, subtable: str, column: str) -> tuple[str, ...]:
    from casatools import table

    tb: Any = table()
    tb.open(str(path / subtable), lockoptions={"option": "usernoread"})
    try:
        return tuple(str(v) for v in tb.getcol(column))
    finally:
        tb.close()


def _spectral_windows(path: Path) -> tuple[tuple[float, float, int], ...]:
    from casatools import table

    tb: Any = table()
    tb.open(str(path / "SPECTRAL_WINDOW"), lockoptions={"option": "usernoread"})
    try:
        windows = [np.asarray(tb.getcell("CHAN_FREQ", i)) for i in range(tb.nrows())]
    finally:
        tb.close()
    return tuple(sorted((float(w.min()), float(w.max()), int(w.size)) for w in windows))


def _most_common_name(antenna2: NDArray[Any], names: tuple[str, ...]) -> str:
    counts = Counter(int(a) for a in antenna2 if 0 <= a < len(names))
    return names[counts.most_common(1)[0][0]] if counts else ""
