"""Arrivals that Dagster has no materialization of, from the products store.

Belongs here: finding them. Doesn't: reading or recording arrivals.

The products store records an observation in the middle of a tick, and Dagster learns of it at the
end of the tick: a tick that is killed in between would never report it. So each tick queries the
store for the arrivals since the last one that was reported, and Dagster for those that it knows.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import dagster as dg

from contimg_resources.core.errors import ContimgError
from contimg_resources.core.times import datetime_from_mjd
from contimg_resources.observations.model import ObservationOrigin
from contimg_resources.products.model import ArrivalOutcome, ObservationEvent
from contimg_resources.steps.arriving import Arrived
from contimg_resources.steps.watching_sub_bands import SubBandCursor
from contimg_resources.steps.workshop import Workshop

#: Maximum number of arrivals checked in a tick; without a cursor, the latest ones.
WINDOW = 200

#: The asset of which an arrival is a materialization.
ASSETS = {
    ObservationOrigin.MEASUREMENT_SET: "incoming_ms",
    ObservationOrigin.SUB_BANDS: "incoming_sub_bands",
}
_NAME = "told"
_SUB_BANDS = "uvh5"
#: No event has such a number.
_NO_ROW = 1 << 63
#: Maximum number of events in one answer of Dagster.
_PAGE = 1000


@dataclass(frozen=True)
class Untold:
    """Arrivals that aren't yet reported to Dagster."""

    arrivals: tuple[Arrived, ...]  #: The arrivals.
    errors: tuple[str, ...]  #: Reasons why the store can't describe some of them.
    last: int | None  #: Id of the last event that was read; None: there was none yet.


def untold_arrivals(
    workshop: Workshop,
    instance: dg.DagsterInstance,
    cursor: str | None,
    seen: Iterable[Arrived] = (),
) -> Untold:
    """Return the arrivals that aren't yet reported to Dagster.

    Parameters
    ----------
    workshop : Workshop
        The stores.
    instance : dagster.DagsterInstance
        The instance.
    cursor : str, optional
        Cursor of the sensor, as `with_last` made it.
    seen : iterable of Arrived
        Arrivals of this tick, in more detail than in the store.
    """
    last = _last_of(cursor)
    events = workshop.products.arrivals_after(last, limit=WINDOW)
    newest = {event.key: event for event in events}
    known_s = _known(instance, newest)
    of_this_tick = {arrived.observation.key: arrived for arrived in seen}
    arrivals, errors = [], []
    for key, event in newest.items():
        if known_s.get(key, 0.0) >= datetime_from_mjd(event.at_mjd).timestamp():
            continue
        try:
            arrivals.append(of_this_tick.get(key) or _arrived(workshop, event))
        except ContimgError as error:
            errors.append(error.message)
    return Untold(tuple(arrivals), tuple(errors), max((e.id for e in events), default=last))


def with_last(memory: str, untold: Untold, sub_bands: SubBandCursor | None = None) -> str:
    """Return a cursor with those of the scans and the last arrival that was reported."""
    told = {_SUB_BANDS: vars(sub_bands or SubBandCursor()), _NAME: untold.last}
    return json.dumps({**json.loads(memory), **told})


def sub_band_cursor(cursor: str | None) -> SubBandCursor:
    """Return the cursor of the scan for sub-band files in a cursor of the sensor."""
    try:
        return SubBandCursor.from_record(json.loads(cursor or "{}")[_SUB_BANDS])
    except (ValueError, LookupError, TypeError, RecursionError):
        return SubBandCursor()


def _last_of(cursor: str | None) -> int | None:
    try:
        last = json.loads(cursor or "{}").get(_NAME)
    except (ValueError, AttributeError, RecursionError):
        return None
    is_row = isinstance(last, int) and not isinstance(last, bool) and 0 <= last < _NO_ROW
    return last if is_row else None


def _known(
    instance: dg.DagsterInstance, events: Mapping[str, ObservationEvent]
) -> dict[str, float]:
    """Return when each of these keys was last reported to Dagster, Unix time in seconds."""
    if not events:
        return {}
    first_s = min(datetime_from_mjd(event.at_mjd).timestamp() for event in events.values())
    known: dict[str, float] = {}
    for asset in ASSETS.values():
        told = instance.fetch_materializations(
            dg.AssetRecordsFilter(
                asset_key=dg.AssetKey(asset),
                asset_partitions=list(events),
                after_timestamp=first_s - 1.0,
            ),
            limit=_PAGE,
            ascending=True,
        )
        known |= {str(record.partition_key): record.timestamp for record in told.records}
    return known


def _arrived(workshop: Workshop, event: ObservationEvent) -> Arrived:
    """Return the arrival that an earlier tick recorded, as far as the store knows it."""
    record = workshop.products.get(event.key)
    observation = workshop.products.observation(event.key)
    first = workshop.products.history(event.key)[0]
    return Arrived(
        observation,
        ArrivalOutcome.NEW if event.id == first.id else ArrivalOutcome.REPLACED,
        is_calibrator=bool(record.calibrator),
        ready=not record.reason,
        reason=record.reason,
        usable=not observation.unusable,
    )
