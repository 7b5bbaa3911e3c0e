"""Compiled loops over visibilities and point sources.

Belongs here: the visibilities of a few dozen point sources, and sums over visibilities.
Doesn't: the flux of the sources (see `drift`), thousands of sources (see `gridding`).

From one channel to the next the phase of a source on a baseline rotates by the same angle, so where
sources are subtracted a complex product replaces a cosine and a sine. Rounding errors accumulate,
so every few channels, and wherever the channels' spacing changes, phases are recomputed.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.constants import speed_of_light

from contimg_resources.compiling import compiled, spread

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Shorts = NDArray[np.int16]
Complexes = NDArray[np.complex64]

#: Phases are recomputed after this many channels: they are accurate to 2e-6 then.
_MOST_TURNS = 32
#: Channels are evenly spaced to this share of their frequency: 1e-5 turns over a kilometre.
_EVEN = 1e-8
#: Number of partial sums over visibilities computed in parallel.
_HEAPS = 16


class Turns(NamedTuple):
    """The change of phases from channel to channel.

    Parameters
    ----------
    per_m : ndarray of float32, shape (n_columns,)
        Wavelengths per metre in each channel.
    more_per_m : ndarray of float32, shape (n_columns,)
        Its difference from the previous channel, as long as those are evenly spaced; at a
        recomputed channel, from there to the next.
    anew : ndarray of bool, shape (n_columns,)
        Where phases are recomputed.
    """

    per_m: Singles
    more_per_m: Singles
    anew: Bools

    @classmethod
    def of(cls, channels_hz: Floats) -> "Turns":
        """Return the turns of channels at these frequencies, Hz."""
        per_m = channels_hz / speed_of_light
        steps = np.diff(per_m, append=per_m[-1:])
        anew = np.ones(len(per_m), np.bool_)
        begin = 0
        for k in range(1, len(per_m)):
            even = abs(steps[k - 1] - steps[begin]) < _EVEN * per_m[k]
            anew[k] = not even or k - begin >= _MOST_TURNS
            begin = k if anew[k] else begin
        return cls(per_m.astype(np.float32), steps.astype(np.float32), anew)


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
def _cosine_and_sine(q: float) -> tuple[float, float]:
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
def _phases(path_m: Singles, per_m: float, c: Singles, s: Singles) -> None:
    """Write cosine and sine of each source's phase."""
    for j in range(path_m.size):
        turns = path_m[j] * per_m
        x = turns - np.rint(turns)
        cosine, sine_by_x = _cosine_and_sine(x * x)
        c[j] = cosine
        s[j] = x * sine_by_x


@compiled()
def _see_and_turn_on(
    c: Singles, s: Singles, by_c: Singles, by_s: Singles, flux: Singles
) -> tuple[Any, Any]:
    """Return the sum over sources, and rotate their phases by some angles, in place."""
    real, imaginary = np.float32(0.0), np.float32(0.0)
    for j in range(flux.size):
        cosine, sine = c[j], s[j]
        real += flux[j] * cosine
        imaginary += flux[j] * sine
        c[j] = cosine * by_c[j] - sine * by_s[j]
        s[j] = cosine * by_s[j] + sine * by_c[j]
    return real, imaginary


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
    more_per_m: Singles,
    anew: Bools,
    weight: Singles,
    field_ids: Shorts,
    bins: Shorts,
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
    per_m, more_per_m, anew : ndarray, shape (n_columns,)
        See `Turns`.
    weight : ndarray of float32, shape (n_rows, n_columns)
        Weights; where they are 0 nothing is subtracted.
    field_ids : ndarray of int16, shape (n_rows,)
        Fields.
    bins : ndarray of int16, shape (n_columns,)
        Bin of each column.
    cosines : ndarray, shape (3, n_sources)
        l (east), m (north) and n - 1 of each source.
    table_jy : ndarray of float32, shape (n_fields, n_bins, n_sources)
        Apparent fluxes, Jy.
    """
    n_sources = cosines.shape[1]
    for i in spread(len(values)):
        path = np.empty(n_sources, np.float32)
        c, s = np.empty(n_sources, np.float32), np.empty(n_sources, np.float32)
        by_c, by_s = np.empty(n_sources, np.float32), np.empty(n_sources, np.float32)
        _paths(uvw_m[i], cosines, path)
        for k in range(len(per_m)):
            if anew[k]:
                _phases(path, per_m[k], c, s)
                _phases(path, more_per_m[k], by_c, by_s)
            real, imaginary = _see_and_turn_on(c, s, by_c, by_s, table_jy[field_ids[i], bins[k]])
            if weight[i, k] != 0:
                values[i, k] -= np.complex64(complex(real, imaginary))


@compiled(parallel=True)
def turn_to_points(
    values: Complexes,
    uvw_m: Floats,
    per_m: Singles,
    weight: Singles,
    field_ids: Shorts,
    bins: Shorts,
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
    bins : ndarray of int16, shape (n_columns,)
        Bin of each column.
    cosines : ndarray, shape (3, n_sources)
        l (east), m (north) and n - 1 of each source.
    first, second : ndarray of float32, shape (n_fields, n_bins, n_sources)
        Factors of the two sums.

    Returns
    -------
    ndarray, shape (2, n_sources)
        For each source the sums of weight times factor times the rotated visibility's real part.
    """
    n, n_sources = len(values), cosines.shape[1]
    sums = np.zeros((_HEAPS, 2, n_sources), np.float64)
    for heap in spread(_HEAPS):
        path = np.empty(n_sources, np.float32)
        for i in range(heap * n // _HEAPS, (heap + 1) * n // _HEAPS):
            _paths(uvw_m[i], cosines, path)
            for k in range(len(per_m)):
                if weight[i, k] == 0:
                    continue
                real, imaginary = weight[i, k] * values[i, k].real, weight[i, k] * values[i, k].imag
                f, g = first[field_ids[i], bins[k]], second[field_ids[i], bins[k]]
                for s in range(n_sources):
                    turns = path[s] * per_m[k]
                    x = turns - np.rint(turns)
                    c, d = _cosine_and_sine(x * x)
                    toward_us = real * c + imaginary * (x * d)
                    sums[heap, 0, s] += f[s] * toward_us
                    sums[heap, 1, s] += g[s] * toward_us
    return np.asarray(sums.sum(axis=0))
