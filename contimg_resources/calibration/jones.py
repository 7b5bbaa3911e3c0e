"""What caltables do to each antenna: Jones factors for every time and channel of an MS.

Belongs here: reading solutions, interpolating them as CASA's applycal does, multiplying the tables.
Doesn't: applying the factors to visibilities (see `.memory`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contimg_resources.calibration.callib import TableToApply
from contimg_resources.calibration.inspection import Solutions, read_solutions
from contimg_resources.errors import CasaError

Floats = NDArray[np.float64]

#: Channel centres that differ by less than this share of a channel are the same channel.
_SAME_CHANNEL = 0.01


@dataclass(frozen=True)
class Jones:
    """The product of all tables in one spectral window.

    Parameters
    ----------
    factor : ndarray of complex64, shape (n_times, n_antennas, 2, n_channels)
        What each receptor multiplied; 1 where flagged.
    flag : ndarray of bool, same shape
        True where a table has no solution.
    weight : ndarray of float32, shape (n_times, n_antennas, 2)
        Mean of ``abs(factor)**2`` over the unflagged channels: weights of a baseline grow by the
        product of its two, as with CASA's ``calwt``.
    """

    factor: NDArray[np.complex64]
    flag: NDArray[np.bool_]
    weight: NDArray[np.float32]


@dataclass(frozen=True)
class TableSolutions:
    """A table with its solutions and its channels.

    Parameters
    ----------
    table : TableToApply
        How it is applied.
    solutions : Solutions
        What it holds.
    channels_hz : dict of int to ndarray
        Channel centres of its windows by id, Hz.
    subtype : str
        ``VisCal`` of the table, such as ``K Jones``.
    """

    table: TableToApply
    solutions: Solutions
    channels_hz: dict[int, Floats]
    subtype: str


def read_table(table: TableToApply) -> TableSolutions:
    """Read a table once. Runs in a CASA process."""
    import casatools

    tb = casatools.table()
    try:
        tb.open(str(table.path), lockoptions={"option": "usernoread"})
        subtype = str(tb.getkeyword("VisCal"))
        tb.close()
        tb.open(str(table.path / "SPECTRAL_WINDOW"), lockoptions={"option": "usernoread"})
        channels = {
            i: np.asarray(tb.getcell("CHAN_FREQ", i), np.float64) for i in range(tb.nrows())
        }
    except RuntimeError as error:
        said = " ".join(str(error).split())
        raise CasaError(
            f"caltable {table.path} can't be read: {said}", path=str(table.path)
        ) from error
    finally:
        tb.close()
    return TableSolutions(table, read_solutions(table.path), channels, subtype)


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
        Each with the id of its window that serves.
    n_antennas : int
        Antennas of the MS; ids are those of the tables.
    times_s : ndarray of float, shape (n_times,)
        Times of the MS, MJD in seconds.
    channels_hz : ndarray of float, shape (n_channels,)
        Channel centres of the MS, Hz.

    Raises
    ------
    CasaError
        If a table has channels of its own that aren't those of the MS.

    Notes
    -----
    As applycal does (measured against it): between two solutions ``linear`` interpolates amplitude
    and phase, the latter over the shorter arc; before the first and after the last the nearest
    counts. A delay tau (ns) turns the phase by ``2 pi tau (nu - nu0)``, nu0 the middle of the
    window. A flagged solution is passed over in time; where an antenna has none it is flagged.
    """
    shape = (times_s.size, n_antennas, 2, channels_hz.size)
    factor = np.ones(shape, np.complex128)
    flag = np.zeros(shape, np.bool_)
    for table, window in tables:
        found, missing = _table_factor(table, window, n_antennas, times_s, channels_hz)
        factor *= found
        flag |= missing
    power = np.where(flag, np.nan, np.abs(factor) ** 2)
    weight = np.ones(shape[:3], np.float32)
    seen = ~flag.all(axis=-1)
    weight[seen] = np.nanmean(power[seen], axis=-1)
    factor[flag] = 1.0
    return Jones(factor.astype(np.complex64), flag, weight)


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
    # A table of one receptor (T Jones) serves both.
    cells = solutions.values[:, :n_channels][:, :, rows]
    values[at, solutions.antennas[rows]] = cells.transpose(2, 0, 1)
    flags[at, solutions.antennas[rows]] = solutions.flags[:, :n_channels][:, :, rows].transpose(
        2, 0, 1
    )
    nearest = table.table.interpolation_time.startswith("nearest")
    found, missing = _in_time(values, flags, moments, times_s, nearest=nearest, real=delays)
    if delays:
        turn = 2e-9 * np.pi * (channels_hz - channels_hz.mean())
        return np.exp(1j * found.real * turn), missing
    return found, missing


def _in_time(
    values: NDArray[np.complex128],
    flags: NDArray[np.bool_],
    moments: Floats,
    times_s: Floats,
    *,
    nearest: bool,
    real: bool,
) -> tuple[NDArray[np.complex128], NDArray[np.bool_]]:
    """Interpolate solutions of shape (moments, ...) to times; flagged ones are passed over."""
    found = np.ones((times_s.size, *values.shape[1:]), np.complex128)
    missing = np.broadcast_to(flags.all(axis=0), found.shape).copy()
    # Receptors share a pattern of flags: mostly there is one, "none".
    patterns, which = np.unique(flags.reshape(moments.size, -1), axis=1, return_inverse=True)
    flat = values.reshape(moments.size, -1)
    result = found.reshape(times_s.size, -1)
    for number in range(patterns.shape[1]):
        good = np.flatnonzero(~patterns[:, number])
        if not good.size:
            continue
        columns = np.flatnonzero(which.ravel() == number)
        known = flat[np.ix_(good, columns)]
        result[:, columns] = _between(known, moments[good], times_s, nearest=nearest, real=real)
    return result.reshape(found.shape), missing


def _between(
    known: NDArray[np.complex128], moments: Floats, times_s: Floats, *, nearest: bool, real: bool
) -> NDArray[np.complex128]:
    if moments.size == 1:
        return np.repeat(known, times_s.size, axis=0)
    if nearest:
        return np.asarray(known[np.abs(times_s[:, None] - moments[None, :]).argmin(axis=1)])
    inside = np.clip(times_s, moments[0], moments[-1])
    before = np.clip(np.searchsorted(moments, inside, side="right") - 1, 0, moments.size - 2)
    share = ((inside - moments[before]) / (moments[before + 1] - moments[before]))[:, None]
    first, second = known[before], known[before + 1]
    if real:
        return np.asarray(first + share * (second - first))
    amplitude = np.abs(first) * (1 - share) + np.abs(second) * share
    phase = np.angle(first) + share * np.angle(second * first.conj())
    return np.asarray(amplitude * np.exp(1j * phase))


def _check_channels(table: TableSolutions, window: int, channels_hz: Floats) -> None:
    theirs = table.channels_hz[window]
    width_hz = abs(channels_hz[-1] - channels_hz[0]) / max(1, channels_hz.size - 1)
    if theirs.size != channels_hz.size or (
        np.abs(theirs - channels_hz).max() > _SAME_CHANNEL * width_hz
    ):
        raise CasaError(
            f"caltable {table.table.path} has {theirs.size} channels from "
            f"{theirs.min() / 1e6:.3f} MHz, the data {channels_hz.size} from "
            f"{channels_hz.min() / 1e6:.3f} MHz; only the engine 'casa' interpolates channels",
            path=str(table.table.path),
        )
