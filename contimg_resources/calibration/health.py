"""What the data of a working copy say about its antennas and times. Runs in a CASA process.

Belongs here: reading flags, names, times and windows of a small set of columns.
Doesn't: deciding anything from them.
"""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_resources.calibration.refant import AntennaHealth
from contimg_resources.calibration.tables import ArrayLayout
from contimg_resources.errors import CalibrationFailed, UnreadableObservation
from contimg_resources.times import mjd_from_casa_seconds

_ROWS_AT_ONCE = 20_000


@dataclass(frozen=True)
class DataHealth:
    """Flags, times and layout of the selected data.

    Parameters
    ----------
    antennas : tuple of AntennaHealth
        By id.
    working_receptors : ndarray of bool, shape (n_antennas, n_receptors)
        True where a receptor has unflagged cross-correlations.
    flagged_fraction : float
        Flagged visibilities over all cross-correlations of working antennas.
    start_mjd, end_mjd : float
        Begin of the first and end of the last integration, MJD in days.
    layout : ArrayLayout
        Antennas and spectral windows.
    frequencies_hz : tuple of ndarray of float
        Channel centres of each spectral window by id, Hz.
    windows : tuple of int
        Spectral window ids that have rows.
    receptors : tuple of str
        Names of the two receptors: X and Y, or R and L.
    """

    antennas: tuple[AntennaHealth, ...]
    working_receptors: NDArray[np.bool_]
    flagged_fraction: float
    start_mjd: float
    end_mjd: float
    layout: ArrayLayout
    frequencies_hz: tuple[NDArray[np.float64], ...]
    windows: tuple[int, ...]
    receptors: tuple[str, str]

    @property
    def window_width_hz(self) -> float:
        """Median width of the spectral windows, Hz, between the outer channel centres."""
        return float(np.median([np.ptp(hz) for hz in self.frequencies_hz]))

    @property
    def n_working(self) -> int:
        """Number of antennas with unflagged data."""
        return int(self.working_receptors.any(axis=1).sum())


def measure_health(ms: Path, field_ids: tuple[int, ...] = ()) -> DataHealth:
    """Read flags, times and layout of an MS.

    Parameters
    ----------
    ms : Path
        MeasurementSet, flagged.
    field_ids : tuple of int
        Only these fields; empty: all.

    Raises
    ------
    CalibrationFailed
        If there are no cross-correlations, or all are flagged.
    """
    from casatools import table

    tb: Any = table()
    about = read_about(ms)
    n = len(about.names)
    # Sums over baselines keep the flags of 168 million visibilities out of memory.
    flagged = np.zeros((n, n, len(about.parallel)), np.int64)
    total = np.zeros((n, n, len(about.parallel)), np.int64)
    starts, ends = [], []
    present = []
    where = "ANTENNA1 != ANTENNA2"
    if field_ids:
        where += f" && FIELD_ID IN {list(field_ids)}"
    tb.open(str(ms), nomodify=True)
    try:
        for dd in sorted({int(d) for d in tb.getcol("DATA_DESC_ID")}):
            rows: Any = tb.query(f"DATA_DESC_ID == {dd} && {where}")
            try:
                present += [about.window_ids[dd]] if rows.nrows() else []
                for first in range(0, rows.nrows(), _ROWS_AT_ONCE):
                    count = min(_ROWS_AT_ONCE, rows.nrows() - first)
                    a1, a2, time, interval, flag, flag_row = (
                        np.asarray(rows.getcol(c, first, count))
                        for c in (
                            *("ANTENNA1", "ANTENNA2", "TIME"),
                            *("INTERVAL", "FLAG", "FLAG_ROW"),
                        )
                    )
                    flag = (flag | flag_row)[about.parallel]
                    np.add.at(flagged, (a1, a2), flag.sum(axis=1).T)
                    np.add.at(total, (a1, a2), flag.shape[1])
                    starts.append(float((time - interval / 2).min()))
                    ends.append(float((time + interval / 2).max()))
            finally:
                rows.close()
    finally:
        tb.close()
    if not starts:
        raise CalibrationFailed(f"{ms.name} has no cross-correlations", reasons=["no data"])
    return sum_up(about, flagged, total, (min(starts), max(ends)), present)


@dataclass(frozen=True)
class About:
    """What the subtables of an MS say.

    Parameters
    ----------
    ms_name : str
        Its name.
    names : tuple of str
        Of the antennas, by id.
    positions_m : ndarray of float, shape (n_antennas, 3)
        Their positions, metres.
    parallel : list of int
        Where the parallel hands stand along the correlation axis.
    receptors : tuple of str
        Names of the two receptors.
    frequencies_hz : tuple of ndarray of float
        Channel centres of each spectral window by id, Hz.
    window_ids : list of int
        Spectral window id of each data description.
    """

    ms_name: str
    names: tuple[str, ...]
    positions_m: NDArray[np.float64]
    parallel: list[int]
    receptors: tuple[str, str]
    frequencies_hz: tuple[NDArray[np.float64], ...]
    window_ids: list[int]


def read_about(ms: Path) -> About:
    """Read the subtables of an MS."""
    from casatools import table

    tb: Any = table()
    names, positions = _antennas(tb, ms)
    parallel, receptors = _parallel_hands(tb, ms)
    windows = _windows(tb, ms)
    return About(
        ms.name, names, positions, parallel, receptors, windows, _described_windows(tb, ms)
    )


def sum_up(
    about: About,
    flagged: NDArray[np.int64],
    total: NDArray[np.int64],
    span_s: tuple[float, float],
    windows: Collection[int],
) -> DataHealth:
    """Say from the flags of baselines how antennas and receptors are.

    Parameters
    ----------
    about : About
        Subtables of the MS.
    flagged, total : ndarray of int, shape (n_antennas, n_antennas, n_parallel_hands)
        Flagged and all cross-correlations of each baseline.
    span_s : (float, float)
        Begin of the first and end of the last integration, MJD in seconds.
    windows : collection of int
        Ids of the spectral windows that have rows.

    Raises
    ------
    CalibrationFailed
        If all cross-correlations are flagged.
    """
    if not (flagged < total).any():
        raise CalibrationFailed(
            f"all cross-correlations of {about.ms_name} are flagged",
            reasons=["all data are flagged"],
        )
    per_antenna_flagged = flagged.sum(axis=0) + flagged.sum(axis=1)
    per_antenna_total = total.sum(axis=0) + total.sum(axis=1)
    working = per_antenna_flagged < per_antenna_total
    both = working.any(axis=1)[:, None] & working.any(axis=1)[None, :]
    middle = np.median(about.positions_m[working.any(axis=1)], axis=0)
    fractions = per_antenna_flagged.sum(axis=1) / np.maximum(per_antenna_total.sum(axis=1), 1)
    antennas = tuple(
        AntennaHealth(
            id=i,
            name=name,
            distance_m=float(np.linalg.norm(about.positions_m[i] - middle)),
            flagged_fraction=float(fractions[i]) if per_antenna_total[i].any() else 1.0,
        )
        for i, name in enumerate(about.names)
    )
    return DataHealth(
        antennas=antennas,
        working_receptors=working,
        flagged_fraction=float(flagged[both].sum() / total[both].sum()),
        start_mjd=mjd_from_casa_seconds(span_s[0]),
        end_mjd=mjd_from_casa_seconds(span_s[1]),
        layout=ArrayLayout(
            antenna_names=about.names,
            spectral_windows_hz=tuple(
                sorted((float(w.min()), float(w.max()), int(w.size)) for w in about.frequencies_hz)
            ),
        ),
        frequencies_hz=about.frequencies_hz,
        windows=tuple(sorted(set(windows))),
        receptors=about.receptors,
    )


def antenna_names(ms: Path) -> tuple[str, ...]:
    """Return the names of the antennas by id.

    Raises
    ------
    UnreadableObservation
        If there is no readable ANTENNA table.
    """
    return _text_column(ms, "ANTENNA", "NAME")


def telescope_name(ms: Path) -> str:
    """Return the telescope name of the OBSERVATION table.

    Raises
    ------
    UnreadableObservation
        If there is no readable OBSERVATION table, or it has no rows.
    """
    names = _text_column(ms, "OBSERVATION", "TELESCOPE_NAME")
    if not names:
        raise UnreadableObservation(f"{ms} has an empty OBSERVATION table", path=str(ms))
    return names[0]


def _text_column(ms: Path, subtable: str, column: str) -> tuple[str, ...]:
    from casatools import table

    tb: Any = table()
    try:
        tb.open(str(ms / subtable), nomodify=True)
        values = tuple(str(v) for v in tb.getcol(column)) if tb.nrows() else ()
        tb.close()
    except RuntimeError as error:
        raise UnreadableObservation(
            f"{ms} has no readable {subtable} table: {' '.join(str(error).split())}", path=str(ms)
        ) from error
    return values


def channel_frequencies_hz(ms: Path) -> dict[int, NDArray[np.float64]]:
    """Return the channel centres (Hz) of each DATA_DESC_ID."""
    from casatools import table

    tb: Any = table()
    windows = _described_windows(tb, ms)
    tb.open(str(ms / "SPECTRAL_WINDOW"), nomodify=True)
    found = {dd: np.asarray(tb.getcell("CHAN_FREQ", w), np.float64) for dd, w in enumerate(windows)}
    tb.close()
    return found


def _described_windows(tb: Any, ms: Path) -> list[int]:
    """Return the spectral window id of each DATA_DESC_ID."""
    tb.open(str(ms / "DATA_DESCRIPTION"), nomodify=True)
    windows = [int(w) for w in tb.getcol("SPECTRAL_WINDOW_ID")]
    tb.close()
    return windows


def _antennas(tb: Any, ms: Path) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    tb.open(str(ms / "ANTENNA"), nomodify=True)
    names = tuple(str(n) for n in tb.getcol("NAME"))
    positions = np.asarray(tb.getcol("POSITION"), np.float64).T
    tb.close()
    return names, positions


def _parallel_hands(tb: Any, ms: Path) -> tuple[list[int], tuple[str, str]]:
    """Return where the parallel hands stand along the correlation axis, and the receptors."""
    tb.open(str(ms / "POLARIZATION"), nomodify=True)
    kinds = [int(k) for k in np.asarray(tb.getcell("CORR_TYPE", 0)).ravel()]
    tb.close()
    # Stokes enumeration of casacore: RR 5, LL 8, XX 9, YY 12, I 1.
    hands = [i for i, kind in enumerate(kinds) if kind in (1, 5, 8, 9, 12)]
    return hands, ("R", "L") if {5, 8} & set(kinds) else ("X", "Y")


def _windows(tb: Any, ms: Path) -> tuple[NDArray[np.float64], ...]:
    tb.open(str(ms / "SPECTRAL_WINDOW"), nomodify=True)
    found = tuple(np.asarray(tb.getcell("CHAN_FREQ", i), np.float64) for i in range(tb.nrows()))
    tb.close()
    return found
