"""Convert rows to records.

Belongs here: reading sets, layouts and events into the model. Doesn't: choosing which.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from contimg_resources.instrument.caltables import ArrayLayout, CaltableType
from contimg_resources.registry.model import (
    CaltableSet,
    RegisteredCaltable,
    SetEvent,
    SetStatus,
)
from contimg_resources.registry.tables import caltable_sets, caltables, layouts, set_events

_CHUNK = 500


def layout_digest(layout: ArrayLayout) -> str:
    """Return a digest that identifies a layout in the database."""
    text = json.dumps([list(layout.antenna_names), [list(w) for w in layout.spectral_windows_hz]])
    return hashlib.sha256(text.encode()).hexdigest()


def layout_from_row(row: Any) -> ArrayLayout:
    """Return the layout of a row of `layouts`."""
    return ArrayLayout(
        antenna_names=tuple(row.antenna_names),
        spectral_windows_hz=tuple(
            (float(low), float(high), int(n)) for low, high, n in row.spectral_windows_hz
        ),
    )


def load_layouts(
    connection: sa.Connection, ids: Sequence[int] | None = None
) -> dict[int, ArrayLayout]:
    """Return layouts by row; all of them if `ids` is None."""
    query = sa.select(layouts)
    if ids is not None:
        query = query.where(layouts.c.id.in_(list(ids)))
    return {row.id: layout_from_row(row) for row in connection.execute(query)}


def load_sets(
    connection: sa.Connection, ids: Sequence[int], known: Mapping[int, ArrayLayout]
) -> list[CaltableSet]:
    """Return sets by row, in the order of `ids`."""
    found: dict[int, CaltableSet] = {}
    for start in range(0, len(ids), _CHUNK):
        chunk = list(ids[start : start + _CHUNK])
        tables = defaultdict(list)
        for row in connection.execute(
            sa.select(caltables)
            .where(caltables.c.set_id.in_(chunk), caltables.c.applied)
            .order_by(caltables.c.apply_order)
        ):
            tables[row.set_id].append(
                RegisteredCaltable(
                    type=CaltableType(row.type),
                    path=Path(row.path),
                    apply_order=row.apply_order,
                    checksum=row.checksum,
                )
            )
        for row in connection.execute(
            sa.select(caltable_sets).where(caltable_sets.c.id.in_(chunk))
        ):
            found[row.id] = CaltableSet(
                id=row.id,
                name=row.name,
                version=row.version,
                calibrator=row.calibrator,
                refant=row.refant,
                mid_mjd=row.mid_mjd,
                start_mjd=row.start_mjd,
                end_mjd=row.end_mjd,
                declination_deg=row.declination_deg,
                layout=known[row.layout_id],
                status=SetStatus(row.status),
                reasons=tuple(row.reasons),
                quality=row.quality,
                origin=row.origin,
                registered_mjd=row.registered_mjd,
                tables=tuple(tables[row.id]),
            )
    return [found[i] for i in ids if i in found]


def select_ids(
    *,
    status: SetStatus | None,
    name: str | None,
    start_mjd: float | None,
    end_mjd: float | None,
    limit: int | None,
) -> sa.Select[tuple[int]]:
    """Return the query for rows of sets, latest calibrator observation first.

    Limits are MJD in days, the end excluded; None: any.
    """
    columns = caltable_sets.c
    query = sa.select(columns.id).order_by(columns.mid_mjd.desc(), columns.id.desc())
    if status is not None:
        query = query.where(columns.status == status.value)
    if name is not None:
        query = query.where(columns.name == name)
    if start_mjd is not None:
        query = query.where(columns.mid_mjd >= start_mjd)
    if end_mjd is not None:
        query = query.where(columns.mid_mjd < end_mjd)
    if limit is not None:
        query = query.limit(limit)
    return query


def load_events(
    connection: sa.Connection, *, name: str | None, after_id: int, limit: int
) -> list[SetEvent]:
    """Return the events after an event, oldest first."""
    query = (
        sa.select(set_events, caltable_sets.c.name, caltable_sets.c.version)
        .join(caltable_sets, caltable_sets.c.id == set_events.c.set_id)
        .where(set_events.c.id > after_id)
        .order_by(set_events.c.id)
        .limit(limit)
    )
    if name is not None:
        query = query.where(caltable_sets.c.name == name)
    return [
        SetEvent(
            id=row.id,
            set_name=row.name,
            version=row.version,
            event=row.event,
            at_mjd=row.at_mjd,
            reason=row.reason,
            host=row.host,
            pid=row.pid,
            user=row.user,
        )
        for row in connection.execute(query)
    ]
