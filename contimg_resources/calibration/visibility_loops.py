"""Loops over visibilities in memory, compiled.

Belongs here: dividing by Jones factors while turning to another phase centre.
Doesn't: where the factors come from (see `.jones`), reading and writing.
"""

import numpy as np
from numpy.typing import NDArray

from contimg_resources.compiling import compiled, spread

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Complexes = NDArray[np.complex64]


@compiled(parallel=True)
def correct(
    data: Complexes,
    flag: Bools,
    first: Ints,
    second: Ints,
    time: Ints,
    path_s: Floats,
    channels_hz: Floats,
    receptors: Ints,
    inverse: Complexes,
    missing: Bools,
) -> None:
    """Calibrate and turn visibilities, both in place.

    Parameters
    ----------
    data : ndarray of complex64, shape (n_rows, n_channels, n_correlations)
        Visibilities.
    flag : ndarray of bool, same shape
        Flags are added where a table has no solution, and where a value is zero or not finite.
    first, second, time : ndarray of int, shape (n_rows,)
        Antennas of each row, and which of the factors' times it is of.
    path_s : ndarray of float, shape (n_rows,)
        By how much the path to the phase centre grows, seconds.
    channels_hz : ndarray of float, shape (n_channels,)
        Channel centres, Hz, evenly spaced.
    receptors : ndarray of int, shape (n_correlations, 2)
        Which receptors of first and second antenna a correlation is of.
    inverse : ndarray of complex64, shape (n_times, n_antennas, 2, n_channels)
        One over the factor of `contimg_resources.calibration.jones.Jones`.
    missing : ndarray of bool, same shape
        Where there is no solution.
    """
    n_rows, n_channels, n_correlations = data.shape
    width_hz = (channels_hz[-1] - channels_hz[0]) / max(1, n_channels - 1)
    for row in spread(n_rows):
        i, j, t = first[row], second[row], time[row]
        # From channel to channel by a multiplication: 48 of them lose 1e-14.
        turns = channels_hz[0] * path_s[row]
        angle = 2.0 * np.pi * (turns - np.floor(turns))
        turn = complex(np.cos(angle), np.sin(angle))
        angle = 2.0 * np.pi * width_hz * path_s[row]
        step = complex(np.cos(angle), np.sin(angle))
        for channel in range(n_channels):
            for p in range(n_correlations):
                a, b = receptors[p, 0], receptors[p, 1]
                seen = data[row, channel, p]
                bad = not (np.isfinite(seen.real) and np.isfinite(seen.imag))
                if bad or seen == 0 or missing[t, i, a, channel] or missing[t, j, b, channel]:
                    flag[row, channel, p] = True
                if bad:
                    data[row, channel, p] = 0
                else:
                    gain = inverse[t, i, a, channel] * np.conj(inverse[t, j, b, channel])
                    data[row, channel, p] = seen * gain * turn
            turn *= step


@compiled(parallel=True)
def count_flagged(flag: Bools, counted: Bools) -> int:
    """Return the flagged visibilities of the counted rows.

    Parameters
    ----------
    flag : ndarray of bool, shape (n_rows, n_channels, n_correlations)
        Flags.
    counted : ndarray of bool, shape (n_rows,)
        Which rows.
    """
    total = 0
    for row in spread(flag.shape[0]):
        if counted[row]:
            total += flag[row].sum()
    return total


@compiled(parallel=True)
def all_flagged(flag: Bools) -> Bools:
    """Return of which rows everything is flagged.

    Parameters
    ----------
    flag : ndarray of bool, shape (n_rows, n_channels, n_correlations)
        Flags.
    """
    found = np.empty(flag.shape[0], np.bool_)
    for row in spread(flag.shape[0]):
        found[row] = flag[row].all()
    return found


@compiled(parallel=True)
def any_good(data: Complexes, flag: Bools) -> Bools:
    """Return which rows hold any unflagged, finite visibility that isn't zero.

    Parameters
    ----------
    data : ndarray of complex64, shape (n_rows, n_channels, n_correlations)
        Visibilities.
    flag : ndarray of bool, same shape
        Flags.
    """
    found = np.zeros(flag.shape[0], np.bool_)
    for row in spread(flag.shape[0]):
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
