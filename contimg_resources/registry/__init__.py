"""The calibration registry: caltable sets, their windows, and the set that applies.

Belongs here: records of caltable sets. Doesn't: solving or applying them.
"""

from contimg_resources.registry.model import (
    ActiveCaltables,
    CaltableSet,
    NewCaltable,
    NewCaltableSet,
    RegisteredCaltable,
    SetEvent,
    SetStatus,
    TableProblem,
)
from contimg_resources.registry.store import CalibrationRegistry

__all__ = [
    "ActiveCaltables",
    "CalibrationRegistry",
    "CaltableSet",
    "NewCaltable",
    "NewCaltableSet",
    "RegisteredCaltable",
    "SetEvent",
    "SetStatus",
    "TableProblem",
]
