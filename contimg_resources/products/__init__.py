"""The products store: what became of each observation, and what was made of it.

Belongs here: states, history, artefacts, image statistics. Doesn't: making any of it.
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
