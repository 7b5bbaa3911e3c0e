"""Requests for a calibrated MS and its description, for all engines.

Belongs here: records, and the limits that apply to every engine. Doesn't: calibrating.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

from contimg_resources.calibration.flagging.rfi import FlagCount
from contimg_resources.calibration.ms.callib import TableToApply
from contimg_resources.core.errors import CasaError, UnreadableObservation
from contimg_resources.settings import CalibrationSettings, ImagingSettings


@dataclass(frozen=True)
class ApplyRequest:
    """A request to calibrate an MS: the input, the caltables, the output."""

    ms: Path  #: The incoming MS; only read.
    tables: tuple[TableToApply, ...]  #: The caltables; applied in the order of their ``order``.
    output: Path  #: The calibrated MS to write; replaced when it exists.
    #: Names of the antennas over which flags are counted; empty: those with data in `ms`.
    working_antennas: tuple[str, ...] = ()
    field_selection: str = ""  #: CASA field selection; empty: all fields.
    shift: bool = True  #: Shift all fields to one phase centre; otherwise they are unchanged.
    #: Its right ascension and declination, ICRS degrees; None: the middle of the fields, which for
    #: a drift scan is the meridian in the middle of the observation.
    phase_center_deg: tuple[float, float] | None = None
    flag_rfi: bool = True  #: Flag radio interference after calibrating.
    #: Provenance recorded in the calibrated MS.
    provenance: dict[str, str] = field(default_factory=dict)
    #: The engine: in memory, or with CASA where that isn't possible, or always CASA's tasks.
    settings: CalibrationSettings = field(default_factory=CalibrationSettings)
    #: The image that will be made: more flagged data than it may have are an error.
    imaging: ImagingSettings = field(default_factory=ImagingSettings)


@dataclass(frozen=True)
class ApplyResult:
    """A calibrated MS."""

    ms: Path  #: The calibrated MS.
    #: Its phase centre, ICRS degrees; None when the fields were not shifted.
    phase_center_deg: tuple[float, float] | None
    working_antennas: tuple[str, ...]  #: Names of the antennas over which flags were counted.
    n_rows: int  #: Number of its rows; autocorrelations are left out.
    input_flagged_fraction: float  #: Flagged fraction of the input.
    #: After applying: with zeros, non-finite values, and antennas without solutions.
    applied_flagged_fraction: float
    #: After flagging interference. All three are of cross-correlations of working antennas.
    flagged_fraction: float

    @property
    def rfi_flagged_fraction(self) -> float:
        """Return the fraction added by flagging interference."""
        return self.flagged_fraction - self.applied_flagged_fraction


@dataclass(frozen=True)
class Written:
    """An engine's output."""

    phase_center_deg: tuple[float, float] | None  #: See `ApplyResult`.
    working: frozenset[int]  #: Ids of the antennas over which flags were counted.
    n_rows: int  #: Number of rows of the MS.
    #: `arrived`, `applied`, `final`: Flags of the input, after applying, and finally.
    arrived: FlagCount
    applied: FlagCount
    final: FlagCount
    #: To be called when the MS is complete; see `contimg_resources.calibration.apply.memory.Also`.
    rest: Callable[[], None] | None = None


def refuse_useless(request: ApplyRequest, working: Collection[int], arrived: FlagCount) -> None:
    """Refuse an MS without usable data.

    Raises
    ------
    UnreadableObservation
        If no antenna works, or all input data are flagged.
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
    """Refuse data with too many flags.

    Raises
    ------
    CasaError
        If too much is flagged; the message names the fraction, the limit and the step.
    """
    most = request.imaging.max_flagged_fraction
    if count.flagged == count.total or count.fraction > most:
        raise CasaError(
            f"{request.ms}: {count.fraction:.1%} of the data of working antennas is flagged {when};"
            f" at most {most:.1%} is allowed, and some must be left",
            path=str(request.ms),
            flagged_fraction=count.fraction,
        )
