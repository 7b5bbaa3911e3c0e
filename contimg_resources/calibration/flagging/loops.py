"""Compiled loops over visibilities that measure signals common to all baselines.

Belongs here: passes over the data of one spectral window in memory, and flagging all baselines.
Doesn't: analysing one baseline (see `.single_loops`), the sequence of passes and the use of
their results (see `.in_memory`).

Arrays have the axes (row, channel x correlation), and `place` holds the row of each time and
baseline (-1: none). The last two axes of the data are contiguous in memory, so the inner loops
run over both at once.
"""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from contimg_resources.compiling import compiled, spread

Bools = NDArray[np.bool_]
Float32s = NDArray[np.float32]
Complex64s = NDArray[np.complex64]
Ints = NDArray[np.int64]

#: Squares of larger amplitudes overflow single precision.
_LARGEST_POWER = np.float32(1e36)
#: Marks a cell of unknown value.
UNKNOWN = np.float32(np.inf)


class Kind(IntEnum):
    """Kinds of differences whose size is measured over baselines."""

    AMPLITUDE = 0
    """None: the visibility itself."""
    CHANNELS = 1
    """Between a channel and the next."""
    TIMES = 2
    """Between an integration and the next."""
    POLARISATION = 3
    """Between the parallel hands."""


@compiled(parallel=True)
def flag_nonsense(data: Complex64s, flag: Bools, place: Ints) -> tuple[int, int]:
    """Flag zeros and values that aren't finite, or too large to be squared.

    Parameters
    ----------
    data : ndarray of complex64, shape (n_rows, n)
        Visibilities.
    flag : ndarray of bool, same shape
        Changed in place.
    place : ndarray of int, shape (n_times, n_baselines)
        Rows.

    Returns
    -------
    int, int
        Number of visibilities that were flagged before, and that were flagged here.
    """
    n_times, n_baselines = place.shape
    n_before, n_after = 0, 0
    for t in spread(n_times):
        for b in range(n_baselines):
            row = place[t, b]
            if row < 0:
                continue
            n_before += flag[row].sum()
            for j in range(data.shape[1]):
                v = data[row, j]
                power = v.real * v.real + v.imag * v.imag
                # Not "power >= largest": that is false for NaN.
                if not (power < _LARGEST_POWER) or power == 0.0:
                    flag[row, j] = True
            n_after += flag[row].sum()
    return n_before, n_after - n_before


@compiled(parallel=True)
def flag_everywhere(flag: Bools, place: Ints, found: Bools) -> int:
    """Flag cells in all baselines; return the number of visibilities that weren't flagged before.

    Parameters
    ----------
    flag : ndarray of bool, shape (n_rows, n)
        Changed in place.
    place : ndarray of int, shape (n_times, n_baselines)
        Rows.
    found : ndarray of bool, shape (n_times, n)
        Cells to flag.
    """
    added = 0
    for t in spread(place.shape[0]):
        if not found[t].any():
            continue
        for b in range(place.shape[1]):
            if place[t, b] >= 0:
                added += (found[t] & ~flag[place[t, b]]).sum()
                flag[place[t, b]] |= found[t]
    return added


@compiled()
def powers(
    first: Complex64s,
    first_flag: Bools,
    second: Complex64s,
    second_flag: Bools,
    power: Float32s,
) -> None:
    """Write the power of the differences of two rows of equal length."""
    for j in range(power.size):
        re = first[j].real - second[j].real
        im = first[j].imag - second[j].imag
        known = not (first_flag[j] | second_flag[j])
        power[j] = re * re + im * im if known else UNKNOWN


@compiled()
def _add_soft(power: Float32s, scale: Float32s, total: Float32s, count: Float32s) -> None:
    """Add powers with a limit of 1 each, and count the known ones."""
    for j in range(power.size):
        x = power[j]
        known = x != UNKNOWN
        total[j] += x / (x + scale[j]) if known else np.float32(0.0)
        count[j] += np.float32(1.0) if known else np.float32(0.0)


@compiled()
def _add_differences(
    first: Complex64s,
    first_flag: Bools,
    second: Complex64s,
    second_flag: Bools,
    scale: Float32s,
    total: Float32s,
    count: Float32s,
    power: Float32s,
) -> None:
    """Add the soft power of the differences of two rows of equal length; `power` is overwritten.

    Two short loops: compilers vectorise only loops over few arrays.
    """
    powers(first, first_flag, second, second_flag, power[: first.size])
    _add_soft(power[: first.size], scale[: first.size], total, count)


@compiled()
def _along_rows(scale: Float32s, n: int) -> Float32s:
    """Return the scales of correlations for each element of a row of n, for every kind."""
    rows = np.empty((len(scale), n), np.float32)
    for j in range(n):
        rows[:, j] = scale[:, j % scale.shape[1]]
    return rows


@compiled(parallel=True)
def soft_sums(
    data: Complex64s, flag: Bools, place: Ints, scale: Float32s
) -> tuple[Float32s, Float32s, Float32s, Float32s, Float32s, Float32s]:
    """Sum powers over baselines with a limit of 1 each, in one pass.

    Parameters
    ----------
    data : ndarray of complex64, shape (n_rows, n_channels * n_correlations)
        Visibilities.
    flag : ndarray of bool, same shape
        True: left out.
    place : ndarray of int, shape (n_times, n_baselines)
        Rows.
    scale : ndarray of float32, shape (4, n_correlations)
        Power with a contribution of one half, by `Kind`: a power x contributes x / (x + scale).

    Returns
    -------
    total, count : ndarray of float32, shape (4, n_times, n_channels * n_correlations)
        Sums and numbers of baselines, by `Kind`. Of `Kind.CHANNELS` and `Kind.TIMES`: between a
        cell and the next, the last one empty. `Kind.POLARISATION` is stored at the first
        correlation.
    edge_total, edge_count : ndarray of float32, shape (2, n_times, n_correlations)
        Between the first channel and the next but one, and for the last.
    end_total, end_count : ndarray of float32, shape (5, n_channels * n_correlations)
        Between the first integration and the next but one, for the last, and, for comparison, for
        three between them.

    Notes
    -----
    Like a median, the sum is hardly affected by a few bad antennas, but it is more efficient: for
    noise, the power follows from it to 1.13 / sqrt(n_baselines).
    """
    (n_times, n_baselines), n = place.shape, data.shape[1]
    n_corr = scale.shape[1]
    # From the first correlation to the last.
    hands = n_corr - 1
    total = np.zeros((4, n_times, n), np.float32)
    count = np.zeros((4, n_times, n), np.float32)
    edge_total = np.zeros((2, n_times, n_corr), np.float32)
    edge_count = np.zeros((2, n_times, n_corr), np.float32)
    end_total = np.zeros((5, n), np.float32)
    end_count = np.zeros((5, n), np.float32)
    nothing = np.zeros(n, np.complex64)
    never = np.zeros(n, np.bool_)
    one, two, last = n_corr, 2 * n_corr, n - n_corr
    scales = _along_rows(scale, n)
    scales[3] = scale[3, 0]
    channels, times = scales[1], scales[2]
    for t in spread(n_times):
        x = np.empty(n, np.float32)
        for b in range(n_baselines):
            row = place[t, b]
            if row < 0:
                continue
            v, f = data[row], flag[row]
            _add_differences(v, f, nothing, never, scales[0], total[0, t], count[0, t], x)
            if hands:
                some, others, g = v[: n - hands], v[hands:], f[hands:]
                _add_differences(
                    some, f[: n - hands], others, g, scales[3], total[3, t], count[3, t], x
                )
            _add_differences(
                v[:last], f[:last], v[one:], f[one:], channels, total[1, t], count[1, t], x
            )
            if n >= 3 * n_corr:
                w, g = v[two : two + one], f[two : two + one]
                _add_differences(
                    v[:one], f[:one], w, g, channels, edge_total[0, t], edge_count[0, t], x
                )
                w, g = v[last - two : last - one], f[last - two : last - one]
                _add_differences(
                    v[last:], f[last:], w, g, channels, edge_total[1, t], edge_count[1, t], x
                )
            if t + 1 < n_times and place[t + 1, b] >= 0:
                w, g = data[place[t + 1, b]], flag[place[t + 1, b]]
                _add_differences(v, f, w, g, times, total[2, t], count[2, t], x)
            if t == n_times - 1 and n_times >= 3 and place[t - 2, b] >= 0:
                w, g = data[place[t - 2, b]], flag[place[t - 2, b]]
                _add_differences(v, f, w, g, times, end_total[1], end_count[1], x)
            if t + 2 < n_times and place[t + 2, b] >= 0:
                w, g = data[place[t + 2, b]], flag[place[t + 2, b]]
                if t == 0:
                    _add_differences(v, f, w, g, times, end_total[0], end_count[0], x)
                for quarter in range(1, 4):
                    if t == quarter * n_times // 4:
                        end = 1 + quarter
                        _add_differences(v, f, w, g, times, end_total[end], end_count[end], x)
        # Pairs other than those of one channel were included.
        for j in range(n):
            if j % n_corr or not hands:
                total[3, t, j], count[3, t, j] = np.float32(0.0), np.float32(0.0)
    return total, count, edge_total, edge_count, end_total, end_count


def forget_cells(found: Bools, count: Float32s, edge_count: Float32s, end_count: Float32s) -> None:
    """Leave cells out of the steps of `soft_sums`, as if they had been flagged in all baselines.

    Parameters
    ----------
    found : ndarray of bool, shape (n_times, n_channels * n_correlations)
        The cells, in all correlations.
    count, edge_count, end_count : ndarray of float32
        Numbers of baselines from `soft_sums`; changed in place.
    """
    n_times, one = len(found), edge_count.shape[2]
    count[Kind.CHANNELS, :, :-one][found[:, :-one] | found[:, one:]] = 0.0
    count[Kind.TIMES, :-1][found[:-1] | found[1:]] = 0.0
    cells = found.reshape(n_times, -1, one)
    if cells.shape[1] >= 3:
        edge_count[0][cells[:, 0] | cells[:, 2]] = 0.0
        edge_count[1][cells[:, -1] | cells[:, -3]] = 0.0
    if n_times >= 3:
        firsts = [0, n_times - 3, *(quarter * n_times // 4 for quarter in range(1, 4))]
        for end, first in enumerate(firsts):
            if first + 2 < n_times:
                end_count[end][found[first] | found[first + 2]] = 0.0
