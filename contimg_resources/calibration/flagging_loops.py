"""Compiled loops over visibilities that look for interference.

Belongs here: passes over the data of one spectral window in memory.
Doesn't: their order and what is done with what they return (see `.fast_flagging`).

Arrays have the axes (time, baseline, channel x correlation): the last two of the data lie side by
side in memory, so the inner loops run over both at once.
"""

from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_resources.compiling import compiled, spread

Bools = NDArray[np.bool_]
Float32s = NDArray[np.float32]
Complex64s = NDArray[np.complex64]

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
def flag_nonsense(data: Complex64s, flag: Bools) -> None:
    """Flag zeros and values that aren't finite, or too large to be squared.

    Parameters
    ----------
    data : ndarray of complex64, shape (n_times, n_baselines, n)
        Visibilities.
    flag : ndarray of bool, same shape
        Changed in place.
    """
    n_times, n_baselines, n = data.shape
    for t in spread(n_times):
        for b in range(n_baselines):
            for j in range(n):
                v = data[t, b, j]
                power = v.real * v.real + v.imag * v.imag
                # Not "power >= largest": that is false of NaN.
                if not (power < _LARGEST_POWER) or power == 0.0:
                    flag[t, b, j] = True


@compiled()
def _add_differences(
    first: Complex64s,
    first_flag: Bools,
    second: Complex64s,
    second_flag: Bools,
    scale: Float32s,
    total: Float32s,
    count: Float32s,
) -> None:
    """Add the soft power of the differences of two rows of equal length."""
    n_correlations = scale.size
    for j in range(0, first.size, n_correlations):
        for p in range(n_correlations):
            if not (first_flag[j + p] or second_flag[j + p]):
                re = first[j + p].real - second[j + p].real
                im = first[j + p].imag - second[j + p].imag
                power = re * re + im * im
                total[j + p] += power / (power + scale[p])
                count[j + p] += np.float32(1.0)


@compiled(parallel=True)
def soft_sums(data: Complex64s, flag: Bools, scale: Float32s) -> tuple[Float32s, Float32s]:
    """Sum powers over baselines so that none counts for more than 1.

    Parameters
    ----------
    data : ndarray of complex64, shape (n_times, n_baselines, n_channels * n_correlations)
        Visibilities.
    flag : ndarray of bool, same shape
        True: left out.
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
    n_times, n_baselines, n = data.shape
    n_corr = scale.shape[1]
    total = np.zeros((2, n_times, n), np.float32)
    count = np.zeros((2, n_times, n), np.float32)
    nothing = np.zeros(n, np.complex64)
    never = np.zeros(n, np.bool_)
    for t in spread(n_times):
        for b in range(n_baselines):
            v, f = data[t, b], flag[t, b]
            _add_differences(v, f, nothing, never, scale[0], total[0, t], count[0, t])
            if n_corr > 1:
                for j in range(0, n, n_corr):
                    last = j + n_corr - 1
                    if not (f[j] or f[last]):
                        re = v[j].real - v[last].real
                        im = v[j].imag - v[last].imag
                        power = re * re + im * im
                        total[1, t, j] += power / (power + scale[3, 0])
                        count[1, t, j] += np.float32(1.0)
    return total, count


@compiled(parallel=True)
def soft_sums_of_steps(
    data: Complex64s, flag: Bools, scale: Float32s
) -> tuple[Float32s, Float32s, Float32s, Float32s, Float32s, Float32s]:
    """Sum the power of differences between neighbours over baselines, as `soft_sums` does.

    Parameters
    ----------
    data : ndarray of complex64, shape (n_times, n_baselines, n_channels * n_correlations)
        Visibilities.
    flag : ndarray of bool, same shape
        True: left out.
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
    n_times, n_baselines, n = data.shape
    n_corr = scale.shape[1]
    total = np.zeros((2, n_times, n), np.float32)
    count = np.zeros((2, n_times, n), np.float32)
    edge_total = np.zeros((2, n_times, n_corr), np.float32)
    edge_count = np.zeros((2, n_times, n_corr), np.float32)
    end_total = np.zeros((5, n), np.float32)
    end_count = np.zeros((5, n), np.float32)
    one, two, last = n_corr, 2 * n_corr, n - n_corr
    for t in spread(n_times):
        for b in range(n_baselines):
            v, f = data[t, b], flag[t, b]
            _add_differences(
                v[:last], f[:last], v[one:], f[one:], scale[1], total[0, t], count[0, t]
            )
            if n >= 3 * n_corr:
                _add_differences(
                    v[:one],
                    f[:one],
                    v[two : two + one],
                    f[two : two + one],
                    scale[1],
                    edge_total[0, t],
                    edge_count[0, t],
                )
                _add_differences(
                    v[last:],
                    f[last:],
                    v[last - two : last - one],
                    f[last - two : last - one],
                    scale[1],
                    edge_total[1, t],
                    edge_count[1, t],
                )
            if t + 1 < n_times:
                w, g = data[t + 1, b], flag[t + 1, b]
                _add_differences(v, f, w, g, scale[2], total[1, t], count[1, t])
            if t == 0 and n_times >= 3:
                w, g = data[2, b], flag[2, b]
                _add_differences(v, f, w, g, scale[2], end_total[0], end_count[0])
            if t == n_times - 1 and n_times >= 3:
                w, g = data[t - 2, b], flag[t - 2, b]
                _add_differences(v, f, w, g, scale[2], end_total[1], end_count[1])
            for quarter in range(1, 4):
                if t == quarter * n_times // 4 and t + 2 < n_times:
                    w, g = data[t + 2, b], flag[t + 2, b]
                    end = 1 + quarter
                    _add_differences(v, f, w, g, scale[2], end_total[end], end_count[end])
    return total, count, edge_total, edge_count, end_total, end_count


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
def _lesser_powers(a: Float32s, b: Float32s, lesser: Float32s) -> None:
    """Write the lesser of two powers of which either may be unknown."""
    for j in range(lesser.size):
        low, high = min(a[j], b[j]), max(a[j], b[j])
        lesser[j] = low * _LESSER if high == _UNKNOWN else low


@compiled()
def _mean_power(power: Float32s, n_corr: int, p: int) -> Any:
    """Return the mean power of noise: of a few cells, from their median; 0: unknown."""
    n_times, n = power.shape
    step = max(1, (n_times * n // n_corr) // _SAMPLE) | 1
    kept = np.empty(n_times * n // n_corr // step + 1, np.float32)
    size = 0
    for i in range(0, n_times * n // n_corr, step):
        x = power[i // (n // n_corr), (i % (n // n_corr)) * n_corr + p]
        if x != _UNKNOWN:
            kept[size] = x
            size += 1
    if size < 4:
        return np.float32(0.0)
    return np.float32(np.median(kept[:size])) * _MEAN_BY_MEDIAN


@compiled()
def _largest_mean(n: Any) -> Any:
    """Return the mean of n powers, of mean 1, that noise doesn't reach.

    Wilson & Hilferty 1931, PNAS 17, 684: the cube root of a chi-squared is nearly Gaussian.
    """
    k = n * _INDEPENDENT
    return (1.0 - 1.0 / (9.0 * k) + _MEAN_SIGMA / (3.0 * np.sqrt(k))) ** 3


@compiled()
def _mark(power: Float32s, mean: Float32s, mark: Bools) -> None:
    """Mark cells, channels and integrations with too much power, in all correlations.

    `mean` holds the mean power of each correlation; 0: unknown.
    """
    n_times, n = power.shape
    n_corr = mean.size
    highest = np.empty(n, np.float32)
    for j in range(n):
        highest[j] = _CLIP * mean[j % n_corr]
    per_channel = np.zeros(n, np.float32)
    n_per_channel = np.zeros(n, np.float32)
    capped = np.empty(n, np.float32)
    known = np.empty(n, np.float32)
    for t in range(n_times):
        row = power[t]
        n_high = 0
        for j in range(n):
            x = row[j]
            one = np.float32(0.0) if x == _UNKNOWN else np.float32(1.0)
            n_high += 1 if x > highest[j] else 0
            capped[j] = np.float32(0.0) if x == _UNKNOWN else min(x, highest[j])
            known[j] = one
            per_channel[j] += capped[j]
            n_per_channel[j] += one
        if n_high:
            for j in range(n):
                if known[j] > 0 and highest[j] > 0 and row[j] > highest[j]:
                    mark[t, j // n_corr] = True
        for p in range(n_corr):
            total, m = np.float32(0.0), np.float32(0.0)
            for j in range(p, n, n_corr):
                total += capped[j]
                m += known[j]
            if m >= 4 and mean[p] > 0 and total > mean[p] * m * _largest_mean(m):
                mark[t] = True
    for j in range(n):
        m, typical = n_per_channel[j], mean[j % n_corr]
        if m >= 4 and typical > 0 and per_channel[j] > typical * m * _largest_mean(m):
            mark[:, j // n_corr] = True


@compiled(parallel=True)
def flag_single(data: Complex64s, flag: Bools, n_corr: int) -> Float32s:
    """Flag what stands out of the noise of its own baseline.

    Parameters
    ----------
    data : ndarray of complex64, shape (n_times, n_baselines, n_channels * n_corr)
        Visibilities.
    flag : ndarray of bool, same shape
        Changed in place.
    n_corr : int
        Number of correlations.

    Returns
    -------
    ndarray of float32, shape (n_baselines, n_corr)
        Power of the differences between channels; NaN where unknown.
    """
    n_times, n_baselines, n = data.shape
    noise = np.full((n_baselines, n_corr), np.float32(np.nan), np.float32)
    for b in spread(n_baselines):
        v = data[:, b]
        f = flag[:, b]
        over_channels = np.empty((n_times, n), np.float32)
        over_times = np.empty((n_times, n), np.float32)
        # Unknown beyond either end.
        steps = np.full(n + n_corr, _UNKNOWN, np.float32)
        before = np.full(n, _UNKNOWN, np.float32)
        after = np.full(n, _UNKNOWN, np.float32)
        for t in range(n_times):
            row, bad = v[t], f[t]
            _powers(row[n_corr:], bad[n_corr:], row, bad, steps[n_corr:n])
            _lesser_powers(steps, steps[n_corr:], over_channels[t])
            if t + 1 < n_times:
                _powers(row, bad, v[t + 1], f[t + 1], after)
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
                for j in range(n):
                    if mark[t, j // n_corr]:
                        f[t, j] = True
    return noise
