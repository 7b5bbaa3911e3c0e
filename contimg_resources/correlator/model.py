"""Requests and results of a conversion.

Belongs here: records that a step passes to a CASA process and gets back, so that nothing else is
loaded for them. Doesn't: reading or writing anything.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from contimg_resources.calibration.apply.model import ApplyRequest, ApplyResult
from contimg_resources.instrument.dsa110 import N_SPECTRAL_WINDOWS
from contimg_resources.settings import SubBandSettings


@dataclass(frozen=True)
class ConversionRequest:
    """A request to convert the sub-bands of one observation."""

    files: tuple[Path, ...]  #: Its sub-band files, in any order.
    ms: Path  #: Path of the MS.
    #: Minimum number of usable sub-bands; the windows of the others are written flagged.
    settings: SubBandSettings = field(default_factory=SubBandSettings)
    #: Apparent declination of the dishes, degrees, where the headers don't state it.
    declination_deg: float | None = None
    overwrite: bool = False  #: Whether an existing MS may be replaced.


@dataclass(frozen=True)
class Conversion:
    """A converted observation."""

    ms: Path  #: The MS.
    #: `begin_mjd`, `end_mjd`: Start of the first and end of the last integration, MJD in days
    #: (UTC).
    begin_mjd: float
    end_mjd: float
    declination_deg: float  #: Apparent declination of the dishes, degrees.
    n_rows: int  #: Number of rows of the MS.
    sub_bands: tuple[int, ...]  #: Numbers of the sub-bands with data.
    missing: tuple[int, ...]  #: Numbers of the sub-bands without; their windows are flagged.
    rejected: dict[str, str]  #: Why files weren't used, by path.
    flagged_fraction: float  #: Flagged fraction of all visibilities.
    notes: tuple[str, ...]  #: Oddities that don't prevent its use.


@dataclass(frozen=True)
class SubBandsToCalibrate:
    """A request to calibrate an observation without writing its MS."""

    #: The conversion to the MS that isn't written; its path names the observation.
    conversion: ConversionRequest
    apply: ApplyRequest  #: The calibration of that MS.


@dataclass(frozen=True)
class CalibratedSubBands:
    """An observation that was calibrated without its MS."""

    #: The MS that wasn't written. Its flagged fraction is that of the cross-correlations.
    conversion: Conversion
    applied: ApplyResult  #: The calibrated MS.


@dataclass(frozen=True)
class ComparisonRequest:
    """A request to compare an MS with the sub-band files that it was made of."""

    ms: Path  #: The MS.
    files: tuple[Path, ...]  #: The files whose data it holds; at least one.


@dataclass(frozen=True)
class HeaderComparison:
    """How far an MS differs from the headers."""

    #: `n_rows`, `n_rows_stated`: Number of rows, and the number that the headers imply for all
    #: windows.
    n_rows: int
    n_rows_stated: int
    n_other_baselines: int  #: Number of baselines that only one of them has.
    time_s: float  #: Largest difference of a time, seconds.
    frequency_hz: float  #: Largest difference of a channel, Hz.
    #: Largest difference of a baseline's length in UVW, metres: the length doesn't depend on the
    #: direction for which UVW were computed. NaN where the headers hold no UVW.
    length_m: float


def missing_in_words(missing: Sequence[int]) -> str:
    """Return the note on missing sub-bands."""
    which = ", ".join(map(str, missing))
    return (
        f"{len(missing)} of {N_SPECTRAL_WINDOWS} sub-bands are missing ({which}): their windows "
        "are flagged"
    )
