"""The products store: observations with their states, history and products.

Belongs here: states, history, artefacts, image statistics. Doesn't: making products.
"""

from contimg_resources.products.model import (
    Arrival,
    ArrivalOutcome,
    Artefact,
    ArtefactKind,
    ImageRecord,
    ObservationEvent,
    ObservationRecord,
    ObservationState,
)
from contimg_resources.products.store import ProductsStore

__all__ = [
    "Arrival",
    "ArrivalOutcome",
    "Artefact",
    "ArtefactKind",
    "ImageRecord",
    "ObservationEvent",
    "ObservationRecord",
    "ObservationState",
    "ProductsStore",
]
