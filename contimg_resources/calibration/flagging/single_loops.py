"""Compiled loops that detect interference in one baseline.

Belongs here: outliers from the noise of a baseline and a spectral window.
Doesn't: interference common to all baselines (see `.loops`, where the axes are explained).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_resources.calibration.flagging.loops import UNKNOWN, powers
from contimg_resources.compiling import compiled, spread

Bools = NDArray[np.bool_]
Float32s = NDArray[np.float32]
Complex64s = NDArray[np.complex64]
Ints = NDArray[np.int64]

#: For noise, the smaller of two correlated differences has on average this share of one's power
#: (1 - sqrt(1 - r^2) / 2 with r = 1/2 the correlation of the two; selection diversity, e.g.
#: Simon & Alouini, Digital Communication over Fading Channels, 2nd ed., 9.7).
_LESSER = np.float32(1.0 - 0.5 * 0.75**0.5)
#: 7 standard deviations: of the power of a complex Gaussian, in units of its mean.
_CLIP = np.float32(0.5 * 7.0**2)
#: Ratio of mean to median of that smaller power (simulated: 2e5 x 48 noise visibilities).
_MEAN_BY_MEDIAN = np.float32(1.547)
#: The mean of n neighbouring cells, which share differences, scatters as if each counted as this
#: many independent ones (simulated likewise: standard deviation 1.455 / sqrt(n)).
_INDEPENDENT = 1.455**-2
#: Channels and integrations of a baseline are flagged above this many standard deviations.
_MEAN_SIGMA = 6.0
#: The typical difference is a median over about this many cells.
_SAMPLE = 400


@compiled()
def _lesser_powers(a: Float32s, b: Float32s, lesser: Float32s) -> None:
    """Write the smaller of two powers, either of which may be unknown."""
    for j in range(lesser.size):
        low, high = min(a[j], b[j]), max(a[j], b[j])
        lesser[j] = low * _LESSER if high == UNKNOWN else low


@compiled()
def _n_below(bits: Any, limit: Any) -> Any:
    """Return how many are up to a limit: counted in single precision, as wide as the values."""
    n = np.float32(0.0)
    for i in range(bits.size):
        n += np.float32(1.0) if bits[i] <= limit else np.float32(0.0)
    return n


@compiled()
def _next_above(bits: Any, limit: Any) -> Any:
    """Return the lowest above a limit."""
    above = np.int32(0x7F800000)
    for i in range(bits.size):
        x = bits[i] if bits[i] > limit else np.int32(0x7F800000)
        above = x if x < above else above
    return above


@compiled()
def _median(values: Float32s) -> Any:
    """Return the median of non-negative values.

    The bits of such numbers have the same order as the values, so it is found by bisection: 31
    counts, which are vectorised, where a sort would mispredict most of its comparisons.
    """
    bits = values.view(np.int32)
    low, high = 0, 0x7F800000
    while low < high:
        middle = (low + high) // 2
        if 2 * _n_below(bits, np.int32(middle)) >= bits.size:
            high = middle
        else:
            low = middle + 1
    n_below = _n_below(bits, np.int32(low))
    above = low if 2 * n_below != bits.size else _next_above(bits, np.int32(low))
    both = np.empty(2, np.int32)
    both[0] = low
    # For an even number, the middle value of both halves.
    both[1] = above
    halves = both.view(np.float32)
    return np.float32(0.5) * (halves[0] + halves[1])


@compiled()
def _mean_power(power: Float32s, n_corr: int, p: int) -> Any:
    """Return the mean power of noise; with few cells from their median; 0: unknown."""
    flat = power.reshape(power.size)
    step = max(1, flat.size // n_corr // _SAMPLE) | 1
    kept = np.empty(flat.size // n_corr // step + 1, np.float32)
    size = 0
    for i in range(p, flat.size, step * n_corr):
        # Without a branch, which would often be mispredicted.
        kept[size] = flat[i]
        size += flat[i] != UNKNOWN
    if size < 4:
        return np.float32(0.0)
    return _median(kept[:size]) * _MEAN_BY_MEDIAN


@compiled()
def _largest_sums(most: int) -> Float32s:
    """Return the sums of 0 ... `most` powers, of mean 1, that noise practically never reaches.

    Infinite for fewer than 4. Wilson & Hilferty 1931, PNAS 17, 684: the cube root of a chi-squared
    is nearly Gaussian.
    """
    sums = np.full(most + 1, np.float32(np.inf), np.float32)
    for n in range(4, most + 1):
        k = n * _INDEPENDENT
        sums[n] = n * (1.0 - 1.0 / (9.0 * k) + _MEAN_SIGMA / (3.0 * np.sqrt(k))) ** 3
    return sums


@compiled()
def _capped(power: Float32s, highest: Float32s, capped: Float32s, known: Float32s) -> Any:
    """Write powers, 0 where unknown and limited to `highest`; return the number above the limit."""
    n_high = np.float32(0.0)
    for j in range(power.size):
        x = power[j]
        is_known = x != UNKNOWN
        capped[j] = min(x, highest[j]) if is_known else np.float32(0.0)
        known[j] = np.float32(1.0) if is_known else np.float32(0.0)
        n_high += np.float32(1.0) if is_known & (x > highest[j]) else np.float32(0.0)
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
def _mark(power: Float32s, mean: Float32s, largest: Float32s, mark: Bools) -> None:
    """Mark cells, channels and integrations with excessive power, in all correlations.

    `mean` holds the mean power of each correlation; 0: unknown. `largest`: see `_largest_sums`.
    """
    n_times, n = power.shape
    n_corr = mean.size
    highest = np.empty(n, np.float32)
    own = np.zeros((n_corr, n), np.float32)
    for p in range(n_corr):
        highest[p::n_corr] = _CLIP * mean[p]
        own[p, p::n_corr] = np.float32(1.0)
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
            most = mean[p] * largest[int(_sum_of(known, own[p]))]
            if mean[p] > 0 and _sum_of(capped, own[p]) > most:
                mark[t] = True
    for channel in range(n // n_corr):
        for p in range(n_corr):
            j = channel * n_corr + p
            most = mean[p] * largest[int(n_per_channel[j])]
            if mean[p] > 0 and per_channel[j] > most:
                mark[:, channel] = True


@compiled(parallel=True)
def flag_single(data: Complex64s, flag: Bools, place: Ints, n_corr: int) -> tuple[Float32s, int]:
    """Flag outliers from the noise of each baseline.

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
    int
        Number of visibilities that weren't flagged before.
    """
    (n_times, n_baselines), n = place.shape, data.shape[1]
    noise = np.full((n_baselines, n_corr), np.float32(np.nan), np.float32)
    largest = _largest_sums(max(n_times, n))
    added = np.zeros(n_baselines, np.int64)
    for b in spread(n_baselines):
        over_channels = np.full((n_times, n), UNKNOWN, np.float32)
        over_times = np.full((n_times, n), UNKNOWN, np.float32)
        # Unknown outside both ends.
        steps = np.full(n + n_corr, UNKNOWN, np.float32)
        before = np.full(n, UNKNOWN, np.float32)
        after = np.full(n, UNKNOWN, np.float32)
        for t in range(n_times):
            here, there = place[t, b], place[t + 1, b] if t + 1 < n_times else -1
            if here >= 0:
                row, bad = data[here], flag[here]
                powers(row[n_corr:], bad[n_corr:], row, bad, steps[n_corr:n])
                _lesser_powers(steps, steps[n_corr:], over_channels[t])
            if here >= 0 and there >= 0:
                powers(data[here], flag[here], data[there], flag[there], after)
            else:
                after[:] = UNKNOWN
            _lesser_powers(before, after, over_times[t])
            before, after = after, before
        mark = np.zeros((n_times, n // n_corr), np.bool_)
        mean = np.empty(n_corr, np.float32)
        for p in range(n_corr):
            mean[p] = _mean_power(over_channels, n_corr, p)
            if mean[p] > 0:
                noise[b, p] = mean[p]
        _mark(over_channels, mean, largest, mark)
        for p in range(n_corr):
            mean[p] = _mean_power(over_times, n_corr, p)
        _mark(over_times, mean, largest, mark)
        if mark.any():
            for t in range(n_times):
                if place[t, b] >= 0:
                    for j in range(n):
                        if mark[t, j // n_corr] and not flag[place[t, b], j]:
                            flag[place[t, b], j] = True
                            added[b] += 1
    return noise, added.sum()
