"""The effect of caltables on each antenna: Jones factors for every time and channel of an MS.

Belongs here: reading solutions, interpolating them as CASA's applycal does, multiplying the tables.
Doesn't: applying the factors to visibilities (see `.memory`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contimg_resources.calibration.ms.callib import TableToApply
from contimg_resources.calibration.ms.layout import channels_of_windows_hz
from contimg_resources.calibration.solutions import Solutions, read_solutions
from contimg_resources.core.errors import CasaError

Floats = NDArray[np.float64]

#: Channel centres that differ by less than this share of a channel are the same channel.
_SAME_CHANNEL = 0.01


@dataclass(frozen=True)
class Jones:
    """The product of all tables in one spectral window."""

    #: Factor of each receptor's voltage; 1 where flagged. Shape (n_times, n_antennas, 2,
    #: n_channels).
    factor: NDArray[np.complex64]
    flag: NDArray[np.bool_]  #: True where a table has no solution. Same shape.
    #: Product over the tables of the mean of ``abs(factor)**2`` over each table's unflagged
    #: channels: weights of a baseline scale with the product of its two, as with CASA's ``calwt``.
    #: Shape (n_times, n_antennas, 2).
    weight: NDArray[np.float32]


@dataclass(frozen=True)
class TableSolutions:
    """A table with its solutions and its channels."""

    table: TableToApply  #: The table and its interpolation.
    solutions: Solutions  #: Its solutions.
    channels_hz: dict[int, Floats]  #: Channel centres of its windows by id, Hz.
    subtype: str  #: ``VisCal`` of the table, such as ``K Jones``.


def read_table(table: TableToApply) -> TableSolutions:
    """Read a table once. Runs in a CASA process."""
    import casatools

    tb = casatools.table()
    try:
        tb.open(str(table.path), lockoptions={"option": "usernoread"})
        subtype = str(tb.getkeyword("VisCal"))
    except RuntimeError as error:
        said = " ".join(str(error).split())
        raise CasaError(
            f"caltable {table.path} can't be read: {said}", path=str(table.path)
        ) from error
    finally:
        tb.close()
    channels_hz = channels_of_windows_hz(table.path)
    return TableSolutions(table, read_solutions(table.path), channels_hz, subtype)


def has_channels(caltable: Path) -> bool:
    """Return whether a table has solutions per channel, not per window. Needs CASA."""
    import casatools

    tb = casatools.table()
    try:
        tb.open(str(caltable), lockoptions={"option": "usernoread"})
        return bool(tb.nrows()) and np.shape(tb.getcell("FLAG", 0))[1] > 1
    except RuntimeError as error:
        said = " ".join(str(error).split())
        raise CasaError(f"caltable {caltable} can't be read: {said}", path=str(caltable)) from error
    finally:
        tb.close()


def same_channels(theirs_hz: Floats, ours_hz: Floats) -> bool:
    """Return whether two windows have the same channels (centres, Hz)."""
    width_hz = abs(ours_hz[-1] - ours_hz[0]) / max(1, ours_hz.size - 1)
    return theirs_hz.size == ours_hz.size and bool(
        np.abs(theirs_hz - ours_hz).max() <= _SAME_CHANNEL * width_hz
    )


def combine(
    tables: Sequence[tuple[TableSolutions, int]],
    n_antennas: int,
    times_s: Floats,
    channels_hz: Floats,
) -> Jones:
    """Multiply the tables of one spectral window.

    Parameters
    ----------
    tables : sequence of (TableSolutions, int)
        Each table with the id of its window that applies.
    n_antennas : int
        Number of antennas of the MS; ids are those of the tables.
    times_s : ndarray of float, shape (n_times,)
        Times of the MS, MJD in seconds.
    channels_hz : ndarray of float, shape (n_channels,)
        Channel centres of the MS, Hz.

    Raises
    ------
    CasaError
        If a table has channels that differ from those of the MS.

    Notes
    -----
    As in applycal (verified by measurement): between two solutions ``linear`` interpolates
    amplitude and phase, the latter over the shorter arc; before the first and after the last the
    nearest is used. A flagged solution flags all data to which it would contribute; a row that an
    antenna lacks is skipped, and without any row its data are flagged. A gain of 0 flags. A delay
    tau (ns) rotates the phase by ``2 pi tau (nu - nu0)``, nu0 the middle of the window.
    """
    shape = (times_s.size, n_antennas, 2, channels_hz.size)
    # An axis has length 1 until a table varies along it: most don't vary in time, or in frequency.
    factor = np.ones((1, 1, 1, 1), np.complex128)
    flag = np.zeros(factor.shape, np.bool_)
    weight = np.ones(factor.shape[:3])
    for table, window in tables:
        found, missing = _table_factor(table, window, n_antennas, times_s, channels_hz)
        factor = factor * found
        # Avoid a division by 0.
        flag = flag | missing | (found == 0)
        weight = weight * _mean_power(found, missing)
    factor = np.where(flag, 1.0, factor)
    return Jones(
        np.broadcast_to(factor.astype(np.complex64), shape).copy(),
        np.broadcast_to(flag, shape).copy(),
        np.broadcast_to(weight.astype(np.float32), shape[:3]).copy(),
    )


def _table_factor(
    table: TableSolutions, window: int, n_antennas: int, times_s: Floats, channels_hz: Floats
) -> tuple[NDArray[np.complex128], NDArray[np.bool_]]:
    """Return factor and flag, broadcastable to (times, antennas, 2, channels)."""
    solutions = table.solutions
    rows = np.flatnonzero(solutions.windows == window)
    moments, at = np.unique(solutions.times_s[rows], return_inverse=True)
    n_channels = solutions.values.shape[1]
    delays = table.subtype.startswith("K")
    if n_channels > 1:
        _check_channels(table, window, channels_hz)
        n_channels = channels_hz.size
    values = np.zeros((moments.size, n_antennas, 2, n_channels), np.complex128)
    flags = np.ones(values.shape, np.bool_)
    # A table of one receptor (T Jones) applies to both.
    cells = solutions.values[:, :n_channels][:, :, rows]
    values[at, solutions.antennas[rows]] = cells.transpose(2, 0, 1)
    flags[at, solutions.antennas[rows]] = solutions.flags[:, :n_channels][:, :, rows].transpose(
        2, 0, 1
    )
    nearest = table.table.interpolation_time.startswith("nearest")
    if moments.size == 1:
        times_s = times_s[:1]
    found = np.ones((times_s.size, *values.shape[1:]), np.complex128)
    missing = np.ones(found.shape, np.bool_)
    # Antennas share a pattern of rows: mostly there is one, "all". A row that an antenna lacks is
    # skipped; a row that is present and flagged is not.
    has_row = np.zeros((moments.size, n_antennas), np.bool_)
    has_row[at, solutions.antennas[rows]] = True
    patterns, which = np.unique(has_row, axis=1, return_inverse=True)
    for number, pattern in enumerate(patterns.T):
        if pattern.any():
            there = np.ix_(pattern, which.ravel() == number)
            found[:, there[1][0]], missing[:, there[1][0]] = _in_time(
                values[there], flags[there], moments[pattern], times_s, nearest=nearest, real=delays
            )
    if delays:
        turn = 2e-9 * np.pi * (channels_hz - channels_hz.mean())
        return np.exp(1j * found.real * turn), missing
    return found, missing


def _mean_power(factor: NDArray[np.complex128], flag: NDArray[np.bool_]) -> Floats:
    """Return the mean of ``abs(factor)**2`` over unflagged channels; 1 where there are none."""
    good = np.broadcast_to(~flag, factor.shape)
    n_good = good.sum(axis=-1)
    total = np.where(good, np.abs(factor) ** 2, 0.0).sum(axis=-1)
    return np.where(n_good > 0, total / np.maximum(n_good, 1), 1.0)


def _in_time(
    values: NDArray[np.complex128],
    flags: NDArray[np.bool_],
    moments: Floats,
    times_s: Floats,
    *,
    nearest: bool,
    real: bool,
) -> tuple[NDArray[np.complex128], NDArray[np.bool_]]:
    """Interpolate solutions and flags of shape (moments, ...) to times."""
    if nearest or moments.size == 1:
        closest = np.abs(times_s[:, None] - moments[None, :]).argmin(axis=1)
        return values[closest], flags[closest]
    inside = np.clip(times_s, moments[0], moments[-1])
    before = np.clip(np.searchsorted(moments, inside, side="right") - 1, 0, moments.size - 2)
    share = ((inside - moments[before]) / (moments[before + 1] - moments[before])).reshape(
        -1, *(1,) * (values.ndim - 1)
    )
    first, second = values[before], values[before + 1]
    missing = (flags[before] & (share < 1)) | (flags[before + 1] & (share > 0))
    if real:
        return first + share * (second - first), missing
    amplitude = np.abs(first) * (1 - share) + np.abs(second) * share
    phase = np.angle(first) + share * np.angle(second * first.conj())
    return amplitude * np.exp(1j * phase), missing


def _check_channels(table: TableSolutions, window: int, channels_hz: Floats) -> None:
    theirs = table.channels_hz[window]
    if not same_channels(theirs, channels_hz):
        raise CasaError(
            f"caltable {table.table.path} has {theirs.size} channels from "
            f"{theirs.min() / 1e6:.3f} MHz, the data {channels_hz.size} from "
            f"{channels_hz.min() / 1e6:.3f} MHz; only the engine 'casa' interpolates channels",
            path=str(table.table.path),
        )
