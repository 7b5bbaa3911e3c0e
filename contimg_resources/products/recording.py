"""The rows and history of one observation, within a transaction of the caller.

Belongs here: finding rows, recording an arrival and products, adding to the history. Doesn't:
deciding what an arrival means (see `arrivals` and `sub_bands`), queries over many observations.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from pydantic import ValidationError

from contimg_resources.core.errors import ProductsError
from contimg_resources.database import now_mjd
from contimg_resources.database.records import replace_row
from contimg_resources.observations.model import Observation, ObservationOrigin, SubBandFile
from contimg_resources.products.arrivals import check_arrival, check_sub_bands
from contimg_resources.products.model import (
    Arrival,
    ArrivalOutcome,
    Artefact,
    ImageRecord,
    ObservationEvent,
    ObservationRecord,
    ObservationState,
)
from contimg_resources.products.rows import (
    EVENTS,
    OBSERVATION,
    OBSERVATIONS,
    SUB_BANDS,
    artefact_values,
    image_values,
    observation_values,
)
from contimg_resources.products.tables import (
    artefacts,
    images,
    observation_events,
    observations,
    sub_bands,
)

_AFRESH = (ArrivalOutcome.NEW, ArrivalOutcome.REPLACED)


def find_record(connection: sa.Connection, key: str) -> ObservationRecord | None:
    """Return the record of an observation; None if there is none."""
    row = connection.execute(OBSERVATIONS.query.where(observations.c.key == key)).first()
    return None if row is None else OBSERVATIONS.read(row)


def paths_of(connection: sa.Connection, key: str) -> set[Path]:
    """Return the paths of all artefacts of an observation."""
    return set(connection.scalars(sa.select(artefacts.c.path).where(artefacts.c.key == key)))


def events_of(connection: sa.Connection, key: str) -> list[ObservationEvent]:
    """Return the history of an observation, oldest entry first."""
    columns = observation_events.c
    query = EVENTS.query.where(columns.key == key).order_by(columns.id)
    return [EVENTS.read(row) for row in connection.execute(query)]


def last_event(connection: sa.Connection, key: str) -> ObservationEvent | None:
    """Return the last entry in the history of an observation; None if it has none."""
    columns = observation_events.c
    query = EVENTS.query.where(columns.key == key).order_by(columns.id.desc()).limit(1)
    row = connection.execute(query).first()
    return None if row is None else EVENTS.read(row)


def files_of(connection: sa.Connection, key: str) -> tuple[SubBandFile, ...]:
    """Return the sub-band files of an observation by number; none for an MS or image."""
    columns = sub_bands.c
    query = SUB_BANDS.query.where(columns.key == key).order_by(columns.number)
    return tuple(SUB_BANDS.read(row) for row in connection.execute(query))


def replace_files(connection: sa.Connection, key: str, files: Sequence[SubBandFile]) -> None:
    """Record the sub-band files of an observation in place of earlier ones."""
    connection.execute(sa.delete(sub_bands).where(sub_bands.c.key == key))
    if files:
        rows = [{"key": key, **vars(file)} for file in files]
        connection.execute(sa.insert(sub_bands), rows)


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
            state=state,
            step=step,
            message=message,
            run_id=run_id,
        )
    )


def supersede(connection: sa.Connection, path: Path, key: str, run_id: str) -> None:
    """Mark earlier observations that were read from this path as superseded."""
    columns = observations.c
    others = connection.execute(
        OBSERVATIONS.query.where(
            columns.path == path, columns.key != key, columns.superseded_by == ""
        )
    ).all()
    for other in map(OBSERVATIONS.read, others):
        message = f"its MS {path} was replaced by observation {key}"
        values: dict[str, Any] = {"superseded_by": key}
        state = other.state
        if state in (
            ObservationState.ARRIVED,
            ObservationState.WAITING,
            ObservationState.INTERRUPTED,
        ):
            state = ObservationState.FAILED
            values |= {"state": state, "step": "arrival", "reason": message}
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
    connection: sa.Connection, rows: list[dict[str, Any]], numbers: dict[str, Any] | None
) -> None:
    """Record products, replacing those of the same kind and version."""
    for row in rows:
        replace_row(connection, artefacts, row)
    if numbers is not None:
        replace_row(connection, images, numbers)


def record_arrival(connection: sa.Connection, observation: Observation, run_id: str) -> Arrival:
    """Record the arrival of an observation; see `ProductsStore.arrive`.

    Raises
    ------
    ProductsError
        If another MS has the same mid-MJD but different content, or the known one can't be read.
    """
    key, path = observation.key, observation.path.absolute()
    supersede(connection, path, key, run_id)
    known = find_record(connection, key)
    outcome, message = _classified(connection, known, observation, path)
    if known is not None and outcome is ArrivalOutcome.SAME:
        return Arrival(outcome, known)
    if outcome is ArrivalOutcome.DUPLICATE and message in (
        e.message for e in events_of(connection, key)
    ):
        assert known is not None
        return Arrival(outcome, known)
    state = known.state if known else ObservationState.ARRIVED
    values = observation_values(observation, path)
    if outcome in _AFRESH:
        message = "; ".join((message, *observation.notes))
        state = ObservationState.ARRIVED
        values |= {"state": state, "step": "arrival", "reason": ""}
        values["updated_mjd"] = now_mjd()
    if outcome is ArrivalOutcome.NEW:
        connection.execute(sa.insert(observations).values(key=key, **values))
    # Of sub-band files that were moved, the description from the MS stays.
    elif outcome is ArrivalOutcome.REPLACED or (
        outcome is ArrivalOutcome.MOVED and not observation.sub_bands
    ):
        connection.execute(
            sa.update(observations).where(observations.c.key == key).values(**values)
        )
    if observation.sub_bands:
        replace_files(connection, key, observation.sub_bands)
    add_event(connection, key, state, "arrival", message, run_id)
    record = find_record(connection, key)
    assert record is not None
    return Arrival(outcome, record)


def _classified(
    connection: sa.Connection,
    known: ObservationRecord | None,
    observation: Observation,
    path: Path,
) -> tuple[ArrivalOutcome, str]:
    if observation.origin is ObservationOrigin.SUB_BANDS:
        return check_sub_bands(known, files_of(connection, observation.key), observation)
    return check_arrival(
        known,
        path,
        observation.signature,
        unusable=observation.unusable,
        known_unusable=read_description(connection, observation.key).unusable
        if known and known.path != path
        else "",
    )


def read_description(connection: sa.Connection, key: str) -> Observation:
    """Return a known observation as it was read from its data.

    Raises
    ------
    ProductsError
        If it was recorded by another contimg.
    """
    columns = observations.c
    row = connection.execute(
        sa.select(columns.observation, columns.path).where(columns.key == key)
    ).one()
    try:
        described = OBSERVATION.validate_json(row.observation)
    except ValidationError as error:
        raise ProductsError(
            f"observation {key} was recorded by another contimg: {error}", key=key
        ) from error
    # The state directory may have been moved since.
    return replace(described, path=row.path, sub_bands=files_of(connection, key))
