"""The changes of one source: its dips, and steps and flares beside them.

Belongs here: finding and fitting them one after the other, and the evidence for each dip. Doesn't:
the search in many sources (see `ese`), neighbours, names and records (see `candidates`).
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from contimg_resources.core.arrays import Bools, Floats
from contimg_resources.settings import EseSettings
from contimg_resources.variability.ese import min_amplitude, search, trials_of
from contimg_resources.variability.noise import LogCurves, Noises, evidence_for, log_curves
from contimg_resources.variability.templates import MIN_POINTS
from contimg_resources.variability.vetting import Dip, DipFit, Outcome, fit_dip, is_same

#: Maximum number of events of a source, and of events, steps and flares together.
_MOST_EVENTS, _MOST_CHANGES = 4, 10
#: Measurements within this many widths of a dip aren't searched for others: no template is exactly
#: a lens, and what a dip leaves of itself isn't a further dip.
_OWN_WIDTHS = 1.5
#: A dip has at least this fraction of the threshold without its most important measurement.
_LEAST_WITHOUT_ONE = 0.5
#: A dip is the trough between flares if these have more than this fraction of its evidence: on
#: light curves that it wasn't chosen on, 70 of 90 troughs between strong flares do, and none of 173
#: lenses on sources like AGN. Flares peak at these distances from the epoch of minimum on both
#: sides, in widths, and rise in some days; or they are the maxima of the dip's own shape.
_MOST_OF_FLARES, _FLARES_AT, _RISE_DAYS = 0.75, np.linspace(0.3, 2.0, 8), 3.0
#: Means of three successive measurements that differ by this many standard deviations may be a
#: step or a flare, with these decay times (days), this minimum evidence and this minimum amplitude
#: of ln S.
_AVERAGED = 3
OUTLYING, _DECAYS_DAYS, _LEAST_OF_JUMP, _SMALLEST_JUMP = 5.0, (4.0, 10.0, 25.0, 60.0), 25.0, 0.05
#: The error of ln S of measurements that don't count.
_IGNORED = 1e3


class Evidence(NamedTuple):
    """The evidence for a fitted dip; see `contimg_resources.variability.noise.evidence_for`."""

    whole: float  #: For the template, with its number of trials: the score.
    of_flares: float  #: The sum of those for the best flares before and after the dip.
    without_one: float  #: Without the measurement that contributes most.

    def outcome(self, threshold: float) -> Outcome | None:
        """Return the reason to reject the dip; None if it is an event."""
        if self.whole < threshold:
            return Outcome.TOO_WEAK
        if self.without_one < _LEAST_WITHOUT_ONE * threshold:
            return Outcome.ONE_EPOCH
        return Outcome.BETWEEN_FLARES if self.of_flares > _MOST_OF_FLARES * self.whole else None


def jumps_of(curves: LogCurves, jitter: Floats) -> Floats:
    """Return the change at each measurement, in standard deviations, shape (n_points,).

    The mean of it and the next two less that of the three before it; 0 near the ends of a source.
    `jitter` is that of ln S of each source, shape (n_sources,).
    """
    jumps = np.zeros_like(curves.values)
    source = np.repeat(np.arange(len(curves)), np.diff(curves.offsets))
    if len(jumps) >= 2 * _AVERAGED:
        means = sliding_window_view(curves.values, _AVERAGED).mean(axis=1)
        variances = np.square(curves.error) + np.square(jitter[source])
        variances = sliding_window_view(variances, _AVERAGED).sum(axis=1) / _AVERAGED**2
        change = np.abs(means[_AVERAGED:] - means[:-_AVERAGED])
        sigma = np.sqrt(variances[_AVERAGED:] + variances[:-_AVERAGED])
        one = source[2 * _AVERAGED - 1 :] == source[: 1 - 2 * _AVERAGED]
        jumps[_AVERAGED : 1 - _AVERAGED] = np.where(one, change / sigma, 0.0)
    return jumps


@dataclass(frozen=True)
class Source:
    """The measurements of a source, and its changes known so far."""

    mjd: Floats  #: Times, MJD in days, in their order. Shape (n_points,).
    #: `flux`, `error`: Flux densities and errors relative to the source's level. Shape (n_points,).
    flux: Floats
    error: Floats
    noises: Noises  #: Distribution of the noises of all sources.
    settings: EseSettings  #: Settings of the search.
    dips: list[DipFit] = field(default_factory=list)  #: Its dips.
    #: Its steps and flares: factors of the flux density, each of shape (n_points,).
    jumps: list[Floats] = field(default_factory=list)

    def without(self, dip: DipFit | None = None) -> tuple[Floats, Floats]:
        """Return flux densities and errors without all changes except for one dip."""
        others = [d.lensed(self.mjd) for d in self.dips if d is not dip]
        factor = np.prod([np.ones_like(self.mjd), *self.jumps, *others], axis=0)
        return self.flux / factor, self.error / factor

    def find(self, threshold: float) -> None:
        """Find dips, steps and flares, that with the largest evidence first."""
        for _ in range(_MOST_CHANGES):
            away = np.ones(len(self.mjd), np.bool_)
            for dip in self.dips:
                away &= np.abs(self.mjd - dip.mid_mjd) > _OWN_WIDTHS * dip.width_days
            if away.sum() < MIN_POINTS:
                break
            mjd, flux, error = (v[away] for v in (self.mjd, *self.without()))
            logs = log_curves(np.array([0, len(mjd)]), mjd, flux, error)
            log_posterior = self.noises.fit(logs).log_posterior
            dips = search(logs, self.noises, log_posterior, self.settings)
            jumps = jumps_of(logs, self.noises.grid[log_posterior.argmax(axis=1), 2])
            if jumps.max() > OUTLYING:
                evidence, jump = self._jump(logs, float(mjd[jumps.argmax()]))
                if evidence > max(float(dips.score[0]), _LEAST_OF_JUMP):
                    self.jumps.append(jump)
                    continue
            if dips.score[0] < threshold or len(self.dips) == _MOST_EVENTS:
                break
            place = (float(dips.mid_mjd[0]), float(dips.width_days[0]))
            self.dips.append(fit_dip(mjd, flux, error, self.noises, place, self.settings))

    def fit_known(self, known: Dip) -> None:
        """Fit a known dip, unless it was found."""
        if not any(is_same(known, dip) for dip in self.dips):
            place = (known.mid_mjd, known.width_days)
            self.dips.append(fit_dip(self.mjd, *self.without(), self.noises, place, self.settings))

    def _jump(self, logs: LogCurves, start_mjd: float) -> tuple[float, Floats]:
        """Return the step or flare that begins at an MJD: its evidence, and its factor."""
        fits = self.noises.fit(logs, _shapes_of_jumps(logs.mjd - start_mjd))
        gains = fits.gains(_SMALLEST_JUMP)
        evidence = evidence_for(fits.log_posterior, gains)[0]
        best = int(evidence.argmax())
        likely = (fits.log_posterior[0] + gains[0, best]).argmax()
        shape = _shapes_of_jumps(self.mjd - start_mjd)[:, best]
        return float(evidence[best]), np.exp(fits.amplitude[0, best, likely] * shape)

    def evidence_of(self, dip: DipFit) -> Evidence:
        """Return the evidence for a fitted dip, all other changes known."""
        lensed, change = dip.lensed(self.mjd), dip.change(self.mjd)
        points = self.without(dip)
        logs = log_curves(np.array([0, len(self.mjd)]), self.mjd, *points, lensed)
        maxima = np.maximum(change, 0.0)[:, None] / max(float(change.max()), 1e-3)
        before = (self.mjd < dip.mid_mjd)[:, None]
        peaks = (
            self.mjd[:, None]
            - dip.mid_mjd
            + np.outer([1, -1], _FLARES_AT * dip.width_days)[:, None]
        )
        flares = np.concatenate([_flares(peaks), [maxima * before, maxima * ~before]], axis=2)
        columns = np.concatenate([change[:, None], *flares], axis=1)
        weight = np.abs(change * (logs.values - np.median(logs.values))) / np.square(logs.error)

        def evidence(columns: Floats, ignored: Bools | bool = False) -> Floats:
            errors = np.where(ignored, _IGNORED, logs.error)
            fits = self.noises.fit(LogCurves(logs.offsets, logs.mjd, logs.values, errors), columns)
            gains = fits.gains(min_amplitude(self.settings))
            return np.asarray(np.maximum(evidence_for(fits.log_posterior, gains)[0], 0.0))

        def of_dip(ignored: Bools | bool = False) -> float:
            return float(evidence(columns[:, :1], ignored)[0] - trials_of(dip.width_days))

        of_flares = evidence(columns[:, 1:]).reshape(2, -1).max(axis=1).sum()
        return Evidence(of_dip(), float(of_flares), of_dip(weight == weight.max()))


def _flares(since_days: Floats) -> Floats:
    """Return flares from the days since their peaks, for each decay time along the last axis."""
    rise = np.exp(np.minimum(since_days, 0.0) / _RISE_DAYS)
    since_days = np.maximum(since_days, 0.0)
    return np.concatenate([rise * np.exp(-since_days / days) for days in _DECAYS_DAYS], axis=-1)


def _shapes_of_jumps(since_days: Floats) -> Floats:
    """Return flares and both steps, one a column, from the days since their start."""
    after = (since_days >= 0).astype(np.float64)
    flares = [after * np.exp(-np.maximum(since_days, 0.0) / days) for days in _DECAYS_DAYS]
    return np.array([*flares, after, -after]).T
