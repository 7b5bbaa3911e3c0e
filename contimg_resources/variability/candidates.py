"""Candidates for Extreme Scattering Events, from the light curves of all sources.

Belongs here: the whole search, from light curves to candidates with names. Doesn't: its parts (see
`noise`, `ese`, `vetting`), the store, drawing.
"""

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contimg_resources.casa import Progress, no_progress
from contimg_resources.compiling import on_one_core
from contimg_resources.core.naming import plain_name
from contimg_resources.observations.calibrators import separation_deg
from contimg_resources.products.dips import DipEvidence, FittedDip
from contimg_resources.products.events import CandidateRecord, CandidateState
from contimg_resources.settings import EseSettings
from contimg_resources.variability.ese import (
    MIN_POINTS,
    MOST_OF_SPAN,
    change_of,
    measure_threshold,
    min_amplitude,
    search,
    search_all,
    source_years,
)
from contimg_resources.variability.found import Found, Rejected, Unsearched
from contimg_resources.variability.model import LightCurves, Variability
from contimg_resources.variability.noise import (
    LogCurves,
    Noises,
    fitted_noises,
    log_curves,
    refitted,
    relative,
)
from contimg_resources.variability.templates import bank, fine_bank
from contimg_resources.variability.vetting import (
    DipFit,
    Neighbours,
    Outcome,
    baseline_at,
    depth_of,
    fit_dip,
    vet,
    with_errors_of_shape,
)

Floats = NDArray[np.float64]

#: Maximum number of events of a source, and of events, steps and flares together.
_MOST_EVENTS, _MOST_CHANGES = 4, 10
#: Sources closer than this (5 arcsec) are the same source.
_SAME_PLACE_DEG = 5.0 / 3600.0
#: Maximum number of neighbours that are compared; the nearest first.
_MOST_NEIGHBOURS = 12
#: Maximum number of the fine bank's shapes that are fitted, those with the best evidence first.
_MOST_SHAPES = 6
_START_DEPTH = 0.3
#: A dip is fitted twice; this many shapes are left after each time.
_BEST_SHAPES = (3, 3)
#: A known event keeps at least this fraction of the threshold.
_LEAST_KNOWN = 0.5
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
_OUTLYING, _DECAYS_DAYS, _LEAST_OF_JUMP = 5.0, (4.0, 10.0, 25.0, 60.0), 25.0
_SMALLEST_JUMP = 0.05
#: The error of ln S of measurements that don't count.
_IGNORED = 1e3
_CURVE_POINTS = 240
_EVENTS = (Outcome.COMPLETE, Outcome.IN_PROGRESS)
_NAME_LENGTH = 80
_LONGEST_REASON = 200
_UNSOUND = "a time, a flux density or an error isn't finite, or an error isn't above zero"
_NEGATIVE = "its median flux density isn't above zero"
_CONSTANT = "its flux density is constant"


def search_candidates(
    curves: LightCurves,
    table: Variability,
    settings: EseSettings,
    day_mjd: int,
    *,
    known: Iterable[CandidateRecord] = (),
    threshold: float | None = None,
    progress: Progress = no_progress,
) -> Found:
    """Search all light curves for Extreme Scattering Events.

    Parameters
    ----------
    curves : LightCurves
        Light curves up to the end of the day.
    table : Variability
        Metrics of the same sources, in the same order.
    settings : EseSettings
        Templates, widths, depth, the accepted rate of false alarms.
    day_mjd : int
        The UTC day, integer MJD.
    known : iterable of CandidateRecord
        Candidates of earlier searches. One that this search doesn't find again is fitted at its
        place; for lack of trials it needs only half of the threshold.
    threshold : float, optional
        Minimum score of a dip; measured if not given.
    progress : callable
        Receives the progress.

    Returns
    -------
    Found
        Candidates, rejected dips, and the sources that can't be searched, each with its reason. A
        source that fails doesn't stop the search of the others.

    Raises
    ------
    ValueError
        If the metrics are of other sources.
    """
    from scipy.special import logsumexp

    if not np.array_equal(curves.source_id, table.source_id):
        raise ValueError("the light curves and the variability metrics are of different sources")
    why = {str(curves.source_id[i]): reason for i, reason in _unsearchable(curves, settings)}
    if why:
        curves = curves.only(~np.isin(curves.source_id, list(why)))
    level_jy, flux, error = relative(curves)
    logs = log_curves(curves.offsets, curves.mid_mjd, flux, error, 1.0)
    progress("fitting the noise of the sources", 0.0)
    noises, log_posterior = fitted_noises(logs)
    dips = search_all(
        logs, noises, log_posterior, settings, lambda say, done: progress(say, 0.4 * (done or 0.0))
    )
    # The events of some sources aren't the noise of others.
    noises, log_posterior = refitted(noises, log_posterior - noises.log_share, dips.gains)
    score = 2.0 * (logsumexp(log_posterior + dips.gains, axis=1) - logsumexp(log_posterior, axis=1))
    if threshold is None:
        threshold = measure_threshold(
            logs,
            noises,
            log_posterior,
            settings,
            lambda say, done: progress(say, 0.4 + 0.4 * (done or 0.0)),
        )
    progress("vetting dips", 0.8)
    places: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for c in known:
        places[c.source_id].append((c.mid_mjd, c.end_mjd - c.start_mjd))
    sky = _Sky(curves, level_jy, flux, error, noises, settings, day_mjd, threshold)
    candidates: list[CandidateRecord] = []
    rejected: list[Rejected] = []
    # Beside a step or a flare a dip has less evidence than it will have without.
    is_known = np.isin(curves.source_id, list(places))
    for index in np.flatnonzero(is_known | (score >= threshold) | (dips.largest > _OUTLYING)):
        source_id = str(curves.source_id[index])
        try:
            with on_one_core():
                events = list(sky.events_of(int(index), places[source_id]))
        except Exception as failure:  # an error in one source must not stop the others
            said = " ".join(str(failure).split())[:_LONGEST_REASON]
            why[source_id] = f"{type(failure).__name__}: {said}"
            continue
        candidates += [e for e in events if isinstance(e, CandidateRecord)]
        rejected += [e for e in events if isinstance(e, Rejected)]
    return Found(
        candidates=tuple(sorted(candidates, key=lambda c: -c.score)),
        rejected=tuple(sorted(rejected, key=lambda r: -r.score)),
        threshold=threshold,
        source_years=source_years(logs),
        n_sources=len(curves),
        unsearched=tuple(Unsearched(*one) for one in sorted(why.items())),
    )


def _unsearchable(curves: LightCurves, settings: EseSettings) -> Iterator[tuple[int, str]]:
    """Yield the sources that can't be searched, each with its reason."""
    shortest_days = settings.min_width_days / MOST_OF_SPAN
    for index, sound in enumerate(curves.sound()):
        own = curves.of(index)
        mjd, flux_jy = curves.mid_mjd[own], curves.flux_jy[own]
        if not sound:
            yield index, _UNSOUND
        elif len(mjd) < MIN_POINTS:
            yield index, f"fewer than {MIN_POINTS} measurements"
        elif mjd[-1] - mjd[0] < shortest_days:
            yield index, f"observed for less than {shortest_days:.0f} days"
        elif not np.median(flux_jy) > 0:
            yield index, _NEGATIVE
        elif (flux_jy == flux_jy[0]).all():
            yield index, _CONSTANT


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
class _Dip:
    """A dip: its fit, and its score; None if it is known, and this search didn't find it."""

    fit: DipFit
    score: float | None


@dataclass(frozen=True)
class _Source:
    """The measurements of a source, relative to its level, and its changes known so far."""

    mjd: Floats
    flux: Floats
    error: Floats
    noises: Noises
    settings: EseSettings
    dips: list[_Dip] = field(default_factory=list)
    jumps: list[Floats] = field(default_factory=list)

    def without(self, dip: _Dip | None = None) -> tuple[Floats, Floats]:
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
            if dips.largest[0] > _OUTLYING:
                evidence, jump = self._jump(logs, log_posterior)
                if evidence > max(score, _LEAST_OF_JUMP):
                    self.jumps.append(jump)
                    continue
            if score < threshold or len(self.dips) == _MOST_EVENTS:
                break
            place, noise = (float(dips.mid_mjd[0]), float(dips.width_days[0])), int(dips.noise[0])
            fit = self._best_fit(logs, log_posterior, place, noise, (flux, error))
            self.dips.append(_Dip(fit, score))
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
        self.dips.append(_Dip(fit, None))

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

    def evidence_for(self, dip: _Dip) -> Evidence:
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


@dataclass(frozen=True)
class _Sky:
    curves: LightCurves
    level_jy: Floats
    flux: Floats
    error: Floats
    noises: Noises
    settings: EseSettings
    day_mjd: int
    threshold: float

    def events_of(
        self, index: int, known: Iterable[tuple[float, float]]
    ) -> Iterator[CandidateRecord | Rejected]:
        """Yield the events and the rejected dips of a source."""
        own = self.curves.of(index)
        source = _Source(
            self.curves.mid_mjd[own], self.flux[own], self.error[own], self.noises, self.settings
        )
        source.find(self.threshold)
        for place in known:
            source.fit_known(place)
        for dip in source.dips:
            fit, outcome = dip.fit, vet(dip.fit, source.mjd)
            score = dip.score or 0.0
            if outcome in _EVENTS:
                evidence = source.evidence_for(dip)
                least = self.threshold * (1.0 if dip.score else _LEAST_KNOWN)
                outcome = evidence.outcome(least) or outcome
                score = dip.score or evidence.whole
            if outcome in _EVENTS:
                neighbours = self._neighbours(index, fit)
                if not neighbours.share(fit.depth):
                    yield self._candidate(index, source, dip, score, outcome, evidence, neighbours)
                    continue
                outcome = Outcome.SHARED
            yield Rejected(
                str(self.curves.source_id[index]), fit.mid_mjd, fit.width_days, score, outcome
            )

    def _neighbours(self, index: int, fit: DipFit) -> Neighbours:
        curves = self.curves
        away_deg = separation_deg(
            curves.ra_deg, curves.dec_deg, curves.ra_deg[index], curves.dec_deg[index]
        )
        away_deg[index] = np.inf
        # Other bands or instruments of the source itself: a lens dims them all.
        away_deg[away_deg < _SAME_PLACE_DEG] = np.inf
        near = np.flatnonzero(away_deg <= self.settings.neighbour_radius_deg)
        near = near[np.argsort(away_deg[near], kind="stable")]
        told, depths, errors = [], [], []
        for other in near:
            own = curves.of(int(other))
            depth, error = depth_of(
                fit, fit.shape, curves.mid_mjd[own], self.flux[own], self.error[own]
            )
            # Only neighbours that are bright enough to show the dip are used.
            if math.isfinite(depth) and error < 0.5 * fit.depth:
                told.append(int(other))
                depths.append(depth)
                errors.append(error)
            if len(told) == _MOST_NEIGHBOURS:
                break
        if not told:
            return Neighbours((), (), math.nan, math.nan)
        return Neighbours(
            tuple(str(curves.source_id[i]) for i in told),
            tuple(float(away_deg[i]) for i in told),
            float(np.median(depths)),
            # Standard error of the median of normally distributed values.
            float(1.2533 * np.sqrt(np.mean(np.square(errors)) / len(errors))),
        )

    def _candidate(
        self,
        index: int,
        source: _Source,
        dip: _Dip,
        score: float,
        outcome: Outcome,
        evidence: Evidence,
        neighbours: Neighbours,
    ) -> CandidateRecord:
        fit, level_jy = dip.fit, float(self.level_jy[index])
        source_id = str(self.curves.source_id[index])
        half = fit.width_days / 2
        last = float(source.mjd[-1])
        curve_mjd = np.linspace(
            fit.mid_mjd - 2 * fit.width_days,
            min(fit.mid_mjd + 2 * fit.width_days, max(last, fit.mid_mjd + half)),
            _CURVE_POINTS,
        )
        baseline = baseline_at(fit, source.mjd, *source.without(dip), curve_mjd)
        curve_jy = level_jy * baseline * fit.lensed(curve_mjd)
        return CandidateRecord(
            id=candidate_id(source_id, fit.mid_mjd),
            source_id=source_id,
            ra_deg=float(self.curves.ra_deg[index]),
            dec_deg=float(self.curves.dec_deg[index]),
            state=CandidateState(outcome.value),
            start_mjd=fit.mid_mjd - half,
            mid_mjd=fit.mid_mjd,
            end_mjd=fit.mid_mjd + half,
            score=score,
            parameters=FittedDip(
                depth=fit.depth,
                depth_error=fit.depth_error,
                width_days=fit.width_days,
                width_error_days=fit.width_error_days,
                mid_error_days=fit.mid_error_days,
                baseline_jy=level_jy * fit.baseline,
                baseline_error_jy=level_jy * fit.baseline_error,
                template=fit.shape.name,
                threshold=self.threshold,
                reduced_chi2=fit.reduced_chi2,
                n_in_dip=fit.n_in_dip,
                template_mjd=tuple(round(v, 4) for v in curve_mjd.tolist()),
                template_jy=tuple(float(f"{v:.6g}") for v in curve_jy.tolist()),
            ),
            evidence=DipEvidence(
                neighbours=neighbours.source_ids,
                separations_deg=tuple(round(s, 4) for s in neighbours.separations_deg),
                neighbour_depth=neighbours.depth,
                neighbour_depth_error=neighbours.depth_error,
                over_walk=evidence.whole,
                over_walk_without_maxima=evidence.without_maxima,
            ),
            searched_day=self.day_mjd,
            first_day=self.day_mjd,
        )


def candidate_id(source_id: str, mid_mjd: float) -> str:
    """Return a new candidate's name: safe as a file name, and unique to this source."""
    plain = plain_name(source_id)[:_NAME_LENGTH].replace("..", "_")
    if plain != source_id:
        plain += "-" + hashlib.sha256(source_id.encode()).hexdigest()[:8]
    return f"ese-{math.floor(mid_mjd)}-{plain}"


def with_known_ids(
    found: Iterable[CandidateRecord], known: Iterable[CandidateRecord]
) -> tuple[tuple[CandidateRecord, ...], tuple[CandidateRecord, ...]]:
    """Give known candidates their earlier ids, and return those that are no longer found.

    Two events are the same if they are of one source and the epoch of minimum of one lies within
    the wider of both dips.

    Parameters
    ----------
    found : iterable of CandidateRecord
        Candidates of this search.
    known : iterable of CandidateRecord
        Candidates of earlier searches.

    Returns
    -------
    tuple of tuple of CandidateRecord
        The candidates of this search with their final ids, and the known ones not found again.
    """
    left = list(known)
    named: list[CandidateRecord] = []
    taken = {c.id for c in left}
    for candidate in found:
        same = [
            c
            for c in left
            if c.source_id == candidate.source_id
            and abs(c.mid_mjd - candidate.mid_mjd)
            <= max(c.end_mjd - c.start_mjd, candidate.end_mjd - candidate.start_mjd)
        ]
        if same:
            nearest = min(same, key=lambda c: abs(c.mid_mjd - candidate.mid_mjd))
            left.remove(nearest)
            named.append(replace(candidate, id=nearest.id))
            continue
        name, number = candidate.id, 1
        while name in taken:
            number += 1
            name = f"{candidate.id}-{number}"
        taken.add(name)
        named.append(replace(candidate, id=name))
    return tuple(named), tuple(left)


def reason_for(gone: CandidateRecord, found: Found) -> str:
    """Return the reason that a search doesn't find a known candidate any more."""
    width_days = gone.end_mjd - gone.start_mjd
    for dip in found.rejected:
        near = abs(dip.mid_mjd - gone.mid_mjd) <= max(width_days, dip.width_days)
        if dip.source_id == gone.source_id and near:
            return f"the dip {dip.outcome.value} (evidence {dip.score:.1f})"
    for source in found.unsearched:
        if source.source_id == gone.source_id:
            return f"the source can't be searched: {source.reason}"
    return "the source has no measurements at that time any more"
