"""Compiled loops over visibilities that look for interference.

Belongs here: passes over the data of one spectral window in memory.
Doesn't: their order and what is done with what they return (see `.fast_flagging`).

Arrays have the axes (row, channel x correlation), and `place` says which row is of which time and
baseline (-1: none). The last two axes of the data lie side by side in memory, so the inner loops
run over both at once.
"""

from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_resources.compiling import compiled, spread

Bools = NDArray[np.bool_]
Float32s = NDArray[np.float32]
Complex64s = NDArray[np.complex64]
Ints = NDArray[np.int64]

#: Squares of larger amplitudes don't fit single precision.
_LARGEST_POWER = np.float32(1e36)
#: Marks a cell that nothing is known of.
_UNKNOWN = np.float32(np.inf)
#: The lesser of two correlated differences is on the average so much of one, in power, for noise
#: (1 - sqrt(1 - r^2) / 2 with r = 1/2 the correlation of the two; selection diversity, e.g.
#: Simon & Alouini, Digital Communication over Fading Channels, 2nd ed., 9.7).
_LESSER = np.float32(1.0 - 0.5 * 0.75**0.5)
#: 7 standard deviations: of the power of a complex Gaussian, in units of its mean.
_CLIP = np.float32(0.5 * 7.0**2)
#: Mean by median of that lesser power (drawn: 2e5 x 48 noise visibilities).
_MEAN_BY_MEDIAN = np.float32(1.547)
#: Of n neighbouring cells, which share differences, the mean scatters as that of so many
#: independent ones each (drawn likewise: standard deviation 1.455 / sqrt(n)).
_INDEPENDENT = 1.455**-2
#: Channels and integrations of a baseline stand out from so many standard deviations.
_MEAN_SIGMA = 6.0
#: The typical difference is a median over about so many cells.
_SAMPLE = 400


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
def flag_nonsense(data: Complex64s, flag: Bools, place: Ints) -> None:
    """Flag zeros and values that aren't finite, or too large to be squared.

    Parameters
    ----------
    data : ndarray of complex64, shape (n_rows, n)
        Visibilities.
    flag : ndarray of bool, same shape
        Changed in place.
    place : ndarray of int, shape (n_times, n_baselines)
        Rows.
    """
    n_times, n_baselines = place.shape
    for t in spread(n_times):
        for b in range(n_baselines):
            row = place[t, b]
            if row < 0:
                continue
            for j in range(data.shape[1]):
                v = data[row, j]
                power = v.real * v.real + v.imag * v.imag
                # Not "power >= largest": that is false of NaN.
                if not (power < _LARGEST_POWER) or power == 0.0:
                    flag[row, j] = True


@compiled(parallel=True)
def count_flagged(flag: Bools, place: Ints) -> int:
    """Return how many visibilities are flagged.

    Parameters
    ----------
    flag : ndarray of bool, shape (n_rows, n)
        Flags.
    place : ndarray of int, shape (n_times, n_baselines)
        Rows.
    """
    total = 0
    for t in spread(place.shape[0]):
        for b in range(place.shape[1]):
            if place[t, b] >= 0:
                total += flag[place[t, b]].sum()
    return total


@compiled(parallel=True)
def flag_everywhere(flag: Bools, place: Ints, found: Bools) -> None:
    """Flag cells in all baselines.

    Parameters
    ----------
    flag : ndarray of bool, shape (n_rows, n)
        Changed in place.
    place : ndarray of int, shape (n_times, n_baselines)
        Rows.
    found : ndarray of bool, shape (n_times, n)
        What is flagged.
    """
    for t in spread(place.shape[0]):
        if not found[t].any():
            continue
        for b in range(place.shape[1]):
            if place[t, b] >= 0:
                flag[place[t, b]] |= found[t]


@compiled()
def _powers(
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
        power[j] = re * re + im * im if known else _UNKNOWN


@compiled()
def _add_soft(power: Float32s, scale: Float32s, total: Float32s, count: Float32s) -> None:
    """Add powers so that none counts for more than 1, and count those that are known."""
    for j in range(power.size):
        x = power[j]
        known = x != _UNKNOWN
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

    Two short loops: compilers vectorise a loop over few arrays only.
    """
    _powers(first, first_flag, second, second_flag, power[: first.size])
    _add_soft(power[: first.size], scale[: first.size], total, count)


@compiled()
def _along_rows(scale: Float32s, n: int) -> Float32s:
    """Return scales of correlations for each element of a row of n, for every kind."""
    rows = np.empty((len(scale), n), np.float32)
    for j in range(n):
        rows[:, j] = scale[:, j % scale.shape[1]]
    return rows


@compiled(parallel=True)
def soft_sums(
    data: Complex64s, flag: Bools, place: Ints, scale: Float32s
) -> tuple[Float32s, Float32s]:
    """Sum powers over baselines so that none counts for more than 1.

    Parameters
    ----------
    data : ndarray of complex64, shape (n_rows, n_channels * n_correlations)
        Visibilities.
    flag : ndarray of bool, same shape
        True: left out.
    place : ndarray of int, shape (n_times, n_baselines)
        Rows.
    scale : ndarray of float32, shape (4, n_correlations)
        Power that counts for one half, by `Kind`: a power x counts for x / (x + scale).

    Returns
    -------
    total, count : ndarray of float32, shape (2, n_times, n_channels * n_correlations)
        Sums and numbers of baselines: of `Kind.AMPLITUDE`, and of `Kind.POLARISATION`, which
        stands at the first correlation.

    Notes
    -----
    Like a median, a few bad antennas can't move the sum far, but it loses less: for noise, the
    power is found from it to 1.13 / sqrt(n_baselines).
    """
    (n_times, n_baselines), n = place.shape, data.shape[1]
    n_corr = scale.shape[1]
    # From the first correlation to the last.
    hands = n_corr - 1
    total = np.zeros((2, n_times, n), np.float32)
    count = np.zeros((2, n_times, n), np.float32)
    nothing = np.zeros(n, np.complex64)
    never = np.zeros(n, np.bool_)
    scales = _along_rows(scale, n)
    scales[3] = scale[3, 0]
    for t in spread(n_times):
        power = np.empty(n, np.float32)
        for b in range(n_baselines):
            row = place[t, b]
            if row < 0:
                continue
            v, f = data[row], flag[row]
            _add_differences(v, f, nothing, never, scales[0], total[0, t], count[0, t], power)
            if hands:
                some, others = v[: n - hands], v[hands:]
                _add_differences(
                    some,
                    f[: n - hands],
                    others,
                    f[hands:],
                    scales[3],
                    total[1, t],
                    count[1, t],
                    power,
                )
        # Other pairs than those of one channel went with them.
        for j in range(n):
            if j % n_corr or not hands:
                total[1, t, j], count[1, t, j] = np.float32(0.0), np.float32(0.0)
    return total, count


@compiled(parallel=True)
def soft_sums_of_steps(
    data: Complex64s, flag: Bools, place: Ints, scale: Float32s
) -> tuple[Float32s, Float32s, Float32s, Float32s, Float32s, Float32s]:
    """Sum the power of differences between neighbours over baselines, as `soft_sums` does.

    Parameters
    ----------
    data : ndarray of complex64, shape (n_rows, n_channels * n_correlations)
        Visibilities.
    flag : ndarray of bool, same shape
        True: left out.
    place : ndarray of int, shape (n_times, n_baselines)
        Rows.
    scale : ndarray of float32, shape (4, n_correlations)
        See `soft_sums`.

    Returns
    -------
    total, count : ndarray of float32, shape (2, n_times, n_channels * n_correlations)
        Sums and numbers of baselines, of `Kind.CHANNELS` and `Kind.TIMES`: between a cell and the
        next, the last one empty.
    edge_total, edge_count : ndarray of float32, shape (2, n_times, n_correlations)
        Between the first channel and the next but one, and for the last.
    end_total, end_count : ndarray of float32, shape (5, n_channels * n_correlations)
        Between the first integration and the next but one, for the last, and, to compare with, for
        three between them.
    """
    (n_times, n_baselines), n = place.shape, data.shape[1]
    n_corr = scale.shape[1]
    total = np.zeros((2, n_times, n), np.float32)
    count = np.zeros((2, n_times, n), np.float32)
    edge_total = np.zeros((2, n_times, n_corr), np.float32)
    edge_count = np.zeros((2, n_times, n_corr), np.float32)
    end_total = np.zeros((5, n), np.float32)
    end_count = np.zeros((5, n), np.float32)
    one, two, last = n_corr, 2 * n_corr, n - n_corr
    scales = _along_rows(scale, n)
    channels, times = scales[1], scales[2]
    for t in spread(n_times):
        x = np.empty(n, np.float32)
        for b in range(n_baselines):
            row = place[t, b]
            if row < 0:
                continue
            v, f = data[row], flag[row]
            _add_differences(
                v[:last], f[:last], v[one:], f[one:], channels, total[0, t], count[0, t], x
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
                _add_differences(v, f, w, g, times, total[1, t], count[1, t], x)
            if t == 0 and n_times >= 3 and place[2, b] >= 0:
                w, g = data[place[2, b]], flag[place[2, b]]
                _add_differences(v, f, w, g, times, end_total[0], end_count[0], x)
            if t == n_times - 1 and n_times >= 3 and place[t - 2, b] >= 0:
                w, g = data[place[t - 2, b]], flag[place[t - 2, b]]
                _add_differences(v, f, w, g, times, end_total[1], end_count[1], x)
            for quarter in range(1, 4):
                there = t + 2 < n_times and place[t + 2, b] >= 0
                if t == quarter * n_times // 4 and there:
                    w, g = data[place[t + 2, b]], flag[place[t + 2, b]]
                    end = 1 + quarter
                    _add_differences(v, f, w, g, times, end_total[end], end_count[end], x)
    return total, count, edge_total, edge_count, end_total, end_count


@compiled()
def _lesser_powers(a: Float32s, b: Float32s, lesser: Float32s) -> None:
    """Write the lesser of two powers of which either may be unknown."""
    for j in range(lesser.size):
        low, high = min(a[j], b[j]), max(a[j], b[j])
        lesser[j] = low * _LESSER if high == _UNKNOWN else low


@compiled()
def _median(values: Float32s) -> Any:
    """Return the median of some values that aren't negative.

    The bits of such numbers are ordered as they are, so it is found by halving: 31 counts, which
    are vectorised, where a sort would mispredict most of its comparisons.
    """
    bits = values.view(np.int32)
    low, high = 0, 0x7F800000
    n_below = 0
    while low < high:
        middle = (low + high) // 2
        n_below = 0
        for i in range(bits.size):
            n_below += bits[i] <= middle
        if 2 * n_below >= bits.size:
            high = middle
        else:
            low = middle + 1
    n_below, above = 0, 0x7F800000
    for i in range(bits.size):
        n_below += bits[i] <= low
        if bits[i] > low:
            above = min(above, bits[i])
    both = np.empty(2, np.int32)
    both[0] = low
    # Of an even number the middle one of both halves.
    both[1] = above if 2 * n_below == bits.size else low
    halves = both.view(np.float32)
    return np.float32(0.5) * (halves[0] + halves[1])


@compiled()
def _mean_power(power: Float32s, n_corr: int, p: int) -> Any:
    """Return the mean power of noise: of a few cells, from their median; 0: unknown."""
    flat = power.reshape(power.size)
    step = max(1, flat.size // n_corr // _SAMPLE) | 1
    kept = np.empty(flat.size // n_corr // step + 1, np.float32)
    size = 0
    for i in range(p, flat.size, step * n_corr):
        x = flat[i]
        if x != _UNKNOWN:
            kept[size] = x
            size += 1
    if size < 4:
        return np.float32(0.0)
    return _median(kept[:size]) * _MEAN_BY_MEDIAN


@compiled()
def _largest_mean(n: Any) -> Any:
    """Return the mean of n powers, of mean 1, that noise doesn't reach.

    Wilson & Hilferty 1931, PNAS 17, 684: the cube root of a chi-squared is nearly Gaussian.
    """
    k = n * _INDEPENDENT
    return (1.0 - 1.0 / (9.0 * k) + _MEAN_SIGMA / (3.0 * np.sqrt(k))) ** 3


@compiled()
def _capped(power: Float32s, highest: Float32s, capped: Float32s, known: Float32s) -> int:
    """Write powers, 0 where unknown and no more than `highest`; return how many are above."""
    n_high = 0
    for j in range(power.size):
        x = power[j]
        capped[j] = np.float32(0.0) if x == _UNKNOWN else min(x, highest[j])
    for j in range(power.size):
        known[j] = np.float32(0.0) if power[j] == _UNKNOWN else np.float32(1.0)
    for j in range(power.size):
        n_high += (power[j] > highest[j]) & (power[j] != _UNKNOWN)
    return n_high


@compiled()
def _add(values: Float32s, sums: Float32s) -> None:
    for j in range(values.size):
        sums[j] += values[j]


@compiled()
def _sum_of(values: Float32s, share: Float32s) -> Any:
    total = np.float32(0.0)
    for j in range(values.size):
        total += values[j] * share[j]
    return total


@compiled()
def _mark(power: Float32s, mean: Float32s, mark: Bools) -> None:
    """Mark cells, channels and integrations with too much power, in all correlations.

    `mean` holds the mean power of each correlation; 0: unknown.
    """
    n_times, n = power.shape
    n_corr = mean.size
    highest = np.empty(n, np.float32)
    own = np.zeros((n_corr, n), np.float32)
    for j in range(n):
        highest[j] = _CLIP * mean[j % n_corr]
        own[j % n_corr, j] = np.float32(1.0)
    per_channel = np.zeros(n, np.float32)
    n_per_channel = np.zeros(n, np.float32)
    capped = np.empty(n, np.float32)
    known = np.empty(n, np.float32)
    for t in range(n_times):
        n_high = _capped(power[t], highest, capped, known)
        _add(capped, per_channel)
        _add(known, n_per_channel)
        if n_high:
            for j in range(n):
                if known[j] > 0 and highest[j] > 0 and power[t, j] > highest[j]:
                    mark[t, j // n_corr] = True
        for p in range(n_corr):
            m = _sum_of(known, own[p])
            highest_sum = mean[p] * m * _largest_mean(m)
            if m >= 4 and mean[p] > 0 and _sum_of(capped, own[p]) > highest_sum:
                mark[t] = True
    for j in range(n):
        m, typical = n_per_channel[j], mean[j % n_corr]
        if m >= 4 and typical > 0 and per_channel[j] > typical * m * _largest_mean(m):
            mark[:, j // n_corr] = True


@compiled(parallel=True)
def flag_single(data: Complex64s, flag: Bools, place: Ints, n_corr: int) -> Float32s:
    """Flag what stands out of the noise of its own baseline.

    Parameters
    ----------
    data : ndarray of complex64, shape (n_rows, n_channels * n_corr)
        Visibilities.
    flag : ndarray of bool, same shape
        Changed in place.
    place : ndarray of int, shape (n_times, n_baselines)
        Rows.
    n_corr : int
        Number of correlations.

    Returns
    -------
    ndarray of float32, shape (n_baselines, n_corr)
        Power of the differences between channels; NaN where unknown.
    """
    (n_times, n_baselines), n = place.shape, data.shape[1]
    noise = np.full((n_baselines, n_corr), np.float32(np.nan), np.float32)
    for b in spread(n_baselines):
        over_channels = np.full((n_times, n), _UNKNOWN, np.float32)
        over_times = np.full((n_times, n), _UNKNOWN, np.float32)
        # Unknown beyond either end.
        steps = np.full(n + n_corr, _UNKNOWN, np.float32)
        before = np.full(n, _UNKNOWN, np.float32)
        after = np.full(n, _UNKNOWN, np.float32)
        for t in range(n_times):
            here, there = place[t, b], place[t + 1, b] if t + 1 < n_times else -1
            if here >= 0:
                row, bad = data[here], flag[here]
                _powers(row[n_corr:], bad[n_corr:], row, bad, steps[n_corr:n])
                _lesser_powers(steps, steps[n_corr:], over_channels[t])
            if here >= 0 and there >= 0:
                _powers(data[here], flag[here], data[there], flag[there], after)
            else:
                after[:] = _UNKNOWN
            _lesser_powers(before, after, over_times[t])
            before, after = after, before
        mark = np.zeros((n_times, n // n_corr), np.bool_)
        mean = np.empty(n_corr, np.float32)
        for p in range(n_corr):
            mean[p] = _mean_power(over_channels, n_corr, p)
            if mean[p] > 0:
                noise[b, p] = mean[p]
        _mark(over_channels, mean, mark)
        for p in range(n_corr):
            mean[p] = _mean_power(over_times, n_corr, p)
        _mark(over_times, mean, mark)
        if mark.any():
            for t in range(n_times):
                if place[t, b] >= 0:
                    for j in range(n):
                        if mark[t, j // n_corr]:
                            flag[place[t, b], j] = True
    return noise
