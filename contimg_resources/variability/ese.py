"""The search for Extreme Scattering Events in many light curves.

Belongs here: preparing light curves, calling the search, the threshold for a rate of false alarms.
Doesn't: vetting a dip (see `vetting`), candidates and their names.
"""

from dataclasses import dataclass

import numpy as np

from contimg_resources.casa import Progress, no_progress
from contimg_resources.core.arrays import Bools, Floats, Ints
from contimg_resources.core.statistics import STD_OF_MAD
from contimg_resources.settings import EseSettings
from contimg_resources.variability.measuring import errors_with_floor, medians_of
from contimg_resources.variability.model import LightCurves
from contimg_resources.variability.templates import REACH, bank

#: Successive widths differ by at most this factor.
_WIDTH_FACTOR = 1.35
#: A measurement is a flare if it exceeds this multiple of the median by this many standard
#: deviations. Flares mustn't raise the baseline of adjacent times. The maxima beside a dip stay.
_FLARE_SIGMA, _FLARE_RATIO = 4.0, 1.4
#: Source-years of shuffled light curves on which the threshold is measured.
_SHUFFLED_YEARS = 3000.0
_MOST_SHUFFLES = 40
_TAIL = 0.1
#: Minimum threshold: four standard deviations.
MIN_THRESHOLD = 16.0
_DAYS_OF_YEAR = 365.25
_TURN = 500


@dataclass(frozen=True)
class Dips:
    """The best dip of each source, as found by `contimg_resources.variability.ese_loops`.

    Arrays have the shape (n_sources,).
    """

    score: Floats  #: Score; 0 if there is no dip.
    mid_mjd: Floats  #: Epoch of minimum, MJD in days.
    width_days: Floats  #: Full width at half depth, days.
    shape: Ints  #: Index of the shape in the bank.
    depth: Floats  #: Depth as a fraction of the baseline.
    spread: Floats  #: Scatter at the source's other times, in units of the errors; at least 1.
    #: Windows with enough measurements; 0 if the source can't be searched.
    n_windows: Ints


def widths_of(settings: EseSettings) -> Floats:
    """Return the widths of the search, days."""
    ratio = settings.max_width_days / settings.min_width_days
    steps = max(1, int(np.ceil(np.log(max(ratio, 1.0)) / np.log(_WIDTH_FACTOR))))
    return np.asarray(settings.min_width_days * ratio ** (np.arange(steps + 1) / steps))


def prepared(curves: LightCurves, floor: float) -> tuple[Floats, Floats]:
    """Remove flares and scale the errors to the scatter between adjacent measurements.

    Returns flux densities with flares clipped, and errors with the systematic error floor (a
    fraction of the flux density), enlarged where adjacent measurements of a source differ by more
    than their errors; Jy, shape (n_points,).
    """
    level_jy = medians_of(curves.flux_jy, curves)
    error_jy = errors_with_floor(curves, floor, level_jy)
    flux_jy = curves.flux_jy.copy()
    for i in range(len(curves)):
        own = curves.of(i)
        flux, error = flux_jy[own], error_jy[own]
        if len(flux) > 2:
            steps = np.abs(np.diff(flux)) / np.hypot(error[1:], error[:-1])
            error = error * max(1.0, STD_OF_MAD * float(np.median(steps)))
            error_jy[own] = error
        highest = _FLARE_RATIO * abs(level_jy[i]) + _FLARE_SIGMA * error
        flux_jy[own] = np.minimum(flux, highest)
    return flux_jy, error_jy


def search(
    curves: LightCurves,
    flux_jy: Floats,
    error_jy: Floats,
    settings: EseSettings,
    progress: Progress = no_progress,
) -> Dips:
    """Find the best dip of each source, given the output of `prepared`."""
    from contimg_resources.variability.ese_loops import (
        DEPTH,
        MID,
        N_SAID,
        SCORE,
        SHAPE,
        SPREAD,
        WIDTH,
        WINDOWS,
        best_dips,
    )

    shapes = np.array([shape.table for shape in bank(settings.templates)])
    said = [np.zeros((0, N_SAID))]
    for begin in range(0, len(curves), _TURN):
        progress(f"source {begin} of {len(curves)}", begin / len(curves))
        offsets = curves.offsets[begin : begin + _TURN + 1]
        points = slice(int(offsets[0]), int(offsets[-1]))
        said.append(
            best_dips(
                offsets - offsets[0],
                curves.mid_mjd[points],
                flux_jy[points],
                error_jy[points],
                shapes,
                REACH,
                widths_of(settings),
                settings.min_depth,
            )
        )
    table = np.concatenate(said)
    return Dips(
        score=table[:, SCORE],
        mid_mjd=table[:, MID],
        width_days=table[:, WIDTH],
        shape=table[:, SHAPE].astype(np.int64),
        depth=table[:, DEPTH],
        spread=table[:, SPREAD],
        n_windows=table[:, WINDOWS].astype(np.int64),
    )


def source_years(curves: LightCurves) -> float:
    """Return the total time for which the sources were observed, source-years."""
    if not len(curves):
        return 0.0
    last, first = curves.mid_mjd[curves.offsets[1:] - 1], curves.mid_mjd[curves.offsets[:-1]]
    return float(np.sum(last - first) / _DAYS_OF_YEAR)


def shuffled(
    curves: LightCurves, flux_jy: Floats, error_jy: Floats, random: np.random.Generator
) -> tuple[Floats, Floats]:
    """Return the measurements of each source in random order, at the same times."""
    source = np.repeat(np.arange(len(curves)), np.diff(curves.offsets))
    order = np.lexsort((random.random(len(flux_jy)), source))
    return flux_jy[order], error_jy[order]


def threshold_for(scores: Floats, years: float, false_alarms: float) -> float:
    """Return the score above which steady sources produce a given rate of false alarms.

    The tail of the scores (the highest tenth) is assumed to be exponential, as that of a chi2
    distribution nearly is, and extrapolated to the rate. The light curves without an event last
    `years` in total; `false_alarms` is the accepted number in 1000 source-years.
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
    curves: LightCurves,
    flux_jy: Floats,
    error_jy: Floats,
    dips: Dips,
    steady: Bools,
    settings: EseSettings,
    progress: Progress = no_progress,
) -> float:
    """Measure the threshold on the platform's own light curves of steady sources.

    The larger of two thresholds is used: that of shuffled light curves, which keep each source's
    distribution of errors but contain no correlated variations; and that of the original light
    curves, which contain all instrumental effects. `flux_jy`, `error_jy` are the output of
    `prepared`, `dips` that of the search on the original light curves; `steady` marks sources whose
    scatter agrees with their errors, shape (n_sources,).
    """
    if not steady.any():
        return MIN_THRESHOLD
    points = np.repeat(steady, np.diff(curves.offsets))
    chosen, flux_jy, error_jy = curves.only(steady), flux_jy[points], error_jy[points]
    years = source_years(chosen)
    as_they_are = threshold_for(dips.score[steady], years, settings.false_alarms)
    # The seed is fixed, so the same light curves give the same threshold.
    random = np.random.default_rng(len(chosen.mid_mjd))
    turns = int(np.clip(np.ceil(_SHUFFLED_YEARS / max(years, 1e-3)), 1, _MOST_SHUFFLES))
    scores = []
    for turn in range(turns):
        progress(f"shuffled light curves, {turn + 1} of {turns}", turn / turns)
        flux, error = shuffled(chosen, flux_jy, error_jy, random)
        scores.append(search(chosen, flux, error, settings).score)
    in_noise = threshold_for(np.concatenate(scores), years * turns, settings.false_alarms)
    return max(as_they_are, in_noise)
