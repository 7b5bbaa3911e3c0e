"""What the search finds beside what the ideal observer finds, for kinds of events on a sky.

Belongs here: injecting, searching, counting. Doesn't: which skies (see `events`), the report.
"""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from benchmarks.ideal import IdealObserver
from benchmarks.skies import Sky, any_shape, with_lenses
from contimg_resources.products.events import CandidateRecord
from contimg_resources.settings import EseSettings
from contimg_resources.simulation.light_curves import Event
from contimg_resources.variability.alarms import OwnAlarms
from contimg_resources.variability.candidates import Rejected, search_candidates

_Dip = TypeVar("_Dip", CandidateRecord, Rejected)

#: A UTC day (integer MJD) after all observations.
DAY = 64_000
#: The threshold of the ideal observer is measured on this number of sources without an event, or
#: on those of the false alarms, if they are more.
_N_FOR_IDEAL = 600
#: Why an event was missed, beside the reasons of rejected dips.
BELOW = "is below the threshold"


@dataclass(frozen=True)
class Cell:
    """The search beside the ideal observer, for one kind of event on one sky."""

    depth: float  #: Depth of the events.
    width_days: float  #: Width of the events.
    n: int  #: Events.
    n_found: int  #: Events that the search found.
    n_ideal: int  #: Events that the ideal observer found.
    n_only_ideal: int  #: Those of them that the search missed.
    #: Events found by a search that knows the noises of the population, but not which source has
    #: which; None if they aren't noises of the search.
    n_informed: int | None
    n_in_progress: int  #: Found events whose state is still in progress.
    #: Measured less true depth and epoch of minimum (days), and their errors, of each found event.
    off: tuple[tuple[float, float, float, float], ...]

    def plus(self, other: "Cell") -> "Cell":
        """Return the sum with the same kind of event on another sky."""
        informed = None
        if self.n_informed is not None and other.n_informed is not None:
            informed = self.n_informed + other.n_informed
        return Cell(
            self.depth,
            self.width_days,
            self.n + other.n,
            self.n_found + other.n_found,
            self.n_ideal + other.n_ideal,
            self.n_only_ideal + other.n_only_ideal,
            informed,
            self.n_in_progress + other.n_in_progress,
            self.off + other.off,
        )


@dataclass(frozen=True)
class OnSky:
    """The results on one sky."""

    sky: Sky  #: The sky.
    threshold: float  #: Minimum score of the search.
    ideal: float  #: Minimum score of the ideal observer.
    source_years: float  #: Total observed time of the sources without events, years.
    n_alarms: int  #: Candidates in these.
    n_rejected: int  #: Rejected dips above the threshold in these.
    own_alarms: OwnAlarms | None  #: The check of the threshold on these.
    cells: tuple[Cell, ...]  #: Kinds of events.
    #: Events of the ideal observer that the search missed, by the reason.
    missed: dict[str, int]
    cpu_s: float  #: CPU time of these measurements, seconds.


def measure_sky(
    sky: Sky,
    kinds_of_events: list[tuple[float, float]],
    n_events: int,
    n_alone: int,
    settings: EseSettings,
    seed: np.random.SeedSequence,
) -> OnSky:
    """Search a sky and measure the ideal observer on the same light curves.

    There are `n_events` events of each kind (depth, width in days), each in a source of its own,
    and `n_alone` sources without an event. These are searched alone too: for the false alarms, and
    for the threshold, which is used for all.
    """
    began_s = time.process_time()
    random = np.random.default_rng(seed)
    n_spare = max(0, _N_FOR_IDEAL - n_alone)
    n_searched = n_alone + n_events * len(kinds_of_events)
    every, kinds = sky.light_curves(n_searched + n_spare, random)
    number = np.arange(len(every))
    events: list[Event | None] = [None] * n_alone
    first, last = every.mid_mjd[0], every.mid_mjd[-1]
    for depth, width in kinds_of_events:
        events += [
            # Its ingress lies within the observed time, with a baseline before it.
            Event(any_shape(random), random.uniform(first + width, last - width / 2), width, depth)
            for _ in range(n_events)
        ]
    # Neighbours of an event don't all have an event of its kind.
    events = [events[i] for i in random.permutation(len(events))]
    has_event = np.array([event is not None for event in events] + [False] * n_spare)
    noise = search_candidates(every.only(~has_event & (number < n_searched)), settings, DAY)
    curves = every.only(number < n_searched)
    curves = with_lenses(curves, {i: e for i, e in enumerate(events) if e is not None})
    result = search_candidates(curves, settings, DAY, threshold=noise.threshold)
    of_source = dict(zip(curves.source_id.tolist(), events, strict=True))
    near = _near(result.candidates, of_source)
    reasons = {name: str(dip.outcome) for name, dip in _near(result.rejected, of_source).items()}
    informed = None
    if (noises := sky.noises()) is not None:
        without = every.only(~has_event & (number < n_searched))
        known = search_candidates(without, settings, DAY, noises=noises)
        known = search_candidates(curves, settings, DAY, noises=noises, threshold=known.threshold)
        informed = _near(known.candidates, of_source)
    observer = IdealObserver(sky, curves.mid_mjd[curves.of(0)], settings)
    least = observer.threshold(every.only(~has_event), kinds[~has_event])
    places = np.array([(e.mid_mjd, e.width_days) if e else (0.0, -1.0) for e in events])
    ideal = observer.finds(curves, kinds[:n_searched], places, least)
    cells = []
    missed: Counter[str] = Counter()
    for kind in kinds_of_events:
        own = [(i, e) for i, e in enumerate(events) if e and (e.depth, e.width_days) == kind]
        names = {i: str(curves.source_id[i]) for i, _ in own}
        told = [(near[names[i]], e) for i, e in own if names[i] in near]
        only_ideal = [names[i] for i, _ in own if ideal[i] and names[i] not in near]
        missed.update(reasons.get(name, BELOW) for name in only_ideal)
        off = [
            (
                c.parameters.depth - e.depth,
                c.mid_mjd - e.mid_mjd,
                c.parameters.depth_error,
                c.parameters.mid_error_days,
            )
            for c, e in told
        ]
        cells.append(
            Cell(
                *kind,
                len(own),
                len(told),
                int(sum(ideal[i] for i, _ in own)),
                len(only_ideal),
                None if informed is None else len(informed.keys() & names.values()),
                sum(c.state.value == "in progress" for c, _ in told),
                tuple(off),
            )
        )
    return OnSky(
        sky,
        noise.threshold,
        least,
        noise.source_years,
        len(noise.candidates),
        len(noise.rejected),
        noise.alarms,
        tuple(cells),
        dict(missed),
        time.process_time() - began_s,
    )


def _near(dips: Sequence[_Dip], of_source: Mapping[str, Event | None]) -> dict[str, _Dip]:
    """Return the first dip of each source within a width of the event in it."""
    near: dict[str, _Dip] = {}
    for dip in dips:
        event = of_source[dip.source_id]
        if event is not None and abs(dip.mid_mjd - event.mid_mjd) <= event.width_days:
            near.setdefault(dip.source_id, dip)
    return near
