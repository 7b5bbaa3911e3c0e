"""Candidates for Extreme Scattering Events, from the light curves of all sources.

Belongs here: the whole search, from light curves to candidates with names, and its result with
rejected dips and sources that can't be searched. Doesn't: its parts (see `ese`, `vetting`), the
store, drawing.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain, count

import numpy as np

from contimg_resources.casa import Progress, no_progress
from contimg_resources.core.arrays import Floats
from contimg_resources.core.naming import plain_name
from contimg_resources.observations.calibrators import separation_deg
from contimg_resources.products.dips import DipEvidence, FittedDip
from contimg_resources.products.events import CandidateRecord, CandidateState
from contimg_resources.settings import EseSettings
from contimg_resources.variability.alarms import OwnAlarms, measure_alarms
from contimg_resources.variability.changes import OUTLYING, Evidence, Source, jumps_of
from contimg_resources.variability.ese import (
    measure_threshold,
    search,
    source_years,
    trials_of,
)
from contimg_resources.variability.model import LightCurves
from contimg_resources.variability.noise import (
    Noises,
    evidence_for,
    log_curves,
    relative,
    usual_noises,
)
from contimg_resources.variability.templates import MIN_POINTS, MOST_OF_SPAN
from contimg_resources.variability.vetting import (
    REACH_WIDTHS,
    DipFit,
    Outcome,
    baseline_at,
    depth_of,
    is_same,
    is_shared,
)


@dataclass(frozen=True)
class Rejected:
    """A rejected dip above the threshold."""

    source_id: str  #: The source.
    mid_mjd: float  #: Epoch of minimum, MJD in days.
    width_days: float  #: Width of the dip, days.
    score: float  #: Score of the dip.
    outcome: Outcome  #: Reason for the rejection.


@dataclass(frozen=True)
class Unsearched:
    """A source that can't be searched."""

    source_id: str  #: The source.
    reason: str  #: Reason that it can't be searched.


@dataclass(frozen=True)
class Found:
    """The result of a search."""

    candidates: tuple[CandidateRecord, ...]  #: Candidates with new ids, the best score first.
    rejected: tuple[Rejected, ...]  #: Rejected dips, the best score first.
    threshold: float  #: Minimum score of a dip.
    source_years: float  #: Total time for which the searched sources were observed, years.
    n_sources: int  #: Number of searched sources.
    day_mjd: int  #: The light curves extend to the end of this UTC day, integer MJD.
    first_mjd: float  #: Begin of the searched days, MJD.
    unsearched: tuple[Unsearched, ...] = ()  #: Sources that can't be searched, by id.
    #: The check of the threshold; None if the threshold was given.
    alarms: OwnAlarms | None = None

    def words(self) -> str:
        """Return a summary in one line."""
        rejected = sorted(Counter(r.outcome.value for r in self.rejected).items())
        unsearched = Counter(u.reason for u in self.unsearched).most_common(_MOST_REASONS)
        return "; ".join(
            [
                f"{len(self.candidates)} candidates in {self.n_sources} sources "
                f"({self.source_years:.0f} source-years), threshold {self.threshold:.1f}",
                *(f"{n} dips: {words}" for words, n in rejected),
                *(f"{n} not searched: {reason}" for reason, n in unsearched),
                *((self.alarms.warning() or self.alarms.words(),) if self.alarms else ()),
            ]
        )


#: Maximum number of reasons for unsearched sources in the summary, the most common first.
_MOST_REASONS = 3
#: Sources closer than this (5 arcsec) are the same source.
_SAME_PLACE_DEG = 5.0 / 3600.0
#: Maximum number of neighbours that are compared; the nearest first.
_MOST_NEIGHBOURS = 12
#: A known event keeps at least this fraction of the threshold: it has no trials. With sub-bands, a
#: dip with as much may reach the threshold by its colour.
_LEAST = 0.5
_CURVE_POINTS, _FREE_PARAMETERS = 240, 5
_NAME_LENGTH = 80
_LONGEST_REASON = 200
_UNSOUND = "a time, a flux density or an error isn't finite, or an error isn't above zero"
_NEGATIVE = "its median flux density isn't above zero"
_CONSTANT = "its flux density is constant"
_SHORT = f"fewer than {MIN_POINTS} measurements"


def search_candidates(
    curves: LightCurves,
    settings: EseSettings,
    day_mjd: int,
    *,
    first_mjd: float = -math.inf,
    known: Iterable[CandidateRecord] = (),
    threshold: float | None = None,
    noises: Noises | None = None,
    progress: Progress = no_progress,
    colour: Callable[[str, DipFit], float] | None = None,
) -> Found:
    """Search all light curves for Extreme Scattering Events.

    Returns candidates, rejected dips, and the sources that can't be searched, each with its reason.
    A source that fails doesn't stop the search of the others. The light curves extend from
    `first_mjd` to the end of the day `day_mjd` (UTC, integer MJD). A current candidate of `known`
    that this search doesn't find again is fitted at its place, and stays with half of the
    threshold, unless its baseline is before these days. `threshold` is the minimum score of a dip;
    it is measured if not given. `noises` is the distribution of the noises, if it is known; it is
    fitted to the sources if not given. `colour` returns the evidence of sub-bands for a lens over
    a dip equal at all frequencies, which is added to the score; 0 without sub-bands.
    """
    why = {str(curves.source_id[i]): reason for i, reason in _unsearchable(curves, settings)}
    # The keys of the epochs aren't used here, and are half of the memory.
    curves = replace(curves, epoch=np.zeros(len(curves.mid_mjd), "U1"))
    curves = curves.only(~np.isin(curves.source_id, list(why)))
    level_jy, flux, error = relative(curves)
    logs = log_curves(curves.offsets, curves.mid_mjd, flux, error)
    progress("fitting the noise of the sources", 0.0)
    is_known, noises = noises is not None, noises or usual_noises()
    log_posterior = noises.fit(logs).log_posterior
    if not is_known:
        noises, log_posterior = noises.refitted(log_posterior)
    dips = search(
        logs, noises, log_posterior, settings, lambda say, done: progress(say, 0.4 * (done or 0.0))
    )
    if not is_known:
        noises, log_posterior = noises.refitted(log_posterior, dips.gains)
    evidence = evidence_for(log_posterior, dips.gains[:, None])[:, 0]
    score = evidence - trials_of(dips.width_days)
    is_measured = threshold is None
    if threshold is None:
        threshold = measure_threshold(
            logs,
            noises,
            log_posterior,
            settings,
            lambda say, done: progress(say, 0.4 + 0.4 * (done or 0.0)),
        )
    progress("vetting dips", 0.8)
    places: dict[str, list[CandidateRecord]] = {}
    for candidate in known:
        if candidate.state is not CandidateState.WITHDRAWN and _has_baseline(candidate, first_mjd):
            places.setdefault(candidate.source_id, []).append(candidate)
    sky = _Sky(curves, level_jy, flux, error, noises, settings, day_mjd, colour, places)
    # Beside a step or a flare, a dip has less evidence than without it.
    jumps = jumps_of(logs, noises.grid[log_posterior.argmax(axis=1), 2])
    score[np.maximum.reduceat(jumps, logs.offsets[:-1]) > OUTLYING] = np.inf
    events = sky.events(score, threshold, why)
    alarms = None
    if is_measured and len(curves):
        progress("searching the sources' own light curves, flipped and shuffled", 0.85)

        def scores_in(made: LightCurves) -> Iterator[float]:
            again = search_candidates(made, settings, day_mjd, threshold=threshold, noises=noises)
            return (candidate.score for candidate in again.candidates)

        alarms = measure_alarms(
            curves,
            logs,
            noises,
            log_posterior,
            without=np.isin(
                curves.source_id, [e.source_id for e in events if isinstance(e, CandidateRecord)]
            ),
            flaring=np.isin(curves.source_id, list(sky.flaring)),
            threshold=threshold,
            accepted=settings.false_alarms,
            search=scores_in,
        )
        if alarms.threshold > threshold:
            events = sky.events(score, threshold := alarms.threshold, why)
    return Found(
        candidates=tuple(_checked(e, alarms) for e in events if isinstance(e, CandidateRecord)),
        rejected=tuple(e for e in events if isinstance(e, Rejected)),
        threshold=threshold,
        source_years=source_years(logs.offsets, logs.mjd),
        n_sources=len(curves),
        day_mjd=day_mjd,
        first_mjd=first_mjd,
        unsearched=tuple(Unsearched(*one) for one in sorted(why.items())),
        alarms=alarms,
    )


def _checked(candidate: CandidateRecord, alarms: OwnAlarms | None) -> CandidateRecord:
    if alarms is None:
        return candidate
    told = replace(
        candidate.parameters, threshold_check=alarms.words(), threshold_warning=alarms.warning()
    )
    return replace(candidate, parameters=told)


def _unsearchable(curves: LightCurves, settings: EseSettings) -> Iterator[tuple[int, str]]:
    """Yield the sources that can't be searched, each with its reason."""
    from contimg_resources.variability.ese_loops import MIN_IN_DIP

    shortest_days = settings.min_width_days / MOST_OF_SPAN
    for index, sound in enumerate(curves.sound()):
        own = curves.of(index)
        mjd, flux_jy = curves.mid_mjd[own], curves.flux_jy[own]
        if not sound:
            yield index, _UNSOUND
        elif len(mjd) < MIN_POINTS:
            yield index, _SHORT
        elif mjd[-1] - mjd[0] < shortest_days:
            yield index, f"observed for less than {shortest_days:.0f} days"
        elif (mjd[MIN_IN_DIP - 1 :] - mjd[: 1 - MIN_IN_DIP]).min() > settings.max_width_days:
            yield index, f"too sparse: never {MIN_IN_DIP} in {settings.max_width_days:g} days"
        elif not np.median(flux_jy) > 0:
            yield index, _NEGATIVE
        elif (flux_jy == flux_jy[0]).all():
            yield index, _CONSTANT


@dataclass(frozen=True)
class _Sky:
    curves: LightCurves
    level_jy: Floats
    flux: Floats
    error: Floats
    noises: Noises
    settings: EseSettings
    day_mjd: int
    colour: Callable[[str, DipFit], float] | None
    places: dict[str, list[CandidateRecord]]  #: Known candidates by their source.
    flaring: set[str] = field(default_factory=set)  #: Sources with steps or flares, so far.

    def events(
        self, score: Floats, threshold: float, why: dict[str, str]
    ) -> list[CandidateRecord | Rejected]:
        """Return all events and rejected dips, the best score first.

        `score` is that of each source, shape (n_sources,); `why` gets the sources that fail.
        """
        least = threshold * (1.0 if self.colour is None else _LEAST)
        chosen = np.isin(self.curves.source_id, list(self.places)) | (score >= least)
        events: list[CandidateRecord | Rejected] = []
        for index in np.flatnonzero(chosen):
            try:
                events += list(self.events_of(int(index), threshold, least))
            except Exception as failure:  # an error in one source must not stop the others
                reason = " ".join(str(failure).split())[:_LONGEST_REASON]
                why[str(self.curves.source_id[index])] = f"{type(failure).__name__}: {reason}"
        return sorted(events, key=lambda event: -event.score)

    def events_of(
        self, index: int, threshold: float, least: float
    ) -> Iterator[CandidateRecord | Rejected]:
        """Yield the events and the rejected dips of a source."""
        own, name = self.curves.of(index), str(self.curves.source_id[index])
        points = (self.curves.mid_mjd[own], self.flux[own], self.error[own])
        source = Source(*points, self.noises, self.settings)
        source.find(least)
        if source.jumps:
            self.flaring.add(name)
        known = self.places.get(name, ())
        for candidate in known:
            source.fit_known(candidate)
        for fit in source.dips:
            evidence = source.evidence_of(fit)
            if self.colour is not None:
                evidence = evidence._replace(whole=evidence.whole + self.colour(name, fit))
            is_known = any(is_same(c, fit) for c in known)
            neighbours = self._neighbours(index, fit)
            outcome = evidence.outcome(threshold * (_LEAST if is_known else 1.0))
            if outcome is None and is_shared(neighbours, fit.depth):
                outcome = Outcome.SHARED
            if outcome is None:
                yield self._candidate(index, source, fit, evidence, neighbours, threshold)
            else:
                yield Rejected(name, fit.mid_mjd, fit.width_days, evidence.whole, outcome)

    def _neighbours(self, index: int, fit: DipFit) -> DipEvidence:
        curves = self.curves
        away_deg = separation_deg(
            curves.ra_deg, curves.dec_deg, curves.ra_deg[index], curves.dec_deg[index]
        )
        # The source itself, and its other bands or instruments: a lens dims them all.
        away_deg[away_deg < _SAME_PLACE_DEG] = np.inf
        near = np.flatnonzero(away_deg <= self.settings.neighbour_radius_deg)
        near = near[np.argsort(away_deg[near], kind="stable")]
        told: list[tuple[int, float, float]] = []
        for other in near.tolist():
            own = curves.of(other)
            points = (curves.mid_mjd[own], self.flux[own], self.error[own])
            depth, error = depth_of(fit, fit.shape, *points)
            # Only neighbours that are bright enough to show the dip are used.
            if math.isfinite(depth) and error < 0.5 * fit.depth:
                told.append((other, depth, error))
            if len(told) == _MOST_NEIGHBOURS:
                break
        if not told:
            return DipEvidence()
        others, depths, errors = (np.array(column) for column in zip(*told, strict=True))
        return DipEvidence(
            neighbours=tuple(curves.source_id[others].tolist()),
            separations_deg=tuple(np.round(away_deg[others], 4).tolist()),
            neighbour_depth=float(np.median(depths)),
            # Standard error of the median of normally distributed values.
            neighbour_depth_error=float(1.2533 * np.sqrt(np.mean(np.square(errors)) / len(errors))),
        )

    def _candidate(
        self,
        index: int,
        source: Source,
        fit: DipFit,
        evidence: Evidence,
        neighbours: DipEvidence,
        threshold: float,
    ) -> CandidateRecord:
        source_id, level_jy = str(self.curves.source_id[index]), float(self.level_jy[index])
        mjd, points, half = source.mjd, source.without(fit), fit.width_days / 2
        curve_mjd = np.linspace(
            fit.mid_mjd - 2 * fit.width_days,
            min(fit.mid_mjd + 2 * fit.width_days, max(float(mjd[-1]), fit.mid_mjd + half)),
            _CURVE_POINTS,
        )
        near = np.abs(mjd - fit.mid_mjd) <= REACH_WIDTHS * fit.width_days
        wanted = np.concatenate([[fit.mid_mjd], curve_mjd, mjd[near]])
        baseline, baseline_error = baseline_at(fit, mjd, *points, self.noises, wanted)
        fitted = level_jy * baseline * fit.lensed(wanted)
        there = fitted[1 + _CURVE_POINTS :] / level_jy
        jitter = self.noises.grid[fit.noise, 2]
        left = (points[0][near] - there) / np.hypot(points[1][near], jitter * there)
        return CandidateRecord(
            id=candidate_id(source_id, fit.mid_mjd),
            source_id=source_id,
            ra_deg=float(self.curves.ra_deg[index]),
            dec_deg=float(self.curves.dec_deg[index]),
            state=fit.state(mjd),
            start_mjd=fit.mid_mjd - half,
            mid_mjd=fit.mid_mjd,
            end_mjd=fit.mid_mjd + half,
            score=evidence.whole,
            parameters=FittedDip(
                depth=fit.depth,
                depth_error=fit.depth_error,
                width_days=fit.width_days,
                width_error_days=fit.width_error_days,
                mid_error_days=fit.mid_error_days,
                baseline_jy=level_jy * float(baseline[0]),
                baseline_error_jy=level_jy * float(baseline_error[0]),
                template=fit.shape.name,
                threshold=threshold,
                reduced_chi2=float(np.sum(left**2) / max(1, len(left) - _FREE_PARAMETERS)),
                n_in_dip=int(np.sum(np.abs(mjd - fit.mid_mjd) <= half)),
                template_mjd=tuple(round(v, 4) for v in curve_mjd.tolist()),
                template_jy=tuple(float(f"{v:.6g}") for v in fitted[1 : 1 + _CURVE_POINTS]),
            ),
            evidence=replace(
                neighbours,
                over_walk=evidence.whole + float(trials_of(fit.width_days)),
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


def settled(
    found: Found, known: Iterable[CandidateRecord], run_id: str = ""
) -> tuple[tuple[CandidateRecord, ...], tuple[CandidateRecord, ...]]:
    """Return the candidates of a search with their permanent ids, and those that it withdraws.

    A known candidate that isn't found again is withdrawn, with the reason. It stays as it is if
    nothing denies it: its source can't be searched, its baseline is before the searched days,
    or it comes from the search of a later day. A complete event is recurring if its source had an
    earlier one.
    """
    named, gone = with_known_ids(found.candidates, known)
    unsearched = {u.source_id for u in found.unsearched}
    events, withdrawn = list(named), []
    for c in gone:
        if c.state is CandidateState.WITHDRAWN:
            continue
        if (
            c.searched_day <= found.day_mjd
            and c.source_id not in unsearched
            and _has_baseline(c, found.first_mjd)
        ):
            withdrawn.append(withdraw(c, found.day_mjd, run_id, _reason_for(c, found, named)))
        else:
            events.append(c)
    named = tuple(replace(c, run_id=run_id, state=_state_among(c, events)) for c in named)
    return named, tuple(withdrawn)


def _has_baseline(known: CandidateRecord, first_mjd: float) -> bool:
    return known.mid_mjd - REACH_WIDTHS * known.width_days >= first_mjd


def _state_among(event: CandidateRecord, events: Iterable[CandidateRecord]) -> CandidateState:
    earlier = any(c.source_id == event.source_id and c.mid_mjd < event.mid_mjd for c in events)
    if earlier and event.state is CandidateState.COMPLETE:
        return CandidateState.RECURRING
    return event.state


def _reason_for(gone: CandidateRecord, found: Found, named: Iterable[CandidateRecord]) -> str:
    for dip in found.rejected:
        if dip.source_id == gone.source_id and is_same(gone, dip):
            return f"the dip {dip.outcome.value} (score {dip.score:.1f})"
    for event in named:
        if event.source_id == gone.source_id and is_same(gone, event):
            return f"it is a part of the event {event.id}"
    return "the source has no measurements at that time any more"


def withdraw(known: CandidateRecord, day_mjd: int, run_id: str, reason: str) -> CandidateRecord:
    """Return a candidate as withdrawn by a search, with the reason for it."""
    return replace(
        known,
        state=CandidateState.WITHDRAWN,
        searched_day=day_mjd,
        run_id=run_id,
        evidence=replace(known.evidence, withdrawn=reason),
    )


def with_known_ids(
    found: Iterable[CandidateRecord], known: Iterable[CandidateRecord]
) -> tuple[tuple[CandidateRecord, ...], tuple[CandidateRecord, ...]]:
    """Give known candidates their earlier ids, and return those that are no longer found."""
    left = list(known)
    named: list[CandidateRecord] = []
    taken = {c.id for c in left}
    for candidate in found:
        same = [c for c in left if c.source_id == candidate.source_id and is_same(c, candidate)]
        if same:
            nearest = min(same, key=lambda c: abs(c.mid_mjd - candidate.mid_mjd))
            left.remove(nearest)
            named.append(replace(candidate, id=nearest.id))
            continue
        numbered = (f"{candidate.id}-{number}" for number in count(2))
        name = next(name for name in chain([candidate.id], numbered) if name not in taken)
        taken.add(name)
        named.append(replace(candidate, id=name))
    return tuple(named), tuple(left)
