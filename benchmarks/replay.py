"""Years of observing, replayed day by day: events once found stay found.

Belongs here: searching as the platform does every night, with the candidates that it knows.
Doesn't: stores, what is found in one search (see `cells`).
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from benchmarks.skies import Sky, any_shape, with_lenses
from contimg_resources.products.events import CandidateRecord, CandidateState
from contimg_resources.settings import EseSettings, VariabilitySettings
from contimg_resources.simulation.light_curves import Event, observed
from contimg_resources.variability.candidates import search_candidates, settled
from contimg_resources.variability.vetting import is_same

_FIRST_DAYS = 60


@dataclass(frozen=True)
class Replay:
    """Events from the first search that found each to the end."""

    n_sources: int  #: Sources.
    n_days: int  #: Observed days.
    step_days: int  #: Days from one search to the next.
    n_events: int  #: Events.
    n_found: int  #: Events that any search found.
    n_searches: int  #: Searches since an event was found first, of all events.
    n_listed: int  #: Those of them after which it was listed.
    n_names: int  #: Ids that candidates near the events had, of all events.
    withdrawn: dict[str, int]  #: Reasons for which candidates near events were withdrawn.
    n_false: int  #: Other candidates that any search found.
    n_false_withdrawn: int  #: Those of them that were withdrawn at the end.

    @property
    def listed(self) -> float:
        """Fraction of the searches after which a found event was listed."""
        return self.n_listed / max(1, self.n_searches)


def replay(
    sky: Sky, n_sources: int, step_days: int, settings: EseSettings, random: np.random.Generator
) -> Replay:
    """Search every few days; every other source has an event of 20 to 50 % and 15 to 120 days.

    The threshold is that of all light curves together: to measure it every time has little effect.
    """
    curves, _ = sky.light_curves(n_sources, random)
    first, last = float(curves.mid_mjd.min()), float(curves.mid_mjd.max())
    threshold = search_candidates(curves, settings, int(last)).threshold
    events = {
        i: Event(
            any_shape(random),
            random.uniform(first + 120, last - 120),
            float(np.exp(random.uniform(np.log(15), np.log(120)))),
            random.uniform(0.2, 0.5),
        )
        for i in range(0, n_sources, 2)
    }
    curves = with_lenses(curves, events)
    of_source = {str(curves.source_id[i]): event for i, event in events.items()}
    known: dict[str, CandidateRecord] = {}
    since: Counter[str] = Counter()
    listed: Counter[str] = Counter()
    near: set[str] = set()
    reasons: Counter[str] = Counter()
    for day in range(int(first) + _FIRST_DAYS, int(last) + 1, step_days):
        start_mjd = day + 1 - VariabilitySettings().days
        found = search_candidates(
            observed(curves, start_mjd, day + 1),
            settings,
            day,
            first_mjd=start_mjd,
            known=known.values(),
            threshold=threshold,
        )
        named, withdrawn = settled(found, known.values())
        known |= {c.id: c for c in (*named, *withdrawn)}
        current = [
            c
            for c in known.values()
            if c.source_id in of_source
            and c.state is not CandidateState.WITHDRAWN
            and is_same(c, of_source[c.source_id])
        ]
        near |= {c.id for c in current}
        reasons.update(
            c.evidence.withdrawn.split(" (score")[0].split(" ese-")[0]
            for c in withdrawn
            if c.id in near
        )
        names = {c.source_id for c in current}
        listed.update(names)
        since.update(names | since.keys())
    others = [c for c in known.values() if c.id not in near]
    return Replay(
        n_sources,
        int(last - first),
        step_days,
        len(events),
        len(since),
        since.total(),
        listed.total(),
        len(near),
        dict(reasons),
        len(others),
        sum(c.state is CandidateState.WITHDRAWN for c in others),
    )
