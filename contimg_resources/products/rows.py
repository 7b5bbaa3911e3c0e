"""Convert between rows and records.

Belongs here: the conversion. Doesn't: selecting rows.
"""

from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from contimg_resources.database import plain_json
from contimg_resources.observations.model import Observation, ObservationOrigin
from contimg_resources.products.model import (
    Artefact,
    ImageRecord,
    ObservationEvent,
    ObservationRecord,
    ObservationState,
)
from contimg_resources.products.tables import observations

#: Converts an observation to JSON and back.
OBSERVATION = TypeAdapter(Observation)

#: The columns of an `ObservationRecord`.
RECORD_COLUMNS = [observations.c[f.name] for f in fields(ObservationRecord)]


def observation_values(observation: Observation, path: Path) -> dict[str, Any]:
    """Return the columns that describe an observation, without its state."""
    return {
        "path": str(path),
        "signature": observation.signature,
        "start_mjd": observation.start_mjd,
        "mid_mjd": observation.mid_mjd,
        "end_mjd": observation.end_mjd,
        "declination_deg": observation.declination_deg,
        "calibrator": observation.calibrators[0].name if observation.calibrators else "",
        "superseded_by": "",
        "origin": observation.origin.value,
        # The files have rows of their own.
        "observation": OBSERVATION.dump_json(replace(observation, sub_bands=())).decode(),
    }


def as_record(row: Any) -> ObservationRecord:
    """Return the record of a row with `RECORD_COLUMNS`."""
    values = {f.name: getattr(row, f.name) for f in fields(ObservationRecord)}
    values |= {"path": Path(row.path), "state": ObservationState(row.state)}
    values["origin"] = ObservationOrigin(row.origin)
    return ObservationRecord(**values)


def as_event(row: Any) -> ObservationEvent:
    """Return the event of a row of `observation_events`."""
    return ObservationEvent(
        id=row.id,
        key=row.key,
        at_mjd=row.at_mjd,
        state=ObservationState(row.state),
        step=row.step,
        message=row.message,
        run_id=row.run_id,
    )


def artefact_values(key: str, artefact: Artefact, created_mjd: float) -> dict[str, Any]:
    """Return the columns of an artefact."""
    return {
        **asdict(artefact),
        "key": key,
        "kind": str(artefact.kind),
        "path": str(artefact.path.absolute()),
        "parameters": plain_json(artefact.parameters),
        "software": plain_json(artefact.software),
        "created_mjd": created_mjd,
    }


def as_artefact(row: Any) -> Artefact:
    """Return the artefact of a row."""
    values = {f.name: getattr(row, f.name) for f in fields(Artefact)}
    return Artefact(**{**values, "path": Path(row.path)})


def image_values(key: str, image: ImageRecord) -> dict[str, Any]:
    """Return the columns of image statistics; values that aren't finite become None."""
    values: dict[str, Any] = plain_json(asdict(image))
    return {**values, "key": key}


def as_image(row: Any) -> ImageRecord:
    """Return the image statistics of a row of `images`."""
    return ImageRecord(**{f.name: getattr(row, f.name) for f in fields(ImageRecord)})
