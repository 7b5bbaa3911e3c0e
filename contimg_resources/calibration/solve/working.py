"""The input data of a solve, for all engines.

Belongs here: the interface between engines and solvers.
Doesn't: the engines (see `.working_copy` and `.working_memory`), or the solvers (see `.chain`).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from contimg_resources.calibration.ms.health import DataHealth

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
