"""Queries over many observations, within a transaction of the caller.

Belongs here: selecting by state, time and age. Doesn't: writing, queries of one observation.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from contimg_resources.products.arrivals import MOVED, TWICE
from contimg_resources.products.model import (
    AppliedSet,
    ArtefactKind,
    ImageNoise,
    Made,
    ObservationEvent,
    ObservationState,
)
from contimg_resources.products.rows import RECORD_COLUMNS, as_artefact, as_event
from contimg_resources.products.sub_bands import files_of
from contimg_resources.products.tables import artefacts, images, observation_events, observations


def select_records(
    *,
    state: ObservationState | None,
    day: int | None,
    start_mjd: float | None,
    end_mjd: float | None,
    limit: int | None,
) -> sa.Select[Any]:
    """Return the query for records, latest first.

    `day` is an integer MJD; `start_mjd` and `end_mjd` are MJD in days, the end excluded; None: any.
    """
    query = sa.select(*RECORD_COLUMNS)
    mid = observations.c.mid_mjd
    if state is not None:
        query = query.where(observations.c.state == state.value)
    if day is not None:
        query = query.where(mid >= day, mid < day + 1)
    if start_mjd is not None:
        query = query.where(mid >= start_mjd)
    if end_mjd is not None:
        query = query.where(mid < end_mjd)
    query = query.order_by(mid.desc())
    if limit is not None:
        query = query.limit(limit)
    return query


def load_arrivals(
    connection: sa.Connection, event_id: int | None, limit: int
) -> list[ObservationEvent]:
    """Return the first arrivals after an event, or the latest ones, oldest first.

    Second deliveries, which are not used, don't count.
    """
    mine = observation_events.c
    arrived = sa.and_(
        mine.state == ObservationState.ARRIVED.value, sa.not_(mine.message.startswith(TWICE))
    )
    query = sa.select(observation_events).where(
        mine.step == "arrival", sa.or_(arrived, mine.message.startswith(MOVED))
    )
    if event_id is not None:
        query = query.where(mine.id > event_id).order_by(mine.id)
    else:
        query = query.order_by(mine.id.desc())
    found = [as_event(row) for row in connection.execute(query.limit(limit))]
    return found if event_id is not None else found[::-1]


def load_applied_sets(
    connection: sa.Connection, *, start_mjd: float | None, end_mjd: float | None
) -> list[AppliedSet]:
    """Return the sets applied to products of observations in [start, end), MJD in days."""
    mine, theirs = artefacts.c, observations.c
    carried = (
        mine.key,
        theirs.mid_mjd,
        theirs.declination_deg,
        mine.set_name,
        mine.set_version,
        mine.borrowed,
    )
    query = (
        # Grouped by the database: there are many kinds of products.
        sa.select(*carried, sa.func.aggregate_strings(mine.kind, ",").label("kinds"))
        .join(observations)
        .where(mine.set_name != "", theirs.superseded_by == "")
        .group_by(*carried)
        .order_by(theirs.mid_mjd, mine.set_name, mine.set_version, mine.borrowed)
    )
    if start_mjd is not None:
        query = query.where(theirs.mid_mjd >= start_mjd)
    if end_mjd is not None:
        query = query.where(theirs.mid_mjd < end_mjd)
    return [
        AppliedSet(
            key=row.key,
            mid_mjd=row.mid_mjd,
            declination_deg=row.declination_deg,
            set_name=row.set_name,
            set_version=row.set_version,
            borrowed=row.borrowed,
            products=tuple(sorted(row.kinds.split(","))),
        )
        for row in connection.execute(query)
    ]


def load_made_before(
    connection: sa.Connection, created_mjd: float, kinds: Sequence[ArtefactKind]
) -> list[Made]:
    """Return artefacts of some kinds made before an MJD (days), oldest first."""
    query = (
        sa.select(artefacts, observations.c.state, observations.c.path.label("ms"))
        .join(observations)
        .where(artefacts.c.created_mjd < created_mjd, artefacts.c.kind.in_(list(kinds)))
        .order_by(artefacts.c.created_mjd, artefacts.c.key)
    )
    return [
        Made(
            row.key,
            as_artefact(row),
            ObservationState(row.state),
            tuple(f.path for f in files_of(connection, row.key)) or (Path(row.ms),),
        )
        for row in connection.execute(query).all()
    ]


def load_noise(connection: sa.Connection, *, start_mjd: float, end_mjd: float) -> list[ImageNoise]:
    """Return the noise of good images in [start, end), MJD in days, in order of time."""
    mine = observations.c
    query = (
        sa.select(mine.key, mine.mid_mjd, images.c.rms_mjy, images.c.expected_rms_mjy)
        .join_from(observations, images)
        .where(
            mine.state == ObservationState.IMAGED.value,
            mine.superseded_by == "",
            mine.mid_mjd >= start_mjd,
            mine.mid_mjd < end_mjd,
            images.c.version == 1,
            images.c.rms_mjy > 0,
        )
        .order_by(mine.mid_mjd)
    )
    return [ImageNoise(*row) for row in connection.execute(query)]
