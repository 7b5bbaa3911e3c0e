"""Facts in the header of an image: frequency and bandwidth, Stokes parameter, beam, unit.

Belongs here: spectral and Stokes axes, and the keywords that stand for them; the restoring beam,
wherever its writer put it (keywords, beam tables, the AIPS history); the unit of the pixels.
Doesn't: sky axes (see `frames`), times (see `dates`).
"""

import math
import re
from typing import Any

from astropy.wcs import WCS, WCSSUB_SPECTRAL

from contimg_resources.core.errors import TableError
from contimg_resources.images.dates import card_unit
from contimg_resources.imaging.model import Beam
from contimg_resources.tables.units import parse_unit

_STOKES = {1: "I", 2: "Q", 3: "U", 4: "V", -1: "RR", -2: "LL", -3: "RL", -4: "LR"} | {
    -5: "XX",
    -6: "YY",
    -7: "XY",
    -8: "YX",
}
_REST_FREQUENCY = ("RESTFRQ", "RESTFREQ", "FREQ", "OBSFREQ", "REFFREQ")
_BANDWIDTH = ("BANDWID", "BANDWIDT", "BNDWIDTH")


def band_of(header: Any, axes: WCS) -> tuple[float, float]:
    """Return the effective frequency of an image and the width of its band, Hz.

    A frequency axis takes precedence over a rest frequency; the bandwidth is NaN where the header
    doesn't give it.

    Raises
    ------
    ValueError
        If there is no frequency.
    """
    spectral = axes.sub([WCSSUB_SPECTRAL])
    others = [
        str(kind).strip()
        for axis, kind in enumerate(axes.wcs.ctype)
        if axis not in (axes.wcs.lng, axes.wcs.lat)
    ]
    if spectral.naxis:
        kind = str(spectral.wcs.ctype[0])
        frequency_hz, width_hz = _of_spectral_axis(spectral, kind)
        where = f"its axis {kind}"
    else:
        if strange := [k for k in others if k.upper().startswith(("VEL", "CHAN", "FEL"))]:
            raise ValueError(
                f"its axis {strange[0]} gives no frequency: an axis FREQ, VRAD, VOPT or VELO was "
                "expected"
            )
        name = next((n for n in _REST_FREQUENCY if header.get(n) is not None), None)
        if name is None:
            raise ValueError(
                f"it has no frequency: an axis FREQ and {', '.join(_REST_FREQUENCY[:2])} were "
                "looked for"
            )
        value = header[name]
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{name} = {value!r}: a frequency in Hz was expected")
        frequency_hz, width_hz, where = float(value), math.nan, name
    if not (math.isfinite(frequency_hz) and frequency_hz > 0):
        raise ValueError(f"{where} gives {frequency_hz:g} Hz, which is no frequency")
    for name in _BANDWIDTH:
        if isinstance(told := header.get(name), int | float) and told > 0:
            width_hz = float(told)
    return frequency_hz, width_hz


def _of_spectral_axis(spectral: WCS, kind: str) -> tuple[float, float]:
    try:
        if not kind.startswith("FREQ"):
            spectral.wcs.sptr("FREQ-???")
        # The centre of its pixel, and its edges.
        at = spectral.wcs_pix2world([[0.0], [-0.5], [0.5]], 0)[:, 0]
    except Exception as error:  # wcslib has its own exception classes
        missing = "its RESTFRQ is missing" if "rest" in str(error) else str(error)
        raise ValueError(
            f"its axis {kind} gives no frequency: {' '.join(missing.split())}"
        ) from error
    width = abs(float(at[2] - at[1]))
    # An implausible width is treated like an axis without one.
    return float(at[0]), width if 1.0 < width < 2 * abs(float(at[0])) else math.nan


def refuse_other_stokes(axes: WCS) -> None:
    """Raise for an image of another Stokes parameter than I; accept images that don't state it.

    Raises
    ------
    ValueError
        If it shows another Stokes parameter; the message names it.
    """
    for axis, kind in enumerate(axes.wcs.ctype):
        if str(kind).strip().upper() == "STOKES":
            wcs = axes.wcs
            step = wcs.cdelt[axis] * (wcs.get_pc()[axis][axis] if wcs.has_pc() else 1.0)
            value = wcs.crval[axis] + (1 - wcs.crpix[axis]) * step
            name = _STOKES.get(round(value), f"{value:g}")
            if name != "I":
                raise ValueError(f"it shows Stokes {name}: total intensity (I) was expected")


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
                str(columns[name].unit or "").strip() or default,
                "deg" if name == "BPA" else "arcsec",
                f"{hdu.name}.{name}",
            )
            for name, default in (("BMAJ", "arcsec"), ("BMIN", "arcsec"), ("BPA", "deg"))
        ]
        return (values[0], values[1], values[2]), f"table {hdu.name}"
    return None


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


#: In capitals it may be a milli- or a megajansky.
_AMBIGUOUS = "MJY"


def brightness_factor(text: Any) -> float:
    """Return the factor that converts pixels of a unit to Jy/beam.

    ``BUNIT`` may have any order, case and notation of the two units.

    Raises
    ------
    ValueError
        If it isn't a flux density per beam.
    """
    told = "" if text is None else str(text).strip()
    if not told:
        raise ValueError("it has no unit (BUNIT): Jy/beam was expected")
    from astropy import units as u

    if _AMBIGUOUS in re.findall(r"[A-Za-z]+", told):
        raise ValueError(
            f"BUNIT = {told!r} may mean a milli- or a megajansky: write mJy/beam or MJy/beam"
        )
    try:
        factor = float(parse_unit(told).to(u.Jy / u.beam))
    except (TableError, TypeError, u.UnitConversionError) as error:
        raise ValueError(
            f"BUNIT = {told!r} is no flux density per beam, such as Jy/beam or mJy/beam"
        ) from error
    # Round to a figure of few digits, so that a plain copy of the pixels stays one.
    return float(f"{factor:.12g}")


def response_factor(text: Any) -> float:
    """Return the factor that scales the pixels of a primary beam to 1 at its peak.

    Some writers leave the image's unit in its header; it has no meaning there.

    Raises
    ------
    ValueError
        If it is in another unit.
    """
    told = "" if text is None else str(text).strip()
    if told.lower() in ("", "1", "none", "unitless", "dimensionless"):
        return 1.0
    from astropy import units as u

    try:
        return float(parse_unit(told).to(u.dimensionless_unscaled))
    except (TableError, TypeError, u.UnitConversionError):
        pass
    try:
        brightness_factor(told)
    except ValueError as error:
        raise ValueError(
            f"BUNIT = {told!r}: a primary beam has no unit, or is in per cent"
        ) from error
    return 1.0
