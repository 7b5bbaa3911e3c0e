"""The engine ``casa``: a full copy of the observation, with its model. Runs in a CASA process.

Belongs here: making the copy, and flagging it before a solve. Doesn't: the other steps
(see `.phasing`, `.skymodel`), nor the detectors (see `contimg_resources.calibration.flagging`).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from contimg_resources.calibration.flagging.interference import flag_shared_interference
from contimg_resources.calibration.flagging.rfi import clip_nonsense, flag_interference
from contimg_resources.calibration.ms.health import DataHealth, measure_health
from contimg_resources.calibration.ms.orderly import copy_orderly, named_as, orderly
from contimg_resources.calibration.solve.background import Background, add_background
from contimg_resources.calibration.solve.model import Pointing, SolveRequest
from contimg_resources.calibration.solve.phasing import (
    check_in_beam,
    merge_fields,
    phase_to,
    read_fields,
)
from contimg_resources.calibration.solve.skymodel import write_point_model
from contimg_resources.calibration.solve.working import AppliedTable, Grain, SolverInput
from contimg_resources.casa.tasks import call_task
from contimg_resources.core.progress import report_progress
from contimg_resources.core.trees import remove_tree


@dataclass(frozen=True)
class WorkingCopy:
    """A copy of the observation with its model; CASA applies, averages and solves.

    See `contimg_resources.calibration.solve.working.WorkingData`.
    """

    ms: Path
    fields: tuple[int, ...]
    declination_deg: float | None
    health: DataHealth

    @property
    def directory(self) -> Path:
        """Return the directory for tables and other intermediate products."""
        return self.ms.parent

    def for_solver(self, applied: tuple[AppliedTable, ...], grain: Grain) -> SolverInput:
        """Return the copy itself: the solver tasks apply and average on the fly."""
        interval = "inf" if grain.interval_s is None else f"{grain.interval_s:g}s"
        return SolverInput((self.ms,), applied, interval)


def copy_observation(request: SolveRequest, directory: Path) -> WorkingCopy:
    """Copy the calibrator's observation, shift it to one phase centre, write its model, flag it.

    Raises
    ------
    CalibrationFailed
        If the calibrator isn't in the beam, or there are no usable data.
    RuntimeError
        If CASA can't read the observation.
    """
    work = directory / "work.ms"
    with named_as(request.ms, work):
        fields, declination_deg = _copy(request, work)
        report_progress("flagging", 0.15)
        _flag(work, rfi=request.recipe.flag_rfi)
        health = measure_health(work, fields, copy_of=request.ms)
    return WorkingCopy(work, fields, declination_deg, health)


def _copy(request: SolveRequest, work: Path) -> tuple[tuple[int, ...], float | None]:
    """Make the copy with its model; return the calibrator's field ids and the strip (degrees)."""
    fields = read_fields(request.ms)
    calibrator = request.calibrator
    if request.pointing is Pointing.TRACKING:
        ids = fields.ids(request.calibrator_fields)
        fields.ids(request.transfer_fields)
        copy_orderly(request.ms, work)
        write_point_model(work, calibrator, field_ids=ids)
        return ids, None
    separations = check_in_beam(request.ms, fields, calibrator)
    ms = orderly(request.ms, work.parent)
    try:
        with named_as(request.ms, ms):
            row_fields = phase_to(ms, work, calibrator.ra_deg, calibrator.dec_deg)
    finally:
        if ms != request.ms:
            remove_tree(ms, ignore_errors=True)
    write_point_model(work, calibrator, separations_rad=separations[row_fields])
    others = request.background
    if others:
        report_progress(f"adding {len(others)} other sources to the model", 0.1)
        center_deg = calibrator.ra_deg, calibrator.dec_deg
        add_background(work, Background(others, fields, center_deg), row_fields)
    merge_fields(work, calibrator.name)
    return (0,), float(np.degrees(fields.dec_rad.mean()))


def _flag(work: Path, *, rfi: bool) -> None:
    """Flag autocorrelations, zeros, NaN and, on request, interference.

    The copy's integrations share one field and scan, so that tfcrop and rflag have a time axis.
    """
    import casatasks

    call_task(casatasks.flagdata, vis=str(work), mode="manual", autocorr=True, flagbackup=False)
    clip_nonsense(work)
    if rfi:
        # First flag interference common to all baselines, then that of each baseline.
        flag_shared_interference(work)
        flag_interference(work, one_direction=False)
