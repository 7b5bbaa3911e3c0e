"""Keep track of the stale observations among any number of observations.

Belongs here: the days that a change of caltable sets or products may affect, and the stale
observations of these days. Doesn't: deciding which products are stale (see `staleness`).

The stores determine the stale observations, but querying all takes half a minute for a million
observations. The answer for a day changes only with a set whose window includes it, or with one of
its observations; so a caller keeps the number of stale observations of each day.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from contimg_resources.core.times import mjd_day
from contimg_resources.steps.staleness import Stale, stale_observations
from contimg_resources.steps.workshop import Workshop

#: Number of days in one query.
_CHUNK_DAYS = 90


@dataclass(frozen=True)
class StaleDays:
    """The state that one check passes to the next."""

    set_event: int = -1  #: Id of the last event in the history of the sets that was considered.
    product_event: int = -1  #: The same of the observations.
    rule: str = ""  #: The settings that decide which set is valid.
    left: tuple[int, ...] = ()  #: Days that are still to be checked, integer MJD.
    #: Number of observations with stale products, by day; days without any are left out.
    stale: dict[int, int] = field(default_factory=dict)

    def to_record(self) -> dict[str, Any]:
        """Return the state as a JSON-able record."""
        return vars(self)

    @classmethod
    def from_record(cls, record: Any) -> "StaleDays":
        """Return the state of a record; an empty state for anything else."""
        try:
            return cls(
                int(record["set_event"]),
                int(record["product_event"]),
                str(record["rule"]),
                tuple(int(day) for day in record["left"]),
                {int(day): int(n) for day, n in record["stale"].items()},
            )
        except (ValueError, TypeError, LookupError, AttributeError, OverflowError):
            return cls()


@dataclass(frozen=True)
class StaleFound:
    """The stale observations, as far as they are known."""

    n: int  #: Number of observations with stale products.
    listed: tuple[Stale, ...]  #: The first of them, in order of time.
    last: str  #: Partition key of the last one; empty if there is none.
    days: StaleDays  #: State for the next check.


def changed_since(workshop: Workshop, before: StaleDays) -> StaleDays:
    """Return the state with the days that have to be checked since an earlier check.

    The events are read first: a later change counts at the next check.
    """
    products, registry = workshop.products, workshop.registry
    set_event, product_event = registry.last_event_id(), products.last_event_id()
    calibration = workshop.settings.calibration
    rule = f"borrow={calibration.borrow} strip_tolerance_deg={calibration.strip_tolerance_deg}"
    span = products.span()
    every = range(mjd_day(span[0]), mjd_day(span[1]) + 1) if span else range(0)
    stale, left = before.stale, set(before.left)
    # A borrowed set applies outside its window. Ids decrease only in a restored store.
    if (
        before.rule != rule
        or before.set_event > set_event
        or before.product_event > product_event
        or (calibration.borrow and before.set_event != set_event)
    ):
        left, stale = set(every), {}
    else:
        if before.set_event != set_event:
            for start_mjd, end_mjd in registry.windows_changed(before.set_event):
                first, last = mjd_day(start_mjd), mjd_day(end_mjd)
                left.update(range(max(first, every.start), min(last + 1, every.stop)))
        if before.product_event != product_event:
            left |= products.days_changed(before.product_event)
    return StaleDays(set_event, product_event, rule, tuple(sorted(left)), stale)


def check_days(
    workshop: Workshop, days: StaleDays, *, n_listed: int, budget_s: float = float("inf")
) -> StaleFound:
    """Check the days that are left, the latest first.

    Parameters
    ----------
    workshop : Workshop
        Settings and stores.
    days : StaleDays
        See `changed_since`.
    n_listed : int
        Maximum number of observations in the list.
    budget_s : float
        After this many seconds no further days are begun; they are left for the next check.
    """
    deadline_s = time.monotonic() + budget_s
    counts, found = dict(days.stale), dict[int, tuple[Stale, ...]]()
    left = set(days.left)
    for first, last in _spans(left):
        if time.monotonic() > deadline_s:
            break
        found |= _of_days(workshop, first, last)
        for day in range(first, last + 1):
            left.discard(day)
            counts[day] = len({one.key for one in found.get(day, ())})
    counts = {day: counts[day] for day in sorted(counts) if counts[day]}

    def of(day: int) -> tuple[Stale, ...]:
        return found[day] if day in found else _of_days(workshop, day, day).get(day, ())

    listed: list[Stale] = []
    for day in counts:
        if len(listed) >= n_listed:
            break
        listed += of(day)
    at_end = of(max(counts)) if counts else ()
    return StaleFound(
        n=sum(counts.values()),
        listed=tuple(listed[:n_listed]),
        last=at_end[-1].key if at_end else "",
        days=replace(days, left=tuple(sorted(left)), stale=counts),
    )


def _spans(days: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Yield the first and last day of runs of days, the latest first."""
    last: int | None = None
    first = 0
    for day in sorted(days, reverse=True):
        if last is not None and (day != first - 1 or last - day >= _CHUNK_DAYS):
            yield first, last
            last = None
        first, last = day, day if last is None else last
    if last is not None:
        yield first, last


def _of_days(workshop: Workshop, first: int, last: int) -> dict[int, tuple[Stale, ...]]:
    """Return the stale observations of days, by day."""
    by_day: dict[int, list[Stale]] = {}
    for one in stale_observations(workshop, start_mjd=first, end_mjd=last + 1):
        by_day.setdefault(mjd_day(one.mid_mjd), []).append(one)
    return {day: tuple(ones) for day, ones in by_day.items()}
