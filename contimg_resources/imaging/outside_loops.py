"""Compiled loops over visibilities and a source outside of the image.

Belongs here: what perfect antennas see of a source, its products with data, and subtracting it with
gains. Doesn't: which source, and its gains (see `outside`).

The model is computed again in each pass: that takes less time than reading it.
"""

import numpy as np

from contimg_resources.compiling import compiled
from contimg_resources.imaging.engines.point_loops import cosine_and_sine


@compiled()
def _see(path_m, share_jy, per_m, edges, real, imaginary):  # type: ignore[no-untyped-def]  # numba: types follow the arguments
    """Compute what a baseline sees of a source in each channel."""
    real[:], imaginary[:] = np.float32(0.0), np.float32(0.0)
    for s in range(path_m.size):
        for part in range(edges.size - 1):
            seen = share_jy[s, part]
            if seen == 0:
                continue
            # Slices: the compiler knows then that no index is negative, and vectorises the loop.
            low, high = edges[part], edges[part + 1]
            a, b, per = real[low:high], imaginary[low:high], per_m[low:high]
            for k in range(per.size):
                turns = path_m[s] * per[k]
                x = turns - np.rint(turns)
                cosine, sine_by_x = cosine_and_sine(x * x)
                a[k] += seen * cosine
                b[k] += seen * (x * sine_by_x)


@compiled()
def add_products(  # type: ignore[no-untyped-def]
    values, weight, inverse, rows, first, second, path_m, share_jy, per_m, edges, product, power
) -> None:
    """Add rows to the sums over data times conjugate model and squared model, over the variance.

    Parameters
    ----------
    values, weight : ndarray, shape (all rows, channels)
        Visibilities, Jy, and their weights.
    inverse : ndarray of float32, shape (all rows,)
        Inverse of the variance times weight; 0 where it isn't known.
    rows : ndarray of int, shape (rows,)
        Rows to add.
    first, second : ndarray of int, shape (all rows,)
        Antennas.
    path_m : ndarray of float32, shape (all rows, components)
        Path differences of the components of the source, metres.
    share_jy : ndarray of float32, shape (all rows, components, parts)
        Flux densities that are left after averaging, Jy.
    per_m : ndarray of float32, shape (channels,)
        Wavelengths per metre.
    edges : ndarray of int, shape (parts + 1,)
        First channel of each part of the band, and the number of channels.
    product, power : ndarray, shape (parts, antennas, antennas)
        Receive the sums.
    """
    real, imaginary = np.empty(per_m.size, np.float32), np.empty(per_m.size, np.float32)
    for r in rows:
        _see(path_m[r], share_jy[r], per_m, edges, real, imaginary)
        i, j = first[r], second[r]
        for part in range(edges.size - 1):
            cross_re, cross_im, square = np.float32(0.0), np.float32(0.0), np.float32(0.0)
            low, high = edges[part], edges[part + 1]
            a, b = real[low:high], imaginary[low:high]
            data, natural = values[r, low:high], weight[r, low:high]
            for k in range(a.size):
                weighted_re, weighted_im = a[k] * natural[k], b[k] * natural[k]
                cross_re += data[k].real * weighted_re + data[k].imag * weighted_im
                cross_im += data[k].imag * weighted_re - data[k].real * weighted_im
                square += a[k] * weighted_re + b[k] * weighted_im
            product[part, i, j] += np.complex64(complex(cross_re, cross_im)) * inverse[r]
            power[part, i, j] += square * inverse[r]


@compiled()
def subtract_source(  # type: ignore[no-untyped-def]
    values, weight, rows, first, second, path_m, share_jy, per_m, edges, gain
) -> None:
    """Subtract a source from visibilities that have a weight, in place.

    Parameters
    ----------
    values, weight, rows, first, second, path_m, share_jy, per_m, edges
        As in `add_products`.
    gain : ndarray of complex64, shape (antennas, channels)
        Gains of the antennas.
    """
    real, imaginary = np.empty(per_m.size, np.float32), np.empty(per_m.size, np.float32)
    for r in rows:
        _see(path_m[r], share_jy[r], per_m, edges, real, imaginary)
        one, other = gain[first[r]], gain[second[r]]
        for k in range(per_m.size):
            if weight[r, k] > 0:
                a, b = one[k], other[k]
                re = a.real * b.real + a.imag * b.imag
                im = a.imag * b.real - a.real * b.imag
                values[r, k] -= np.complex64(
                    complex(
                        re * real[k] - im * imaginary[k],
                        re * imaginary[k] + im * real[k],
                    )
                )
