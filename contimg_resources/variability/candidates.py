"""Candidates for Extreme Scattering Events, from the light curves of all sources.

Belongs here: the whole search, from light curves to candidates with names, and its result with
rejected dips and sources that can't be searched. Doesn't: its parts (see `ese`, `vetting`), the
store, drawing.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from contimg_resources.casa import Progress, no_progress
from contimg_resources.core.arrays import Floats
from contimg_resources.core.naming import plain_name
from contimg_resources.observations.calibrators import separation_deg
from contimg_resources.products.dips import DipEvidence, FittedDip
from contimg_resources.products.events import CandidateRecord, CandidateState
from contimg_resources.settings import EseSettings
from contimg_resources.variability.ese import (
    Dips,
    measure_threshold,
    prepared,
    search,
    source_years,
)
from contimg_resources.variability.model import LightCurves, Variability
from contimg_resources.variability.red_noise import Evidence, evidence_for
from contimg_resources.variability.templates import MIN_POINTS, MOST_OF_SPAN, Shape, bank, fine_bank
from contimg_resources.variability.vetting import (
    DipFit,
    Neighbours,
    Outcome,
    depth_of,
    fit_dip,
    refined_starts,
    vet_sides,
    widest_days,
)

#: Maximum number of reasons for unsearched sources in the summary, the most common first.
MOST_REASONS = 3


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
    unsearched: tuple[Unsearched, ...] = ()  #: Sources that can't be searched, by id.

    def words(self) -> str:
        """Return a summary in one line."""
        why = Counter(r.outcome.value for r in self.rejected)
        not_searched = Counter(u.reason for u in self.unsearched)
        return (
            f"{len(self.candidates)} candidates in {self.n_sources} sources "
            f"({self.source_years:.0f} source-years), threshold {self.threshold:.1f}"
            + "".join(f"; {n} dips: {words}" for words, n in sorted(why.items()))
            + "".join(
                f"; {n} not searched: {reason}"
                for reason, n in not_searched.most_common(MOST_REASONS)
            )
        )


#: Maximum number of events of a source; each is subtracted before the search for the next.
_MOST_EVENTS = 4
#: Sources closer than this (5 arcsec) are the same source.
_SAME_PLACE_DEG = 5.0 / 3600.0
#: Maximum number of neighbours that are compared; the nearest first.
_MOST_NEIGHBOURS = 12
#: A source counts as steady if the p-value of its eta is above this.
_STEADY_P = 0.01
#: With a reduced chi2 below this no other shape is tried.
_GOOD_FIT = 1.3
#: Maximum number of a bank's shapes that are fitted, the best on the grid first.
_MOST_SHAPES = 8
_CURVE_POINTS = 240
_EVENTS = (Outcome.COMPLETE, Outcome.IN_PROGRESS)
#: A depth must exceed this many times its error.
_CERTAIN_SIGMA = 2.0
_NAME_LENGTH = 80
_LONGEST_REASON = 200
_UNSOUND = "a time, a flux density or an error isn't finite, or an error isn't above zero"


def search_candidates(
    curves: LightCurves,
    table: Variability,
    settings: EseSettings,
    day_mjd: int,
    *,
    threshold: float | None = None,
    progress: Progress = no_progress,
) -> Found:
    """Search all light curves for Extreme Scattering Events.

    Returns candidates, rejected dips, and the sources that can't be searched, each with its reason.
    A source that fails doesn't stop the search of the others. The light curves extend to the end of
    the day `day_mjd` (UTC, integer MJD); `table` has the same sources in the same order.
    `threshold` is the minimum score of a dip; it is measured if not given.

    Raises
    ------
    ValueError
        If the metrics are of other sources.
    """
    if not np.array_equal(curves.source_id, table.source_id):
        raise ValueError("the light curves and the variability metrics are of different sources")
    sound = curves.sound()
    unsearched = [Unsearched(str(name), _UNSOUND) for name in curves.source_id[~sound]]
    if unsearched:
        curves, table = curves.only(sound), table.only(sound)
    measured = table.facts.systematic_floor
    floor = measured if math.isfinite(measured) else 0.0
    flux_jy, error_jy = prepared(curves, floor)
    progress("searching for dips", 0.0)
    dips = search(
        curves, flux_jy, error_jy, settings, lambda say, done: progress(say, 0.4 * (done or 0.0))
    )
    if threshold is None:
        with np.errstate(invalid="ignore"):
            steady = (table.p_value > _STEADY_P) & ~table.is_variable
        threshold = measure_threshold(
            curves,
            flux_jy,
            error_jy,
            dips,
            steady,
            settings,
            lambda say, done: progress(say, 0.4 + 0.4 * (done or 0.0)),
        )
    progress("vetting dips", 0.8)
    sky = _Sky(curves, table, flux_jy, error_jy, settings, day_mjd, threshold)
    candidates: list[CandidateRecord] = []
    rejected: list[Rejected] = []
    for index in np.flatnonzero(dips.score >= threshold):
        try:
            events = list(sky.events_of(int(index), dips))
        except Exception as error:  # an error in one source must not stop the others
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:_LONGEST_REASON]}"
            unsearched.append(Unsearched(str(curves.source_id[index]), reason))
            continue
        candidates += [e for e in events if isinstance(e, CandidateRecord)]
        rejected += [e for e in events if isinstance(e, Rejected)]
    unsearched += _too_sparse(curves, dips, settings)
    return Found(
        candidates=tuple(sorted(candidates, key=lambda c: -c.score)),
        rejected=tuple(sorted(rejected, key=lambda r: -r.score)),
        threshold=threshold,
        source_years=source_years(curves),
        n_sources=int(np.count_nonzero(dips.n_windows)),
        unsearched=tuple(sorted(unsearched, key=lambda u: u.source_id)),
    )


def _too_sparse(curves: LightCurves, dips: Dips, settings: EseSettings) -> Iterator[Unsearched]:
    """Yield the sources without any window that has enough measurements."""
    shortest_days = settings.min_width_days / MOST_OF_SPAN
    for index in np.flatnonzero(dips.n_windows == 0):
        own = curves.of(int(index))
        if own.stop - own.start < MIN_POINTS:
            reason = f"fewer than {MIN_POINTS} measurements"
        elif curves.mid_mjd[own.stop - 1] - curves.mid_mjd[own.start] < shortest_days:
            reason = f"observed for less than {shortest_days:.0f} days"
        else:
            reason = (
                f"too sparse: no dip of {settings.min_width_days:g} to "
                f"{settings.max_width_days:g} days has {MIN_POINTS} measurements within two widths"
            )
        yield Unsearched(str(curves.source_id[index]), reason)


@dataclass(frozen=True)
class _Dip:
    shape: Shape
    fit: DipFit
    score: float
    outcome: Outcome

    @property
    def mid_mjd(self) -> float:
        return self.fit.mid_mjd

    @property
    def width_days(self) -> float:
        return self.fit.width_days

    def below(self, mjd: Floats) -> Floats:
        """Return the change of flux density by the dip, Jy: below 0 in it, above 0 beside it."""
        u = (mjd - self.fit.mid_mjd) / self.fit.width_days
        return np.asarray(self.fit.depth * self.fit.baseline_jy * self.shape.at(u))


@dataclass(frozen=True)
class _Sky:
    curves: LightCurves
    table: Variability
    flux_jy: Floats
    error_jy: Floats
    settings: EseSettings
    day_mjd: int
    threshold: float

    def events_of(self, index: int, dips: Dips) -> Iterator[CandidateRecord | Rejected]:
        """Yield the events and the rejected dips of a source, the best score first."""
        which = np.zeros(len(self.curves), np.bool_)
        which[index] = True
        own = self.curves.of(index)
        whole = replace(
            self.curves.only(which), flux_jy=self.flux_jy[own], error_jy=self.error_jy[own]
        )
        found = self._dips_of(whole, dips, index)
        source_id = str(self.curves.source_id[index])
        for dip in found:
            if dip.outcome is Outcome.NO_FIT:
                yield Rejected(source_id, dip.mid_mjd, dip.width_days, dip.score, dip.outcome)
                continue
            # Other events of the source are not part of its intrinsic variability.
            without = whole.flux_jy - sum(
                (
                    other.below(whole.mid_mjd)
                    for other in found
                    if other is not dip and other.outcome in _EVENTS
                ),
                np.zeros(len(whole.mid_mjd)),
            )
            evidence = evidence_for(
                dip.below(whole.mid_mjd), whole.mid_mjd, without, whole.error_jy
            )
            outcome = dip.outcome
            # A dip that was rejected already keeps its reason.
            if outcome in _EVENTS and not evidence.reaches(self.settings.min_over_walk):
                outcome = Outcome.LIKE_OTHERS
            neighbours = self._neighbours(index, dip.fit, dip.shape)
            if neighbours.share(dip.fit.depth):
                outcome = Outcome.SHARED
            if outcome in _EVENTS:
                yield self._candidate(index, dip, outcome, evidence, neighbours)
            else:
                yield Rejected(source_id, dip.mid_mjd, dip.width_days, dip.score, outcome)

    def _dips_of(self, whole: LightCurves, dips: Dips, place: int) -> list[_Dip]:
        """Return the dips of a source above the threshold, subtracting each before the next."""
        left, found = whole, []
        for _ in range(_MOST_EVENTS):
            score = float(dips.score[place])
            if score < self.threshold:
                break
            shape, fit = self._best_fit(left, dips, place)
            if not fit.is_finite:
                found.append(_Dip(shape, fit, score, Outcome.NO_FIT))
                break
            outcome = vet_sides(fit, shape, left.mid_mjd, left.flux_jy, left.error_jy)
            if not fit.depth >= max(self.settings.min_depth, _CERTAIN_SIGMA * fit.depth_error):
                outcome = Outcome.SHALLOW
            dip = _Dip(shape, fit, score, outcome)
            found.append(dip)
            if outcome not in (*_EVENTS, Outcome.ONE_EPOCH):
                # The residuals of a step or of slow variability look like further events.
                break
            away = np.abs(left.mid_mjd - fit.mid_mjd) > fit.width_days
            if away.all() or not away.any():
                break
            # The maxima beside the dip are subtracted with it.
            without = left.flux_jy - dip.below(left.mid_mjd)
            left = replace(
                left,
                offsets=np.array([0, int(away.sum())]),
                mid_mjd=left.mid_mjd[away],
                flux_jy=without[away],
                error_jy=left.error_jy[away],
                flags=left.flags[away],
                is_reference=left.is_reference[away],
                epoch=left.epoch[away],
            )
            dips, place = search(left, left.flux_jy, left.error_jy, self.settings), 0
        return found

    def _best_fit(self, one: LightCurves, dips: Dips, place: int) -> tuple[Shape, DipFit]:
        """Fit the dip of a source with the shape that fits best."""
        points = (one.mid_mjd, one.flux_jy, one.error_jy)
        widest = widest_days(one.mid_mjd, self.settings.max_width_days)
        best: tuple[Shape, DipFit] | None = None
        # Most dips fit a shape of the search; only bright and deep ones can distinguish lenses.
        for shapes in (bank(self.settings.templates), fine_bank()):
            starts = refined_starts(
                *points,
                shapes,
                float(dips.mid_mjd[place]),
                float(dips.width_days[place]),
                (self.settings.min_width_days, widest),
            )
            for number, mid_mjd, width_days in starts[:_MOST_SHAPES]:
                shape = shapes[number]
                fit = fit_dip(*points, shape, mid_mjd, width_days, widest)
                if best is None or fit.reduced_chi2 < best[1].reduced_chi2:
                    best = (shape, fit)
                # One good fit is enough: the grid is too coarse for the brightest sources only.
                if best[1].reduced_chi2 < _GOOD_FIT:
                    return best
        assert best is not None
        return best

    def _neighbours(self, index: int, fit: DipFit, shape: Shape) -> Neighbours:
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
            own = self.curves.of(int(other))
            depth, error = depth_of(
                fit, shape, self.curves.mid_mjd[own], self.flux_jy[own], self.error_jy[own]
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
            tuple(str(self.curves.source_id[i]) for i in told),
            tuple(float(away_deg[i]) for i in told),
            float(np.median(depths)),
            # Standard error of the median of normally distributed values.
            float(1.2533 * np.sqrt(np.mean(np.square(errors)) / len(errors))),
        )

    def _candidate(
        self,
        index: int,
        dip: _Dip,
        outcome: Outcome,
        evidence: Evidence,
        neighbours: Neighbours,
    ) -> CandidateRecord:
        fit, shape = dip.fit, dip.shape
        source_id = str(self.curves.source_id[index])
        half = fit.width_days / 2
        last = float(self.curves.mid_mjd[self.curves.of(index)][-1])
        curve_mjd = np.linspace(
            fit.mid_mjd - 2 * fit.width_days,
            min(fit.mid_mjd + 2 * fit.width_days, max(last, fit.mid_mjd + half)),
            _CURVE_POINTS,
        )
        return CandidateRecord(
            id=candidate_id(source_id, fit.mid_mjd),
            source_id=source_id,
            ra_deg=float(self.curves.ra_deg[index]),
            dec_deg=float(self.curves.dec_deg[index]),
            state=CandidateState(outcome.value),
            start_mjd=fit.mid_mjd - half,
            mid_mjd=fit.mid_mjd,
            end_mjd=fit.mid_mjd + half,
            score=dip.score,
            parameters=FittedDip(
                depth=fit.depth,
                depth_error=fit.depth_error,
                width_days=fit.width_days,
                width_error_days=fit.width_error_days,
                mid_error_days=fit.mid_error_days,
                baseline_jy=fit.baseline_jy,
                baseline_error_jy=fit.baseline_error_jy,
                template=shape.name,
                threshold=self.threshold,
                reduced_chi2=fit.reduced_chi2,
                n_in_dip=fit.n_in_dip,
                template_mjd=tuple(round(v, 4) for v in curve_mjd.tolist()),
                template_jy=tuple(float(f"{v:.6g}") for v in fit.model(curve_mjd, shape).tolist()),
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
