"""What a solve works on: the calibrator's data, whichever engine holds them.

Belongs here: what an engine must offer to the solvers.
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
    """How finely a solve looks at its data; finer than this they needn't be.

    Parameters
    ----------
    interval_s : float, optional
        Solution interval, seconds; None: all integrations together.
    channels : bool
        Whether the solutions differ between channels.
    """

    interval_s: float | None
    channels: bool


@dataclass(frozen=True)
class SolverInput:
    """What a solver task is given.

    Parameters
    ----------
    parts : tuple of Path
        The data: one or more MS of different spectral windows.
    tables : tuple of AppliedTable
        What is still to be applied on the fly.
    interval : str
        CASA's ``solint``.
    times_s : tuple of float
        The exact times of the solutions, MJD in seconds; empty: as the solver says.
    """

    parts: tuple[Path, ...]
    tables: tuple[AppliedTable, ...]
    interval: str
    times_s: tuple[float, ...] = ()


class WorkingData(Protocol):
    """The flagged data of one calibrator observation."""

    @property
    def ms(self) -> Path:
        """An MS with the fields that the request names."""
        ...

    @property
    def fields(self) -> tuple[int, ...]:
        """Field ids of the calibrator in what `for_solver` gives."""
        ...

    @property
    def declination_deg(self) -> float | None:
        """Declination strip of a drift scan, ICRS degrees; None when tracking."""
        ...

    @property
    def health(self) -> DataHealth:
        """Flags, times and layout."""
        ...

    @property
    def directory(self) -> Path:
        """Where tables and other intermediate products go."""
        ...

    def for_solver(self, applied: tuple[AppliedTable, ...], grain: Grain) -> SolverInput:
        """Return the data as a solver task reads them, with some tables applied."""
        ...
