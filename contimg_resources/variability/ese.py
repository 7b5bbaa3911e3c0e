"""The search for Extreme Scattering Events in many light curves.

Belongs here: templates matched in the noise of each source, and the threshold for a rate of false
alarms. Doesn't: the noise (see `noise`), the fit and vetting of a dip (see `vetting`), candidates.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from contimg_resources.casa import Progress, no_progress
from contimg_resources.core.arrays import Floats, Ints
from contimg_resources.settings import EseSettings
from contimg_resources.variability.noise import (
    LogCurves,
    Noises,
    drawn,
    evidence_for,
)
from contimg_resources.variability.templates import (
    MOST_OF_SPAN,
    N_STEPS,
    REACH,
    Family,
    Shape,
    U,
    bank,
)

#: Successive widths differ by at most this factor.
_WIDTH_FACTOR = 1.35
#: The templates of ln S are those of lenses with this depth.
TYPICAL_DEPTH = 0.3
#: Dips of each source whose evidence is computed, for each of two noises. The second noise is that
#: of a typical AGN: an event that resembles noise is not in the most probable one.
_N_BEST, _TYPICAL_AGN = 3, (0.09, 30.0, 0.03)
#: A source without a match of this score has no evidence for a dip.
_LEAST_MATCH = 4.0
#: The score of a dip of this width is its evidence.
_USUAL_WIDTH_DAYS = 40.0
#: Source-years of drawn light curves on which the threshold is measured, and the maximum number of
#: draws of a source.
_DRAWN_YEARS, _MOST_DRAWS = 2500.0, 20
_TAIL = 0.1
#: Minimum threshold.
MIN_THRESHOLD = 10.5
_DAYS_OF_YEAR = 365.25
_TURN = 500


@dataclass(frozen=True)
class Dips:
    """The best dip of each source, shape (n_sources,)."""

    score: Floats  #: Evidence with the number of trials, see `trials_of`; 0 without a dip.
    mid_mjd: Floats  #: Epoch of minimum, MJD in days.
    width_days: Floats  #: Full width at half depth, days.
    #: ln of the likelihood that the dip adds to each noise. Shape (n_sources, n_noises).
    gains: Floats


def widths_of(settings: EseSettings) -> Floats:
    """Return the widths of the search, days."""
    ratio = settings.max_width_days / settings.min_width_days
    steps = max(1, int(np.ceil(np.log(max(ratio, 1.0)) / np.log(_WIDTH_FACTOR))))
    return np.asarray(settings.min_width_days * ratio ** (np.arange(steps + 1) / steps))


def change_of(shape: Shape, u: Floats, depth: float = TYPICAL_DEPTH) -> Floats:
    """Return the change of ln S by a lens of some depth, in units of that at its minimum."""
    return np.asarray(np.log1p(depth * shape.at(u)) / -np.log1p(-depth))


@cache
def _tables(families: tuple[Family, ...]) -> Floats:
    return np.ascontiguousarray(np.array([change_of(shape, U) for shape in bank(families)]).T)


def min_amplitude(settings: EseSettings) -> float:
    """Return the amplitude of ln S of the shallowest dip."""
    return float(-np.log1p(-settings.min_depth))


def trials_of(width_days: Floats | float) -> Floats:
    """Return what the number of trials takes from the evidence for dips of these widths.

    An event is equally likely at each epoch, and a light curve has more narrow dips than wide ones:
    ``2 ln(40 d / width)``.
    """
    return np.asarray(2.0 * np.log(_USUAL_WIDTH_DAYS / np.maximum(width_days, 1.0)))


def matches(curves: LogCurves, noise: Floats, settings: EseSettings) -> Floats:
    """Return the templates that match each source best in a known noise, shape (n_sources, 3).

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


def search(
    curves: LogCurves,
    noises: Noises,
    log_posterior: Floats,
    settings: EseSettings,
    progress: Progress = no_progress,
) -> Dips:
    """Find the dip of each source with the largest evidence.

    `log_posterior`, shape (n_sources, n), is that of the light curves.
    """
    from contimg_resources.variability.ese_loops import MID, SCORE, SHAPE, WIDTH

    n = len(curves)
    dips = Dips(np.zeros(n), np.zeros(n), np.ones(n), np.full_like(log_posterior, -np.inf))
    tables = _tables(settings.templates)
    # Some sources at a time, to limit the memory.
    for first in range(0, n, _TURN):
        progress(f"source {first} of {n}", first / n)
        some = np.arange(first, min(first + _TURN, n))
        few = curves.chosen(some)
        likely = noises.grid[log_posterior[some].argmax(axis=1)]
        tried = (likely, np.tile(_TYPICAL_AGN, (len(some), 1)))
        found = np.concatenate([matches(few, noise, settings) for noise in tried], axis=1)
        hopeful = np.flatnonzero(found[..., SCORE].max(axis=1) >= _LEAST_MATCH)
        if not len(hopeful):
            continue
        found, few, some = found[hopeful], few.chosen(hopeful), some[hopeful]
        each = np.repeat(found, np.diff(few.offsets), axis=0)
        u = (few.mjd[:, None] - each[..., MID]) / np.maximum(each[..., WIDTH], 1e-9)
        inside = (np.abs(u) <= REACH) & (each[..., SCORE] > 0)
        cell = np.rint((np.clip(u, -REACH, REACH) + REACH) * (N_STEPS - 1) / (2 * REACH))
        fits = noises.fit(few, tables[cell.astype(int), each[..., SHAPE].astype(int)] * inside)
        gains = fits.gains(min_amplitude(settings))
        evidence = evidence_for(fits.log_posterior, gains) - trials_of(found[..., WIDTH])
        rows, best = np.arange(len(hopeful)), evidence.argmax(axis=1)
        dips.score[some] = np.maximum(evidence[rows, best], 0.0)
        dips.mid_mjd[some], dips.width_days[some] = found[rows, best][:, (MID, WIDTH)].T
        dips.gains[some] = gains[rows, best]
    return dips


def source_years(offsets: Ints, mjd: Floats) -> float:
    """Return the total time for which sources were observed, source-years."""
    return float(np.sum(mjd[offsets[1:] - 1] - mjd[offsets[:-1]]) / _DAYS_OF_YEAR)


def threshold_for(scores: Floats, years: float, false_alarms: float) -> float:
    """Return the score above which light curves without events give a rate of false alarms.

    The tail of the scores (the highest tenth) is assumed to be exponential, as that of a chi2
    distribution nearly is, and extrapolated to the rate. `scores` are the best of each light curve;
    these last `years` in total; `false_alarms` is the accepted number in 1000 source-years.
    """
    n_tail = max(2, int(_TAIL * len(scores)))
    if len(scores) < 2 * n_tail or years <= 0:
        return MIN_THRESHOLD
    ordered = np.sort(scores)
    start = ordered[-n_tail - 1]
    slope = float(np.mean(ordered[-n_tail:] - start))
    wanted = false_alarms * years / 1000.0
    return max(MIN_THRESHOLD, float(start + slope * np.log(n_tail / wanted)))


def n_draws(curves: LogCurves) -> int:
    """Return the number of light curves on which the threshold is measured."""
    n, years = len(curves), source_years(curves.offsets, curves.mjd)
    return int(np.clip(np.ceil(_DRAWN_YEARS / years * n), 1, _MOST_DRAWS * n)) if years > 0 else 0


def varying(noises: Noises, log_posterior: Floats) -> tuple[Floats, Floats]:
    """Return the log posterior without steady noises, and the probability that a source varies.

    Shapes (n_sources, n) and (n_sources,).
    """
    from scipy.special import logsumexp

    from contimg_resources.variability.ese_loops import SIGMA

    varies = np.where(noises.grid[:, SIGMA] > 0, log_posterior, -np.inf)
    return varies, np.exp(logsumexp(varies, axis=1) - logsumexp(log_posterior, axis=1))


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
    """
    n_drawn = n_draws(curves)
    if not n_drawn:
        return MIN_THRESHOLD
    # The seed is fixed, so the same light curves give the same threshold.
    random = np.random.default_rng(len(curves.mjd))
    varies, probability = varying(noises, log_posterior)
    order = random.choice(len(curves), n_drawn, p=probability / probability.sum())
    # The noise with the largest of log posterior plus Gumbel deviate is a draw of it.
    own = varies[order]
    noise = noises.grid[(own + random.gumbel(size=own.shape)).argmax(axis=1)]
    made = drawn(curves.chosen(order), noise, random)
    scores = search(made, noises, noises.fit(made).log_posterior, settings, progress).score
    return threshold_for(scores, source_years(made.offsets, made.mjd), settings.false_alarms)
