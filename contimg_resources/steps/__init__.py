"""The processing steps, each of which combines the science code with both stores.

The assets and the command line call the same functions. Belongs here: reading the stores, calling
the science code, recording the outcome. Doesn't: Dagster (except in ``resource.py``), printing,
SQL, CASA.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from contimg_resources.steps.adding_images import AddedImage, AddedImages, add_images
    from contimg_resources.steps.arriving import Arrived, arrive
    from contimg_resources.steps.calibrating import Calibrated, calibrate_observation
    from contimg_resources.steps.converting import MeasurementSetMade, make_measurement_set
    from contimg_resources.steps.day import DayLog, day_log
    from contimg_resources.steps.imaging import Imaged, image_observation
    from contimg_resources.steps.mosaicking import Mosaicked, mosaic_observations
    from contimg_resources.steps.photometry import (
        Measured,
        MeasuredSubband,
        Unmeasured,
        measure_image,
        measure_mosaic,
        measure_subband,
    )
    from contimg_resources.steps.solving import Solved, solve_observation
    from contimg_resources.steps.workshop import Workshop

__all__ = [
    "AddedImage",
    "AddedImages",
    "Arrived",
    "Calibrated",
    "DayLog",
    "Imaged",
    "Measured",
    "MeasuredSubband",
    "MeasurementSetMade",
    "Mosaicked",
    "Solved",
    "Unmeasured",
    "Workshop",
    "add_images",
    "arrive",
    "calibrate_observation",
    "day_log",
    "image_observation",
    "make_measurement_set",
    "measure_image",
    "measure_mosaic",
    "measure_subband",
    "mosaic_observations",
    "solve_observation",
]

#: The public names by the module that defines them.
_NAMES = {
    "adding_images": ("AddedImage", "AddedImages", "add_images"),
    "arriving": ("Arrived", "arrive"),
    "calibrating": ("Calibrated", "calibrate_observation"),
    "converting": ("MeasurementSetMade", "make_measurement_set"),
    "day": ("DayLog", "day_log"),
    "imaging": ("Imaged", "image_observation"),
    "mosaicking": ("Mosaicked", "mosaic_observations"),
    "photometry": (
        "Measured",
        "MeasuredSubband",
        "Unmeasured",
        "measure_image",
        "measure_mosaic",
        "measure_subband",
    ),
    "solving": ("Solved", "solve_observation"),
    "workshop": ("Workshop",),
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> Any:
    # Loaded on first use: a CASA process imports only what it calls, and none of the stores.
    if name in _MODULES:
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
