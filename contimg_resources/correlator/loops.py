"""Compiled loops over the visibilities of a sub-band.

Belongs here: turning visibilities to a phase centre, flags and weights. Doesn't: files.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.constants import speed_of_light

from contimg_resources.compiling import compiled


@compiled()
def turn_visibilities(  # type: ignore[no-untyped-def]  # numba: types follow the arguments
    visibilities,
    flags,
    samples,
    rows,
    w_m,
    conjugated,
    descending,
    frequencies_hz,
    evenly_spaced,
    products,
    products_conjugated,
    data,
    flag,
    spectrum,
    weight,
    counts,
):
    """Turn the visibilities of an integration to its phase centre, on one core.

    Parameters
    ----------
    visibilities : Chunks of complex
        Visibilities without a phase centre, as stored: (rows, channels, polarisations).
    flags : Chunks of bool
        Flags.
    samples : Chunks of float
        Numbers of samples.
    rows : ndarray of int, shape (baselines,)
        Row of each baseline.
    w_m : ndarray of float, shape (baselines,)
        w of each baseline towards the phase centre, as UVH5 counts it, metres.
    conjugated : ndarray of bool, shape (baselines,)
        Whether the MS holds the conjugate.
    descending : bool
        Whether the file's channels are in the opposite order.
    frequencies_hz : ndarray of float, shape (channels,)
        Frequencies of the channels of the MS, Hz.
    evenly_spaced : bool
        Whether a channel's turn follows from the one before.
    products, products_conjugated : ndarray of int, shape (polarisations,)
        Polarisation of the file for each one of the MS, of baselines as they are and of conjugated
        ones.
    data : ndarray of complex64, shape (baselines, channels, polarisations)
        Receives the visibilities; 0 where they aren't finite.
    flag : ndarray of bool, same shape
        Receives the flags: those of the file, and visibilities that aren't finite or have no
        positive number of samples.
    spectrum : ndarray of float32, same shape
        Receives the weights: the number of samples; 0 where it isn't positive and finite.
    weight : ndarray of float32, shape (baselines, polarisations)
        Receives the median weight of the channels.
    counts : ndarray of int, shape (baselines, 4)
        Receives how many visibilities without a flag aren't finite, and have no samples; how many
        `flag` flags; and whether the weights vary along the channels.
    """
    n_channels, n_products = data.shape[1], data.shape[2]
    values = np.empty(n_channels, visibilities.items.dtype)
    flagged = np.empty(n_channels, flags.items.dtype)
    numbers = np.empty(n_channels, samples.items.dtype)
    turns = np.empty(n_channels, np.complex64)
    # Distance from it: the channel of the file for each channel of the MS.
    first = n_channels - 1 if descending else 0
    for b in range(rows.size):
        _turns(-2.0 * np.pi * w_m[b] / speed_of_light, frequencies_hz, evenly_spaced, turns)
        sign = np.float32(-1.0 if conjugated[b] else 1.0)
        n_infinite = 0
        n_empty = 0
        n_flagged = 0
        vary = 0
        for p in range(n_products):
            q = products_conjugated[p] if conjugated[b] else products[p]
            _take(visibilities, rows[b], q, values)
            _take(flags, rows[b], q, flagged)
            _take(samples, rows[b], q, numbers)
            into, into_flag, into_spectrum = data[b, :, p], flag[b, :, p], spectrum[b, :, p]
            if _is_plain(values, numbers):
                for c in range(n_channels):
                    turned = values[abs(first - c)] * turns[c]
                    into[c] = complex(turned.real, sign * turned.imag)
                    known = flagged[abs(first - c)]
                    into_flag[c] = known
                    n_flagged += known
                    into_spectrum[c] = numbers[0]
                weight[b, p] = numbers[0]
                continue
            for c in range(n_channels):
                value, number = values[abs(first - c)], numbers[abs(first - c)]
                finite = np.isfinite(value.real) and np.isfinite(value.imag)
                counted = number > 0 and np.isfinite(number)
                known = flagged[abs(first - c)]
                if not known:
                    if not finite:
                        n_infinite += 1
                    elif not counted:
                        n_empty += 1
                turned = value * turns[c] if finite else np.complex64(0.0)
                into[c] = complex(turned.real, sign * turned.imag)
                bad = known or not finite or not counted
                into_flag[c] = bad
                n_flagged += bad
                into_spectrum[c] = number if counted else 0.0
                vary |= into_spectrum[c] != into_spectrum[0]
            weight[b, p] = np.median(into_spectrum.copy())
        counts[b, 0] = n_infinite
        counts[b, 1] = n_empty
        counts[b, 2] = n_flagged
        counts[b, 3] = vary


@compiled()
def _is_plain(values, numbers):  # type: ignore[no-untyped-def]
    """Return whether all values are finite, and all numbers of samples the same."""
    usual = numbers[0]
    same = usual > 0 and np.isfinite(usual)
    # Products with 0 sum to 0, unless one of them isn't finite.
    total = np.float32(0.0)
    for c in range(values.size):
        same &= numbers[c] == usual
        total += values[c].real * np.float32(0.0) + values[c].imag * np.float32(0.0)
    return same and total == 0


@compiled()
def _turns(delay, frequencies_hz, evenly_spaced, turns):  # type: ignore[no-untyped-def]
    """Compute the turn of each channel for a delay, radians per Hz."""
    n_channels = turns.size
    angle = delay * frequencies_hz[0]
    turn = complex(np.cos(angle), np.sin(angle))
    step = 1.0 + 0.0j
    if n_channels > 1:
        angle = delay * (frequencies_hz[n_channels - 1] - frequencies_hz[0]) / (n_channels - 1)
        step = complex(np.cos(angle), np.sin(angle))
    for c in range(n_channels):
        if not evenly_spaced:
            angle = delay * frequencies_hz[c]
            turn = complex(np.cos(angle), np.sin(angle))
        turns[c] = turn
        turn *= step


@compiled()
def _take(chunks, row, product, values):  # type: ignore[no-untyped-def]
    """Take a row of one polarisation from the chunks of a dataset."""
    n_rows, n_channels, n_products = chunks.shape[0], chunks.shape[1], chunks.shape[2]
    within = (row % n_rows) * n_channels * n_products + product % n_products
    for k in range(chunks.starts.shape[1]):
        first = k * n_channels
        n = min(n_channels, values.size - first)
        source = chunks.starts[row // n_rows, k, product // n_products] + within
        # Slices: the compiler knows then that no index is negative.
        cells, taken = chunks.items[source:], values[first : first + n]
        if n_products == 1:
            for c in range(n):
                taken[c] = cells[c]
        else:
            for c in range(n):
                taken[c] = cells[c * n_products]


def as_complex(values: NDArray[Any]) -> NDArray[Any]:
    """Return visibilities that were stored as pairs of integers as complex numbers."""
    if values.dtype.kind == "c":
        return values
    return (values["r"] + 1j * values["i"]).astype(np.complex64)
