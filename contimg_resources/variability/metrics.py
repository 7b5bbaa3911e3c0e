"""Variability metrics of many sources at once.

Belongs here: the formulas. Doesn't: flagging sources as variable (see `selection`), files.

References: Swinbank et al. 2015, Astron. Comput. 11, 25 (eta, V); Mooley et al. 2016, ApJ 818, 105
(pairs); Barvainis et al. 2005, ApJ 618, 108 (debiased modulation index).
"""

from dataclasses import dataclass

import numpy as np

from contimg_resources.core.arrays import Floats, Ints
from contimg_resources.variability.model import LightCurves

#: A source varies if a pair of its epochs exceeds these limits (Mooley et al. 2016).
PAIR_MIN_VS = 4.3
PAIR_MIN_M = 0.26


@dataclass(frozen=True)
class Scatter:
    """Scatter of each source's flux densities; NaN with fewer than two measurements.

    Arrays have the shape (n_sources,).
    """

    n: Ints  #: Number of measurements.
    mean_jy: Floats  #: Weighted mean, Jy.
    eta: Floats  #: See `scatter_of`.
    v: Floats  #: See `scatter_of`.
    modulation_index: Floats  #: See `scatter_of`.
    p_value: Floats  #: See `scatter_of`.


def errors_with_floor(curves: LightCurves, floor: float, level_jy: Floats) -> Floats:
    """Return the error of each measurement with the systematic error floor, Jy, shape (n_points,).

    ``sqrt(sigma^2 + (f S)^2)``, S the source's median flux density `level_jy`: with each
    measurement's own flux density, a low one would have more weight than a high one.
    """
    return np.hypot(curves.error_jy, floor * np.abs(_spread_out(level_jy, curves)))


def medians(curves: LightCurves) -> Floats:
    """Return the median flux density of each source, Jy, shape (n_sources,)."""
    return medians_of(curves.flux_jy, curves)


def medians_of(values: Floats, curves: LightCurves) -> Floats:
    """Return the median of a column for each source, shape (n_sources,)."""
    return np.array([np.median(values[curves.of(i)]) for i in range(len(curves))])


def scatter_of(curves: LightCurves, error_jy: Floats) -> Scatter:
    """Measure the scatter of each source; errors include the systematic error floor, Jy.

    ``eta = N / (N - 1) (<w I^2> - <w I>^2 / <w>)`` with ``w = 1 / sigma^2``, the reduced chi2 about
    the weighted mean; ``V = s / <I>`` with s the standard deviation (N - 1); ``m_d = sqrt((sum (S_i
    - <S>)^2 - sum sigma_i^2) / N) / <S>``, negative where the argument is; p, the probability of as
    large an eta for a steady source, from chi2 with N - 1 degrees of freedom. V and m_d are NaN if
    the mean flux density isn't positive.
    """
    from scipy.stats import chi2

    n = np.diff(curves.offsets)
    if not len(curves):
        nothing = np.empty(0)
        return Scatter(n, nothing, nothing, nothing, nothing, nothing)
    weight = 1.0 / np.square(error_jy)
    flux = curves.flux_jy
    mean = _sums(weight * flux, curves) / _sums(weight, curves)
    plain = _sums(flux, curves) / n
    # Centred: the difference of large sums would lose all digits.
    off_weighted, off = flux - _spread_out(mean, curves), flux - _spread_out(plain, curves)
    squares = _sums(np.square(off), curves)
    with np.errstate(divide="ignore", invalid="ignore"):
        several = np.where(n > 1, n - 1.0, np.nan)
        eta = _sums(weight * np.square(off_weighted), curves) / several
        positive = np.where(plain > 0, plain, np.nan)
        v = np.sqrt(squares / several) / positive
        excess = (squares - _sums(np.square(error_jy), curves)) / np.where(n > 1, n, np.nan)
        modulation = np.sign(excess) * np.sqrt(np.abs(excess)) / positive
    return Scatter(n, mean, eta, v, modulation, np.asarray(chi2.sf(eta * several, several)))


def _sums(values: Floats, curves: LightCurves) -> Floats:
    # Every source has a measurement, so all offsets differ.
    return np.asarray(np.add.reduceat(values, curves.offsets[:-1]))


def _spread_out(of_sources: Floats, curves: LightCurves) -> Floats:
    return np.repeat(of_sources, np.diff(curves.offsets))
