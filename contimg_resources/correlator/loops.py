"""Compiled loops over the visibilities of a sub-band.

Belongs here: turning visibilities to a phase centre, flags and weights. Doesn't: files.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_resources.compiling import compiled, spread

_LIGHT_M_PER_S = 299_792_458.0


@compiled(parallel=True)
def turn_visibilities(  # type: ignore[no-untyped-def]  # numba: types follow the arguments
    visibilities,
    flags,
    samples,
    rows,
    w_m,
    conjugated,
    channels,
    frequencies_hz,
    evenly_spaced,
    products,
    products_conjugated,
    data,
    flag,
    spectrum,
    weight,
    lost,
):
    """Turn the visibilities of an integration to its phase centre.

    Parameters
    ----------
    visibilities : ndarray of complex, shape (rows, channels, polarisations)
        Visibilities without a phase centre, in the order of the file.
    flags : ndarray of bool, same shape
        Flags.
    samples : ndarray of float, same shape
        Numbers of samples.
    rows : ndarray of int, shape (baselines,)
        Row of each baseline.
    w_m : ndarray of float, shape (baselines,)
        w of each baseline towards the phase centre, as UVH5 counts it, metres.
    conjugated : ndarray of bool, shape (baselines,)
        Whether the MS holds the conjugate.
    channels : ndarray of int, shape (channels,)
        Channel of the file for each channel of the MS.
    frequencies_hz : ndarray of float, shape (channels,)
        Their frequencies, in the order of the MS, Hz.
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
    lost : ndarray of int, shape (baselines, 2)
        Receives how many visibilities without a flag aren't finite, and have no samples.
    """
    n_channels, n_products = data.shape[1], data.shape[2]
    for b in spread(rows.size):
        row = rows[b]
        delay = -2.0 * np.pi * w_m[b] / _LIGHT_M_PER_S
        angle = delay * frequencies_hz[0]
        turn = complex(np.cos(angle), np.sin(angle))
        step = 1.0 + 0.0j
        if n_channels > 1:
            angle = delay * (frequencies_hz[n_channels - 1] - frequencies_hz[0])
            angle = angle / (n_channels - 1)
            step = complex(np.cos(angle), np.sin(angle))
        n_infinite = 0
        n_empty = 0
        for c in range(n_channels):
            source = channels[c]
            if not evenly_spaced:
                angle = delay * frequencies_hz[c]
                turn = complex(np.cos(angle), np.sin(angle))
            for p in range(n_products):
                q = products_conjugated[p] if conjugated[b] else products[p]
                value = visibilities[row, source, q]
                number = samples[row, source, q]
                finite = np.isfinite(value.real) and np.isfinite(value.imag)
                counted = number > 0 and np.isfinite(number)
                flagged = flags[row, source, q]
                if not flagged:
                    if not finite:
                        n_infinite += 1
                    elif not counted:
                        n_empty += 1
                turned = turn * value if finite else 0.0j
                data[b, c, p] = turned.conjugate() if conjugated[b] else turned
                flag[b, c, p] = flagged or not finite or not counted
                spectrum[b, c, p] = number if counted else 0.0
            turn *= step
        for p in range(n_products):
            first = spectrum[b, 0, p]
            same = True
            for c in range(1, n_channels):
                if spectrum[b, c, p] != first:
                    same = False
                    break
            weight[b, p] = first if same else np.median(spectrum[b, :, p].copy())
        lost[b, 0] = n_infinite
        lost[b, 1] = n_empty


def as_complex(values: NDArray[Any]) -> NDArray[Any]:
    """Return visibilities that were stored as pairs of integers as complex numbers."""
    if values.dtype.kind == "c":
        return values
    return (values["r"] + 1j * values["i"]).astype(np.complex64)
