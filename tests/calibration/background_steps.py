"""Steps that the tests of the background run in CASA processes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from contimg_resources.calibration.solve.phasing import phase_to, read_fields
from contimg_resources.calibration.solve.skymodel import (
    Background,
    add_background,
    background_sources,
    write_point_model,
)
from contimg_resources.observations.calibrators import Calibrator


@dataclass(frozen=True)
class Modelled:
    """How far the data of a working copy are from its model, rms over cross-correlations, Jy."""

    n_background: int
    data_jy: float
    from_calibrator_alone_jy: float
    from_model_jy: float


def model_a_drift(task: tuple[Path, Calibrator, tuple[Calibrator, ...]]) -> Modelled:
    """Bring an observation to its calibrator, and model it without and with the other sources."""
    ms, calibrator, listed = task
    work = Path.cwd() / "work.ms"
    fields = read_fields(ms)
    row_fields = phase_to(ms, work, calibrator.ra_deg, calibrator.dec_deg)
    separations = fields.separations_rad(calibrator.ra_deg, calibrator.dec_deg)
    write_point_model(work, calibrator, separations_rad=separations[row_fields])
    data, alone = _cross(work, "DATA"), _cross(work, "MODEL_DATA")
    others = background_sources(listed, calibrator, fields)
    center_deg = calibrator.ra_deg, calibrator.dec_deg
    add_background(work, Background(others, fields, center_deg), row_fields)
    model = _cross(work, "MODEL_DATA")
    return Modelled(len(others), _rms(data), _rms(data - alone), _rms(data - model))


def _rms(values: Any) -> float:
    return float(np.sqrt((np.abs(values) ** 2).mean()))


def _cross(ms: Path, column: str) -> Any:
    from casatools import table

    tb: Any = table()
    tb.open(str(ms))
    cross = tb.getcol("ANTENNA1") != tb.getcol("ANTENNA2")
    cells = np.asarray(tb.getcol(column))[:, :, cross]
    tb.close()
    return cells
