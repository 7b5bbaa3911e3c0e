"""Interference common to all baselines.

Belongs here: finding it in the dynamic spectrum of the whole band, and flagging it.
Doesn't: interference in single baselines (tfcrop and rflag, see `.flagging`).

tfcrop and rflag process one spectral window of one baseline: an emitter that fills a window for
the whole observation looks normal to them. Compared with the rest of the band it does not.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from contimg_resources.calibration.ms.health import channel_frequencies_hz
from contimg_resources.core.statistics import STD_OF_MAD

Floats = NDArray[np.float64]

#: Excess over the smooth level, in robust standard deviations, and its minimum relative size.
SIGMA = 6.0
MIN_EXCESS = 0.15
#: The smooth level is a running median over this share of the band, and this many integrations.
_BAND_SHARE = 0.6
_TIME_WIDTH = 9
#: Lengths of runs of faint cells.
_RUNS = (1, 2, 4, 8)
_RUN_FACTOR = 1.3
#: A channel or an integration is flagged completely when more than this share of it is flagged.
_NEARLY_ALL = 0.8


def find_interference(
    level: Floats,
    *,
    min_excess: float = MIN_EXCESS,
    min_brief_excess: float = MIN_EXCESS,
    counts: Floats | None = None,
    faint: bool = False,
) -> NDArray[np.bool_]:
    """Find outlying channels, integrations and single cells of a dynamic spectrum.

    Parameters
    ----------
    level : ndarray of float, shape (n_times, n_channels)
        Median amplitude over baselines, channels in ascending frequency; NaN where there is none.
    min_excess : float
        Minimum relative excess of a channel over the smooth band.
    min_brief_excess : float
        Minimum relative excess of an integration, or of a cell over its channel and integration.
    counts : ndarray of float, same shape, optional
        Number of baselines of each level: with fewer it scatters more.
    faint : bool
        Also find runs of cells, in time or in frequency, that are significant only together.

    Returns
    -------
    ndarray of bool, same shape
        True where the level exceeds the smooth one by more than 6 robust standard deviations and
        the minimum excess. Only an excess is interference: a band edge or a setting source is a
        deficit.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        x = np.log(np.where(level > 0, level, np.nan))
    if not np.isfinite(x).any():
        return np.zeros(level.shape, np.bool_)
    relative = np.ones(level.shape)
    if counts is not None:
        relative = np.sqrt(counts / np.median(counts[np.isfinite(x)]))
    spectrum = _median(x, axis=0)
    width = max(3, int(_BAND_SHARE * spectrum.size))
    band, channels = _smooth(spectrum, width, min_excess, _median(relative, axis=0))
    series = _median(x[:, ~channels], axis=1)
    width = min(_TIME_WIDTH, series.size)
    drift, times = _smooth(series, width, min_brief_excess, _median(relative, axis=1))
    x -= drift[:, None] + (band - np.nanmedian(band))[None, :]
    usual = ~(channels[None, :] | times[:, None])
    cells = _runs_stand_out(x, min_brief_excess, relative, _RUNS if faint else (1,), usual)
    least = np.log1p(min_excess), np.log1p(min_brief_excess)
    for channel in np.flatnonzero(channels):
        cells[:, channel] |= _all_of_it(x[:, channel], cells[:, channel], float(least[0]))
    for time in np.flatnonzero(times):
        cells[time] |= _all_of_it(x[time], cells[time], float(least[1]))
    return cells


def flag_shared_interference(ms: Path) -> float:
    """Flag interference common to all baselines of a working copy. Runs in a CASA process.

    Parameters
    ----------
    ms : Path
        Working copy; zeros and autocorrelations are flagged.

    Returns
    -------
    float
        Share of the dynamic spectrum that was flagged.
    """
    from casatools import table

    frequencies = channel_frequencies_hz(ms)
    tb: Any = table()
    tb.open(str(ms), nomodify=False)
    try:
        times, which = np.unique(np.asarray(tb.getcol("TIME")), return_inverse=True)
        dd_ids = np.asarray(tb.getcol("DATA_DESC_ID"))
        present = [int(d) for d in np.unique(dd_ids)]
        levels = {dd: _level(tb, dd, which[dd_ids == dd], times.size) for dd in present}
        hz = np.concatenate([frequencies[dd] for dd in present])
        order = np.argsort(hz)
        found = np.zeros((times.size, hz.size), np.bool_)
        for receptor in range(levels[present[0]].shape[0]):
            level = np.concatenate([levels[dd][receptor] for dd in present], axis=1)
            found[:, order] |= find_interference(level[:, order])
        first = 0
        for dd in present:
            size = frequencies[dd].size
            _flag(tb, dd, which[dd_ids == dd], found[:, first : first + size])
            first += size
    finally:
        tb.close()
    return float(found.mean())


def _level(tb: Any, dd: int, which: NDArray[np.int64], n_times: int) -> Floats:
    """Return the median amplitude over baselines, shape (receptors, times, channels)."""
    rows = tb.query(f"DATA_DESC_ID == {dd}")
    amplitude = np.abs(np.asarray(rows.getcol("DATA")))[[0, -1]]
    amplitude[np.asarray(rows.getcol("FLAG"))[[0, -1]]] = np.nan
    rows.close()
    level = np.full((amplitude.shape[0], n_times, amplitude.shape[1]), np.nan)
    for time in range(n_times):
        at_once = amplitude[:, :, which == time]
        if at_once.shape[-1]:
            level[:, time] = _median(at_once, axis=-1)
    return level


def _flag(tb: Any, dd: int, which: NDArray[np.int64], found: NDArray[np.bool_]) -> None:
    if not found.any():
        return
    rows = tb.query(f"DATA_DESC_ID == {dd}")
    flag = np.asarray(rows.getcol("FLAG"))
    flag |= found[which].T[None, :, :]
    rows.putcol("FLAG", flag)
    rows.close()


def _smooth(
    values: Floats, width: int, min_excess: float, weight: Floats
) -> tuple[Floats, NDArray[np.bool_]]:
    """Find outliers from a running median of `width` values, and replace them by it."""
    finite = np.isfinite(values)
    found = np.zeros(values.shape, np.bool_)
    usual = values.copy()
    if finite.sum() >= 3:
        known = values[finite]
        smooth = median_filter(known, size=min(width, known.size), mode="mirror")
        excess = (known - smooth)[None, :]
        all_of_them = np.ones(excess.shape, np.bool_)
        weights = weight[finite][None, :]
        found[finite] = _runs_stand_out(excess, min_excess, weights, (1,), all_of_them)[0]
        usual[finite] = np.where(found[finite], smooth, known)
    return usual, found


def _all_of_it(excess: Floats, cells: NDArray[np.bool_], least: float) -> bool:
    """Return whether an emitter is continuous: nearly all cells, or the rest, exceed the level."""
    known = np.isfinite(excess)
    rest = excess[known & ~cells]
    if not rest.size:
        return bool(known.any())
    return bool(rest.size < (1 - _NEARLY_ALL) * known.sum() or np.median(rest) > least)


def _runs_stand_out(
    residual: Floats,
    min_excess: float,
    weight: Floats,
    runs: Sequence[int],
    usual: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Return cells in runs along either axis with a significant mean; longer runs need less excess.

    The threshold of a run of n is that of one cell divided by 1.3^log2(n) (SumThreshold: Offringa
    et al. 2010, MNRAS 405, 155, who divide by 1.5^log2(n); here neighbours share a difference, and
    their scatter is correlated). Cells found in shorter runs count with the threshold only. The
    scatter is that of `usual` cells.
    """
    known = np.isfinite(residual)
    found = np.zeros(residual.shape, np.bool_)
    if not (known & usual).any():
        return found
    # In units of the scatter of a cell of typical weight.
    scaled = (residual - np.median(residual[known & usual])) * weight
    within = scaled[known & usual]
    sigma = float(STD_OF_MAD * np.median(np.abs(within - np.median(within))))
    alone = np.maximum(SIGMA * sigma, np.log1p(min_excess) * weight)
    for run in runs:
        threshold = alone / _RUN_FACTOR ** np.log2(run)
        values = np.where(known, np.where(found, np.minimum(scaled, threshold), scaled), 0.0)
        now = found.copy()
        for axis in (0, 1) if run > 1 else (0,):
            if residual.shape[axis] < run:
                continue
            sums, numbers, limits = (
                sliding_window_view(v, run, axis=axis).sum(axis=-1)
                for v in (values, known, np.where(known, alone, 0.0))
            )
            # A run with gaps counts only its remaining cells.
            above = sums * _RUN_FACTOR ** np.log2(np.maximum(numbers, 1)) > limits
            above &= numbers > 0
            for shift in range(run):
                place = [slice(None), slice(None)]
                place[axis] = slice(shift, shift + above.shape[axis])
                now[tuple(place)] |= above
        found = now & known
    return found


def _median(values: NDArray[Any], axis: int) -> Floats:
    # All-NaN slices are expected (flagged channels) and stay NaN.
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(np.nanmedian(values, axis=axis), np.float64)
