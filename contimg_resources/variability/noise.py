"""The noise of light curves: intrinsic variability as damped random walks, and errors.

Belongs here: logarithms of flux densities with their errors, the distribution of the noises of many
sources, evidence for a change in it, draws. Doesn't: the recursions (see `ese_loops`), templates.

The intrinsic variability of sources on the time scales of events is well described by a damped
random walk of the logarithm of the flux density (Kelly, Bechtold & Siemiginowska 2009, ApJ 698,
895). No source determines its own walk well, and a dip resembles one. So each source has a
probability for every noise of a grid: the likelihood of its light curve times the fraction of all
sources with such a noise, which is fitted to all of them (empirical Bayes, Laird 1978, JASA 73,
805) beside a fixed population that counts as some sources: few sources show little of it.
"""

from dataclasses import dataclass
from functools import cache, reduce
from typing import NamedTuple

import numpy as np

from contimg_resources.core.arrays import Floats, Ints
from contimg_resources.variability.measuring import medians_of
from contimg_resources.variability.model import LightCurves

#: The grid of noises: standard deviations and time scales (days) of the walk, jitter.
_SIGMAS = np.geomspace(0.02, 0.6, 8)
_TAUS_DAYS = np.geomspace(3.0, 1000.0, 7)
_JITTERS = (0.0, 0.02, 0.035, 0.06, 0.1, 0.17)
#: Sigma, tau (days) and jitter of ln S of AGN that were observed daily for four years at 2.25 GHz
#: with the Green Bank Interferometer (light curves: Lazio et al. 2001, ApJS 136, 265).
AGN = (
    (0.03, 36.0, 0.03),
    (0.07, 859.0, 0.04),
    (0.08, 4.0, 0.09),
    (0.08, 35.0, 0.0),
    (0.09, 7.0, 0.0),
    (0.09, 132.0, 0.08),
    (0.13, 68.0, 0.03),
    (0.13, 201.0, 0.06),
    (0.15, 74.0, 0.05),
    (0.18, 134.0, 0.03),
    (0.42, 958.0, 0.10),
)
#: The fixed population: such AGN, each spread by these factors of sigma and tau and this jitter; a
#: fraction of steady sources, and one of all noises alike. It counts as this many sources.
_AGN_SPREAD, _STEADY, _UNIFORM, _N_PRIOR = (1.5, 2.0, 0.02), 0.8, 0.02, 30.0
_ITERATIONS = 30
#: Fraction of sources with an event (Fiedler et al. 1994, ApJ 430, 581).
_SHARE_OF_EVENTS = 0.01
#: A measurement that is above or below all of its neighbours, two on each side within these days,
#: by this many standard deviations is an outlier; a step or a flare isn't.
_OUTLIER_SIGMA, _OUTLIER_DAYS = 5.0, 5.0
#: Amplitudes of ln S from the minimum, a setting, to this one have equal prior probability.
_MAX_AMPLITUDE = 3.0


@cache
def noise_grid() -> Floats:
    """Return all noises, shape (n, 3): sigma and tau (days) of the walk, jitter."""
    rows = [(0.0, _TAUS_DAYS[0], jitter) for jitter in _JITTERS]
    rows += [(s, tau, jitter) for tau in _TAUS_DAYS for s in _SIGMAS for jitter in _JITTERS]
    return np.array(rows)


@cache
def population() -> Floats:
    """Return the fraction of sources with each noise of the grid in the fixed population."""
    grid = noise_grid()
    walk = grid[:, 0] > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        off = np.array([np.log(grid[:, :2] / row[:2]) for row in AGN]) / np.log(_AGN_SPREAD[:2])
    jitter = (grid[:, 2] - np.array(AGN)[:, 2:]) / _AGN_SPREAD[2]
    near = np.where(walk, np.exp(-0.5 * (np.sum(off**2, axis=2) + jitter**2)), 0.0)
    agn = np.mean(near / near.sum(axis=1, keepdims=True), axis=0)
    return np.asarray(
        (1.0 - _STEADY - _UNIFORM) * agn + _STEADY * ~walk / np.sum(~walk) + _UNIFORM / len(grid)
    )


@dataclass(frozen=True)
class LogCurves:
    """Logarithms of the flux densities of many sources."""

    #: Source i has the measurements ``offsets[i]:offsets[i + 1]``. Shape (n_sources + 1,).
    offsets: Ints
    mjd: Floats  #: Days. Shape (n_points,).
    #: `values`, `error`: ln of the flux density over the source's level, and its error. Shape
    #: (n_points,).
    values: Floats
    error: Floats

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def chosen(self, which: Ints) -> "LogCurves":
        """Return sources by number; one may be there more than once."""
        counts = np.diff(self.offsets)[which]
        offsets = np.concatenate([[0], np.cumsum(counts)])
        points = np.arange(offsets[-1]) + np.repeat(self.offsets[which] - offsets[:-1], counts)
        return LogCurves(offsets, self.mjd[points], self.values[points], self.error[points])


def log_curves(
    offsets: Ints, mjd: Floats, flux: Floats, error: Floats, lensed: Floats | float = 1.0
) -> LogCurves:
    """Linearise the logarithm of flux densities about their smoothed light curve.

    With the smoothed light curve m, ``y = ln m + (S - m) / m`` and its error is ``error / m``: the
    working response of a Gaussian measurement of exp(y) (McCullagh & Nelder 1989, section 2.5).
    It has no bias, and a flux density of zero or below does no harm. Flux densities are relative to
    the source's level; `lensed` is the known relative flux density behind a lens: m is smooth
    apart from it.
    """
    from contimg_resources.variability.ese_loops import smoothed

    smooth = smoothed(offsets, mjd, flux / lensed, error / lensed) * lensed
    return LogCurves(offsets, mjd, np.log(smooth) + (flux - smooth) / smooth, error / smooth)


def flux_of(curves: LogCurves) -> tuple[Floats, Floats]:
    """Return relative flux densities and their errors with these logarithms: see `log_curves`."""
    from contimg_resources.variability.ese_loops import smoothed

    linear = np.exp(np.clip(curves.values, -50.0, 50.0))
    smooth = smoothed(curves.offsets, curves.mjd, linear, curves.error * linear)
    return smooth * (1.0 + curves.values - np.log(smooth)), smooth * curves.error


def relative(curves: LightCurves) -> tuple[Floats, Floats, Floats]:
    """Return the levels of sources, and flux densities and errors relative to them.

    The medians must be above zero; they are in Jy, shape (n_sources,), the others have the shape
    (n_points,). The errors of outliers are enlarged to their distance from adjacent measurements.
    Systematic errors are part of each source's jitter.
    """
    level_jy = medians_of(curves.flux_jy, curves)
    each = np.repeat(level_jy, np.diff(curves.offsets))
    flux, error = curves.flux_jy / each, np.clip(curves.error_jy / each, 1e-6, 1e6)
    if len(flux) < 5:
        return level_jy, flux, error
    t, off = curves.mid_mjd, np.zeros_like(flux)
    beside = (flux[:-4], flux[1:-3], flux[3:-1], flux[4:])
    off[2:-2] = np.maximum(
        flux[2:-2] - reduce(np.maximum, beside), reduce(np.minimum, beside) - flux[2:-2]
    )
    source = np.repeat(np.arange(len(curves)), np.diff(curves.offsets))
    dense = (source[4:] == source[:-4]) & (t[4:] - t[:-4] <= 2 * _OUTLIER_DAYS)
    outlier = off > _OUTLIER_SIGMA * error
    outlier[2:-2] &= dense
    return level_jy, flux, np.where(outlier, off, error)


class Fits(NamedTuple):
    """Changes of ln S that are fitted to sources, each alone, in each noise of the grid."""

    log_posterior: Floats  #: ln of the probability of each noise alone. Shape (n_sources, n).
    level: Floats  #: Its ln in the fit without a change, and the variance; (n_sources, n, 2).
    #: `amplitude`, `error`: Of each change; 0 and infinity where there is none. Shape (n_sources,
    #: n_changes, n).
    amplitude: Floats
    error: Floats

    def gains(self, least: float, most: float = _MAX_AMPLITUDE) -> Floats:
        """Return ln of the likelihood that each change adds to each noise.

        Marginalised over amplitudes from `least` to `most` with equal probability. Same shape as
        the amplitudes.
        """
        from scipy.special import log_ndtr

        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            # Of a range below zero or above it, the side with the smaller numbers.
            high, low = (most - self.amplitude) / self.error, (least - self.amplitude) / self.error
            high, low = np.where(low > 0, -low, high), np.where(low > 0, -high, low)
            gains = log_ndtr(high) + np.log1p(-np.exp(log_ndtr(low) - log_ndtr(high)))
            gains += 0.5 * np.square(self.amplitude / self.error)
            gains += np.log(self.error * np.sqrt(2 * np.pi) / (most - least))
        return np.where(np.isfinite(gains), gains, -np.inf)


def evidence_for(log_posterior: Floats, gains: Floats) -> Floats:
    """Return the evidence for changes over noise alone, shape (n_sources, n_changes).

    Twice the logarithm of the ratio of likelihoods with and without the change, both marginalised
    over all noises: each hypothesis has its own noise, so the change doesn't count as noise where
    it is one. `log_posterior` has the shape (n_sources, n), `gains` (see `Fits.gains`) (n_sources,
    n_changes, n).
    """
    from scipy.special import logsumexp

    with_change = logsumexp(log_posterior[:, None, :] + gains, axis=2)
    return np.asarray(2.0 * (with_change - logsumexp(log_posterior, axis=1)[:, None]))


@dataclass(frozen=True)
class Noises:
    """The distribution of the noises of many sources."""

    log_share: Floats  #: ln of the fraction of sources with each noise of the grid. Shape (n,).
    grid: Floats  #: See `noise_grid`. Shape (n, 3).

    def fit(
        self, curves: LogCurves, columns: Floats | None = None, noises: Ints | None = None
    ) -> Fits:
        """Fit changes of amplitude 1, shape (n_points, n_changes), in all or only some noises."""
        from contimg_resources.variability.ese_loops import fit_columns

        if columns is None:
            columns = np.empty((len(curves.mjd), 0))
        which = slice(None) if noises is None else noises
        likelihood, level, amplitude, variance = fit_columns(
            curves.offsets,
            curves.mjd,
            curves.values,
            curves.error,
            np.ascontiguousarray(self.grid[which]),
            np.ascontiguousarray(columns),
        )
        return Fits(likelihood + self.log_share[which], level, amplitude, np.sqrt(variance))

    def refitted(
        self, log_posterior: Floats, gains: Floats | None = None
    ) -> tuple["Noises", Floats]:
        """Fit the distribution to sources; return it and their log posteriors for it.

        `log_posterior` is for this distribution; `gains` is what an event adds to each likelihood:
        the events of some sources aren't the noise of others. All have the shape (n_sources, n).
        """
        each = log_posterior - self.log_share
        if gains is not None:
            each = each + np.logaddexp(0.0, gains + np.log(_SHARE_OF_EVENTS))
        each = np.exp(each - each.max(axis=1, keepdims=True, initial=-np.inf))
        prior = population()
        share = prior
        for _ in range(_ITERATIONS):
            own = each * share
            own /= own.sum(axis=1, keepdims=True)
            share = (own.sum(axis=0) + _N_PRIOR * prior) / (len(own) + _N_PRIOR)
        fitted = Noises(np.log(share), self.grid)
        return fitted, log_posterior - self.log_share + fitted.log_share


def usual_noises() -> Noises:
    """Return the fixed population."""
    return Noises(np.log(population()), noise_grid())


def drawn(curves: LogCurves, noise: Floats, random: np.random.Generator) -> LogCurves:
    """Draw light curves without events, at the times and with the errors of given ones.

    `noise`, shape (n_sources, 3), is that of each source.
    """
    from contimg_resources.variability.ese_loops import walks

    sigma, tau, jitter = np.repeat(noise, np.diff(curves.offsets), axis=0).T
    values = walks(curves.offsets, curves.mjd, sigma, tau, random.standard_normal(len(sigma)))
    values += np.hypot(curves.error, jitter) * random.standard_normal(len(sigma))
    return LogCurves(curves.offsets, curves.mjd, values, curves.error)
