"""All variability metrics of many light curves, and the sources flagged as variable.

Belongs here: the metrics and their order; the systematic error floor (uncertainty not included in
the errors, relative to the flux density), measured on the flux references; thresholds from the
distribution of the population. Doesn't: files.

Sources are flagged in the plane of log eta and log V after Rowlinson et al. 2019 (Astron. Comput.
27, 111), with one change: centre and spread are taken at each source's S/N, since V of faint
sources is large because of their noise alone, and eta of bright sources because of systematic
errors.

References of the metrics: Swinbank et al. 2015, Astron. Comput. 11, 25 (eta, V); Mooley et al.
2016, ApJ 818, 105 (pairs); Barvainis et al. 2005, ApJ 618, 108 (debiased modulation index).
"""

from dataclasses import dataclass, replace

import numpy as np

from contimg_resources.core.arrays import Bools, Floats, Ints
from contimg_resources.core.statistics import STD_OF_MAD
from contimg_resources.settings import VariabilitySettings
from contimg_resources.variability.model import LightCurves, Variability, VariabilityFacts

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


def measure_added(curves: LightCurves, settings: VariabilitySettings, day_mjd: int) -> Variability:
    """Measure the variability of a list of added light curves.

    Metrics are as of `measure_variability`, without a systematic error floor: the list's own errors
    are used. If the list is too small for a population, a source is flagged as variable when a
    steady source has so large an eta with at most the probability of `settings.eta_sigma` standard
    deviations; `facts` hold it as `threshold_p`, and the UTC day (integer MJD).
    """
    table = measure_variability(curves, settings, day_mjd)
    if table.facts.threshold_snr:
        return table
    threshold_p = improbable(settings.eta_sigma)
    with np.errstate(invalid="ignore"):
        # Valid for any number of epochs: the p-value accounts for it.
        varies = table.p_value < threshold_p
    facts = replace(table.facts, threshold_p=threshold_p)
    return replace(table, is_variable=varies, facts=facts)


def measure_variability(
    curves: LightCurves, settings: VariabilitySettings, day_mjd: int
) -> Variability:
    """Measure the variability of every source from light curves up to the end of the day.

    Sources with fewer epochs than the settings require have metrics, as far as these are defined,
    and their pairs are tested: the fewer pairs, the lower the chance of a false detection. They
    aren't flagged as variable in the plane of eta and V, and don't count for the population. The
    UTC day (integer MJD) is only recorded.
    """
    from contimg_resources.variability.ese_loops import most_significant_pairs

    floor = measure_floor(curves, settings.min_epochs)
    error_jy = errors_with_floor(curves, floor.applied, medians_of(curves.flux_jy, curves))
    scatter = scatter_of(curves, error_jy)
    snr = medians_of(curves.flux_jy / curves.error_jy, curves)
    enough = scatter.n >= settings.min_epochs
    limits = population_thresholds(
        np.where(enough, snr, np.nan),
        np.where(enough, scatter.eta, np.nan),
        np.where(enough, scatter.v, np.nan),
        settings.eta_sigma,
        settings.v_sigma,
    )
    pairs = most_significant_pairs(curves.offsets, curves.flux_jy, error_jy)
    has_pair = pairs[:, 0] >= 0
    one, other = np.where(has_pair, pairs[:, 0], 0), np.where(has_pair, pairs[:, 1], 0)
    if len(curves):
        flux, mid_mjd = curves.flux_jy, curves.mid_mjd
        first_mjd, second_mjd = (np.where(has_pair, mid_mjd[i], np.nan) for i in (one, other))
        difference = flux[one] - flux[other]
        with np.errstate(divide="ignore", invalid="ignore"):
            vs = np.where(has_pair, difference / np.hypot(error_jy[one], error_jy[other]), np.nan)
            # Relative to the mean of the pair; undefined if the mean isn't positive.
            total = flux[one] + flux[other]
            m = np.where(has_pair & (total > 0), 2 * difference / total, np.nan)
    else:
        first_mjd = second_mjd = vs = m = np.empty(0)
    with np.errstate(invalid="ignore"):
        pair_says_so = (np.abs(vs) >= PAIR_MIN_VS) & (np.abs(m) > PAIR_MIN_M)
    return Variability(
        source_id=curves.source_id,
        ra_deg=curves.ra_deg,
        dec_deg=curves.dec_deg,
        n_epochs=scatter.n,
        mean_flux_jy=scatter.mean_jy,
        median_snr=snr,
        eta=scatter.eta,
        v=scatter.v,
        modulation_index=scatter.modulation_index,
        p_value=scatter.p_value,
        pair_vs=vs,
        pair_m=m,
        pair_first_mjd=first_mjd,
        pair_second_mjd=second_mjd,
        is_reference=reference_sources(curves, settings.min_epochs),
        is_pair_variable=pair_says_so,
        is_variable=limits.above(snr, scatter.eta, scatter.v) & enough,
        facts=VariabilityFacts(
            day_mjd=day_mjd,
            systematic_floor=floor.share,
            systematic_floor_low=floor.low,
            systematic_floor_high=floor.high,
            n_references=floor.n_references,
            eta_sigma=settings.eta_sigma,
            v_sigma=settings.v_sigma,
            threshold_snr=tuple(limits.snr.tolist()),
            threshold_eta=tuple(limits.eta.tolist()),
            threshold_v=tuple(limits.v.tolist()),
        ),
    )


#: Minimum number of reference sources.
MIN_REFERENCES = 5
_LARGEST = 1.0
#: With this many sources the median is known to 2 % of a standard deviation.
_MOST_REFERENCES = 1000


@dataclass(frozen=True)
class Floor:
    """A systematic error floor."""

    share: float  #: Fraction of the flux density; NaN if it couldn't be measured.
    low: float  #: The floor one standard deviation below.
    high: float  #: The floor one standard deviation above.
    n_references: int  #: Number of reference sources that it was measured on.

    @property
    def applied(self) -> float:
        """Fraction that is added to the errors: 0 if the floor couldn't be measured."""
        return self.share if np.isfinite(self.share) else 0.0


def reference_sources(curves: LightCurves, min_epochs: int) -> Bools:
    """Return which sources were references in at least half of their epochs, (n_sources,)."""
    if not len(curves):
        return np.zeros(0, np.bool_)
    n = np.diff(curves.offsets)
    told = np.add.reduceat(curves.is_reference.astype(np.int64), curves.offsets[:-1])
    return np.asarray((n >= min_epochs) & (2 * told >= n))


def measure_floor(curves: LightCurves, min_epochs: int) -> Floor:
    """Find the floor with which the median reference source scatters according to its errors.

    This is the f for which the median over reference sources of the probability of a smaller chi2
    is one half. A median is used because a few references may vary. A reference source has at least
    `min_epochs` epochs.
    """
    reference = reference_sources(curves, min_epochs) & curves.sound()
    n_references = int(reference.sum())
    if n_references < MIN_REFERENCES:
        return Floor(np.nan, np.nan, np.nan, n_references)
    chosen = curves.only(_some_of(reference))
    # Standard deviation of the rank of a median.
    beside = 0.5 / np.sqrt(len(chosen))
    low, middle, high = (_solve(chosen, 0.5 + off) for off in (-beside, 0.0, beside))
    return Floor(middle, low, high, n_references)


def _some_of(which: Bools) -> Bools:
    """Return at most `_MOST_REFERENCES` of the sources, evenly chosen."""
    there = np.flatnonzero(which)
    if len(there) <= _MOST_REFERENCES:
        return which
    chosen = np.zeros_like(which)
    chosen[there[np.linspace(0, len(there) - 1, _MOST_REFERENCES).astype(np.int64)]] = True
    return chosen


def _solve(curves: LightCurves, quantile: float) -> float:
    from scipy.optimize import brentq

    level_jy = medians_of(curves.flux_jy, curves)

    def too_large(floor: float) -> float:
        # p is the probability of a larger chi2.
        smaller = 1.0 - scatter_of(curves, errors_with_floor(curves, floor, level_jy)).p_value
        return float(np.quantile(smaller, quantile) - 0.5)

    if too_large(0.0) <= 0:
        return 0.0
    if too_large(_LARGEST) > 0:
        return _LARGEST
    return float(brentq(too_large, 0.0, _LARGEST, xtol=1e-4))


#: Minimum number of sources of a population.
MIN_SOURCES = 10
_IN_BIN = 100
_MOST_BINS = 12
_MOST_ON_LINE = 600
#: Minimum range of log S/N for a fit of a slope.
_LEAST_RANGE = 0.1


@dataclass(frozen=True)
class Thresholds:
    """Thresholds above which a source is flagged as variable, at some values of the S/N."""

    snr: Floats  #: S/N, rising; log thresholds are interpolated in log S/N. Shape (n,).
    eta: Floats  #: Thresholds of eta. Shape (n,).
    v: Floats  #: Thresholds of V. Shape (n,).

    def above(self, snr: Floats, eta: Floats, v: Floats) -> Bools:
        """Return which sources are above both thresholds at their S/N."""
        if not len(self.snr):
            return np.zeros(len(snr), np.bool_)
        with np.errstate(divide="ignore", invalid="ignore"):
            at = np.log10(snr)
            nodes = np.log10(self.snr)
            return np.asarray(
                (np.log10(eta) > np.interp(at, nodes, np.log10(self.eta)))
                & (np.log10(v) > np.interp(at, nodes, np.log10(self.v)))
            )


def population_thresholds(
    snr: Floats, eta: Floats, v: Floats, eta_sigma: float, v_sigma: float
) -> Thresholds:
    """Derive thresholds from the population; empty with fewer than `MIN_SOURCES` sources.

    Sources with a value that isn't positive and finite don't count. Thresholds are `eta_sigma` and
    `v_sigma` standard deviations above the centre. The standard deviation is that of the half below
    the centre, since variables are above it.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log10(np.array([snr, eta, v]))
    logs = logs[:, np.isfinite(logs).all(axis=0)]
    n = logs.shape[1]
    if n < MIN_SOURCES:
        return Thresholds(np.empty(0), np.empty(0), np.empty(0))
    logs = logs[:, np.argsort(logs[0], kind="stable")]
    at, rest = logs[0], logs[1:]
    # A few sources over a wide range of S/N: the dependence on S/N must not count as scatter.
    lines = [_line(at, row) for row in rest]
    level = np.array([slope * at + offset for slope, offset in lines])
    nodes, limits = [], []
    for part in np.array_split(np.arange(n), min(_MOST_BINS, max(1, n // _IN_BIN))):
        centre, spread = _centre_and_spread((rest - level)[:, part])
        nodes.append(float(np.median(at[part])))
        limits.append(centre + np.array([eta_sigma, v_sigma]) * spread)
    ends = np.unique([at[0], *nodes, at[-1]])
    above = np.array(
        [
            slope * ends + offset + np.interp(ends, nodes, np.array(limits)[:, i])
            for i, (slope, offset) in enumerate(lines)
        ]
    )
    return Thresholds(10.0**ends, 10.0 ** above[0], 10.0 ** above[1])


def improbable(sigma: float) -> float:
    """Return the probability that a normal value exceeds its mean by `sigma` standard deviations.

    Where there are too few sources for a population, their p-values are compared with it.
    """
    from scipy.special import ndtr

    return float(ndtr(-sigma))


def _line(at: Floats, values: Floats) -> tuple[float, float]:
    """Fit a line that is robust against outliers (Theil-Sen); return slope and offset."""
    from scipy.stats import theilslopes

    some = np.unique(np.linspace(0, len(at) - 1, min(len(at), _MOST_ON_LINE)).astype(np.int64))
    if at[some[-1]] - at[some[0]] < _LEAST_RANGE:
        return 0.0, float(np.median(values))
    slope, offset, *_ = theilslopes(values[some], at[some])
    return float(slope), float(offset)


def _centre_and_spread(values: Floats) -> tuple[Floats, Floats]:
    centre = np.median(values, axis=1)
    below = centre[:, None] - values
    spread = [STD_OF_MAD * float(np.median(row[row >= 0])) for row in below]
    return centre, np.array(spread)
