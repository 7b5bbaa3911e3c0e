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
    """A caltable about to be registered.

    Parameters
    ----------
    type : CaltableType
        Its type.
    path : Path
        Its directory.
    """

    type: CaltableType
    path: Path


@dataclass(frozen=True)
class NewCaltableSet:
    """A caltable set about to be registered: one solve.

    Parameters
    ----------
    name : str
        Name of the set; registering the same name again makes a new version.
    calibrator : str
        Name of the calibrator field.
    refant : str
        Name of the reference antenna.
    mid_mjd : float
        mid-MJD of the calibrator observation, days.
    start_mjd, end_mjd : float
        Validity window, MJD in days, both ends included.
    declination_deg : float or None
        Declination strip of the observation; None if unknown (fits any strip).
    layout : ArrayLayout or None
        Antennas and spectral windows; None: taken from the tables themselves.
    tables : tuple of NewCaltable
        At most one of each type.
    quality : dict
        JSON-able quality figures of the solve.
    origin : dict
        JSON-able provenance: source MS and its signature, software versions, parameters, run.
    """

    name: str
    calibrator: str
    refant: str
    mid_mjd: float
    start_mjd: float
    end_mjd: float
    declination_deg: float | None
    layout: ArrayLayout | None
    tables: tuple[NewCaltable, ...]
    quality: dict[str, Any] = field(default_factory=dict)
    origin: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RegisteredCaltable:
    """A caltable of a registered set.

    Parameters
    ----------
    type : CaltableType
        Its type.
    path : Path
        Its directory.
    apply_order : int
        Ascending order of application.
    checksum : str
        SHA-256 over its files, ``sha256:...``.
    """

    type: CaltableType
    path: Path
    apply_order: int
    checksum: str


@dataclass(frozen=True)
class CaltableSet:
    """One version of a registered caltable set.

    Parameters
    ----------
    id : int
        Row number.
    name : str
        Name of the set.
    version : int
        Version, counted from 1 for each name.
    calibrator : str
        Name of the calibrator field.
    refant : str
        Name of the reference antenna.
    mid_mjd : float
        mid-MJD of the calibrator observation, days.
    start_mjd, end_mjd : float
        Validity window, MJD in days, both ends included.
    declination_deg : float or None
        Declination strip of the observation; None fits any strip.
    layout : ArrayLayout
        Antennas and spectral windows.
    status : SetStatus
        Whether it may be applied.
    reasons : tuple of str
        Why it failed or was retired; empty for an active set.
    quality : dict
        JSON-able quality figures of the solve.
    origin : dict
        JSON-able provenance.
    registered_mjd : float
        When it was registered, MJD in days.
    tables : tuple of RegisteredCaltable
        In apply order. A FLUX table replaces GA.
    """

    id: int
    name: str
    version: int
    calibrator: str
    refant: str
    mid_mjd: float
    start_mjd: float
    end_mjd: float
    declination_deg: float | None
    layout: ArrayLayout
    status: SetStatus
    reasons: tuple[str, ...]
    quality: dict[str, Any]
    origin: dict[str, Any]
    registered_mjd: float
    tables: tuple[RegisteredCaltable, ...]


@dataclass(frozen=True)
class ActiveCaltables:
    """The answer of a look-up.

    Parameters
    ----------
    mjd : float
        The mid-MJD that was looked up, days.
    set : CaltableSet
        The set to apply; its `tables` are the ordered apply list.
    age_h : float
        Time of the observation minus that of the calibrator observation, hours; negative when the
        set is later.
    borrowed : bool
        True if `mjd` is outside the set's window and borrowing was allowed.
    """

    mjd: float
    set: CaltableSet
    age_h: float
    borrowed: bool


@dataclass(frozen=True)
class SetEvent:
    """An entry in the history of a caltable set.

    Parameters
    ----------
    id : int
        Row number; grows with time.
    set_name : str
        Name of the set.
    version : int
        Version of the set.
    event : str
        ``registered``, ``retired`` or ``failed``.
    at_mjd : float
        Time of the entry, MJD in days.
    reason : str
        The reason; empty for a registration.
    host : str
        Host name of the process that made the entry.
    pid : int
        Process id.
    user : str
        User of the process.
    """

    id: int
    set_name: str
    version: int
    event: str
    at_mjd: float
    reason: str
    host: str
    pid: int
    user: str


@dataclass(frozen=True)
class TableProblem:
    """A registered caltable that is missing or changed.

    Parameters
    ----------
    set_name : str
        Name of the set.
    version : int
        Version of the set.
    type : CaltableType
        Type of the table.
    path : Path
        Its directory.
    problem : str
        The problem.
    """

    set_name: str
    version: int
    type: CaltableType
    path: Path
    problem: str

    def __str__(self) -> str:
        return f"{self.set_name} v{self.version}: {self.type} table {self.path} {self.problem}"
