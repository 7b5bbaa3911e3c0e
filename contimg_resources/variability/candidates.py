"""Candidates for Extreme Scattering Events, from the light curves of all sources.

Belongs here: the whole search, from light curves to candidates with names. Doesn't: its parts (see
`noise`, `ese`, `changes`, `vetting`), the store, drawing.
"""

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from contimg_resources.casa import Progress, no_progress
from contimg_resources.compiling import on_one_core
from contimg_resources.core.naming import plain_name
from contimg_resources.observations.calibrators import separation_deg
from contimg_resources.products.dips import DipEvidence, FittedDip
from contimg_resources.products.events import CandidateRecord, CandidateState
from contimg_resources.settings import EseSettings
from contimg_resources.variability.changes import OUTLYING, Dip, Evidence, Source
from contimg_resources.variability.ese import (
    MIN_POINTS,
    MOST_OF_SPAN,
    measure_threshold,
    search_all,
    source_years,
)
from contimg_resources.variability.found import Found, Rejected, Unsearched
from contimg_resources.variability.model import LightCurves, Variability
from contimg_resources.variability.noise import (
    Noises,
    fitted_noises,
    log_curves,
    refitted,
    relative,
)
from contimg_resources.variability.vetting import (
    DipFit,
    Neighbours,
    Outcome,
    baseline_at,
    depth_of,
    vet,
)

Floats = NDArray[np.float64]

#: Sources closer than this (5 arcsec) are the same source.
_SAME_PLACE_DEG = 5.0 / 3600.0
#: Maximum number of neighbours that are compared; the nearest first.
_MOST_NEIGHBOURS = 12
#: A known event keeps at least this fraction of the threshold.
_LEAST_KNOWN = 0.5
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
    for index in np.flatnonzero(is_known | (score >= threshold) | (dips.largest > OUTLYING)):
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
        source = Source(
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
        source: Source,
        dip: Dip,
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
