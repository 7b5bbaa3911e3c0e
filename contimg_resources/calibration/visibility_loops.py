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
    factor: Complexes,
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
        Channel centres, Hz.
    receptors : ndarray of int, shape (n_correlations, 2)
        Which receptors of first and second antenna a correlation is of.
    factor : ndarray of complex64, shape (n_times, n_antennas, 2, n_channels)
        See `contimg_resources.calibration.jones.Jones`.
    missing : ndarray of bool, same shape
        Where there is no solution.
    """
    n_rows, n_channels, n_correlations = data.shape
    for row in spread(n_rows):
        i, j, t = first[row], second[row], time[row]
        for channel in range(n_channels):
            turns = channels_hz[channel] * path_s[row]
            angle = 2.0 * np.pi * (turns - np.floor(turns))
            turn = complex(np.cos(angle), np.sin(angle))
            for p in range(n_correlations):
                a, b = receptors[p, 0], receptors[p, 1]
                seen = data[row, channel, p]
                bad = not (np.isfinite(seen.real) and np.isfinite(seen.imag))
                if bad or seen == 0 or missing[t, i, a, channel] or missing[t, j, b, channel]:
                    flag[row, channel, p] = True
                if bad:
                    data[row, channel, p] = 0
                else:
                    gain = factor[t, i, a, channel] * np.conj(factor[t, j, b, channel])
                    data[row, channel, p] = seen * turn / gain


@compiled()
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
    for row in range(flag.shape[0]):
        if counted[row]:
            total += int(flag[row].sum())
    return total
