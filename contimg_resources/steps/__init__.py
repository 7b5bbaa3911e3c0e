"""The processing steps, each of which combines the science code with both stores.

The assets and the command line call the same functions. Belongs here: reading the stores, calling
the science code, recording the outcome. Doesn't: Dagster (except in ``resource.py``), printing,
SQL, CASA.
"""

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
