"""Record the arrival of an observation, within a transaction of the caller.

Belongs here: the row of an observation, and its description as it is read back. Doesn't: deciding
what an arrival means (see `arrivals` and `sub_bands`).
"""

from dataclasses import replace
from pathlib import Path

import sqlalchemy as sa
from pydantic import ValidationError

from contimg_resources.core.errors import ProductsError
from contimg_resources.database import now_mjd
from contimg_resources.observations.model import Observation, ObservationOrigin
from contimg_resources.products.arrivals import check_arrival
from contimg_resources.products.model import (
    Arrival,
    ArrivalOutcome,
    ObservationRecord,
    ObservationState,
)
from contimg_resources.products.recording import add_event, events_of, find_record, supersede
from contimg_resources.products.rows import OBSERVATION, observation_values
from contimg_resources.products.sub_bands import check_sub_bands, files_of, replace_files
from contimg_resources.products.tables import observations

_AFRESH = (ArrivalOutcome.NEW, ArrivalOutcome.REPLACED)


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
        values |= {"state": state.value, "step": "arrival", "reason": ""}
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
    return replace(described, path=Path(row.path), sub_bands=files_of(connection, key))
