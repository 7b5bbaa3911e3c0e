"""Make Stokes I from rows of visibilities, averaged over neighbouring channels.

Belongs here: choosing the channel averaging, and averaging. Doesn't: reading visibilities.

All spectral windows see the same baselines, so one integration of a baseline is one row here, and
the averaged channels of all windows are its columns. Short baselines tolerate coarser channels than
long ones, so there are two blocks of rows, each with its columns.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.constants import speed_of_light

from contimg_resources.compiling import compiled, spread
from contimg_resources.imaging.layout import Layout, Setup

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Integers = NDArray[np.int64]

#: Maximum loss by averaging in the peak of a source at the edge of the primary beam. The limit is
#: 1 %; Briggs weights favour long baselines, which smear more than the mean that is limited here.
_SMEARING = 0.006
#: Numbers of channels to try: divisors of the 48 channels of a window.
_FACTORS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 48)


@dataclass(frozen=True)
class Averaging:
    """The rows of a block, and the channels averaged into each column."""

    rows: Integers  #: The rows, ascending. Shape (n,).
    columns_hz: Floats  #: Mean frequencies of the columns, Hz, ascending. Shape (n_columns,).
    parts: Integers  #: Number of columns of each setup. Shape (n_setups,).
    columns: Integers  #: Indices of these columns. Shape (n_setups, most).


def plan_averaging(layout: Layout, uvw_m: Floats, half_width_rad: float) -> tuple[Averaging, ...]:
    """Choose the averaging with the fewest visibilities that preserves sources at the edge.

    Parameters
    ----------
    layout : Layout
        Spectral windows.
    uvw_m : ndarray, shape (n_rows, 3)
        Baselines, metres.
    half_width_rad : float
        Angle from the phase centre up to which a source's peak is preserved, radians.

    Notes
    -----
    Averaging k channels of width d reduces the contribution of a baseline of projected length b,
    for a source at theta, by ``1 - sinc(b theta k d / c)``, about ``x^2 / 6`` with
    ``x = pi b theta k d / c`` (Thompson, Moran & Swenson 2017, section 6.4; minus the loss within
    the original channels).
    """
    length_m = np.hypot(uvw_m[:, 0], uvw_m[:, 1])
    step_hz = max(_step_hz(s) for s in layout.setups)
    loss = (np.pi * length_m * half_width_rad * step_hz / speed_of_light) ** 2 / 6
    order = np.argsort(loss, kind="stable")
    below = np.concatenate([[0.0], np.cumsum(loss[order])])
    n = len(loss)
    best = (float(n), 1, 1, n)
    for fine in _FACTORS:
        for coarse in _FACTORS:
            if coarse < fine:
                continue
            # The loss when the shortest m baselines use coarse channels.
            total = below * (coarse**2 - 1) + (below[-1] - below) * (fine**2 - 1)
            m = int(np.searchsorted(total, n * _SMEARING, side="right")) - 1
            if m >= 0:
                best = min(best, (m / coarse + (n - m) / fine, fine, coarse, m))
    _, fine, coarse, m = best
    both = (np.sort(order[m:]), fine), (np.sort(order[:m]), coarse)
    return tuple(_of_rows(layout, rows, k) for rows, k in both if len(rows))


def _of_rows(layout: Layout, rows: Integers, k: int) -> Averaging:
    centers = [_split(s, k) for s in layout.setups]
    parts = np.array([len(c) for c in centers])
    everything = np.concatenate(centers)
    place = np.argsort(np.argsort(everything, kind="stable"), kind="stable")
    columns = np.zeros((len(parts), parts.max()), np.int64)
    for setup, first in enumerate(np.cumsum(parts) - parts):
        columns[setup, : parts[setup]] = place[first : first + parts[setup]]
    return Averaging(rows, np.sort(everything), parts, columns)


def _split(setup: Setup, k: int) -> Floats:
    """Return the mean frequencies of groups of k neighbouring channels."""
    n = len(setup.channels_hz)
    parts = -(-n // k) if setup.even else n
    edges = np.arange(parts + 1) * n // parts
    sums = np.add.reduceat(setup.channels_hz, edges[:-1])
    return np.asarray(sums / np.diff(edges))


def _step_hz(setup: Setup) -> float:
    return float(np.abs(np.diff(setup.channels_hz[:2])).sum())


@compiled()
def _weight_of_i(weight: Singles, hands: Integers) -> tuple[float, float]:
    """Return the mean weight of the parallel hands, and their mean's variance times its square.

    Both are 0 where a weight can't be used.
    """
    mean, variance = 0.0, 0.0
    for hand in hands:
        if not (weight[hand] > 0 and np.isfinite(weight[hand])):
            return 0.0, 0.0
        mean += weight[hand] / len(hands)
        variance += 1.0 / weight[hand] / len(hands) ** 2
    return mean, mean**2 * variance


@compiled(parallel=True)
def average(
    which: Integers,
    rows: Integers,
    setup: Integers,
    data: NDArray[np.complex64],
    flag: NDArray[np.bool_],
    flag_row: NDArray[np.bool_],
    weight: Singles,
    channels: Integers,
    hands: Integers,
    parts: Integers,
    columns: Integers,
    values: NDArray[np.complex64],
    unlike: NDArray[np.complex64],
    weights: Singles,
    sums: Floats,
    not_finite: Integers,
) -> None:
    """Average rows of an MS into a block.

    Parameters
    ----------
    which : ndarray of int, shape (n,)
        Indices into the next five arrays of the rows to average.
    rows : ndarray of int, shape (n_all,)
        The block's row for each of them; no two of one setup go to the same.
    setup : ndarray of int, shape (n_all,)
        The setup of each row.
    data, flag : ndarray, shape (n_all, n_window_channels, n_correlations)
        Visibilities, Jy, and their flags.
    flag_row : ndarray of bool, shape (n_all,)
        Flags of whole rows.
    weight : ndarray, shape (n_all, 1 or n_window_channels, n_correlations)
        Weights of the visibilities.
    channels : ndarray of int, shape (n_channels,)
        The selected channels of a window.
    hands : ndarray of int, shape (1,) or (2,)
        The correlations whose mean is Stokes I.
    parts, columns : ndarray of int
        See `Averaging`.
    values : ndarray of complex64, shape (n_rows, n_columns)
        Output: Stokes I, Jy.
    unlike : ndarray of complex64, same shape
        Output: half the difference of two hands, Jy.
    weights : ndarray of float32, same shape
        Output: its weight.
    sums : ndarray, shape (n_all, 2)
        Output, sums over a row's columns: of weight times variance times weight, and of weight.
    not_finite : ndarray of int, shape (n_all,)
        Output: numbers of unflagged values that are not finite.
    """
    n_channels, n_hands = len(channels), len(hands)
    by_channel = weight.shape[1] > 1
    for j in spread(len(which)):
        row = which[j]
        if flag_row[row]:
            continue
        n_parts = parts[setup[row]]
        mean, square = _weight_of_i(weight[row, 0], hands)
        for part in range(n_parts):
            sum_weight, sum_real, sum_imag, sum_square = 0.0, 0.0, 0.0, 0.0
            apart_real, apart_imag = 0.0, 0.0
            for i in range(part * n_channels // n_parts, (part + 1) * n_channels // n_parts):
                if by_channel:
                    mean, square = _weight_of_i(weight[row, channels[i]], hands)
                good = mean > 0
                real: Any = np.float32(0.0)
                imag: Any = np.float32(0.0)
                for hand in hands:
                    good &= not flag[row, channels[i], hand]
                    real += data[row, channels[i], hand].real
                    imag += data[row, channels[i], hand].imag
                if not good:
                    continue
                if not (np.isfinite(real) and np.isfinite(imag)):
                    not_finite[row] += 1
                    continue
                sum_weight += mean
                sum_real += mean * real
                sum_imag += mean * imag
                sum_square += square
                if n_hands == 2:
                    apart = data[row, channels[i], hands[0]] - data[row, channels[i], hands[1]]
                    apart_real += mean * apart.real
                    apart_imag += mean * apart.imag
            if sum_weight > 0:
                column = columns[setup[row], part]
                value = complex(sum_real, sum_imag) / (sum_weight * n_hands)
                values[rows[row], column] = value
                unlike[rows[row], column] = complex(apart_real, apart_imag) / (2 * sum_weight)
                weights[rows[row], column] = sum_weight
                sums[row, 0] += sum_square
                sums[row, 1] += sum_weight
