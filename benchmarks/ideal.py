"""The ideal observer: it knows the covariance of every source.

Belongs here: its matches and its threshold. Doesn't: populations (see `skies`), counting.

It has the templates of the search, and the same rate of false alarms. No search by a matched filter
can find more events of Gaussian noise than it does.
"""

from collections.abc import Iterator

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from benchmarks.skies import Sky
from contimg_resources.core.arrays import Bools, Floats, Ints
from contimg_resources.settings import EseSettings
from contimg_resources.variability.ese import change_of, source_years, threshold_for, widths_of
from contimg_resources.variability.ese_loops import (
    BEFORE_WIDTHS,
    MIN_BEFORE,
    MIN_IN_DIP,
    STEP_WIDTHS,
)
from contimg_resources.variability.model import LightCurves
from contimg_resources.variability.noise import log_curves, relative
from contimg_resources.variability.templates import MOST_OF_SPAN, bank


class IdealObserver:
    """Matches of light curves that were all measured at the same times."""

    def __init__(self, sky: Sky, mjd: Floats, settings: EseSettings) -> None:
        self._sky, self._mjd, self._settings = sky, mjd, settings
        rows = [
            (mid_mjd, float(width))
            for width in widths_of(settings)
            if width <= MOST_OF_SPAN * (mjd[-1] - mjd[0])
            for mid_mjd in np.arange(mjd[0], mjd[-1] + width / 2, STEP_WIDTHS * width)
            if np.sum(np.abs(mjd - mid_mjd) <= width / 2) >= MIN_IN_DIP
            and np.sum(mjd <= mid_mjd - BEFORE_WIDTHS * width) >= MIN_BEFORE
        ]
        self._mids_mjd, widths = np.array(rows).T
        u = (mjd[:, None] - self._mids_mjd) / widths
        #: Shape (n_points, n_places), one for each shape.
        self._columns = [change_of(shape, u) for shape in bank(settings.templates)]

    def scores(self, curves: LightCurves, kinds: Ints) -> Iterator[tuple[Ints, Floats]]:
        """Yield for each kind of sources which they are, and their scores at each place.

        Square of the amplitude over its error, the level projected out; the best shape's.
        """
        _, flux, error = relative(curves)
        logs = log_curves(curves.offsets, curves.mid_mjd, flux, error)
        values = logs.values.reshape(len(curves), -1)
        for kind in np.unique(kinds):
            which = np.flatnonzero(kinds == kind)
            factor = cho_factor(self._sky.covariance(int(kind), self._mjd))
            ones = cho_solve(factor, np.ones(len(self._mjd)))
            own = values[which].T
            own = cho_solve(factor, own - (ones @ own) / ones.sum())
            best = np.zeros((len(which), len(self._mids_mjd)))
            for columns in self._columns:
                net = np.sum(columns * cho_solve(factor, columns), axis=0)
                net -= np.square(ones @ columns) / ones.sum()
                amplitude = own.T @ columns
                best = np.maximum(best, np.maximum(amplitude, 0.0) ** 2 / np.maximum(net, 1e-9))
            yield which, best

    def threshold(self, curves: LightCurves, kinds: Ints) -> float:
        """Return its threshold, measured on light curves without events."""
        best = [scores.max(axis=1) for _, scores in self.scores(curves, kinds)]
        return threshold_for(
            np.concatenate(best),
            source_years(curves.offsets, curves.mid_mjd),
            self._settings.false_alarms,
        )

    def finds(self, curves: LightCurves, kinds: Ints, places: Floats, threshold: float) -> Bools:
        """Return which sources have a match above the threshold near a place.

        `places`, shape (n_sources, 2): MJD and the accepted distance, days.
        """
        found = np.zeros(len(curves), np.bool_)
        for which, scores in self.scores(curves, kinds):
            near = np.abs(self._mids_mjd - places[which, :1]) <= places[which, 1:]
            found[which] = (near & (scores >= threshold)).any(axis=1)
        return found
