"""What is asked of a calibrated MS and what it gives, whichever engine writes it.

Belongs here: records, and the limits that every engine keeps. Doesn't: doing anything.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

from contimg_resources.calibration.flagging.rfi import FlagCount
from contimg_resources.calibration.ms.callib import TableToApply
from contimg_resources.core.errors import CasaError, UnreadableObservation


@dataclass(frozen=True)
class ApplyRequest:
    """What to calibrate, with what, and where to put it.

    Parameters
    ----------
    ms : Path
        The MS that arrived; only read.
    tables : tuple of TableToApply
        The caltables; applied in the order of their ``order``.
    output : Path
        The calibrated MS to write; replaced when it exists.
    working_antennas : tuple of str
        Names of the antennas over which flags are counted; empty: those with data in `ms`.
    field_selection : str
        CASA field selection; empty: all fields.
    shift : bool
        Bring all fields to one phase centre; without, they stay where they are.
    phase_center_deg : (float, float), optional
        Right ascension and declination of it, ICRS degrees; None: the middle of the fields, which
        for a drift scan is the meridian in the middle of the observation.
    flag_rfi : bool
        Flag radio interference after calibrating.
    max_flagged_fraction : float
        More flags than this on working antennas is an error.
    provenance : dict of str to str
        Noted in the calibrated MS.
    engine : str
        ``fast``: in memory, or where that can't be done with CASA; ``casa``: CASA's tasks.
    """

    ms: Path
    tables: tuple[TableToApply, ...]
    output: Path
    working_antennas: tuple[str, ...] = ()
    field_selection: str = ""
    shift: bool = True
    phase_center_deg: tuple[float, float] | None = None
    flag_rfi: bool = True
    max_flagged_fraction: float = 1.0
    provenance: dict[str, str] = field(default_factory=dict)
    engine: str = "fast"


@dataclass(frozen=True)
class ApplyResult:
    """A calibrated MS.

    Parameters
    ----------
    ms : Path
        It.
    phase_center_deg : (float, float), optional
        Its one phase centre, ICRS degrees; None when the fields were left where they are.
    working_antennas : tuple of str
        Names of the antennas over which flags were counted.
    n_rows : int
        Rows of it; autocorrelations are left behind.
    input_flagged_fraction : float
        Flags that came with the data.
    applied_flagged_fraction : float
        After applying: with zeros, values that aren't finite, and antennas without solutions.
    flagged_fraction : float
        After flagging interference. All three are of cross-correlations of working antennas.
    """

    ms: Path
    phase_center_deg: tuple[float, float] | None
    working_antennas: tuple[str, ...]
    n_rows: int
    input_flagged_fraction: float
    applied_flagged_fraction: float
    flagged_fraction: float

    @property
    def rfi_flagged_fraction(self) -> float:
        """What flagging interference added."""
        return self.flagged_fraction - self.applied_flagged_fraction


@dataclass(frozen=True)
class Written:
    """What an engine wrote.

    Parameters
    ----------
    phase_center_deg : (float, float), optional
        See `ApplyResult`.
    working : frozenset of int
        Ids of the antennas over which flags were counted.
    n_rows : int
        Rows of the MS.
    arrived, applied, final : FlagCount
        Flags that came, after applying, and in the end.
    rest : callable, optional
        To be called when the MS is complete; see `contimg_resources.calibration.apply.memory.Also`.
    """

    phase_center_deg: tuple[float, float] | None
    working: frozenset[int]
    n_rows: int
    arrived: FlagCount
    applied: FlagCount
    final: FlagCount
    rest: Callable[[], None] | None = None


def refuse_useless(request: ApplyRequest, working: Collection[int], arrived: FlagCount) -> None:
    """Refuse an MS without anything to calibrate.

    Raises
    ------
    UnreadableObservation
        If no antenna works, or all that came is flagged.
    """
    if not working:
        raise UnreadableObservation(
            f"{request.ms} has no unflagged data on any baseline that are finite, not zero, and "
            "have a weight above zero",
            path=str(request.ms),
        )
    if arrived.total == arrived.flagged:
        raise UnreadableObservation(
            f"{request.ms}: all data of its {len(working)} working antennas are flagged or have no "
            "weight above zero; there is nothing to calibrate",
            path=str(request.ms),
        )


def refuse_flagged(request: ApplyRequest, count: FlagCount, when: str) -> None:
    """Refuse data of which too much is flagged.

    Raises
    ------
    CasaError
        Naming the share, the limit and the moment.
    """
    if count.flagged == count.total or count.fraction > request.max_flagged_fraction:
        raise CasaError(
            f"{request.ms}: {count.fraction:.1%} of the data of working antennas is flagged {when};"
            f" at most {request.max_flagged_fraction:.1%} is allowed, and some must be left",
            path=str(request.ms),
            flagged_fraction=count.fraction,
        )
