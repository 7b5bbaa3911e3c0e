"""The active sets at one moment, for many look-ups at once.

Belongs here: the rule of `lookup` in memory: thousands of look-ups in the time of a few queries.
Doesn't: loading complete sets, checksums, error messages when no set fits.
"""

from bisect import bisect_right
from collections.abc import Container
from dataclasses import dataclass, fields

import sqlalchemy as sa

from contimg_resources.registry.lookup import Wanted
from contimg_resources.registry.model import SetStatus
from contimg_resources.registry.tables import caltable_sets

#: As in `lookup`: the reach of a window was rounded when it was stored.
_SLACK_DAYS = 1e-8


@dataclass(frozen=True, slots=True)
class ActiveSet:
    """The columns that decide whether an active set applies to an observation."""

    id: int  #: Row number; larger for a later registration.
    name: str  #: Its name.
    version: int  #: Its version.
    mid_mjd: float  #: Mid-MJD of its calibrator observation, days.
    start_mjd: float  #: Start of its window, MJD in days.
    end_mjd: float  #: End of its window, MJD in days.
    declination_deg: float | None  #: Its strip, degrees; None fits any.
    layout_id: int  #: Row of its antennas and spectral windows.

    def fits(self, wanted: Wanted, layout_ids: Container[int] | None, *, window: bool) -> bool:
        """Return whether the set applies; see `lookup.nearest_id`."""
        if window and not self.start_mjd <= wanted.mjd <= self.end_mjd:
            return False
        if layout_ids is not None and self.layout_id not in layout_ids:
            return False
        return (
            wanted.declination_deg is None
            or self.declination_deg is None
            or abs(self.declination_deg - wanted.declination_deg) <= wanted.strip_tolerance_deg
        )


class ActiveSets:
    """All active sets, ordered by time."""

    def __init__(self, connection: sa.Connection) -> None:
        columns = caltable_sets.c
        query = (
            sa.select(*(columns[f.name] for f in fields(ActiveSet)))
            .where(columns.status == SetStatus.ACTIVE.value)
            .order_by(columns.mid_mjd, columns.id)
        )
        self._sets = [ActiveSet(*row) for row in connection.execute(query)]
        self._mids = [s.mid_mjd for s in self._sets]
        self._reach_days = max(
            (max(s.mid_mjd - s.start_mjd, s.end_mjd - s.mid_mjd) for s in self._sets), default=0.0
        )

    def nearest(
        self, wanted: Wanted, layout_ids: Container[int] | None, *, window: bool
    ) -> ActiveSet | None:
        """Return the fitting set nearest in time; of two equally near, the one registered later.

        The observation's own layout is ignored; `layout_ids` of None means any. `window` requires
        that the MJD is inside the set's window, ends included.
        """
        after = bisect_right(self._mids, wanted.mjd)
        furthest_days = self._reach_days + _SLACK_DAYS if window else float("inf")
        best: ActiveSet | None = None
        # First the sets before, nearest first, then those after. Among sets of one mid-MJD the
        # later registration comes first before and last after, so ties are settled by comparing.
        for places in (range(after - 1, -1, -1), range(after, len(self._sets))):
            for place in places:
                candidate = self._sets[place]
                away_days = abs(candidate.mid_mjd - wanted.mjd)
                if away_days > furthest_days or (
                    best is not None and away_days > abs(best.mid_mjd - wanted.mjd)
                ):
                    break
                if candidate.fits(wanted, layout_ids, window=window) and (
                    best is None
                    or (away_days, -candidate.id) < (abs(best.mid_mjd - wanted.mjd), -best.id)
                ):
                    best = candidate
        return best
