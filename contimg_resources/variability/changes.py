"""The changes of one source: its dips, and steps and flares beside them.

Belongs here: finding and fitting them one after the other, and the evidence for each dip. Doesn't:
the search in many sources (see `ese`), neighbours, names and records (see `candidates`).
"""

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contimg_resources.settings import EseSettings
from contimg_resources.variability.ese import (
    MIN_POINTS,
    MOST_OF_SPAN,
    change_of,
    min_amplitude,
    search,
)
from contimg_resources.variability.noise import LogCurves, Noises, log_curves
from contimg_resources.variability.templates import bank, fine_bank
from contimg_resources.variability.vetting import DipFit, Outcome, fit_dip, with_errors_of_shape

Floats = NDArray[np.float64]

#: Maximum number of events of a source, and of events, steps and flares together.
_MOST_EVENTS, _MOST_CHANGES = 4, 10
#: Maximum number of the fine bank's shapes that are fitted, those with the best evidence first.
_MOST_SHAPES = 6
_START_DEPTH = 0.3
#: A dip is fitted twice; this many shapes are left after each time.
_BEST_SHAPES = (3, 3)
#: Measurements within this many widths of a dip aren't searched for others: no template is exactly
#: a lens, and what a dip leaves of itself isn't a further dip.
_OWN_WIDTHS = 1.5
#: The fitted dip has at least this fraction of the threshold as its evidence, and this fraction
#: without its most important measurement.
_LEAST_FITTED, _LEAST_WITHOUT_ONE = 0.8, 0.5
#: A dip is the trough between flares if its maxima, fitted as flares, have more than this fraction
#: of its evidence, or if it has less than this evidence without them. The maxima are where ln S
#: exceeds this fraction of its change at the minimum. On simulated sources with one to four flares
#: this removes four of five false events, and one or two per cent of true ones.
_MOST_OF_MAXIMA, _LEAST_WITHOUT_MAXIMA, _RISE = 0.6, 4.0, 0.03
#: An innovation above this many standard deviations may be a step or a flare, with these decay
#: times (days) and this minimum evidence.
OUTLYING, _DECAYS_DAYS, _LEAST_OF_JUMP = 5.0, (4.0, 10.0, 25.0, 60.0), 25.0
_SMALLEST_JUMP = 0.05
#: The error of ln S of measurements that don't count.
_IGNORED = 1e3


class Evidence(NamedTuple):
    """The evidence for a fitted dip and for parts of it; see `Noises.evidence`.

    Parameters
    ----------
    whole : float
        For the template.
    of_maxima : float
        The sum of those for the maxima before and after the dip, each alone, as flares are.
    without_maxima : float
        Without the measurements in the maxima.
    without_one : float
        Without the measurement that contributes most.
    """

    whole: float
    of_maxima: float
    without_maxima: float
    without_one: float

    def outcome(self, threshold: float) -> Outcome | None:
        """Return the reason to reject the dip; None if it is an event."""
        if not self.whole >= _LEAST_FITTED * threshold:
            return Outcome.NO_FIT
        if self.without_one < _LEAST_WITHOUT_ONE * threshold:
            return Outcome.ONE_EPOCH
        trough = self.of_maxima > _MOST_OF_MAXIMA * self.whole
        if trough or self.without_maxima < _LEAST_WITHOUT_MAXIMA:
            return Outcome.BETWEEN_FLARES
        return None


@dataclass(frozen=True)
class Dip:
    """A dip: its fit, and its score; None if it is known, and this search didn't find it."""

    fit: DipFit
    score: float | None


@dataclass(frozen=True)
class Source:
    """The measurements of a source, relative to its level, and its changes known so far."""

    mjd: Floats
    flux: Floats
    error: Floats
    noises: Noises
    settings: EseSettings
    dips: list[Dip] = field(default_factory=list)
    jumps: list[Floats] = field(default_factory=list)

    def without(self, dip: Dip | None = None) -> tuple[Floats, Floats]:
        """Return flux densities and errors without all changes except for one dip."""
        factor = np.prod(
            [np.ones_like(self.mjd), *self.jumps]
            + [d.fit.lensed(self.mjd) for d in self.dips if d is not dip and d.fit.is_finite],
            axis=0,
        )
        return self.flux / factor, self.error / factor

    def find(self, threshold: float) -> None:
        """Find dips, steps and flares, that with the largest evidence first."""
        for _ in range(_MOST_CHANGES):
            away = np.ones(len(self.mjd), np.bool_)
            for dip in self.dips:
                away &= np.abs(self.mjd - dip.fit.mid_mjd) > _OWN_WIDTHS * dip.fit.width_days
            if away.sum() < MIN_POINTS:
                break
            mjd, flux, error = (v[away] for v in (self.mjd, *self.without()))
            logs = log_curves(np.array([0, len(mjd)]), mjd, flux, error, 1.0)
            log_posterior = self.noises.log_posterior(logs)
            dips = search(logs, self.noises, log_posterior, self.settings)
            score = float(dips.score[0])
            if dips.largest[0] > OUTLYING:
                evidence, jump = self._jump(logs, log_posterior)
                if evidence > max(score, _LEAST_OF_JUMP):
                    self.jumps.append(jump)
                    continue
            if score < threshold or len(self.dips) == _MOST_EVENTS:
                break
            place, noise = (float(dips.mid_mjd[0]), float(dips.width_days[0])), int(dips.noise[0])
            fit = self._best_fit(logs, log_posterior, place, noise, (flux, error))
            self.dips.append(Dip(fit, score))
            if not fit.is_finite:
                break

    def fit_known(self, place: tuple[float, float]) -> None:
        """Fit a known dip (epoch of minimum, MJD; width, days) unless it was found."""
        middle, width = place
        if any(
            abs(dip.fit.mid_mjd - middle) <= max(dip.fit.width_days, width) for dip in self.dips
        ):
            return
        flux, error = self.without()
        logs = log_curves(np.array([0, len(self.mjd)]), self.mjd, flux, error, 1.0)
        log_posterior = self.noises.log_posterior(logs)
        shape = bank(self.settings.templates)[0]
        column = change_of(shape, (self.mjd - middle) / width)[:, None]
        _, with_dip, _ = self.noises.evidence(
            logs, log_posterior, column, min_amplitude(self.settings)
        )
        fit = self._best_fit(logs, log_posterior, place, int(with_dip[0, 0]), (flux, error))
        self.dips.append(Dip(fit, None))

    def _jump(self, logs: LogCurves, log_posterior: Floats) -> tuple[float, Floats]:
        """Return the step or flare at the largest innovation: its evidence, and its factor."""
        from contimg_resources.variability.ese_loops import amplitudes, whitened

        sigma, tau_days, jitter = self.noises.grid[log_posterior[0].argmax()]
        error = np.hypot(logs.error, jitter)
        left = whitened(logs.mjd, error, logs.values[None], sigma, tau_days)[0][0]
        start_mjd = float(logs.mjd[np.argmax(np.abs(left))])
        columns = _jumps(logs.mjd - start_mjd)
        evidence, likely, _ = self.noises.evidence(logs, log_posterior, columns, _SMALLEST_JUMP)
        best = int(evidence[0].argmax())
        which = np.zeros((1, len(self.noises.grid)), np.bool_)
        which[0, likely[0, best]] = True
        found = amplitudes(
            logs.offsets, logs.mjd, logs.values, logs.error, self.noises.grid, which, columns
        )
        amplitude = found[0, best, likely[0, best], 0]
        return float(evidence[0, best]), np.exp(amplitude * _jumps(self.mjd - start_mjd)[:, best])

    def _best_fit(
        self,
        logs: LogCurves,
        log_posterior: Floats,
        place: tuple[float, float],
        noise_with_dip: int,
        points: tuple[Floats, Floats],
    ) -> DipFit:
        """Fit a dip with the shapes of the search and the likely finer ones."""
        (middle, width), (flux, error) = place, points
        span_days = float(logs.mjd[-1] - logs.mjd[0])
        widest_days = min(self.settings.max_width_days, MOST_OF_SPAN * span_days)
        finer = fine_bank()
        u = (logs.mjd - middle) / width
        columns = np.array([change_of(shape, u) for shape in finer]).T.copy()
        least = min_amplitude(self.settings)
        evidence, _, _ = self.noises.evidence(logs, log_posterior, columns, least)
        likely = [finer[i] for i in np.argsort(-evidence[0])[:_MOST_SHAPES]]
        shapes, noise = [*bank(self.settings.templates), *likely], [noise_with_dip]
        start = (middle, width, _START_DEPTH)
        for best_of in _BEST_SHAPES:
            fits = [
                fit_dip(logs.mjd, flux, error, s, start, self.noises.grid[n], widest_days)
                for s, n in zip(shapes, noise * (len(shapes) // len(noise)), strict=True)
            ]
            columns = np.array([f.change(logs.mjd) for f in fits]).T.copy()
            # What the template of the search left of the dip isn't noise.
            evidence, with_fit, _ = self.noises.evidence(logs, log_posterior, columns, least)
            best = np.argsort(-evidence[0])[:best_of]
            shapes, noise = [shapes[k] for k in best], [int(with_fit[0, k]) for k in best]
        return with_errors_of_shape([fits[k] for k in best], evidence[0, best])

    def evidence_for(self, dip: Dip) -> Evidence:
        """Return the evidence for a fitted dip, all other changes known."""
        logs = log_curves(np.array([0, len(self.mjd)]), self.mjd, *self.without(dip), 1.0)
        change, before = dip.fit.change(self.mjd), self.mjd < dip.fit.mid_mjd
        maxima = np.maximum(change, 0.0) / max(float(change.max()), 1e-3)
        columns = np.array([change, maxima * before, maxima * ~before]).T
        whole, *flares = self._evidence(logs, columns)
        gains = np.abs(change * (logs.values - np.median(logs.values))) / np.square(logs.error)
        return Evidence(
            whole=whole,
            of_maxima=sum(flares),
            without_maxima=self._evidence(logs, columns, change > _RISE)[0],
            without_one=self._evidence(logs, columns, gains == gains.max())[0],
        )

    def _evidence(
        self, logs: LogCurves, columns: Floats, ignored: NDArray[np.bool_] | bool = False
    ) -> list[float]:
        logs = replace(logs, error=np.where(ignored, _IGNORED, logs.error))
        found, _, _ = self.noises.evidence(
            logs, self.noises.log_posterior(logs), columns.copy(), min_amplitude(self.settings)
        )
        return [float(v) for v in found[0]]


def _jumps(since_days: Floats) -> Floats:
    """Return flares and both steps, one a column, from the days since their start."""
    after = (since_days >= 0).astype(np.float64)
    flares = [after * np.exp(-np.maximum(since_days, 0.0) / days) for days in _DECAYS_DAYS]
    return np.array([*flares, after, -after]).T.copy()
