"""The records of the products store, and the columns that are made from them.

Belongs here: records by table, descriptions of observations. Doesn't: selecting rows.
"""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from contimg_resources.core.errors import ProductsError, VariabilityFailed
from contimg_resources.database import plain_json
from contimg_resources.database.records import Records, values_of
from contimg_resources.observations.model import Observation, SubBandFile
from contimg_resources.products import tables
from contimg_resources.products.epochs import EpochRecord, MosaicRecord
from contimg_resources.products.events import AlertRecord, CandidateRecord, MarkRecord
from contimg_resources.products.model import (
    Artefact,
    ImageRecord,
    ObservationEvent,
    ObservationRecord,
)

#: Converts an observation to JSON and back.
OBSERVATION = TypeAdapter(Observation)

OBSERVATIONS = Records(ObservationRecord, tables.observations, ProductsError)
SUB_BANDS = Records(SubBandFile, tables.sub_bands, ProductsError)
EVENTS = Records(ObservationEvent, tables.observation_events, ProductsError)
ARTEFACTS = Records(Artefact, tables.artefacts, ProductsError)
IMAGES = Records(ImageRecord, tables.images, ProductsError)
MOSAICS = Records(MosaicRecord, tables.mosaics, ProductsError)
EPOCHS = Records(EpochRecord, tables.epochs, ProductsError)
CANDIDATES = Records(CandidateRecord, tables.candidates, VariabilityFailed)
MARKS = Records(MarkRecord, tables.marks, VariabilityFailed)
ALERTS = Records(AlertRecord, tables.alerts, ProductsError)


def observation_values(observation: Observation, path: Path) -> dict[str, Any]:
    """Return the columns that describe an observation, without its state."""
    return {
        "path": path,
        "signature": observation.signature,
        "start_mjd": observation.start_mjd,
        "mid_mjd": observation.mid_mjd,
        "end_mjd": observation.end_mjd,
        "declination_deg": observation.declination_deg,
        "calibrator": observation.calibrators[0].name if observation.calibrators else "",
        "superseded_by": "",
        "origin": observation.origin,
        # The files have rows of their own.
        "observation": OBSERVATION.dump_json(replace(observation, sub_bands=())).decode(),
    }


def artefact_values(key: str, artefact: Artefact, created_mjd: float) -> dict[str, Any]:
    """Return the columns of an artefact."""
    return {
        **asdict(artefact),
        "key": key,
        "kind": str(artefact.kind),
        "parameters": plain_json(artefact.parameters),
        "software": plain_json(artefact.software),
        "created_mjd": created_mjd,
    }


def image_values(key: str, image: ImageRecord) -> dict[str, Any]:
    """Return the columns of image statistics; values that aren't finite become None."""
    return values_of(image, key=key)
