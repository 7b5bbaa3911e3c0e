"""The rows and history of one observation, within a transaction of the caller.

Belongs here: finding rows and adding to the history. Doesn't: deciding on states, queries over
many observations (see `queries`).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from contimg_resources.core.errors import ProductsError
from contimg_resources.database import now_mjd
from contimg_resources.products.model import (
    Artefact,
    ImageRecord,
    ObservationEvent,
    ObservationRecord,
    ObservationState,
)
from contimg_resources.products.rows import (
    RECORD_COLUMNS,
    artefact_values,
    as_event,
    as_record,
    image_values,
)
from contimg_resources.products.tables import artefacts, images, observation_events, observations


def find_record(connection: sa.Connection, key: str) -> ObservationRecord | None:
    """Return the record of an observation; None if there is none."""
    row = connection.execute(sa.select(*RECORD_COLUMNS).where(observations.c.key == key)).first()
    return None if row is None else as_record(row)


def paths_of(connection: sa.Connection, key: str) -> set[Path]:
    """Return the paths of all artefacts of an observation."""
    query = sa.select(artefacts.c.path).where(artefacts.c.key == key)
    return {Path(path) for path in connection.scalars(query)}


def events_of(connection: sa.Connection, key: str) -> list[ObservationEvent]:
    """Return the history of an observation, oldest entry first."""
    query = sa.select(observation_events).where(observation_events.c.key == key)
    return [as_event(row) for row in connection.execute(query.order_by(observation_events.c.id))]


def last_event(connection: sa.Connection, key: str) -> ObservationEvent | None:
    """Return the last entry in the history of an observation; None if it has none."""
    query = sa.select(observation_events).where(observation_events.c.key == key)
    row = connection.execute(query.order_by(observation_events.c.id.desc()).limit(1)).first()
    return None if row is None else as_event(row)


def add_event(
    connection: sa.Connection,
    key: str,
    state: ObservationState,
    step: str,
    message: str,
    run_id: str,
) -> None:
    """Add an entry to the history of an observation."""
    connection.execute(
        sa.insert(observation_events).values(
            key=key,
            at_mjd=now_mjd(),
            state=state.value,
            step=step,
            message=message,
            run_id=run_id,
        )
    )


def supersede(connection: sa.Connection, path: Path, key: str, run_id: str) -> None:
    """Mark earlier observations that were read from this path as superseded."""
    columns = observations.c
    others = connection.execute(
        sa.select(*RECORD_COLUMNS).where(
            columns.path == str(path), columns.key != key, columns.superseded_by == ""
        )
    ).all()
    for other in (as_record(row) for row in others):
        message = f"its MS {path} was replaced by observation {key}"
        values = {"superseded_by": key}
        state = other.state
        if state in (
            ObservationState.ARRIVED,
            ObservationState.WAITING,
            ObservationState.INTERRUPTED,
        ):
            state = ObservationState.FAILED
            values |= {"state": state.value, "step": "arrival", "reason": message}
        connection.execute(sa.update(observations).where(columns.key == other.key).values(**values))
        add_event(connection, other.key, state, "arrival", message, run_id)


def product_rows(
    key: str, made: Sequence[Artefact], image: ImageRecord | None
) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """Return the columns of the products of one step, and of the image statistics.

    Raises
    ------
    ProductsError
        If two have the same kind and version, or a value isn't JSON-able.
    """
    names = [(a.kind, a.version) for a in made]
    if len(set(names)) < len(names):
        raise ProductsError(f"observation {key}: two artefacts of one kind and version: {names}")
    created_mjd = now_mjd()
    try:
        rows = [artefact_values(key, a, created_mjd) for a in made]
        return rows, None if image is None else image_values(key, image)
    except TypeError as error:
        raise ProductsError(f"observation {key}: {error}", key=key) from error


def replace_products(
    connection: sa.Connection,
    key: str,
    rows: list[dict[str, Any]],
    numbers: dict[str, Any] | None,
) -> None:
    """Record products, replacing those of the same kind and version."""
    columns = artefacts.c
    for row in rows:
        connection.execute(
            sa.delete(artefacts).where(
                columns.key == key,
                columns.kind == row["kind"],
                columns.version == row["version"],
            )
        )
    if rows:
        connection.execute(sa.insert(artefacts), rows)
    if numbers is not None:
        connection.execute(
            sa.delete(images).where(images.c.key == key, images.c.version == numbers["version"])
        )
        connection.execute(sa.insert(images).values(**numbers))
