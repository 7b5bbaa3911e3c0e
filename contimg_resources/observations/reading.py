"""Read a MeasurementSet once and describe it as an observation.

Belongs here: checks that need no CASA, the call to CASA, the calibrators in the beam.
Doesn't: reading inside the CASA process (see
`contimg_resources.observations.measurement_set`).
"""

import fcntl
import os
import re
import signal
import struct
from collections.abc import Sequence
from pathlib import Path

from contimg_resources.casa import Casa
from contimg_resources.core.errors import (
    CasaCrashed,
    CasaTimeout,
    ObservationNotSettled,
    ReadingCutOff,
    UnreadableObservation,
)
from contimg_resources.core.naming import plain_name, without_ms
from contimg_resources.instrument.dsa110 import (
    BLOCKAGE_DIAMETER_M,
    DISH_DIAMETER_M,
    TELESCOPE_NAMES,
)
from contimg_resources.observations.calibrators import CalibratorList
from contimg_resources.observations.measurement_set import (
    MeasurementSetContent,
    ReadRequest,
    read_measurement_set,
)
from contimg_resources.observations.model import (
    CalibratorTransit,
    Observation,
    ObservedField,
    SpectralWindow,
    band_of,
)
from contimg_resources.observations.scanning import UVH5_ENDINGS
from contimg_resources.observations.settling import content_signature
from contimg_resources.settings import ArrivalSettings

__all__ = ["ReadRequest", "read_measurement_set", "read_observation"]

#: Reading takes seconds, even for a full observation on a slow disk.
READ_TIMEOUT_S = 300.0

_OF_BROKEN_FILES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE)


def read_observation(
    path: Path,
    *,
    casa: Casa,
    calibrators: CalibratorList,
    settings: ArrivalSettings,
    timeout_s: float = READ_TIMEOUT_S,
) -> Observation:
    """Read a MeasurementSet and describe it, without changing it.

    Times are from the MS's TIME and INTERVAL columns, never from the clock or the file name. A
    completely flagged MS can be read: flagged fraction 1, no working antenna, and the reason in
    `Observation.unusable`.

    Raises
    ------
    UnreadableObservation
        If it is missing, not an MS, empty, truncated, locked by a writer or inconsistent; the
        message names path and reason.
    ObservationNotSettled
        If it changed while it was read.
    """
    path = path.absolute()
    check_is_measurement_set(path)
    check_not_locked(path)
    before = content_signature(path)
    content = _read(path, casa, timeout_s)
    if content_signature(path) != before:
        raise ObservationNotSettled(f"{path} changed while it was read", path=str(path))
    transits = calibrators_in_beam(
        content.fields,
        content.spectral_windows,
        calibrators,
        settings,
        telescope=content.telescope,
        dish_diameter_m=content.dish_diameter_m,
    )
    described = {name: v for name, v in vars(content).items() if name != "dish_diameter_m"}
    return Observation(
        **described,
        path=path,
        mid_mjd=0.5 * (content.start_mjd + content.end_mjd),
        declination_deg=sum(f.dec_deg for f in content.fields) / len(content.fields),
        calibrators=transits,
        signature=before.digest,
    )


def _read(path: Path, casa: Casa, timeout_s: float) -> MeasurementSetContent:
    doing = ["starting"]
    label = plain_name(without_ms(path.name))[:80] + "-read"
    try:
        return casa.run(
            read_measurement_set,
            ReadRequest(path),
            label=label,
            progress=lambda message, _: doing.append(message),
            timeout_s=timeout_s,
        )
    except CasaCrashed as error:
        if error.details.get("signal") not in _OF_BROKEN_FILES:
            raise
        raise ReadingCutOff(
            f"{path}: CASA crashed ({signal.Signals(error.details['signal']).name}) while "
            f"{doing[-1]}; its files may be damaged",
            path=str(path),
            **error.details,
        ) from error
    except CasaTimeout as error:
        raise UnreadableObservation(
            f"{path}: no answer within {timeout_s:.0f} s while {doing[-1]}; "
            "is its disk slow, or is it locked by a writer?",
            path=str(path),
        ) from error


def calibrators_in_beam(
    fields: Sequence[ObservedField],
    spectral_windows: Sequence[SpectralWindow],
    calibrators: CalibratorList,
    settings: ArrivalSettings,
    *,
    telescope: str,
    dish_diameter_m: float,
) -> tuple[CalibratorTransit, ...]:
    """Return the calibrators that crossed the beam of the observing dishes, brightest first.

    Parameters
    ----------
    fields : sequence of ObservedField
        Phase centres.
    spectral_windows : sequence of SpectralWindow
        The band.
    calibrators : CalibratorList
        Known calibrators.
    settings : ArrivalSettings
        Distance from a phase centre and apparent flux density at which a calibrator is listed.
    telescope : str
        Telescope name; the DSA-110's dishes are known.
    dish_diameter_m : float
        Diameter of the dishes of another telescope, metres; 0 if not stated.
    """
    dish_m, blockage_m = DISH_DIAMETER_M, BLOCKAGE_DIAMETER_M
    if telescope not in TELESCOPE_NAMES and dish_diameter_m > 0:
        dish_m, blockage_m = dish_diameter_m, 0.0
    transits = calibrators.crossing(
        fields,
        settings.calibrator_radius_deg,
        0.5 * sum(band_of(spectral_windows)),
        dish_diameter_m=dish_m,
        blockage_diameter_m=blockage_m,
    )
    return tuple(t for t in transits if t.apparent_flux_jy >= settings.calibrator_min_flux_jy)


def check_is_measurement_set(path: Path) -> None:
    """Refuse, without CASA, a path that clearly isn't a MeasurementSet.

    Raises
    ------
    UnreadableObservation
        If it is missing, a file, an empty directory, not a table, or a table of another kind.
    """
    reason = None
    if path.is_symlink() and not path.exists():
        reason = f"is a symbolic link to {path.readlink()}, which does not exist"
    elif not path.exists():
        near = next((p for p in path.parents if p.is_dir()), Path("/"))
        reason = f"does not exist; its nearest directory that exists is {near}"
    elif not path.is_dir():
        reason = "is a file; a MeasurementSet is a directory"
        if path.suffix.lower() in UVH5_ENDINGS:
            reason = (
                "is a sub-band file of the correlator, no MeasurementSet: `contimg uvh5 show` "
                "describes it"
            )
    elif not os.access(path, os.R_OK | os.X_OK):
        reason = "may not be read by this user"
    elif next(path.iterdir(), None) is None:
        reason = "is an empty directory"
    elif not (path / "table.dat").is_file():
        reason = "is no MeasurementSet: it has no table.dat"
    elif (kind := _table_kind(path)) not in (None, "Measurement Set"):
        reason = f"is a CASA table of type {kind!r}, no MeasurementSet"
    if reason:
        raise UnreadableObservation(f"{path} {reason}", path=str(path))


def _table_kind(path: Path) -> str | None:
    """Return the type stated in ``table.info``, None where it states none."""
    try:
        text = (path / "table.info").read_text(errors="replace")
    except OSError:
        return None
    match = re.search(r"^Type = *(\S.*?) *$", text, re.MULTILINE)
    return match.group(1) if match else None


def check_not_locked(path: Path) -> None:
    """Refuse an MS that another process has open for writing; never wait.

    CASA's locks are POSIX locks on byte 0 of each ``table.lock``, so querying the system for a
    conflicting lock takes no lock and touches no file.

    Raises
    ------
    UnreadableObservation
        If it is locked; the message names the table and the process that holds it.
    """
    for lock in sorted(path.glob("table.lock")) + sorted(path.glob("*/table.lock")):
        holder = _writer(lock)
        if holder is not None:
            raise UnreadableObservation(
                f"{path} is locked: process {holder} has {lock.parent} open for writing",
                path=str(path),
                pid=holder,
            )


def _writer(lock: Path) -> int | None:
    layout = "hhqqi4x"
    query = struct.pack(layout, fcntl.F_RDLCK, os.SEEK_SET, 0, 1, 0)
    try:
        with lock.open("rb") as file:
            answer = fcntl.fcntl(file, fcntl.F_GETLK, query)
    except OSError:
        # No lock service on this file system: a writer can't hold a lock there either.
        return None
    kind, _, _, _, pid = struct.unpack(layout, answer)
    return int(pid) if kind == fcntl.F_WRLCK else None
