"""Records of the calibration registry: caltable sets, their tables, and answers to look-ups.

Belongs here: frozen records. Doesn't: SQL.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from contimg_resources.instrument.caltables import ArrayLayout, CaltableType


class SetStatus(StrEnum):
    """Whether a set may be applied."""

    ACTIVE = "active"
    RETIRED = "retired"
    FAILED = "failed"


@dataclass(frozen=True)
class NewCaltable:
    """A caltable about to be registered."""

    type: CaltableType  #: Its type.
    path: Path  #: Its directory.


@dataclass(frozen=True)
class NewCaltableSet:
    """A caltable set about to be registered: one solve."""

    name: str  #: Name of the set; registering the same name again makes a new version.
    calibrator: str  #: Name of the calibrator field.
    refant: str  #: Name of the reference antenna.
    mid_mjd: float  #: mid-MJD of the calibrator observation, days.
    start_mjd: float  #: Validity window, MJD in days, both ends included.
    end_mjd: float  #: Validity window, MJD in days, both ends included.
    #: Declination strip of the observation; None if unknown (fits any strip).
    declination_deg: float | None
    #: Antennas and spectral windows; None: taken from the tables themselves.
    layout: ArrayLayout | None
    tables: tuple[NewCaltable, ...]  #: At most one of each type.
    #: JSON-able quality figures of the solve.
    quality: dict[str, Any] = field(default_factory=dict)
    #: JSON-able provenance: source MS and its signature, software versions, parameters, run.
    origin: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RegisteredCaltable:
    """A caltable of a registered set."""

    type: CaltableType  #: Its type.
    path: Path  #: Its directory.
    apply_order: int  #: Ascending order of application.
    checksum: str  #: SHA-256 over its files, ``sha256:...``.


@dataclass(frozen=True)
class CaltableSet:
    """One version of a registered caltable set."""

    id: int  #: Row number.
    name: str  #: Name of the set.
    version: int  #: Version, counted from 1 for each name.
    calibrator: str  #: Name of the calibrator field.
    refant: str  #: Name of the reference antenna.
    mid_mjd: float  #: mid-MJD of the calibrator observation, days.
    start_mjd: float  #: Validity window, MJD in days, both ends included.
    end_mjd: float  #: Validity window, MJD in days, both ends included.
    declination_deg: float | None  #: Declination strip of the observation; None fits any strip.
    layout: ArrayLayout  #: Antennas and spectral windows.
    status: SetStatus  #: Whether it may be applied.
    reasons: tuple[str, ...]  #: Why it failed or was retired; empty for an active set.
    quality: dict[str, Any]  #: JSON-able quality figures of the solve.
    origin: dict[str, Any]  #: JSON-able provenance.
    registered_mjd: float  #: When it was registered, MJD in days.
    tables: tuple[RegisteredCaltable, ...]  #: In apply order. A FLUX table replaces GA.


@dataclass(frozen=True)
class ActiveCaltables:
    """The answer of a look-up."""

    mjd: float  #: The mid-MJD that was looked up, days.
    set: CaltableSet  #: The set to apply; its `tables` are the ordered apply list.
    #: Time of the observation minus that of the calibrator observation, hours; negative when the
    #: set is later.
    age_h: float
    borrowed: bool  #: True if `mjd` is outside the set's window and borrowing was allowed.


@dataclass(frozen=True)
class SetEvent:
    """An entry in the history of a caltable set."""

    id: int  #: Row number; grows with time.
    set_name: str  #: Name of the set.
    version: int  #: Version of the set.
    event: str  #: ``registered``, ``retired`` or ``failed``.
    at_mjd: float  #: Time of the entry, MJD in days.
    reason: str  #: The reason; empty for a registration.
    host: str  #: Host name of the process that made the entry.
    pid: int  #: Process id.
    user: str  #: User of the process.


@dataclass(frozen=True)
class TableProblem:
    """A registered caltable that is missing or changed."""

    set_name: str  #: Name of the set.
    version: int  #: Version of the set.
    type: CaltableType  #: Type of the table.
    path: Path  #: Its directory.
    problem: str  #: The problem.

    def __str__(self) -> str:
        return f"{self.set_name} v{self.version}: {self.type} table {self.path} {self.problem}"
