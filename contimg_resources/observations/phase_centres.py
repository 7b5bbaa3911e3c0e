"""The pointing direction and time of each field of a MeasurementSet.

Belongs here: FIELD rows as ICRS directions, times as MJD. Used inside a CASA process only.
Doesn't: finding the calibrator there.
"""

from pathlib import Path
from typing import Any

import numpy as np

from contimg_resources.core.errors import InvalidName, UnreadableObservation
from contimg_resources.core.times import mjd_from_casa_seconds
from contimg_resources.observations.casa_table import OpenTable
from contimg_resources.observations.flag_counts import MainColumns
from contimg_resources.observations.model import ObservedField

#: Direction frames that don't rotate with the Earth: ICRS follows without time and place.
_SKY_FRAMES = ("ICRS", "J2000", "B1950", "GALACTIC")


def utc_mjd(path: Path, seconds: float) -> float:
    """Return a time of the TIME column, s, as an MJD in days.

    Raises
    ------
    UnreadableObservation
        If it isn't a possible observing date.
    """
    try:
        return mjd_from_casa_seconds(seconds)
    except InvalidName as error:
        raise UnreadableObservation(
            f"{path}: column TIME holds a wrong time: {error.message}", path=str(path)
        ) from error


def observed_fields(path: Path, columns: MainColumns, offset_s: float) -> tuple[ObservedField, ...]:
    """Return the fields with data, by time. `offset_s` is that from TIME to UTC, seconds."""
    fields = []
    with OpenTable(path / "FIELD", path) as table:
        table.check_ids("FIELD_ID", columns.field_id)
        names = table.column("NAME")
        for field_id in (int(i) for i in np.unique(columns.field_id)):
            times_s = columns.time_s[columns.field_id == field_id]
            middle_s = 0.5 * float(times_s.min() + times_s.max())
            ra_deg, dec_deg = phase_centre_deg(table, field_id, middle_s)
            fields.append(
                ObservedField(
                    id=field_id,
                    name=str(names[field_id]),
                    ra_deg=ra_deg,
                    dec_deg=dec_deg,
                    mid_mjd=utc_mjd(path, middle_s + offset_s),
                )
            )
    return tuple(sorted(fields, key=lambda f: (f.mid_mjd, f.id)))


def phase_centre_deg(table: OpenTable, row: int, time_s: float) -> tuple[float, float]:
    """Return a phase centre in ICRS, degrees; that of a moving field at `time_s`."""
    from casatools import measures

    polynomial = np.asarray(table.cell("PHASE_DIR", row), np.float64)
    origin_s = float(table.cell("TIME", row)) if polynomial.shape[1] > 1 else time_s
    direction = polynomial @ (time_s - origin_s) ** np.arange(polynomial.shape[1])
    if not np.all(np.isfinite(direction)) or abs(direction[1]) > 0.5 * np.pi + 1e-9:
        raise table.unreadable(f"field {row} has no finite phase centre in PHASE_DIR")
    frame = _frame(table, row)
    if frame not in _SKY_FRAMES:
        raise table.unreadable(
            f"field {row} has its phase centre in the frame {frame}; one of "
            f"{', '.join(_SKY_FRAMES)} was expected"
        )
    if frame != "ICRS":
        me = measures()
        given = me.direction(frame, *(f"{float(angle)!r}rad" for angle in direction))
        icrs = me.measure(given, "ICRS")
        direction = np.array([icrs["m0"]["value"], icrs["m1"]["value"]])
    return float(np.degrees(direction[0]) % 360.0), float(np.degrees(direction[1]))


def _frame(table: OpenTable, row: int) -> str:
    """Return the direction frame of a row: one for the column, or a code per row."""
    measure: dict[str, Any] = table.keywords("PHASE_DIR").get("MEASINFO", {})
    if "VarRefCol" in measure:
        code = int(table.cell(str(measure["VarRefCol"]), row))
        codes = [int(c) for c in measure["TabRefCodes"]]
        return str(measure["TabRefTypes"][codes.index(code)]) if code in codes else f"code {code}"
    frame = str(measure.get("Ref", "not stated"))
    return "J2000" if frame == "FK5" else frame
