"""The search for Extreme Scattering Events in many light curves.

Belongs here: templates matched in the noise of each source, and the threshold for a rate of false
alarms. Doesn't: the noise (see `noise`), the fit and vetting of a dip (see `vetting`), candidates.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from contimg_resources.casa import Progress, no_progress
from contimg_resources.settings import EseSettings
from contimg_resources.variability.model import LightCurves
from contimg_resources.variability.noise import LogCurves, Noises, drawn
from contimg_resources.variability.templates import REACH, Family, Shape, bank

Floats = NDArray[np.float64]

#: Successive widths differ by at most this factor.
_WIDTH_FACTOR = 1.35
#: Maximum width of a dip as a fraction of the observed time: its baseline is twice as long.
MOST_OF_SPAN = 0.35
#: Minimum number of measurements of a source.
MIN_POINTS = 8
#: The templates of ln S are those of lenses with this depth.
_TYPICAL_DEPTH = 0.3
_TABLE_STEPS = 1601
#: Dips of each source whose evidence is computed, for each of two noises.
_N_BEST = 3
#: Source-years of drawn light curves on which the threshold is measured, and the maximum number of
#: draws of a source.
_DRAWN_YEARS, _MOST_DRAWS = 2500.0, 20
_TAIL = 0.1
#: Minimum threshold.
MIN_THRESHOLD = 10.0
_DAYS_OF_YEAR = 365.25
_TURN = 500


@dataclass(frozen=True)
class Dips:
    """The best dip of each source.

    Parameters
    ----------
    score : ndarray, shape (n_sources,)
        Evidence, see `contimg_resources.variability.noise.Noises.evidence`; 0 if there is no dip.
    mid_mjd, width_days : ndarray, shape (n_sources,)
        Epoch of minimum (MJD in days) and full width at half depth (days).
    shape : ndarray of int, shape (n_sources,)
        Index of the shape in the bank.
    noise : ndarray of int, shape (n_sources,)
        Index of the most probable noise with the dip.
    largest : ndarray, shape (n_sources,)
        Largest innovation in its standard deviations, with the most probable noise without the dip.
    gains : ndarray, shape (n_sources, n_noises)
        ln of the likelihood that the dip adds to each noise.
    """

    score: Floats
    mid_mjd: Floats
    width_days: Floats
    shape: NDArray[np.int64]
    noise: NDArray[np.int64]
    largest: Floats
    gains: Floats


def widths_of(settings: EseSettings) -> Floats:
    """Return the widths of the search, days."""
    ratio = settings.max_width_days / settings.min_width_days
    steps = max(1, int(np.ceil(np.log(max(ratio, 1.0)) / np.log(_WIDTH_FACTOR))))
    return np.asarray(settings.min_width_days * ratio ** (np.arange(steps + 1) / steps))


def change_of(shape: Shape, u: Floats) -> Floats:
    """Return the change of ln S by a typical lens, in units of that at its minimum."""
    change = np.log1p(_TYPICAL_DEPTH * shape.at(u))
    return np.asarray(change / -np.log1p(-_TYPICAL_DEPTH))


@cache
def _tables(families: tuple[Family, ...]) -> Floats:
    u = np.linspace(-REACH, REACH, _TABLE_STEPS)
    return np.ascontiguousarray(np.array([change_of(shape, u) for shape in bank(families)]).T)


def min_amplitude(settings: EseSettings) -> float:
    """Return the amplitude of ln S of the shallowest dip."""
    return float(-np.log1p(-settings.min_depth))


def templates_in(curves: LogCurves, noise: Floats, settings: EseSettings) -> Floats:
    """Return the templates that match each source best in a known noise.

    Parameters
    ----------
    curves : LogCurves
        Light curves.
    noise : ndarray, shape (n_sources, 3)
        Sigma and tau (days) of the walk, jitter.
    settings : EseSettings
        Templates and widths.

    Returns
    -------
    ndarray
        See `contimg_resources.variability.ese_loops.best_matches`.
    """
    from contimg_resources.variability.ese_loops import best_matches

    return best_matches(
        curves.offsets,
        curves.mjd,
        curves.values,
        curves.error,
        noise,
        _tables(settings.templates),
        REACH,
        widths_of(settings),
        MOST_OF_SPAN,
        _N_BEST,
    )


def search(curves: LogCurves, noises: Noises, log_posterior: Floats, settings: EseSettings) -> Dips:
    """Find the dip of each source with the largest evidence.

    Templates are matched twice: in the most probable noise of the source, and in the noise that is
    most probable with the best dip of the first time, since a dip resembles noise.

    Parameters
    ----------
    curves : LogCurves
        Light curves.
    noises : Noises
        Distribution of the noises.
    log_posterior : ndarray, shape (n_sources, n)
        Output of `Noises.log_posterior` for the light curves.
    settings : EseSettings
        Templates, widths and minimum depth.
    """
    from contimg_resources.variability.ese_loops import (
        LARGEST,
        MID,
        SCORE,
        SHAPE,
        WIDTH,
    )

    tables = _tables(settings.templates)

    def matched(noise: NDArray[np.int64]) -> tuple[Floats, Floats, NDArray[np.int64], Floats]:
        found = templates_in(curves, noises.grid[noise], settings)
        each = np.repeat(found, np.diff(curves.offsets), axis=0)
        u = (curves.mjd[:, None] - each[..., MID]) / np.where(
            each[..., WIDTH] > 0, each[..., WIDTH], np.inf
        )
        cell = np.rint((np.clip(u, -REACH, REACH) + REACH) * (_TABLE_STEPS - 1) / (2 * REACH))
        columns = tables[cell.astype(np.int64), each[..., SHAPE].astype(np.int64)]
        columns *= (np.abs(u) <= REACH) & (each[..., SCORE] > 0)
        return found, *noises.evidence(curves, log_posterior, columns, min_amplitude(settings))

    if not len(log_posterior):
        nothing = np.empty(0)
        return Dips(*(nothing,) * 3, *(np.empty(0, np.int64),) * 2, nothing, log_posterior)
    rows = np.arange(len(log_posterior))
    first = matched(log_posterior.argmax(axis=1))
    likely = first[2][rows, first[1].argmax(axis=1)]
    again = matched(likely)
    found, evidence, with_dip, gains = (
        np.concatenate(pair, axis=1) for pair in zip(first, again, strict=True)
    )
    best = evidence.argmax(axis=1)
    dips = found[rows, best]
    return Dips(
        score=evidence[rows, best],
        mid_mjd=dips[:, MID],
        width_days=dips[:, WIDTH],
        shape=dips[:, SHAPE].astype(np.int64),
        noise=with_dip[rows, best],
        largest=found[:, 0, LARGEST],
        gains=gains[rows, best],
    )


def search_all(
    curves: LogCurves,
    noises: Noises,
    log_posterior: Floats,
    settings: EseSettings,
    progress: Progress = no_progress,
) -> Dips:
    """Call `search` for some sources at a time, to limit the memory; see there."""
    parts = []
    n = len(log_posterior)
    for first in range(0, max(n, 1), _TURN):
        progress(f"source {first} of {n}", first / max(n, 1))
        some = slice(first, min(first + _TURN, n))
        parts.append(
            search(curves.some(some.start, some.stop), noises, log_posterior[some], settings)
        )
    return Dips(*(np.concatenate([getattr(p, f) for p in parts]) for f in Dips.__annotations__))


def source_years(curves: LightCurves | LogCurves) -> float:
    """Return the total time for which the sources were observed, source-years."""
    mjd = curves.mid_mjd if isinstance(curves, LightCurves) else curves.mjd
    if len(curves.offsets) < 2:
        return 0.0
    last, first = mjd[curves.offsets[1:] - 1], mjd[curves.offsets[:-1]]
    return float(np.sum(last - first) / _DAYS_OF_YEAR)


def threshold_for(scores: Floats, years: float, false_alarms: float) -> float:
    """Return the score above which light curves without events give a rate of false alarms.

    The tail of the scores (the highest tenth) is assumed to be exponential, as that of a chi2
    distribution nearly is, and extrapolated to the rate.

    Parameters
    ----------
    scores : ndarray, shape (n,)
        Best score of each light curve without an event.
    years : float
        Total time of these light curves, years.
    false_alarms : float
        Accepted number of false alarms in 1000 source-years.
    """
    n_tail = max(2, int(_TAIL * len(scores)))
    if len(scores) < 2 * n_tail or years <= 0:
        return MIN_THRESHOLD
    ordered = np.sort(scores)
    start = ordered[-n_tail - 1]
    slope = float(np.mean(ordered[-n_tail:] - start))
    wanted = false_alarms * years / 1000.0
    return max(MIN_THRESHOLD, float(start + slope * np.log(n_tail / wanted)))


def measure_threshold(
    curves: LogCurves,
    noises: Noises,
    log_posterior: Floats,
    settings: EseSettings,
    progress: Progress = no_progress,
) -> float:
    """Measure the threshold on light curves that are drawn from the noises of the sources.

    Sources are drawn in proportion to the probability that they vary intrinsically: steady ones
    have fewer false alarms. Each draw has the times and errors of a source and a noise that its
    light curve allows, and is searched like a light curve; so the number of trials and the
    uncertainty of the noises count.

    Parameters
    ----------
    curves : LogCurves
        Light curves of the platform's sources.
    noises : Noises
        Distribution of their noises.
    log_posterior : ndarray, shape (n_sources, n)
        Output of `Noises.log_posterior` for them.
    settings : EseSettings
        Contains the accepted rate of false alarms.
    progress : callable
        Receives the progress.
    """
    from scipy.special import logsumexp

    from contimg_resources.variability.ese_loops import SIGMA

    n, years = len(log_posterior), source_years(curves)
    if years <= 0:
        return MIN_THRESHOLD
    # The seed is fixed, so the same light curves give the same threshold.
    random = np.random.default_rng(len(curves.mjd))
    n_drawn = int(np.clip(np.ceil(_DRAWN_YEARS / years * n), 1, _MOST_DRAWS * n))
    varies = np.where(noises.grid[:, SIGMA] > 0, log_posterior, -np.inf)
    probability = np.exp(logsumexp(varies, axis=1) - logsumexp(log_posterior, axis=1))
    order = random.choice(n, n_drawn, p=probability / probability.sum())
    scores, drawn_years = [], 0.0
    for first in range(0, n_drawn, _TURN):
        progress(f"drawn light curves, {first} of {n_drawn}", first / n_drawn)
        chosen = order[first : first + _TURN]
        # The noise with the largest of log posterior plus Gumbel deviate is a draw of it.
        own = varies[chosen]
        noise = noises.grid[(own + random.gumbel(size=own.shape)).argmax(axis=1)]
        parts = [curves.of(int(i)) for i in chosen]
        together = LogCurves(
            np.concatenate([[0], np.cumsum([len(p.mjd) for p in parts])]),
            *(np.concatenate([getattr(p, f) for p in parts]) for f in ("mjd", "values", "error")),
        )
        made = drawn(together, noise, random)
        scores.append(search(made, noises, noises.log_posterior(made), settings).score)
        drawn_years += source_years(made)
    return threshold_for(np.concatenate(scores), drawn_years, settings.false_alarms)
