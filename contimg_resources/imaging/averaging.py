"""Make points of Stokes I from rows of visibilities, averaged over neighbouring channels.

Belongs here: how far channels may be averaged, and doing it. Doesn't: reading them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy.constants import speed_of_light

from contimg_resources.compiling import compiled, spread
from contimg_resources.imaging.layout import Layout

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Integers = NDArray[np.int64]

#: What averaging may take from the peak of a source at the edge of the primary beam. The limit is
#: 1 %; Briggs weights favour long baselines, which smear more than the mean that is held here.
_SMEARING = 0.006
#: Rows from which the averaging is planned.
_SAMPLE = 20_000


@dataclass(frozen=True)
class Parts:
    """Points in the uv plane; see `contimg_resources.imaging.visibilities.Visibilities`.

    Parameters
    ----------
    uvw : ndarray, shape (n, 3)
        Wavelengths.
    values : ndarray of complex64, shape (n,)
        Stokes I, Jy.
    weight, variance : ndarray of float32, shape (n,)
        Sum of weights, and variance of the value according to them.
    field_ids, channel_ids : ndarray of int16, shape (n,)
        Field and nearest channel.
    """

    uvw: Floats
    values: NDArray[np.complex64]
    weight: Singles
    variance: Singles
    field_ids: NDArray[np.int16]
    channel_ids: NDArray[np.int16]

    @classmethod
    def together(cls, parts: Sequence["Parts"]) -> "Parts":
        """Join several."""
        return cls(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)))


def parts_of_rows(layout: Layout, uvw_m: Floats, half_width_rad: float) -> Integers:
    """Return into how many points the channels of each row are averaged, shape (n_rows,).

    Parameters
    ----------
    layout : Layout
        Rows and spectral windows.
    uvw_m : ndarray, shape (n_rows, 3)
        Baselines, metres.
    half_width_rad : float
        Angle from the phase centre up to which the peak of a source is to be kept, radians.

    Notes
    -----
    Averaging k channels of width d takes ``1 - sinc(b theta k d / c)``, about ``x^2 / 6`` with
    ``x = pi b theta k d / c``, from what a baseline of projected length b gives to a source at
    theta (Thompson, Moran & Swenson 2017, section 6.4; less what the channels lose by themselves).
    The number of points is smallest for a given mean loss when k grows as ``b^(-2/3)``.
    """
    length_m = np.maximum(np.hypot(uvw_m[:, 0], uvw_m[:, 1]), 1.0)
    which = np.searchsorted([s.id for s in layout.setups], layout.setup_ids)
    n_channels = np.array([len(s.channels_hz) for s in layout.setups])[which]
    mergeable = np.array([s.even for s in layout.setups])[which]
    step_hz = np.array([_step_hz(s.channels_hz) for s in layout.setups])[which]
    most = np.where(mergeable, n_channels, 1)
    some = np.unique(np.linspace(0, len(which) - 1, min(len(which), _SAMPLE)).astype(int))
    unit = np.pi * length_m[some] * half_width_rad * step_hz[some] / speed_of_light

    def merged(scale: float, rows: Integers) -> Floats:
        wanted = scale * length_m[rows] ** (-2 / 3) / np.maximum(step_hz[rows], 1.0)
        points = np.ceil(n_channels[rows] / np.clip(wanted, 1.0, most[rows]))
        return np.asarray(n_channels[rows] / points)

    low, high = 1e-3, 1e15
    for _ in range(100):
        middle = float(np.sqrt(low * high))
        k = merged(middle, some)
        loss = float(np.mean(np.minimum(unit**2 / 6 * (k**2 - 1), 1.0)))
        low, high = (middle, high) if loss < _SMEARING else (low, middle)
    return np.rint(n_channels / merged(low, np.arange(len(which)))).astype(np.int64)


def _step_hz(channels_hz: Floats) -> float:
    return float(np.abs(np.diff(channels_hz[:2])).sum())


def average(
    *,
    data: NDArray[np.complex64],
    flag: NDArray[np.bool_],
    flag_row: NDArray[np.bool_],
    weight: Singles,
    uvw_m: Floats,
    field_ids: Integers,
    n_parts: Integers,
    window: Integers,
    channels_hz: Floats,
    first_channel: Integers,
    channels: Integers,
    hands: Integers,
) -> tuple[Parts, int, NDArray[np.bool_]]:
    """Average rows into points.

    Parameters
    ----------
    data, flag : ndarray, shape (n_rows, n_window_channels, n_correlations)
        Visibilities, Jy, and their flags.
    flag_row : ndarray of bool, shape (n_rows,)
        Flags of whole rows.
    weight : ndarray, shape (n_rows, 1 or n_window_channels, n_correlations)
        Weights.
    uvw_m : ndarray, shape (n_rows, 3)
        Baselines, metres.
    field_ids : ndarray of int, shape (n_rows,)
        Fields.
    n_parts : ndarray of int, shape (n_rows,)
        Points that each row becomes.
    window : ndarray of int, shape (n_rows,)
        Index of the row's window in the next two.
    channels_hz : ndarray, shape (n_windows, n_channels)
        Centres of the selected channels, Hz.
    first_channel : ndarray of int, shape (n_windows,)
        Number of the first of them among all channels.
    channels : ndarray of int, shape (n_channels,)
        The selected channels of a window.
    hands : ndarray of int, shape (1,) or (2,)
        The correlations whose mean is Stokes I.

    Returns
    -------
    points : Parts
        Those with weight.
    n_not_finite : int
        Unflagged values that are no numbers.
    seen : ndarray of bool, shape (n_rows,)
        Rows with at least one point.
    """
    offsets = np.concatenate([[0], np.cumsum(n_parts)])
    n = int(offsets[-1])
    uvw, values = np.empty((n, 3)), np.empty(n, np.complex64)
    total, variance = np.empty(n, np.float32), np.empty(n, np.float32)
    out_field, out_channel = np.empty(n, np.int16), np.empty(n, np.int16)
    not_finite = np.zeros(len(offsets) - 1, np.int64)
    _average(
        data, flag, flag_row, weight, uvw_m, field_ids, offsets, window, channels_hz, first_channel,
        channels, hands, uvw, values, total, variance, out_field, out_channel, not_finite,
    )  # fmt: skip
    kept = total > 0
    seen = np.logical_or.reduceat(kept, offsets[:-1]) if n else np.zeros(0, bool)
    everything = (uvw, values, total, variance, out_field, out_channel)
    if not kept.all():
        everything = tuple(column[kept] for column in everything)  # type: ignore[assignment]
    return Parts(*everything), int(not_finite.sum()), seen


@compiled(parallel=True)
def _average(
    data: NDArray[np.complex64],
    flag: NDArray[np.bool_],
    flag_row: NDArray[np.bool_],
    weight: Singles,
    uvw_m: Floats,
    field_ids: Integers,
    offsets: Integers,
    window: Integers,
    channels_hz: Floats,
    first_channel: Integers,
    channels: Integers,
    hands: Integers,
    uvw: Floats,
    values: NDArray[np.complex64],
    total: Singles,
    variance: Singles,
    out_field: NDArray[np.int16],
    out_channel: NDArray[np.int16],
    not_finite: Integers,
) -> None:
    n_channels, n_hands = len(channels), len(hands)
    by_channel = weight.shape[1] > 1
    for row in spread(len(offsets) - 1):
        n_parts = offsets[row + 1] - offsets[row]
        for part in range(n_parts):
            sum_weight, sum_value, sum_hz, sum_place, sum_square = 0.0, 0.0 + 0.0j, 0.0, 0.0, 0.0
            for i in range(part * n_channels // n_parts, (part + 1) * n_channels // n_parts):
                good = not flag_row[row]
                value, mean, spread_ = 0.0 + 0.0j, 0.0, 0.0
                for hand in hands:
                    w = weight[row, channels[i] if by_channel else 0, hand]
                    if flag[row, channels[i], hand] or not (w > 0 and np.isfinite(w)):
                        good = False
                        break
                    value += data[row, channels[i], hand]
                    mean += w
                    spread_ += 1.0 / w
                if not good:
                    continue
                if not (np.isfinite(value.real) and np.isfinite(value.imag)):
                    not_finite[row] += 1
                    continue
                mean /= n_hands
                sum_weight += mean
                sum_value += mean / n_hands * value
                sum_square += mean**2 * spread_ / n_hands**2
                sum_hz += mean * channels_hz[window[row], i]
                sum_place += mean * i
            out = offsets[row] + part
            total[out] = sum_weight
            if sum_weight > 0:
                scale = sum_hz / sum_weight / speed_of_light
                for axis in range(3):
                    uvw[out, axis] = scale * uvw_m[row, axis]
                values[out] = sum_value / sum_weight
                variance[out] = sum_square / sum_weight**2
                out_field[out] = field_ids[row]
                out_channel[out] = first_channel[window[row]] + int(np.rint(sum_place / sum_weight))
