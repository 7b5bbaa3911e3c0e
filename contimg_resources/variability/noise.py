"""The noise of light curves: intrinsic variability as damped random walks, and errors.

Belongs here: logarithms of flux densities with their errors, the distribution of the noises of many
sources, evidence for a change in it, draws. Doesn't: the recursions (see `ese_loops`), templates.

The intrinsic variability of sources on the time scales of events is well described by a damped
random walk of the logarithm of the flux density (Kelly, Bechtold & Siemiginowska 2009, ApJ 698,
895). No source determines its own walk well, and a dip resembles one. So each source has a
probability for every noise of a grid: the likelihood of its light curve times the fraction of all
sources with such a noise, which is fitted to all of them (empirical Bayes, Laird 1978, JASA 73,
805).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contimg_resources.core.statistics import STD_OF_MAD
from contimg_resources.variability.metrics import medians_of
from contimg_resources.variability.model import LightCurves

Floats = NDArray[np.float64]

#: The grid of noises: standard deviations and time scales (days) of the walk, jitter.
_SIGMAS = np.geomspace(0.02, 0.6, 8)
_TAUS_DAYS = np.geomspace(3.0, 1000.0, 7)
_JITTERS = (0.0, 0.02, 0.035, 0.06, 0.1, 0.17)
#: Noises that are less probable than the most probable one by this ln are left out.
_NEGLIGIBLE = 12.0
#: Iterations of the fit to all sources, and the number of sources that a uniform distribution
#: counts as.
_ITERATIONS, _UNIFORM_SOURCES = 30, 2.0
#: Fraction of sources with an event (Fiedler et al. 1994, ApJ 430, 581).
_SHARE_OF_EVENTS = 0.01
#: A measurement that differs by this many standard deviations from the median of its neighbours,
#: two on each side within these days, is an outlier.
_OUTLIER_SIGMA, _OUTLIER_DAYS = 5.0, 5.0
#: Range of amplitudes of ln S with equal prior probability; the minimum is a setting.
MAX_AMPLITUDE = 3.0


def noise_grid() -> Floats:
    """Return all noises, shape (n, 3): sigma and tau (days) of the walk, jitter."""
    rows = [(0.0, _TAUS_DAYS[0], jitter) for jitter in _JITTERS]
    rows += [(s, tau, jitter) for tau in _TAUS_DAYS for s in _SIGMAS for jitter in _JITTERS]
    return np.array(rows)


@dataclass(frozen=True)
class LogCurves:
    """Logarithms of the flux densities of many sources.

    Parameters
    ----------
    offsets : ndarray of int, shape (n_sources + 1,)
        Source i has the measurements ``offsets[i]:offsets[i + 1]``.
    mjd : ndarray, shape (n_points,)
        Days.
    values, error : ndarray, shape (n_points,)
        ln of the flux density over the source's level, and its error.
    """

    offsets: NDArray[np.int64]
    mjd: Floats
    values: Floats
    error: Floats

    def of(self, index: int) -> "LogCurves":
        """Return one source."""
        own = slice(int(self.offsets[index]), int(self.offsets[index + 1]))
        n = own.stop - own.start
        return LogCurves(np.array([0, n]), self.mjd[own], self.values[own], self.error[own])

    def some(self, first: int, end: int) -> "LogCurves":
        """Return the sources from number `first` to before `end`."""
        offsets = self.offsets[first : end + 1]
        own = slice(int(offsets[0]), int(offsets[-1]))
        return LogCurves(offsets - offsets[0], self.mjd[own], self.values[own], self.error[own])


def log_curves(
    offsets: NDArray[np.int64], mjd: Floats, flux: Floats, error: Floats, lensed: Floats | float
) -> LogCurves:
    """Linearise the logarithm of flux densities about their smoothed light curve.

    With the smoothed light curve m, ``y = ln m + (S - m) / m`` and its error is ``error / m``: the
    working response of a Gaussian measurement of exp(y) (McCullagh & Nelder 1989, section 2.5).
    It has no bias, and a flux density of zero or below does no harm.

    Parameters
    ----------
    offsets : ndarray of int, shape (n_sources + 1,)
        Source i has the measurements ``offsets[i]:offsets[i + 1]``.
    mjd, flux, error : ndarray, shape (n_points,)
        Days; flux densities and errors relative to the source's level.
    lensed : ndarray, shape (n_points,), or float
        Known relative flux density behind a lens: m is smooth apart from it.
    """
    from contimg_resources.variability.ese_loops import smoothed

    smooth = smoothed(offsets, mjd, flux / lensed, error / lensed) * lensed
    return LogCurves(offsets, mjd, np.log(smooth) + (flux - smooth) / smooth, error / smooth)


def relative(curves: LightCurves) -> tuple[Floats, Floats, Floats]:
    """Return the levels of sources, and flux densities and errors relative to them.

    Parameters
    ----------
    curves : LightCurves
        Light curves with medians above zero.

    Returns
    -------
    tuple of ndarray
        Medians, Jy, shape (n_sources,); relative flux densities and errors, shape (n_points,). The
        errors of outliers are enlarged to their distance from adjacent measurements. Systematic
        errors are part of each source's jitter.
    """
    level_jy = medians_of(curves.flux_jy, curves)
    each = np.repeat(level_jy, np.diff(curves.offsets))
    flux, error = curves.flux_jy / each, curves.error_jy / each
    error = np.clip(error, 1e-6, 1e6)
    for index in range(len(curves)):
        own = curves.of(index)
        t, f = curves.mid_mjd[own], flux[own]
        if len(f) < 5:
            continue
        beside = np.median(np.array([f[:-4], f[1:-3], f[3:-1], f[4:]]), axis=0)
        off = np.abs(f[2:-2] - beside)
        limit = _OUTLIER_SIGMA * np.maximum(error[own][2:-2], STD_OF_MAD * np.median(off))
        dense = (t[4:] - t[2:-2] <= _OUTLIER_DAYS) & (t[2:-2] - t[:-4] <= _OUTLIER_DAYS)
        outlier = dense & (off > limit)
        error[own][2:-2][outlier] = off[outlier]
    return level_jy, flux, error


@dataclass(frozen=True)
class Noises:
    """The distribution of the noises of many sources.

    Parameters
    ----------
    grid : ndarray, shape (n, 3)
        See `noise_grid`.
    log_share : ndarray, shape (n,)
        ln of the fraction of sources with each noise.
    """

    grid: Floats
    log_share: Floats

    def log_posterior(self, curves: LogCurves) -> Floats:
        """Return ln of the probability of each noise, not normalised, (n_sources, n)."""
        from contimg_resources.variability.ese_loops import likelihoods

        found = likelihoods(curves.offsets, curves.mjd, curves.values, curves.error, self.grid)
        return found + self.log_share

    def evidence(
        self,
        curves: LogCurves,
        log_posterior: Floats,
        columns: Floats,
        least: float,
        most: float = MAX_AMPLITUDE,
    ) -> tuple[Floats, NDArray[np.int64], Floats]:
        """Return the evidence for each of several changes over noise alone.

        Twice the logarithm of the ratio of marginal likelihoods with and without the change, over
        all noises and, with equal probability, amplitudes from `least` to `most`. The noise is
        fitted in both cases, so the change doesn't count as noise where it is one.

        Parameters
        ----------
        curves : LogCurves
            Light curves.
        log_posterior : ndarray, shape (n_sources, n)
            Output of `log_posterior` for them.
        columns : ndarray, shape (n_points, n_columns)
            Changes of ln S of amplitude 1.
        least, most : float
            Range of the amplitude.

        Returns
        -------
        tuple of ndarray
            The evidence, and the index of the most probable noise with the change, shape
            (n_sources, n_columns); ln of the likelihood that the change adds to each noise, shape
            (n_sources, n_columns, n).
        """
        from scipy.special import log_ndtr, logsumexp

        from contimg_resources.variability.ese_loops import amplitudes

        peak = log_posterior.max(axis=1, keepdims=True)
        arguments = (curves.offsets, curves.mjd, curves.values, curves.error, self.grid)
        # Noises that the light curve alone excludes may be the right ones beside a change.
        tried = np.tile(self.grid[:, 0] == 0, (len(log_posterior), 1))
        np.put_along_axis(tried, log_posterior.argmax(axis=1)[:, None], True, axis=1)
        first = amplitudes(*arguments, tried, columns)
        gain = (0.5 * np.square(first[..., 0]) / first[..., 1]).max(axis=1, initial=0.0)
        counts = log_posterior > peak - _NEGLIGIBLE
        hopeful = (gain > _NEGLIGIBLE) & (log_posterior + gain > peak - _NEGLIGIBLE)
        counts |= hopeful.any(axis=1, keepdims=True)
        found = amplitudes(*arguments, counts, columns)
        amplitude, error = found[..., 0], np.sqrt(found[..., 1])
        with np.errstate(divide="ignore", invalid="ignore"):
            # Of a range below zero or above it, the side with the smaller numbers.
            high, low = (most - amplitude) / error, (least - amplitude) / error
            high, low = np.where(low > 0, -low, high), np.where(low > 0, -high, low)
            inside = log_ndtr(high) + np.log1p(-np.exp(log_ndtr(low) - log_ndtr(high)))
            gains = 0.5 * np.square(amplitude / error) + inside
            gains += np.log(error * np.sqrt(2 * np.pi) / (most - least))
        gains = np.where(np.isfinite(gains) & counts[:, None, :], gains, -np.inf)
        with_change = log_posterior[:, None, :] + gains
        evidence = 2.0 * (
            logsumexp(with_change, axis=2) - logsumexp(log_posterior, axis=1)[:, None]
        )
        return np.maximum(evidence, 0.0), with_change.argmax(axis=2), gains


def fitted_noises(curves: LogCurves) -> tuple[Noises, Floats]:
    """Fit the distribution of noises to many sources.

    Returns
    -------
    tuple of (Noises, ndarray)
        The distribution, and `Noises.log_posterior` of the sources.
    """
    grid = noise_grid()
    uniform = Noises(grid, np.full(len(grid), -np.log(len(grid))))
    likelihood = uniform.log_posterior(curves) - uniform.log_share
    return refitted(uniform, likelihood, np.full_like(likelihood, -np.inf))


def refitted(noises: Noises, likelihood: Floats, gains: Floats) -> tuple[Noises, Floats]:
    """Fit the distribution of noises to sources, some of which may have an event.

    Parameters
    ----------
    noises : Noises
        The grid.
    likelihood : ndarray, shape (n_sources, n)
        ln of the likelihood of each noise alone.
    gains : ndarray, shape (n_sources, n)
        What an event adds to it; minus infinity where nothing is known of one.

    Returns
    -------
    tuple of (Noises, ndarray)
        See `fitted_noises`.
    """
    uniform = 1.0 / len(noises.grid)
    each = likelihood + np.logaddexp(0.0, gains + np.log(_SHARE_OF_EVENTS))
    each = np.exp(each - each.max(axis=1, keepdims=True, initial=-np.inf))
    share = np.full(len(noises.grid), uniform)
    for _ in range(_ITERATIONS):
        own = each * share
        own /= own.sum(axis=1, keepdims=True)
        share = (own.sum(axis=0) + _UNIFORM_SOURCES * uniform) / (len(own) + _UNIFORM_SOURCES)
    fitted = Noises(noises.grid, np.log(share))
    return fitted, likelihood + fitted.log_share


def drawn(curves: LogCurves, noise: Floats, random: np.random.Generator) -> LogCurves:
    """Draw light curves without events, at the times and with the errors of given ones.

    Parameters
    ----------
    curves : LogCurves
        Times and errors.
    noise : ndarray, shape (n_sources, 3)
        The noise of each source.
    random : numpy.random.Generator
        Random number generator.
    """
    from contimg_resources.variability.ese_loops import walks

    sigma, tau, jitter = np.repeat(noise, np.diff(curves.offsets), axis=0).T
    values = walks(curves.offsets, curves.mjd, sigma, tau, random.standard_normal(len(sigma)))
    values += np.hypot(curves.error, jitter) * random.standard_normal(len(sigma))
    return LogCurves(curves.offsets, curves.mjd, values, curves.error)
