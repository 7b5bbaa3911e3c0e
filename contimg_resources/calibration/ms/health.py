"""The state of antennas and times in the data of a working copy. Runs in a CASA process.

Belongs here: reading flags, names, times and windows of a small set of columns.
Doesn't: decisions based on them.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from contimg_resources.calibration.ms.layout import channels_of_windows_hz, used_descriptions
from contimg_resources.casa.tables import opened
from contimg_resources.core.arrays import Bools, Floats, Ints
from contimg_resources.core.errors import CalibrationFailed, UnreadableObservation
from contimg_resources.core.times import mjd_from_casa_seconds
from contimg_resources.instrument.caltables import ArrayLayout
from contimg_resources.observations.measurement_set import CORRELATIONS, PARALLEL_HANDS

_ROWS_AT_ONCE = 20_000

#: Maximum flagged fraction of a reference antenna.
MAX_FLAGGED_FRACTION = 0.5


@dataclass(frozen=True)
class AntennaHealth:
    """The state of one antenna after flagging."""

    id: int  #: Row of the ANTENNA table.
    name: str  #: Its name.
    distance_m: float  #: Distance from the median position of the array, metres.
    flagged_fraction: float  #: Flagged share of its cross-correlations; 1 when it has none.

    @property
    def working(self) -> bool:
        """Return whether it has any unflagged data."""
        return self.flagged_fraction < 1.0

    @property
    def good(self) -> bool:
        """Return whether it may be the reference."""
        return self.flagged_fraction <= MAX_FLAGGED_FRACTION


@dataclass(frozen=True)
class DataHealth:
    """Flags, times and layout of the selected data."""

    antennas: tuple[AntennaHealth, ...]  #: States of the antennas by id.
    #: True where a receptor has unflagged cross-correlations. Shape (n_antennas, n_receptors).
    working_receptors: Bools
    flagged_fraction: float  #: Flagged share of all cross-correlations of working antennas.
    start_mjd: float  #: Start of the first integration, MJD in days.
    end_mjd: float  #: End of the last integration, MJD in days.
    layout: ArrayLayout  #: Antennas and spectral windows.
    #: Channel centres of each spectral window by id, Hz; empty for a window without data.
    frequencies_hz: tuple[Floats, ...]
    windows: tuple[int, ...]  #: Spectral window ids that have rows.
    receptors: tuple[str, str]  #: Names of the two receptors: X and Y, or R and L.

    @property
    def working_antennas(self) -> Bools:
        """Return True for antennas with unflagged data, shape (n_antennas,)."""
        return np.asarray(self.working_receptors.any(axis=1))

    @property
    def n_working(self) -> int:
        """Return the number of antennas with unflagged data."""
        return int(self.working_antennas.sum())


def measure_health(
    ms: Path, field_ids: tuple[int, ...] = (), *, copy_of: Path | None = None
) -> DataHealth:
    """Read flags, times and layout of an MS, which is flagged also where no weight is valid.

    Without `field_ids` all fields are read. `copy_of` is the user's MS of which it is a working
    copy, for messages.

    Raises
    ------
    CalibrationFailed
        If there are no cross-correlations, no parallel hands, or all are flagged or without weight.
    """
    from casatools import table

    tb: Any = table()
    about = replace(read_about(ms), ms=copy_of or ms)
    n = len(about.names)
    # Sums per baseline avoid keeping the flags of 168 million visibilities in memory.
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
        raise CalibrationFailed(f"{about.ms} has no cross-correlations", reasons=["no data"])
    return sum_up(about, flagged, total, (min(starts), max(ends)), present)


@dataclass(frozen=True)
class About:
    """Content of the subtables of an MS."""

    ms: Path  #: The MS, under the name known to the user.
    names: tuple[str, ...]  #: Names of the antennas, by id.
    positions_m: Floats  #: Their positions, metres. Shape (n_antennas, 3).
    correlations: tuple[str, ...]  #: Names of the correlations, such as ``("XX", "YY")``.
    parallel: list[int]  #: Positions of the parallel hands along the correlation axis.
    receptors: tuple[str, str]  #: Names of the two receptors.
    #: Channel centres of each spectral window by id, Hz; empty for a window without data.
    frequencies_hz: tuple[Floats, ...]
    window_ids: list[int]  #: Spectral window id of each data description.


def read_about(ms: Path) -> About:
    """Read the subtables of an MS."""
    used = used_descriptions(ms)
    names, positions_m = _antennas(ms)
    correlations = _correlations(ms, used)
    described = _described_windows(ms)
    channels_hz = channels_of_windows_hz(ms)
    with_data = {described[number] for number in used}
    return About(
        ms=ms,
        names=names,
        positions_m=positions_m,
        correlations=correlations,
        parallel=[i for i, name in enumerate(correlations) if name in PARALLEL_HANDS],
        receptors=("R", "L") if {"RR", "LL"} & set(correlations) else ("X", "Y"),
        frequencies_hz=tuple(
            channels_hz[w] if w in with_data else np.empty(0)
            for w in range(1 + max(with_data, default=-1))
        ),
        window_ids=described,
    )


def sum_up(
    about: About,
    flagged: Ints,
    total: Ints,
    span_s: tuple[float, float],
    windows: Collection[int],
) -> DataHealth:
    """Return the state of antennas and receptors from the flags of baselines.

    Parameters
    ----------
    about : About
        Subtables of the MS.
    flagged, total : ndarray of int, shape (n_antennas, n_antennas, n_parallel_hands)
        Flagged and all cross-correlations of each baseline.
    span_s : (float, float)
        Start of the first and end of the last integration, MJD in seconds.
    windows : collection of int
        Ids of the spectral windows that have rows.

    Raises
    ------
    CalibrationFailed
        If there are no parallel hands, or all are flagged.
    """
    if not about.parallel:
        raise CalibrationFailed(
            f"{about.ms} has no parallel hands: its correlations are "
            f"{'/'.join(about.correlations)}",
            reasons=["no parallel hands"],
        )
    if not (flagged < total).any():
        raise CalibrationFailed(
            f"all cross-correlations of {about.ms} are flagged, zero, not finite, or without a "
            "weight above zero",
            reasons=["all data are flagged, zero, not finite, or without a weight above zero"],
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
            antenna_names=tuple(
                about.names[i] if per_antenna_total[i].any() else ""
                for i in range(1 + int(np.flatnonzero(per_antenna_total.any(axis=1)).max()))
            ),
            spectral_windows_hz=tuple(
                sorted(
                    (float(w.min()), float(w.max()), int(w.size))
                    for w in about.frequencies_hz
                    if w.size
                )
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
    try:
        with opened(ms / subtable) as table:
            return tuple(str(v).strip() for v in table.getcol(column)) if table.nrows() else ()
    except RuntimeError as error:
        raise UnreadableObservation(
            f"{ms} has no readable {subtable} table: {' '.join(str(error).split())}", path=str(ms)
        ) from error


def channel_frequencies_hz(ms: Path) -> dict[int, Floats]:
    """Return the channel centres (Hz) of each DATA_DESC_ID whose window has any."""
    channels_hz = channels_of_windows_hz(ms)
    described = enumerate(_described_windows(ms))
    return {number: channels_hz[w] for number, w in described if w in channels_hz}


def _described_windows(ms: Path) -> list[int]:
    """Return the spectral window id of each DATA_DESC_ID."""
    with opened(ms / "DATA_DESCRIPTION") as table:
        return [int(w) for w in table.getcol("SPECTRAL_WINDOW_ID")]


def _antennas(ms: Path) -> tuple[tuple[str, ...], Floats]:
    with opened(ms / "ANTENNA") as table:
        names = tuple(str(n).strip() for n in table.getcol("NAME"))
        return names, np.asarray(table.getcol("POSITION"), np.float64).T


def _correlations(ms: Path, used: Collection[int]) -> tuple[str, ...]:
    """Return the correlations of the data; rows without data may have others."""
    with opened(ms / "DATA_DESCRIPTION") as table:
        row = int(table.getcell("POLARIZATION_ID", min(used, default=0)))
    with opened(ms / "POLARIZATION") as table:
        codes = [int(k) for k in np.asarray(table.getcell("CORR_TYPE", row)).ravel()]
    return tuple(CORRELATIONS.get(code, str(code)) for code in codes)
