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
    """A request to calibrate an MS: the input, the caltables, the output.

    Parameters
    ----------
    ms : Path
        The incoming MS; only read.
    tables : tuple of TableToApply
        The caltables; applied in the order of their ``order``.
    output : Path
        The calibrated MS to write; replaced when it exists.
    working_antennas : tuple of str
        Names of the antennas over which flags are counted; empty: those with data in `ms`.
    field_selection : str
        CASA field selection; empty: all fields.
    shift : bool
        Shift all fields to one phase centre; otherwise they are unchanged.
    phase_center_deg : (float, float), optional
        Its right ascension and declination, ICRS degrees; None: the middle of the fields, which
        for a drift scan is the meridian in the middle of the observation.
    flag_rfi : bool
        Flag radio interference after calibrating.
    provenance : dict of str to str
        Provenance recorded in the calibrated MS.
    settings : CalibrationSettings
        The engine: in memory, or with CASA where that isn't possible, or always CASA's tasks.
    imaging : ImagingSettings
        The image that will be made: more flagged data than it may have are an error.
    """

    ms: Path
    tables: tuple[TableToApply, ...]
    output: Path
    working_antennas: tuple[str, ...] = ()
    field_selection: str = ""
    shift: bool = True
    phase_center_deg: tuple[float, float] | None = None
    flag_rfi: bool = True
    provenance: dict[str, str] = field(default_factory=dict)
    settings: CalibrationSettings = field(default_factory=CalibrationSettings)
    imaging: ImagingSettings = field(default_factory=ImagingSettings)


@dataclass(frozen=True)
class ApplyResult:
    """A calibrated MS.

    Parameters
    ----------
    ms : Path
        The calibrated MS.
    phase_center_deg : (float, float), optional
        Its phase centre, ICRS degrees; None when the fields were not shifted.
    working_antennas : tuple of str
        Names of the antennas over which flags were counted.
    n_rows : int
        Number of its rows; autocorrelations are left out.
    input_flagged_fraction : float
        Flagged fraction of the input.
    applied_flagged_fraction : float
        After applying: with zeros, non-finite values, and antennas without solutions.
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
        """Return the fraction added by flagging interference."""
        return self.flagged_fraction - self.applied_flagged_fraction


@dataclass(frozen=True)
class Written:
    """An engine's output.

    Parameters
    ----------
    phase_center_deg : (float, float), optional
        See `ApplyResult`.
    working : frozenset of int
        Ids of the antennas over which flags were counted.
    n_rows : int
        Number of rows of the MS.
    arrived, applied, final : FlagCount
        Flags of the input, after applying, and finally.
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
