"""The log of one UTC day: its observations, their states, and gaps."""

from dataclasses import dataclass
from datetime import date
from itertools import pairwise

from contimg_resources.core.keys import parse_day_key
from contimg_resources.products.model import ImageRecord, ObservationRecord, ObservationState
from contimg_resources.registry.model import CaltableSet
from contimg_resources.steps.workshop import Workshop


@dataclass(frozen=True)
class Gap:
    """A gap between observations."""

    start_mjd: float  #: End of one observation, MJD in days.
    end_mjd: float  #: Start of the next, MJD in days.

    @property
    def length_s(self) -> float:
        """Length, seconds."""
        return 86_400.0 * (self.end_mjd - self.start_mjd)


@dataclass(frozen=True)
class DayLog:
    """One UTC day."""

    day: date  #: The UTC date.
    mjd_day: int  #: The same as integer MJD.
    observations: tuple[ObservationRecord, ...]  #: Observations of this day, by time.
    counts: dict[ObservationState, int]  #: Number of observations in each state.
    images: dict[str, ImageRecord]  #: Statistics of their images by partition key.
    caltable_sets: tuple[CaltableSet, ...]  #: Sets solved from observations of this day, by time.
    gaps: tuple[Gap, ...]  #: Gaps between two observations longer than `MIN_GAP_S`.

    @property
    def observed_h(self) -> float:
        """Total observing time, hours."""
        return 24.0 * sum(o.end_mjd - o.start_mjd for o in self.observations)


#: Shorter gaps between two observations are normal, seconds.
MIN_GAP_S = 30.0


def day_log(workshop: Workshop, day: date) -> DayLog:
    """Summarise one UTC day from both stores."""
    start = parse_day_key(day.isoformat())
    observations = tuple(workshop.products.list_observations(day=start))
    pairs = pairwise(observations)
    gaps = tuple(Gap(a.end_mjd, b.start_mjd) for a, b in pairs)
    sets = workshop.registry.list_sets(start_mjd=start, end_mjd=start + 1)
    return DayLog(
        day=day,
        mjd_day=start,
        observations=observations,
        counts=workshop.products.counts(day=start),
        images=workshop.products.images(start_mjd=start, end_mjd=start + 1),
        caltable_sets=tuple(sorted(sets, key=lambda s: s.mid_mjd)),
        gaps=tuple(g for g in gaps if g.length_s > MIN_GAP_S),
    )
