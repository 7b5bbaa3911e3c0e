"""Compiled loops over visibilities and point sources.

Belongs here: the visibilities of a few dozen point sources, and sums over visibilities.
Doesn't: the flux of the sources (see `drift`), thousands of sources (see `gridding`).

The innermost loops run over the channels of a baseline, which are more than the sources, so that
they are vectorised even for a single source.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_resources.compiling import compiled, spread

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Shorts = NDArray[np.int16]
Complexes = NDArray[np.complex64]

#: Number of parts of the visibilities that are processed in parallel.
_PARTS = 64

# cos(2 pi x) and sin(2 pi x) / x as polynomials in x^2 for |x| <= 1/2, to single precision.
_NODES = 0.25 * (1.0 - np.cos(np.pi * (np.arange(64) + 0.5) / 64)) / 2.0
_C = (
    np.polynomial.Polynomial.fit(_NODES, np.cos(2 * np.pi * np.sqrt(_NODES)), 7)
    .convert()
    .coef.astype(np.float32)
)
_S = (
    np.polynomial.Polynomial.fit(_NODES, 2 * np.pi * np.sinc(2 * np.sqrt(_NODES)), 7)
    .convert()
    .coef.astype(np.float32)
)


@compiled()
def cosine_and_sine(q: Any) -> tuple[Any, Any]:
    """Return cos(2 pi x) and sin(2 pi x) / x for q = x^2."""
    c = _C[7]
    d = _S[7]
    c = c * q + _C[6]
    d = d * q + _S[6]
    c = c * q + _C[5]
    d = d * q + _S[5]
    c = c * q + _C[4]
    d = d * q + _S[4]
    c = c * q + _C[3]
    d = d * q + _S[3]
    c = c * q + _C[2]
    d = d * q + _S[2]
    c = c * q + _C[1]
    d = d * q + _S[1]
    c = c * q + _C[0]
    d = d * q + _S[0]
    return c, d


@compiled()
def _see(path_m: float, per_m: Singles, flux: Singles, real: Singles, imaginary: Singles) -> None:
    """Add the visibilities of a source in each channel."""
    for k in range(per_m.size):
        turns = path_m * per_m[k]
        x = turns - np.rint(turns)
        cosine, sine_by_x = cosine_and_sine(x * x)
        real[k] += flux[k] * cosine
        imaginary[k] += flux[k] * (x * sine_by_x)


@compiled()
def _turn(
    path_m: float,
    per_m: Singles,
    real: Singles,
    imaginary: Singles,
    first: Singles,
    second: Singles,
) -> tuple[Any, Any]:
    """Return sums over channels of visibilities phase-rotated to a source, times two factors."""
    one, other = np.float32(0.0), np.float32(0.0)
    for k in range(per_m.size):
        turns = path_m * per_m[k]
        x = turns - np.rint(turns)
        cosine, sine_by_x = cosine_and_sine(x * x)
        toward_us = real[k] * cosine + imaginary[k] * (x * sine_by_x)
        one += first[k] * toward_us
        other += second[k] * toward_us
    return one, other


@compiled()
def _paths(uvw_m: Floats, cosines: Floats, path_m: Singles) -> None:
    """Write the path difference of each source on a baseline, metres."""
    for s in range(len(path_m)):
        path_m[s] = uvw_m[0] * cosines[0, s] + uvw_m[1] * cosines[1, s] + uvw_m[2] * cosines[2, s]


@compiled(parallel=True)
def subtract_points(
    values: Complexes,
    uvw_m: Floats,
    per_m: Singles,
    weight: Singles,
    field_ids: Shorts,
    cosines: Floats,
    table_jy: Singles,
) -> None:
    """Subtract sources from visibilities, in place.

    Parameters
    ----------
    values : ndarray of complex64, shape (n_rows, n_columns)
        Visibilities, Jy.
    uvw_m : ndarray, shape (n_rows, 3)
        Baselines, metres.
    per_m : ndarray of float32, shape (n_columns,)
        Wavelengths per metre in each column.
    weight : ndarray of float32, shape (n_rows, n_columns)
        Weights; where they are 0 nothing is subtracted.
    field_ids : ndarray of int16, shape (n_rows,)
        Fields.
    cosines : ndarray, shape (3, n_sources)
        l (east), m (north) and n - 1 of each source.
    table_jy : ndarray of float32, shape (n_fields, n_sources, n_columns)
        Apparent fluxes, Jy.
    """
    n, n_sources, n_columns = len(values), cosines.shape[1], len(per_m)
    for part in spread(_PARTS):
        path = np.empty(n_sources, np.float32)
        real, imaginary = np.empty(n_columns, np.float32), np.empty(n_columns, np.float32)
        for i in range(part * n // _PARTS, (part + 1) * n // _PARTS):
            _paths(uvw_m[i], cosines, path)
            real[:], imaginary[:] = np.float32(0.0), np.float32(0.0)
            for s in range(n_sources):
                _see(path[s], per_m, table_jy[field_ids[i], s], real, imaginary)
            for k in range(n_columns):
                if weight[i, k] != 0:
                    values[i, k] -= np.complex64(complex(real[k], imaginary[k]))


@compiled(parallel=True)
def turn_to_points(
    values: Complexes,
    uvw_m: Floats,
    per_m: Singles,
    weight: Singles,
    field_ids: Shorts,
    cosines: Floats,
    first: Singles,
    second: Singles,
) -> Floats:
    """Return sums of visibilities phase-rotated to sources.

    Parameters
    ----------
    values : ndarray of complex64, shape (n_rows, n_columns)
        Visibilities, Jy.
    uvw_m : ndarray, shape (n_rows, 3)
        Baselines, metres.
    per_m : ndarray of float32, shape (n_columns,)
        Wavelengths per metre in each column.
    weight : ndarray of float32, shape (n_rows, n_columns)
        Weights of the visibilities.
    field_ids : ndarray of int16, shape (n_rows,)
        Fields.
    cosines : ndarray, shape (3, n_sources)
        l (east), m (north) and n - 1 of each source.
    first, second : ndarray of float32, shape (n_fields, n_sources, n_columns)
        Factors of the two sums.

    Returns
    -------
    ndarray, shape (2, n_sources)
        For each source the sums of weight times factor times the rotated visibility's real part.
    """
    n, n_sources, n_columns = len(values), cosines.shape[1], len(per_m)
    sums = np.zeros((_PARTS, 2, n_sources), np.float64)
    for part in spread(_PARTS):
        path = np.empty(n_sources, np.float32)
        real, imaginary = np.empty(n_columns, np.float32), np.empty(n_columns, np.float32)
        for i in range(part * n // _PARTS, (part + 1) * n // _PARTS):
            _paths(uvw_m[i], cosines, path)
            for k in range(n_columns):
                real[k] = weight[i, k] * values[i, k].real
                imaginary[k] = weight[i, k] * values[i, k].imag
            for s in range(n_sources):
                f, g = first[field_ids[i], s], second[field_ids[i], s]
                one, other = _turn(path[s], per_m, real, imaginary, f, g)
                sums[part, 0, s] += one
                sums[part, 1, s] += other
    return np.asarray(sums.sum(axis=0))
