"""Shift the fields of a drift scan to the calibrator's position. Runs in a CASA process.

Belongs here: the working copy with one phase centre. Doesn't: the sky model (see `.skymodel`).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from contimg_resources.core.arrays import Floats, Ints
from contimg_resources.core.errors import CalibrationFailed, UnreadableObservation
from contimg_resources.instrument.primary_beam import airy_power
from contimg_resources.observations.calibrators import Calibrator, separation_deg

#: A calibrator that never exceeds this share of the beam's peak response is not in the beam.
MIN_BEAM_POWER = 0.05
_BEAM_AT_HZ = 1.4e9
_ARCSEC_RAD = np.pi / 180 / 3600
#: These agree within 0.03 arcsec.
_SKY_FRAMES = ("ICRS", "J2000", "FK5")


@dataclass(frozen=True)
class FieldDirections:
    """Names and phase centres of the fields of an MS."""

    names: tuple[str, ...]  #: Names by field id.
    ra_rad: Floats  #: Phase centres, radians. Shape (n_fields,).
    dec_rad: Floats  #: Phase centres, radians. Shape (n_fields,).
    frame: str  #: ``J2000`` or ``ICRS``.

    def separations_rad(self, ra_deg: float | Floats, dec_deg: float | Floats) -> Floats:
        """Return the angle of each phase centre from a position (ICRS degrees), radians.

        Positions of shape (n, 1) give angles of shape (n, n_fields).

        Raises
        ------
        CalibrationFailed
            If the phase centres are in a frame that can't be converted to ICRS.
        """
        if self.frame not in _SKY_FRAMES:
            raise CalibrationFailed(
                f"the phase centres are in the frame {self.frame}; one of "
                f"{', '.join(_SKY_FRAMES)} was expected",
                reasons=["phase centres in an unknown frame"],
            )
        fields_deg = np.degrees(self.ra_rad), np.degrees(self.dec_rad)
        return np.radians(separation_deg(ra_deg, dec_deg, *fields_deg))

    def ids(self, names: tuple[str, ...]) -> tuple[int, ...]:
        """Return the ids of the named fields.

        Raises
        ------
        CalibrationFailed
            If a field doesn't exist; the message names the existing ones.
        """
        unknown = [n for n in names if n not in self.names]
        if unknown:
            raise CalibrationFailed(
                f"no field named {', '.join(unknown)}; there are {', '.join(self.names[:10])}",
                reasons=["field not found"],
            )
        return tuple(self.names.index(n) for n in names)


def check_in_beam(ms: Path, fields: FieldDirections, calibrator: Calibrator) -> Floats:
    """Return the angle of a calibrator from each phase centre of a drift scan, radians.

    Raises
    ------
    CalibrationFailed
        If it is never in the beam.
    """
    separations = fields.separations_rad(calibrator.ra_deg, calibrator.dec_deg)
    if float(airy_power(separations.min(), _BEAM_AT_HZ)) < MIN_BEAM_POWER:
        raise CalibrationFailed(
            f"{calibrator.name} did not cross the beam of {ms.name}: its nearest phase "
            f"centre is {np.degrees(separations.min()):.2f} deg away",
            reasons=[f"{calibrator.name} is not in the beam"],
        )
    return separations


def read_fields(ms: Path) -> FieldDirections:
    """Return names and phase centres of the fields of an MS."""
    from casatools import table

    tb: Any = table()
    try:
        tb.open(str(ms / "FIELD"), nomodify=True)
    except RuntimeError as error:
        raise UnreadableObservation(f"{ms} has no readable FIELD table", path=str(ms)) from error
    try:
        names = tuple(str(n) for n in tb.getcol("NAME"))
        directions = np.stack([np.asarray(tb.getcell("PHASE_DIR", i)) for i in range(tb.nrows())])
        frame = str(tb.getcolkeyword("PHASE_DIR", "MEASINFO").get("Ref", "J2000"))
    finally:
        tb.close()
    return FieldDirections(names, directions[:, 0, 0], directions[:, 1, 0], frame)


def phase_to(ms: Path, output: Path, ra_deg: float, dec_deg: float) -> Ints:
    """Write a copy of `ms` whose fields all have the same phase centre (ICRS degrees).

    Returns the field id of each row of the copy, the same ids as in the input, shape (n_rows,).

    Raises
    ------
    CalibrationFailed
        If the copy's fields are not all at the new phase centre.
    """
    from casatasks import phaseshift
    from casatools import table

    task: Any = phaseshift
    before = read_fields(ms)
    task(
        vis=str(ms),
        outputvis=str(output),
        phasecenter=f"ICRS {ra_deg:.12f}deg {dec_deg:.12f}deg",
        datacolumn="data",
    )
    # A task's return value is no evidence: inspect its product.
    after = read_fields(output) if output.is_dir() else None
    if after is None or after.names != before.names:
        raise CalibrationFailed(
            f"the fields of {ms.name} could not be brought to the calibrator's position",
            reasons=["phase shift failed"],
        )
    astray = float(after.separations_rad(ra_deg, dec_deg).max())
    if astray > _ARCSEC_RAD:
        raise CalibrationFailed(
            f"after the phase shift a field of {ms.name} is {astray / _ARCSEC_RAD:.1f} arcsec "
            "from the calibrator",
            reasons=["phase shift failed"],
        )
    tb: Any = table()
    tb.open(str(output), nomodify=True)
    try:
        return np.asarray(tb.getcol("FIELD_ID"), np.int64)
    finally:
        tb.close()


def merge_fields(ms: Path, name: str) -> None:
    """Set field 0 and one scan for all rows of a working copy, so that solutions span integrations.

    A drift scan has one field per integration; CASA would begin a new solution with each, and
    tfcrop and rflag would have no time axis.
    """
    from casatools import table

    tb: Any = table()
    tb.open(str(ms), nomodify=False)
    rows = tb.nrows()
    tb.putcol("FIELD_ID", np.zeros(rows, np.int32))
    tb.putcol("SCAN_NUMBER", np.ones(rows, np.int32))
    tb.close()
    tb.open(str(ms / "FIELD"), nomodify=False)
    tb.putcell("NAME", 0, name)
    tb.close()
