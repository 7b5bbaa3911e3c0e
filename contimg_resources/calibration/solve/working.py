"""The input data of a solve, for all engines, and the engine ``casa``. Runs in a CASA process.

Belongs here: the interface between engines and solvers; a full, flagged copy of the observation
with its model.
Doesn't: the other engine (see `.working_memory`), the solvers (see `.chain`), the steps of the copy
(see `.phasing`, `.skymodel`), the detectors (see `contimg_resources.calibration.flagging`).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from contimg_resources.calibration.flagging.interference import flag_shared_interference
from contimg_resources.calibration.flagging.rfi import clip_nonsense, flag_interference
from contimg_resources.calibration.ms.health import DataHealth, measure_health
from contimg_resources.calibration.ms.orderly import copy_orderly, named_as, orderly
from contimg_resources.calibration.solve.model import Pointing, SolveRequest
from contimg_resources.calibration.solve.phasing import (
    check_in_beam,
    merge_fields,
    phase_to,
    read_fields,
)
from contimg_resources.calibration.solve.skymodel import (
    Background,
    add_background,
    write_point_model,
)
from contimg_resources.casa.tasks import call_task
from contimg_resources.core.progress import report_progress
from contimg_resources.core.trees import remove_tree

#: How tables are interpolated when they are applied before a solve: the nearest solution in time;
#: a bandpass never across channels without a solution, whose data are flagged instead.
NEAREST = "nearest"
NEAREST_FLAGGING = "nearest,nearestflag"


@dataclass(frozen=True)
class AppliedTable:
    """A table that is applied before a solve, and how it is interpolated."""

    path: Path
    interpolation: str = NEAREST


@dataclass(frozen=True)
class Grain:
    """The resolution of a solve; its data may be averaged to this."""

    interval_s: float | None  #: Solution interval, seconds; None: all integrations together.
    channels: bool  #: Whether the solutions differ between channels.


@dataclass(frozen=True)
class SolverInput:
    """Input of a solver task."""

    parts: tuple[Path, ...]  #: The data: one or more MS of different spectral windows.
    tables: tuple[AppliedTable, ...]  #: Tables still to be applied on the fly.
    interval: str  #: CASA's ``solint``.
    #: The exact times of the solutions, MJD in seconds; empty: as set by the solver.
    times_s: tuple[float, ...] = ()


class WorkingData(Protocol):
    """The flagged data of one calibrator observation."""

    @property
    def ms(self) -> Path:
        """Return an MS with the fields named in the request."""
        ...

    @property
    def fields(self) -> tuple[int, ...]:
        """Return the calibrator's field ids in the data from `for_solver`."""
        ...

    @property
    def declination_deg(self) -> float | None:
        """Return the declination strip of a drift scan, ICRS degrees; None when tracking."""
        ...

    @property
    def health(self) -> DataHealth:
        """Return flags, times and layout."""
        ...

    @property
    def directory(self) -> Path:
        """Return the directory for tables and other intermediate products."""
        ...

    def for_solver(self, applied: tuple[AppliedTable, ...], grain: Grain) -> SolverInput:
        """Return the data as input of a solver task, with some tables applied."""
        ...


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
