"""Look up the caltable set that is valid for an observation.

Belongs here: the queries of a look-up, and the error message when no set fits; the same rule in
memory for thousands of look-ups, in the time of a few queries.
Doesn't: writing, loading complete sets, checksums.

The nearest set is found with two searches of one index (the nearest at or before, the nearest
after), bounded by the longest reach of any window, so the cost doesn't grow with the registry.
"""

from bisect import bisect_right
from collections.abc import Container, Sequence
from dataclasses import dataclass, fields
from typing import Any

import sqlalchemy as sa

from contimg_resources.core.errors import InvalidName, NoValidCaltables
from contimg_resources.core.times import check_mjd, isot_from_mjd
from contimg_resources.instrument.caltables import ArrayLayout
from contimg_resources.registry.model import CaltableSet, SetStatus
from contimg_resources.registry.recording import REPLACED
from contimg_resources.registry.rows import load_layouts, load_sets
from contimg_resources.registry.tables import caltable_sets

#: A millisecond: the reach of a window was rounded when it was stored.
_SLACK_DAYS = 1e-8

_NEAR = 3
_LISTED = 2
_SEARCHED = 20


@dataclass(frozen=True)
class Wanted:
    """The observation that a caltable set must fit."""

    mjd: float  #: mid-MJD of the observation, days.
    layout: ArrayLayout | None  #: Its antennas and spectral windows; None: any layout fits.
    declination_deg: float | None  #: Its strip, degrees; None: any strip fits.
    strip_tolerance_deg: float  #: Maximum difference in declination, degrees.

    def __post_init__(self) -> None:
        check_mjd(self.mjd)
        # NaN fails the comparison: an unknown strip is None.
        if self.declination_deg is not None and not -90 <= self.declination_deg <= 90:
            raise InvalidName(f"{self.declination_deg!r} is no declination in degrees")

    def __str__(self) -> str:
        words = [f"MJD {self.mjd:.5f} ({isot_from_mjd(self.mjd)} UTC)"]
        if self.declination_deg is not None:
            words.append(
                f"declination {self.declination_deg:.2f} +- {self.strip_tolerance_deg:g} deg"
            )
        if self.layout is not None:
            words.append(
                f"{self.layout.n_antennas} antennas and "
                f"{len(self.layout.spectral_windows_hz)} spectral windows"
            )
        return ", ".join(words)


def _nearest(side: str, fits: Sequence[sa.ColumnElement[bool]]) -> Any:
    columns = caltable_sets.c
    mjd = sa.bindparam("mjd", type_=sa.Double)
    on_side, by_time = {
        "before": (columns.mid_mjd <= mjd, columns.mid_mjd.desc()),
        "after": (columns.mid_mjd > mjd, columns.mid_mjd.asc()),
    }[side]
    chosen = (
        sa.select(columns.id, columns.mid_mjd)
        .where(columns.status == SetStatus.ACTIVE, on_side, *fits)
        .order_by(by_time, columns.id.desc())
        .limit(1)
        .subquery(side)
    )
    return sa.select(chosen)


def _make_query(window: bool, strip: bool, layout: bool) -> sa.CompoundSelect[Any]:
    columns = caltable_sets.c
    mjd = sa.bindparam("mjd", type_=sa.Double)
    before: list[sa.ColumnElement[bool]] = []
    after: list[sa.ColumnElement[bool]] = []
    both: list[sa.ColumnElement[bool]] = []
    if window:
        longest = caltable_sets.alias("longest")
        reach = (
            sa.select(sa.func.max(longest.c.reach_days))
            .where(longest.c.status == SetStatus.ACTIVE)
            .scalar_subquery()
        )
        before.append(columns.mid_mjd >= mjd - reach - _SLACK_DAYS)
        after.append(columns.mid_mjd <= mjd + reach + _SLACK_DAYS)
        both += [columns.start_mjd <= mjd, columns.end_mjd >= mjd]
    if strip:
        difference = sa.func.abs(columns.declination_deg - sa.bindparam("dec", type_=sa.Double))
        tolerance = sa.bindparam("tolerance", type_=sa.Double)
        both.append(sa.or_(columns.declination_deg.is_(None), difference <= tolerance))
    if layout:
        both.append(columns.layout_id.in_(sa.bindparam("layouts", expanding=True)))
    return sa.union_all(_nearest("before", [*before, *both]), _nearest("after", [*after, *both]))


# Built once: building a query takes longer than running it.
_QUERIES = {
    (window, strip, layout): _make_query(window, strip, layout)
    for window in (True, False)
    for strip in (True, False)
    for layout in (True, False)
}


def nearest_id(
    connection: sa.Connection, wanted: Wanted, layout_ids: Sequence[int] | None, *, window: bool
) -> int | None:
    """Return the row of the fitting active set nearest in time; of two equally near, the newer.

    Layouts of None mean any; `window` requires that the MJD is inside the set's window, ends
    included.
    """
    query = _QUERIES[window, wanted.declination_deg is not None, layout_ids is not None]
    values: dict[str, Any] = {"mjd": wanted.mjd}
    if wanted.declination_deg is not None:
        values |= {"dec": wanted.declination_deg, "tolerance": wanted.strip_tolerance_deg}
    if layout_ids is not None:
        values["layouts"] = list(layout_ids)
    rows = connection.execute(query, values).all()
    if not rows:
        return None
    return int(min(rows, key=lambda row: (abs(row.mid_mjd - wanted.mjd), -row.id)).id)


def nothing_fits(connection: sa.Connection, wanted: Wanted) -> NoValidCaltables:
    """Return the error with the request, the nearest sets, and why they don't fit."""
    columns = caltable_sets.c
    before_ids, after_ids = (
        connection.scalars(
            sa.select(columns.id)
            .where(columns.status == SetStatus.ACTIVE, on_side)
            .order_by(by_time, columns.id.desc())
            .limit(_NEAR)
        ).all()
        for on_side, by_time in (
            (columns.mid_mjd <= wanted.mjd, columns.mid_mjd.desc()),
            (columns.mid_mjd > wanted.mjd, columns.mid_mjd.asc()),
        )
    )
    inactive_ids = connection.scalars(
        sa.select(columns.id)
        .where(
            columns.status != SetStatus.ACTIVE,
            columns.start_mjd <= wanted.mjd,
            columns.end_mjd >= wanted.mjd,
        )
        .order_by(sa.func.abs(columns.mid_mjd - wanted.mjd), columns.id.desc())
        .limit(_SEARCHED)
    ).all()
    wanted_ids = [*before_ids, *after_ids, *inactive_ids]
    layouts = load_layouts(connection)
    sets = {s.id: s for s in load_sets(connection, wanted_ids, layouts)}
    before = [_as_near(sets[i], wanted) for i in before_ids]
    after = [_as_near(sets[i], wanted) for i in after_ids]
    message = (
        f"no active caltable set is valid for {wanted}; "
        f"nearest before: {_in_words(before)}; nearest after: {_in_words(after)}"
    )
    inactive = [
        f"{s.name} v{s.version} is {s.status}: {'; '.join(s.reasons)}"
        for s in (sets[i] for i in inactive_ids)
        # A replaced version is left out: its successor is what counts.
        if not s.reasons[0].startswith(REPLACED)
    ][:_LISTED]
    if inactive:
        message += f" (not to be applied: {', and '.join(inactive)})"
    return NoValidCaltables(
        message,
        mjd=wanted.mjd,
        declination_deg=wanted.declination_deg,
        before=before,
        after=after,
        inactive=inactive,
    )


def why_not(candidate: CaltableSet, wanted: Wanted) -> list[str]:
    """Return the reasons why a set doesn't fit, in words."""
    found = []
    if wanted.mjd < candidate.start_mjd:
        found.append(f"its window begins {_span(candidate.start_mjd - wanted.mjd)} later")
    if wanted.mjd > candidate.end_mjd:
        found.append(f"its window ended {_span(wanted.mjd - candidate.end_mjd)} earlier")
    if (
        wanted.declination_deg is not None
        and candidate.declination_deg is not None
        and not abs(candidate.declination_deg - wanted.declination_deg)
        <= wanted.strip_tolerance_deg
    ):
        found.append(f"it is of declination {candidate.declination_deg:.2f} deg")
    if wanted.layout is not None:
        found += candidate.layout.differences(wanted.layout)
    return found


_SHOWN = ("name", "version", "mid_mjd", "start_mjd", "end_mjd")


def _as_near(candidate: CaltableSet, wanted: Wanted) -> dict[str, Any]:
    return {
        **{name: getattr(candidate, name) for name in _SHOWN},
        "why_not": why_not(candidate, wanted),
    }


def _in_words(near: Sequence[dict[str, Any]]) -> str:
    if not near:
        return "none"
    return " and ".join(
        f"{n['name']} v{n['version']} of MJD {n['mid_mjd']:.5f}, window {n['start_mjd']:.5f} to "
        f"{n['end_mjd']:.5f} ({'; '.join(n['why_not'])})"
        for n in near[:1]
    )


def _span(days: float) -> str:
    return f"{days:.1f} d" if days >= 2 else f"{days * 24:.2f} h"


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
    """Active sets, ordered by time: all, or those whose window may contain an MJD of a span.

    Parameters
    ----------
    connection : Connection
        The registry.
    span : tuple of (float, float), optional
        First and last MJD, days; None: all sets.
    """

    def __init__(self, connection: sa.Connection, span: tuple[float, float] | None = None) -> None:
        columns = caltable_sets.c
        active = columns.status == SetStatus.ACTIVE
        query = (
            sa.select(*(columns[f.name] for f in fields(ActiveSet)))
            .where(active)
            .order_by(columns.mid_mjd, columns.id)
        )
        if span is not None:
            longest = connection.scalar(sa.select(sa.func.max(columns.reach_days)).where(active))
            reach_days = (longest or 0.0) + _SLACK_DAYS
            query = query.where(
                columns.mid_mjd >= span[0] - reach_days, columns.mid_mjd <= span[1] + reach_days
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
