"""Compiled loops over visibilities in memory.

Belongs here: dividing by Jones factors while shifting to another phase centre; sums over flags
and weights.
Doesn't: computing the factors (see `contimg_resources.calibration.apply.jones`), reading and
writing.
"""

import numpy as np
from numpy.typing import NDArray

from contimg_resources.compiling import compiled, spread

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Complexes = NDArray[np.complex64]
Float32s = NDArray[np.float32]


@compiled()
def correct(
    data: Complexes,
    flag: Bools,
    first: Ints,
    second: Ints,
    time: Ints,
    window: Ints,
    path_s: Floats,
    channels_hz: Floats,
    receptors: Ints,
    inverse: Complexes,
    missing: Bools,
) -> None:
    """Calibrate and phase-rotate visibilities, in place, on one core.

    Parameters
    ----------
    data : ndarray of complex64, shape (n_rows, n_channels, n_correlations)
        Visibilities.
    flag : ndarray of bool, same shape
        Flags are added where a table has no solution, and where a value is zero or not finite.
    first, second, time, window : ndarray of int, shape (n_rows,)
        Antennas of each row, and indices of its time and window in the factors.
    path_s : ndarray of float, shape (n_rows,)
        Increase of the path to the phase centre, seconds.
    channels_hz : ndarray of float, shape (n_windows, n_channels)
        Channel centres, Hz, evenly spaced.
    receptors : ndarray of int, shape (n_windows, n_correlations, 2)
        Receptors of the first and second antenna of each correlation.
    inverse : ndarray of complex64, shape (n_windows, n_times, n_antennas, 2, n_channels)
        Inverse of the factor of `contimg_resources.calibration.apply.jones.Jones`.
    missing : ndarray of bool, same shape
        True where there is no solution.
    """
    n_rows, n_channels, n_correlations = data.shape
    for row in range(n_rows):
        i, j, w, t = first[row], second[row], window[row], time[row]
        start_hz = channels_hz[w, 0]
        width_hz = (channels_hz[w, -1] - start_hz) / max(1, n_channels - 1)
        # A multiplication from channel to channel: 48 of them lose 1e-14.
        turns = start_hz * path_s[row]
        angle = 2.0 * np.pi * (turns - np.floor(turns))
        turn = complex(np.cos(angle), np.sin(angle))
        angle = 2.0 * np.pi * width_hz * path_s[row]
        step = complex(np.cos(angle), np.sin(angle))
        for channel in range(n_channels):
            for p in range(n_correlations):
                a, b = receptors[w, p, 0], receptors[w, p, 1]
                seen = data[row, channel, p]
                bad = not (np.isfinite(seen.real) and np.isfinite(seen.imag))
                absent = missing[w, t, i, a, channel] or missing[w, t, j, b, channel]
                if bad or seen == 0 or absent:
                    flag[row, channel, p] = True
                if bad:
                    data[row, channel, p] = 0
                else:
                    gain = inverse[w, t, i, a, channel] * np.conj(inverse[w, t, j, b, channel])
                    data[row, channel, p] = seen * gain * turn
            turn *= step


@compiled(parallel=True)
def turn_baselines(uvw_m: Floats, field: Ints, turns: Floats, path_m: Floats) -> None:
    """Rotate baselines to another phase centre, in place.

    Parameters
    ----------
    uvw_m : ndarray of float, shape (n_rows, 3)
        Baselines, metres.
    field : ndarray of int, shape (n_rows,)
        Field of each row.
    turns : ndarray of float, shape (n_fields, 3, 3)
        The rotation of each field.
    path_m : ndarray of float, shape (n_rows,)
        Output: old minus new w, metres.
    """
    for row in spread(len(uvw_m)):
        turn = turns[field[row]]
        u, v, w = uvw_m[row]
        for axis in range(3):
            uvw_m[row, axis] = turn[axis, 0] * u + turn[axis, 1] * v + turn[axis, 2] * w
        path_m[row] = w - uvw_m[row, 2]


@compiled(parallel=True)
def count_flagged(flag: Bools) -> Ints:
    """Return the number of flagged visibilities of each row.

    Parameters
    ----------
    flag : ndarray of bool, shape (n_rows, n_channels, n_correlations)
        Flags.
    """
    found = np.empty(flag.shape[0], np.int64)
    for row in spread(flag.shape[0]):
        found[row] = flag[row].sum()
    return found


@compiled()
def all_flagged(flag: Bools) -> Bools:
    """Return which rows are completely flagged; on one core.

    Parameters
    ----------
    flag : ndarray of bool, shape (n_rows, n_channels, n_correlations)
        Flags.
    """
    found = np.empty(flag.shape[0], np.bool_)
    for row in range(flag.shape[0]):
        found[row] = flag[row].all()
    return found


@compiled()
def any_good(data: Complexes, flag: Bools) -> Bools:
    """Return which rows hold any unflagged, finite, non-zero visibility; on one core.

    Parameters
    ----------
    data : ndarray of complex64, shape (n_rows, n_channels, n_correlations)
        Visibilities.
    flag : ndarray of bool, same shape
        Flags.
    """
    found = np.zeros(flag.shape[0], np.bool_)
    for row in range(flag.shape[0]):
        for channel in range(flag.shape[1]):
            for p in range(flag.shape[2]):
                seen = data[row, channel, p]
                finite = np.isfinite(seen.real) and np.isfinite(seen.imag)
                if finite and seen != 0 and not flag[row, channel, p]:
                    found[row] = True
                    break
            if found[row]:
                break
    return found


@compiled(parallel=True)
def scale_weights(
    weight: Float32s,
    first: Ints,
    second: Ints,
    time: Ints,
    window: Ints,
    receptors: Ints,
    power: Float32s,
) -> None:
    """Multiply weights by the factors of both antennas, in place.

    Parameters
    ----------
    weight : ndarray of float32, shape (n_rows, 1 or n_channels, n_correlations)
        Weights.
    first, second, time, window, receptors : ndarray of int
        See `correct`.
    power : ndarray of float32, shape (n_windows, n_times, n_antennas, 2)
        Factors, the same for all channels.
    """
    n_rows, n_channels, n_correlations = weight.shape
    for row in spread(n_rows):
        i, j, w, t = first[row], second[row], window[row], time[row]
        for p in range(n_correlations):
            factor = power[w, t, i, receptors[w, p, 0]] * power[w, t, j, receptors[w, p, 1]]
            for channel in range(n_channels):
                weight[row, channel, p] *= factor


@compiled()
def alike_along_channels(cells: Float32s) -> bool:
    """Return whether no row's numbers differ between channels; on one core.

    Parameters
    ----------
    cells : ndarray of float32, shape (n_rows, n_channels, n_correlations)
        Numbers; NaN differs from everything.
    """
    n_rows, n_channels, n_correlations = cells.shape
    for row in range(n_rows):
        n_differ = 0
        for channel in range(n_channels):
            for p in range(n_correlations):
                n_differ += cells[row, channel, p] != cells[row, 0, p]
        if n_differ:
            return False
    return True


@compiled()
def mean_weights(weight: Float32s) -> Float32s:
    """Return the weights of rows: the mean over channels with weights; on one core.

    Parameters
    ----------
    weight : ndarray of float32, shape (n_rows, 1 or n_channels, n_correlations)
        Weights.
    """
    found = np.zeros((weight.shape[0], weight.shape[2]), np.float32)
    for row in range(weight.shape[0]):
        for p in range(weight.shape[2]):
            total, n = 0.0, 0
            for channel in range(weight.shape[1]):
                if weight[row, channel, p] > 0:
                    total += weight[row, channel, p]
                    n += 1
            if n:
                found[row, p] = total / n
    return found
