"""The restoring beam of an image, wherever its writer put it.

Belongs here: keywords, beam tables, the AIPS history. Doesn't: what a beam is used for.
"""

import math
import re
from typing import Any

from contimg_resources.images.dates import card_unit
from contimg_resources.imaging.model import Beam

_KEYWORDS = (("BMAJ", "BMIN", "BPA"), ("CLEANBMJ", "CLEANBMN", "CLEANBPA"))
_NUMBER = r"([-+]?\d*\.?\d+(?:[EeDd][-+]?\d+)?)"
_AIPS = re.compile(rf"BMAJ\s*=\s*{_NUMBER}\s+BMIN\s*=\s*{_NUMBER}\s+BPA\s*=\s*{_NUMBER}")
_CASA = re.compile(rf"restoration\s*:?\s*{_NUMBER}\s+by\s+{_NUMBER}\s+\(arcsec\)")
_CASA_ANGLE = re.compile(rf"at pa\s+{_NUMBER}\s*\(deg\)")
#: Axes whose lengths differ only by rounding.
_ROUND = 1.0 + 1e-4
_LARGEST_ARCSEC = 36_000.0


def restoring_beam(header: Any, tables: Any = (), channel: int = 0, polarization: int = 0) -> Beam:
    """Return the restoring beam from a header, with its position angle unchanged.

    A table ``BEAMS`` of the file holds a beam for each plane; `channel` and `polarization` are the
    image's plane in the cube that it was part of.

    Raises
    ------
    ValueError
        If there is none, or its values aren't plausible.
    """
    found = _of_keywords(header) or _of_table(tables, channel, polarization) or _of_log(header)
    if found is None:
        raise ValueError(
            "it has no restoring beam: BMAJ, BMIN and BPA, a table BEAMS and a HISTORY of CLEAN "
            "were looked for"
        )
    beam, where = found
    major, minor, angle = beam
    if minor > major and minor <= _ROUND * major:
        major = minor = max(major, minor)
    if not (math.isfinite(major + minor + angle) and 0 < minor <= major < _LARGEST_ARCSEC):
        raise ValueError(
            f"its restoring beam ({where}) isn't sane: {major:.6g} x {minor:.6g} arcsec, position "
            f"angle {angle:.6g} deg"
        )
    return Beam(major, minor, angle)


Found = tuple[tuple[float, float, float], str]


def _of_keywords(header: Any) -> Found | None:
    for names in _KEYWORDS:
        if header.get(names[0]) is None:
            continue
        values: list[float] = []
        for name, default in zip(names, ("deg", "deg", "deg"), strict=True):
            value = header.get(name)
            if name == names[2] and value is None and values[0] == values[1]:
                # A circle has no position angle.
                value = 0.0
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ValueError(f"{name} = {value!r}: a number was expected")
            unit = (card_unit(header, name) if name in header else "") or default
            values.append(_in(float(value), unit, "deg" if name == names[2] else "arcsec", name))
        if values[0] == 0 and values[1] == 0:
            # Written by tools that don't know the beam.
            continue
        return (values[0], values[1], values[2]), ", ".join(names)
    return None


def _of_table(tables: Any, channel: int, polarization: int) -> Found | None:
    for hdu in tables:
        columns = getattr(hdu, "columns", None)
        if columns is None or not {"BMAJ", "BMIN", "BPA"} <= {n.upper() for n in columns.names}:
            continue
        data = hdu.data
        if data is None or not len(data):
            raise ValueError(f"its table {hdu.name or 'of beams'} is empty")
        row = 0
        if {"CHAN", "POL"} <= set(columns.names):
            there = [
                i
                for i in range(len(data))
                if (int(data["CHAN"][i]), int(data["POL"][i])) == (channel, polarization)
            ]
            row = there[0] if there else 0
        values = [
            _in(
                float(data[name][row]),
                _unit_of_column(columns, name) or default,
                "deg" if name == "BPA" else "arcsec",
                f"{hdu.name}.{name}",
            )
            for name, default in (("BMAJ", "arcsec"), ("BMIN", "arcsec"), ("BPA", "deg"))
        ]
        return (values[0], values[1], values[2]), f"table {hdu.name}"
    return None


def _unit_of_column(columns: Any, name: str) -> str:
    return str(columns[name].unit or "").strip()


def _of_log(header: Any) -> Found | None:
    lines = [str(line) for line in header.get("HISTORY", [])]
    for number in reversed(range(len(lines))):
        if found := _AIPS.search(lines[number].upper()):
            major, minor, angle = (float(v.replace("D", "E")) for v in found.groups())
            return (3600 * major, 3600 * minor, angle), "HISTORY of AIPS"
        if found := _CASA.search(lines[number]):
            # The angle may stand on the next line.
            after = _CASA_ANGLE.search(" ".join(lines[number : number + 2]))
            if after is not None:
                major, minor = (float(v) for v in found.groups())
                return (major, minor, float(after.group(1))), "HISTORY of CASA"
    return None


def _in(value: float, unit: str, wanted: str, name: str) -> float:
    from astropy import units as u

    try:
        return float(f"{u.Quantity(value, unit).to_value(wanted):.15g}")
    except (ValueError, TypeError, u.UnitConversionError) as error:
        raise ValueError(f"{name} is in {unit!r}: an angle was expected") from error
