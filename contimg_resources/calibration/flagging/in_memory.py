"""Flag interference in calibrated visibilities in memory.

Belongs here: the sequence of detectors over all spectral windows of one observation.
Doesn't: the loops over visibilities (see `.loops` and `.single_loops`), outliers of a
dynamic spectrum (see `.interference`), reading or writing an MS.

The sky cancels: neighbouring channels and integrations have nearly the same sky signal, and so have
XX and YY. So each detector uses differences, in which a bright source doesn't change the noise,
but interference remains.
"""

import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import exp1

from contimg_resources.calibration.flagging import loops as flagging_loops
from contimg_resources.calibration.flagging.interference import MIN_EXCESS, find_interference
from contimg_resources.calibration.flagging.loops import Kind
from contimg_resources.calibration.flagging.single_loops import flag_single
from contimg_resources.compiling import n_cores

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Float32s = NDArray[np.float32]

#: By kind: the typical size over baselines, Jy, and the number of baselines, each of shape (times,
#: channels, correlations). For differences, the smaller of those to the two neighbours.
Measured = dict[Kind, tuple[Floats, Floats]]

#: Minimum relative excess, in amplitude, of interference common to all baselines: of a continuous
#: emitter, and of an intermittent one. The noise of a band isn't flat, but it is stable.
_LEAST: dict[Kind, tuple[float, float]] = {
    Kind.AMPLITUDE: (MIN_EXCESS, MIN_EXCESS),
    Kind.CHANNELS: (0.10, 0.04),
    Kind.TIMES: (0.10, 0.04),
    Kind.POLARISATION: (0.10, 0.04),
}
#: Fewer baselines than this are not representative of all.
_MIN_BASELINES = 6
#: Number of baselines, spread over all, for a rough estimate of the differences.
_SAMPLED_BASELINES = 96
#: A baseline that is noisier by this factor (in power) in one window than in its others, and by 7
#: robust standard deviations, receives continuous interference there.
_NOISY_WINDOW = 4.0
_NOISY_SIGMA = 7.0


@dataclass(frozen=True)
class WindowInMemory:
    """One spectral window of an observation: calibrated, all fields at one phase centre."""

    frequencies_hz: Floats  #: Channel centres, ascending or descending, Hz. Shape (n_channels,).
    #: Visibilities, Jy, C-contiguous, of this window and possibly of others; no autocorrelations.
    #: The first and the last correlation are the parallel hands. Not changed. Shape (n_rows,
    #: n_channels, n_correlations).
    data: NDArray[np.complex64]
    flag: Bools  #: True: not to be used. C-contiguous; changed in place. Same shape.
    #: The row of each time (ascending) and baseline; -1: none. Shape (n_times, n_baselines).
    place: NDArray[np.int64]

    @classmethod
    def of_grid(
        cls, frequencies_hz: Floats, data: NDArray[np.complex64], flag: Bools
    ) -> "WindowInMemory":
        """Return a window whose arrays have the axes (time, baseline, channel, correlation)."""
        place = np.arange(data.shape[0] * data.shape[1]).reshape(data.shape[:2])
        rows = (place.size, *data.shape[2:])
        return cls(frequencies_hz, data.reshape(rows), flag.reshape(rows), place)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Return the numbers of times, baselines, channels, correlations."""
        return (*self.place.shape, *self.data.shape[1:])

    def some(self, step: int) -> NDArray[np.complex64]:
        """Return a copy of every `step`-th baseline, NaN where flagged, with all four axes."""
        place = self.place[:, ::step]
        some = self.data[place]
        some[self.flag[place] | (place < 0)[:, :, None, None]] = np.nan
        return some


@dataclass(frozen=True)
class FlaggedInMemory:
    """Numbers of flagged visibilities, by cause."""

    n_total: int  #: Number of visibilities; each channel and correlation counts.
    n_before: int  #: Flagged in the input.
    n_nonsense: int  #: Added: zero or not finite.
    n_shared: int  #: Added: interference common to all baselines.
    n_single: int  #: Added: interference in single baselines.

    @property
    def flagged_fraction(self) -> float:
        """Return the final flagged share; 1 when there are no visibilities."""
        flagged = self.n_before + self.n_nonsense + self.n_shared + self.n_single
        return flagged / self.n_total if self.n_total else 1.0


def flag_interference_in_memory(windows: Sequence[WindowInMemory]) -> FlaggedInMemory:
    """Flag zeros, values that aren't finite, and interference, in all windows of one observation.

    Parameters
    ----------
    windows : sequence of WindowInMemory
        Windows in any order of frequency, with the same integrations, baselines (in the same order)
        and correlations. Their flags are changed in place: flags are only added.

    Returns
    -------
    FlaggedInMemory
        Numbers of flagged visibilities.

    Raises
    ------
    ValueError
        If shapes or types don't match, or an array isn't C-contiguous.

    Notes
    -----
    1. Interference common to all baselines: four dynamic spectra of the whole band, each the
       typical size over baselines of one kind of difference (`flagging_loops.Kind`). With 4500
       baselines it is known to 1 %, so that interference well below the noise of one visibility is
       found. A cell is flagged in all baselines and correlations.
    2. Interference in one baseline: cells whose difference from both neighbours, in frequency or in
       time, exceeds 7 standard deviations of this baseline and window; channels and integrations
       that do so on average; windows that are noisy in this baseline alone.

    In a channel with interference both neighbours differ; beside it only one does. So the smaller
    of the two differences is used, and interference doesn't spread to neighbouring cells.

    Memory in addition to `windows`: some tens of MB.
    """
    _check(windows)
    if not windows or not windows[0].place.size:
        return FlaggedInMemory(0, 0, 0, 0, 0)
    before, nonsense = zip(*(flagging_loops.flag_nonsense(*_flat(w)) for w in windows), strict=True)
    return FlaggedInMemory(
        n_total=sum(int(np.count_nonzero(w.place >= 0)) * w.data[0].size for w in windows),
        n_before=sum(before),
        n_nonsense=sum(nonsense),
        n_shared=_flag_shared(windows),
        n_single=_flag_single(windows),
    )


def _check(windows: Sequence[WindowInMemory]) -> None:
    for number, window in enumerate(windows):
        data, flag = window.data, window.flag
        if data.ndim != 3 or data.dtype != np.complex64 or flag.dtype != np.bool_:
            raise ValueError(
                f"window {number}: data must be complex64 with axes (row, channel, correlation) "
                f"and flag bool, not {data.dtype} {data.shape} and {flag.dtype}"
            )
        if data.shape != flag.shape or window.frequencies_hz.shape != data.shape[1:2]:
            raise ValueError(
                f"window {number}: data {data.shape}, flag {flag.shape} and frequencies "
                f"{window.frequencies_hz.shape} don't fit"
            )
        if not (data.flags.c_contiguous and flag.flags.c_contiguous):
            raise ValueError(f"window {number}: data and flag must be C-contiguous")
        if window.place.size and not -1 <= window.place.min() <= window.place.max() < len(data):
            raise ValueError(f"window {number}: its places aren't rows of its data")
        first = windows[0]
        if (*window.place.shape, data.shape[2]) != (*first.place.shape, first.data.shape[2]):
            raise ValueError(f"window {number} is {window.shape}, window 0 {first.shape}")


def _flat(window: WindowInMemory) -> tuple[NDArray[np.complex64], Bools, NDArray[np.int64]]:
    rows = len(window.data)
    return window.data.reshape(rows, -1), window.flag.reshape(rows, -1), window.place


def _flag_shared(windows: Sequence[WindowInMemory]) -> int:
    scale = _rough_power(windows)
    sums = [flagging_loops.soft_sums(*_flat(w), scale) for w in windows]
    # Strong interference is found first, so that it doesn't affect its neighbours' differences.
    strong = _what_stands_out(
        windows,
        (Kind.AMPLITUDE, Kind.POLARISATION),
        [_cells(w, s, scale) for w, s in zip(windows, sums, strict=True)],
    )
    for found, (_, count, _, edge_count, _, end_count) in zip(strong, sums, strict=True):
        flagging_loops.forget_cells(found, count, edge_count, end_count)
    steps = [_steps(w, s, scale) for w, s in zip(windows, sums, strict=True)]
    lesser = [_lesser_of_both([s[i] for s in steps], axis) for i, axis in ((0, 1), (1, 0))]
    measured = [
        {Kind.CHANNELS: channels, Kind.TIMES: times}
        for channels, times in zip(*lesser, strict=True)
    ]
    weak = _what_stands_out(windows, (Kind.CHANNELS, Kind.TIMES), measured)
    return sum(
        flagging_loops.flag_everywhere(*_flat(window)[1:], some | others)
        for window, some, others in zip(windows, strong, weak, strict=True)
    )


def _what_stands_out(
    windows: Sequence[WindowInMemory], kinds: Sequence[Kind], measured: Sequence[Measured]
) -> list[Bools]:
    """Return the cells of each window, shape (n_times, n_channels * n_correlations)."""
    order = np.argsort(np.concatenate([w.frequencies_hz for w in windows]), kind="stable")
    found = np.zeros((len(windows[0].place), order.size), np.bool_)
    for kind in kinds:
        size = np.concatenate([m[kind][0] for m in measured], axis=1)
        count = np.concatenate([m[kind][1] for m in measured], axis=1)
        persistent, brief = _LEAST[kind]
        for correlation in range(1 if kind is Kind.POLARISATION else size.shape[2]):
            found[:, order] |= find_interference(
                size[:, order, correlation],
                min_excess=persistent,
                min_brief_excess=brief,
                counts=count[:, order, correlation],
                faint=kind is not Kind.AMPLITUDE,
            )
    ends = np.cumsum([w.frequencies_hz.size for w in windows])
    return [
        np.repeat(mine, windows[0].data.shape[2], axis=1)
        for mine in np.split(found, ends[:-1], axis=1)
    ]


def _rough_power(windows: Sequence[WindowInMemory]) -> Float32s:
    """Return the median power of each kind of difference over the band, (kinds, correlations)."""
    _, n_baselines, _, n_correlations = windows[0].shape
    step = max(1, n_baselines // _SAMPLED_BASELINES)

    def of_kinds(window: WindowInMemory) -> list[Floats]:
        some = window.some(step)
        kinds = {
            Kind.AMPLITUDE: some,
            Kind.CHANNELS: some[:, :, 1:] - some[:, :, :-1],
            Kind.TIMES: some[1:] - some[:-1],
            Kind.POLARISATION: np.repeat(some[..., :1] - some[..., -1:], n_correlations, axis=-1),
        }
        return [_median_power(kinds[kind]) for kind in Kind]

    with ThreadPoolExecutor(n_cores()) as pool:
        found = list(pool.map(of_kinds, windows))
    # A window full of interference must not set the scale of the band.
    known = np.array(found)
    power = np.ones(known.shape[1:])
    for place in np.ndindex(*power.shape):
        values = known[(slice(None), *place)]
        if (values > 0).any():
            power[place] = np.median(values[values > 0])
    return power.astype(np.float32)


def _median_power(values: NDArray[np.complex64]) -> Floats:
    power = values.real**2 + values.imag**2
    per_correlation = np.moveaxis(power, -1, 0).reshape(power.shape[-1], -1)
    known = [p[np.isfinite(p)] for p in per_correlation]
    return np.array([float(np.median(k)) if k.size else 0.0 for k in known])


def _cells(window: WindowInMemory, sums: Sequence[Float32s], scale: Float32s) -> Measured:
    total, count = sums[:2]
    shape = _shape(window)
    return {
        kind: (
            _size(total[kind].reshape(shape), count[kind].reshape(shape), scale[kind]),
            count[kind].reshape(shape).astype(np.float64),
        )
        for kind in (Kind.AMPLITUDE, Kind.POLARISATION)
    }


@dataclass(frozen=True)
class _Steps:
    """Typical size over baselines of the differences between neighbours in one window, Jy.

    `one` is between a cell and the next (the last one empty); `two` between a cell and the next but
    one: for the first, for the last, and some for comparison. Numbers of baselines for both.
    """

    one: Floats
    n_one: Floats
    two: Floats
    n_two: Floats


def _steps(
    window: WindowInMemory, sums: Sequence[Float32s], scale: Float32s
) -> tuple[_Steps, _Steps]:
    """Return the steps over channels and over times."""
    total, count, edge_total, edge_count, end_total, end_count = sums
    shape = _shape(window)
    outer = (
        (edge_total[:, :, None], edge_count[:, :, None]),
        (end_total.reshape(5, 1, *shape[1:]), end_count.reshape(5, 1, *shape[1:])),
    )
    over_channels, over_times = (
        _Steps(
            _size(total[kind].reshape(shape), count[kind].reshape(shape), scale[kind]),
            count[kind].reshape(shape).astype(np.float64),
            _size(*outer[i], scale[kind]),
            outer[i][1].astype(np.float64),
        )
        for i, kind in enumerate((Kind.CHANNELS, Kind.TIMES))
    )
    return over_channels, over_times


def _lesser_of_both(steps: Sequence[_Steps], axis: int) -> list[tuple[Floats, Floats]]:
    """Return the smaller of the differences to the two neighbours, and its baselines, by window.

    At an edge the next but one replaces the missing neighbour. The sky changes more over two
    steps than over one; this excess is known from the whole band and removed.
    """
    n_correlations = steps[0].one.shape[2]
    one = np.concatenate([s.one.reshape(-1, n_correlations) for s in steps])
    two = np.concatenate([s.two.reshape(-1, n_correlations) for s in steps])
    excess = _median(two, axis=0) / _median(one, axis=0)
    return [_lesser(s, np.fmax(excess, 1.0), axis) for s in steps]


def _lesser(steps: _Steps, excess: Floats, axis: int) -> tuple[Floats, Floats]:
    between, last = np.split(steps.one, [-1], axis=axis)
    n_between, _ = np.split(steps.n_one, [-1], axis=axis)
    # Without a neighbour, the next but one alone isn't enough.
    outermost = (between.take([0], axis), between.take([-1], axis)) if between.size else (last,) * 2
    first_edge, last_edge = (
        np.where(np.isnan(o), np.nan, steps.two[i] / excess) for i, o in enumerate(outermost)
    )
    below = np.concatenate([first_edge, between], axis=axis)
    above = np.concatenate([between, last_edge], axis=axis)
    n_below = np.concatenate([steps.n_two[0], n_between], axis=axis)
    n_above = np.concatenate([n_between, steps.n_two[1]], axis=axis)
    with np.errstate(invalid="ignore"):
        take_below = (below <= above) | np.isnan(above)
    return np.where(take_below, below, above), np.where(take_below, n_below, n_above)


def _shape(window: WindowInMemory) -> tuple[int, int, int]:
    n_times, _, n_channels, n_correlations = window.shape
    return n_times, n_channels, n_correlations


def _size(total: NDArray[Any], count: NDArray[Any], scale: Float32s) -> Floats:
    """Return the amplitude of noise with this mean; NaN with too few baselines."""
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(count >= _MIN_BASELINES, total / count, np.nan)
    power = np.interp(mean, _SOFT_MEANS, _POWERS)
    return np.asarray(np.sqrt(power * scale), np.float64)


def _flag_single(windows: Sequence[WindowInMemory]) -> int:
    n_correlations = windows[0].data.shape[2]
    noise, added = zip(*(flag_single(*_flat(w), n_correlations) for w in windows), strict=True)
    noisy = _noisy_windows(np.array(noise, np.float64))
    n_added = sum(added)
    for window, baselines in zip(windows, noisy, strict=True):
        rows = window.place[:, baselines]
        rows = rows[rows >= 0]
        n_added += int(np.count_nonzero(~window.flag[rows]))
        window.flag[rows] = True
    return n_added


def _noisy_windows(noise: Floats) -> Bools:
    """Find windows in which single baselines are much noisier than in the others.

    Parameters
    ----------
    noise : ndarray of float, shape (n_windows, n_baselines, n_correlations)
        Power; NaN where unknown.
    """
    if len(noise) < 3:
        return np.zeros(noise.shape[:2], np.bool_)
    with np.errstate(invalid="ignore", divide="ignore"):
        x = np.log(noise)
        x -= _median(x, axis=0)
        x -= _median(x, axis=1)[:, None]
        sigma = 1.4826 * _median(np.abs(x).reshape(-1, x.shape[2]), axis=0)
        least = np.maximum(_NOISY_SIGMA * sigma, np.log(_NOISY_WINDOW))
        return np.asarray((x > least).any(axis=-1), np.bool_)


def _median(values: Floats, axis: int) -> Floats:
    # All-NaN slices are expected (flagged antennas and windows) and stay NaN.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(np.nanmedian(values, axis=axis), np.float64)


def _soft_mean(power: Floats) -> Floats:
    """Return the mean of x / (x + 1) for exponential x of mean `power`."""
    inverse = 1.0 / power
    return np.asarray(1.0 - inverse * np.exp(inverse) * exp1(inverse), np.float64)


#: Noise powers in units of the scale, and the corresponding means from `flagging_loops.soft_sums`.
_POWERS = np.geomspace(0.002, 1e6, 2000)
_SOFT_MEANS = _soft_mean(_POWERS)
