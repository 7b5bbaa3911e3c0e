"""Compiled loops over the visibilities of a block and the gains of its antennas.

Belongs here: products of both hands, aligning them, dividing by gains. Doesn't: the gains (see
`hands` and `solving`), the model of the field (see `model_loops`).
"""

import numpy as np

from contimg_resources.compiling import compiled, spread
from contimg_resources.imaging.engines.point_loops import cosine_and_sine


@compiled()
def add_hands(mean, apart, weight, inverse, rows, first, second, half, product, power) -> None:  # type: ignore[no-untyped-def]  # numba: types follow the arguments
    """Add the products of both hands of an integration, over their variance.

    Parameters
    ----------
    mean, apart : ndarray of complex64, shape (all rows, channels)
        Mean and half the difference of the hands, Jy.
    weight : ndarray of float32, same shape
        Weights.
    inverse : ndarray of float32, shape (all rows,)
        Inverse of the variance times weight of the mean; 0 where it isn't known.
    rows : ndarray of int, shape (rows,)
        Rows of the integration.
    first, second : ndarray of int, shape (all rows,)
        Antennas.
    half : ndarray of int, shape (channels,)
        Half of the band of each channel.
    product, power : ndarray, shape (2, antennas, antennas)
        Receive the products, and the sum of 1 / variance.
    """
    for r in rows:
        i, j = first[r], second[r]
        for k in range(half.size):
            over = weight[r, k] * inverse[r]
            # The real part of a product of two hands, each of twice the variance of their mean.
            over = over * over / np.float32(8)
            one, other = mean[r, k] + apart[r, k], mean[r, k] - apart[r, k]
            product[half[k], i, j] += over * (one * other.conjugate())
            power[half[k], i, j] += over


@compiled(parallel=True)
def mean_of_turned(mean, apart, angle, aligned) -> None:  # type: ignore[no-untyped-def]
    """Compute the mean of both hands, turned by an angle toward each other.

    Parameters
    ----------
    mean, apart : ndarray of complex64, shape (rows, channels)
        Mean and half the difference of the hands, Jy.
    angle : ndarray of float, shape (rows,)
        Half of the phase between them.
    aligned : ndarray of complex64, shape (rows, channels)
        Receives the mean.
    """
    for r in spread(len(mean)):
        cosine, sine = np.float32(np.cos(angle[r])), np.float32(np.sin(angle[r]))
        for k in range(mean.shape[1]):
            one, other = mean[r, k], apart[r, k]
            aligned[r, k] = complex(
                cosine * one.real + sine * other.imag, cosine * one.imag - sine * other.real
            )


@compiled(parallel=True)
def divide(values, weight, factor, apart_s, away_hz, divided, divided_weight) -> None:  # type: ignore[no-untyped-def]
    """Divide visibilities by the gains of two antennas; a factor of 0 takes their weight away.

    Parameters
    ----------
    values, weight : ndarray, shape (rows, channels)
        Visibilities, Jy, and their weights.
    factor : ndarray of complex64, shape (rows,)
        Product of the gains.
    apart_s : ndarray of float, shape (rows,)
        Difference of the delays, seconds.
    away_hz : ndarray of float, shape (channels,)
        Frequencies less that of the gains, Hz.
    divided, divided_weight : ndarray, shape (rows, channels)
        Receive visibilities and weights.
    """
    for r in spread(len(values)):
        square = factor[r].real * factor[r].real + factor[r].imag * factor[r].imag
        inverse = np.float32(1.0) / square if square > 0 else np.float32(0.0)
        a, b = factor[r].real * inverse, -factor[r].imag * inverse
        for k in range(away_hz.size):
            turns = -apart_s[r] * away_hz[k]
            x = np.float32(turns - np.rint(turns))
            cosine, sine_by_x = cosine_and_sine(x * x)
            sine = x * sine_by_x
            c, d = a * cosine - b * sine, a * sine + b * cosine
            value = values[r, k]
            divided[r, k] = complex(
                value.real * c - value.imag * d, value.real * d + value.imag * c
            )
            divided_weight[r, k] = weight[r, k] * square
