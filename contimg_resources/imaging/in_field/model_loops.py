"""Compiled loops over the visibilities of an integration and the model of their field.

Belongs here: the model's visibilities of single baselines, and sums of their products with data.
Doesn't: the sources and what antennas see of them (see `field_model`).

The model of a baseline is a sum over sources of the product of two antennas' factors. A few
channels of all antennas fit the processor's cache, so that the loop over baselines is inside that
over these channels.
"""

import numpy as np

from contimg_resources.compiling import compiled
from contimg_resources.imaging.engines.point_loops import cosine_and_sine

#: Number of channels whose factors of all antennas fit the cache.
_TILE = 4


@compiled()
def phasors(delays_s, frequencies_hz, root_jy, real, imaginary):  # type: ignore[no-untyped-def]  # numba: types follow the arguments
    """Compute each antenna's factors, shape (frequencies, antennas, sources).

    Parameters
    ----------
    delays_s : ndarray of float, shape (antennas, sources)
        Delay of each antenna toward each source, seconds.
    frequencies_hz : ndarray of float, shape (frequencies,)
        Frequencies, Hz.
    root_jy : ndarray of float32, shape (frequencies, sources)
        Square roots of the apparent flux densities, Jy^0.5.
    real, imaginary : ndarray of float32, shape (frequencies, antennas, sources)
        Receive the factors.
    """
    n_antennas, n_sources = delays_s.shape
    for k in range(frequencies_hz.size):
        hz = frequencies_hz[k]
        for a in range(n_antennas):
            for s in range(n_sources):
                turns = delays_s[a, s] * hz
                # Whole turns are removed in double precision; the rest fits single precision.
                x = np.float32(turns - np.rint(turns))
                cosine, sine_by_x = cosine_and_sine(x * x)
                real[k, a, s] = root_jy[k, s] * cosine
                imaginary[k, a, s] = root_jy[k, s] * (x * sine_by_x)


@compiled()
def _pair(real, imaginary, k, i, j, decays, r, step):  # type: ignore[no-untyped-def]
    """Return the visibility of antennas i and j in channel k, the baseline of row r."""
    # Indices and no slices, whose references would take more time than the loop.
    x, y = np.float32(0.0), np.float32(0.0)
    for s in range(real.shape[2]):
        a, b, c, d = real[k, i, s], imaginary[k, i, s], real[k, j, s], imaginary[k, j, s]
        x += a * c + b * d
        y += b * c - a * d
    for s in range(decays.shape[2]):
        a, b, c, d = real[k, i, s], imaginary[k, i, s], real[k, j, s], imaginary[k, j, s]
        less = decays[r, step, s] - np.float32(1.0)
        x += less * (a * c + b * d)
        y += less * (b * c - a * d)
    return x, y


@compiled()
def subtract_model(values, first, second, real, imaginary, decays, step) -> None:  # type: ignore[no-untyped-def]
    """Subtract the model from visibilities, in place.

    Parameters
    ----------
    values : ndarray of complex64, shape (rows, frequencies)
        Visibilities, Jy.
    first, second : ndarray of int, shape (rows,)
        Antennas.
    real, imaginary : ndarray of float32, shape (frequencies, antennas, sources)
        Factors of the antennas, see `phasors`.
    decays : ndarray of float32, shape (rows, steps, wide sources)
        What baselines see of the first sources, which are extended, at some frequencies.
    step : ndarray of int, shape (frequencies,)
        Which of these frequencies belongs to each channel.
    """
    n_channels = values.shape[1]
    for start in range(0, n_channels, _TILE):
        end = min(start + _TILE, n_channels)
        for r in range(len(values)):
            i, j = np.uint64(first[r]), np.uint64(second[r])
            for k in range(start, end):
                re, im = _pair(real, imaginary, k, i, j, decays, r, step[k])
                values[r, k] -= np.complex64(complex(re, im))


@compiled()
def add_products(  # type: ignore[no-untyped-def]
    values,
    weight,
    inverse,
    rows,
    first,
    second,
    part,
    frequencies_hz,
    real,
    imaginary,
    decays,
    step,
    product,
    power,
    weights,
    frequency,
    signal,
    n_values,
) -> None:
    """Add the rows of an integration to its sums, see `contimg_resources.imaging.in_field.sums`.

    Parameters
    ----------
    values, weight : ndarray, shape (all rows, frequencies)
        Visibilities, Jy, and their weights.
    inverse : ndarray of float32, shape (all rows,)
        Inverse of the variance times weight; 0 where it isn't known.
    rows : ndarray of int, shape (rows,)
        Rows of the integration.
    first, second : ndarray of int, shape (all rows,)
        Antennas.
    part : ndarray of int, shape (frequencies,)
        Part of the band of each channel.
    frequencies_hz, real, imaginary, decays, step
        The model, see `subtract_model`; `decays` has a row for each of `rows`.
    product, power : ndarray, shape (parts, antennas, antennas)
        Receive the products with the model and its square.
    weights : ndarray of float32, shape (antennas, antennas)
        Receives the sum of the weights.
    frequency : ndarray of float, shape (parts,)
        Receives the sum of frequencies times squared model.
    signal, n_values : ndarray of float, shape (antennas,)
        Receive the power of the data beyond noise, and the number of visibilities.
    """
    n_channels = frequencies_hz.size
    start = 0
    while start < n_channels:
        end = start + 1
        while end < min(start + _TILE, n_channels) and part[end] == part[start]:
            end += 1
        its = part[start]
        for r in range(rows.size):
            row = rows[r]
            i, j = np.uint64(first[row]), np.uint64(second[row])
            cross_re, cross_im, square, natural = 0.0, 0.0, 0.0, 0.0
            excess, n = 0.0, 0
            for k in range(start, end):
                over = weight[row, k] * inverse[row]
                if over == 0:
                    continue
                re, im = _pair(real, imaginary, k, i, j, decays, r, step[k])
                data = values[row, k]
                cross_re += over * (data.real * re + data.imag * im)
                cross_im += over * (data.imag * re - data.real * im)
                norm = over * (re * re + im * im)
                square += norm
                frequency[its] += norm * frequencies_hz[k]
                natural += over
                # The real and the imaginary part of noise add one each.
                excess += over * (data.real * data.real + data.imag * data.imag) - 2.0
                n += 1
            if n:
                product[its, i, j] += np.complex64(complex(cross_re, cross_im))
                power[its, i, j] += np.float32(square)
                weights[i, j] += np.float32(natural)
                signal[i] += excess
                signal[j] += excess
                n_values[i] += n
                n_values[j] += n
        start = end
