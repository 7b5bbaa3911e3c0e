"""Convert two columns of any unit, notation and frame to ICRS directions.

Belongs here: degrees, hours and sexagesimal text, decided value by value; frames to ICRS.
Doesn't: finding the columns of the position (see `contimg_resources.catalogues`).
"""

import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from contimg_resources.core.arrays import Bools, Floats
from contimg_resources.core.errors import TableError
from contimg_resources.tables.model import MISSING_NUMBERS, Column, Frame, Table, column_of
from contimg_resources.tables.units import factor_between, parse_unit

_SEXAGESIMAL = re.compile(
    r"(?P<sign>[-+\u2212])?\s*(?P<whole>\d{1,3})\s*(?P<mark>[:hHdD\u00b0\s])\s*(?P<minutes>\d{1,2}(\.\d*)?)"
    r"(\s*[:mM'\u2032\s]\s*(?P<seconds>\d{1,2}(\.\d*)?)\s*([sS\"\u2033]|'')?|\s*[mM'\u2032])?"
)
_SYSTEMS = ("icrs", "fk5", "fk4", "galactic", "supergalactic", "ecliptic")


@dataclass(frozen=True)
class Directions:
    """Directions of the rows of a table.

    Arrays have the shape (n,).
    """

    ra_deg: Floats  #: ICRS degrees, right ascension within [0, 360); NaN where there is none.
    dec_deg: Floats  #: ICRS degrees, right ascension within [0, 360); NaN where there is none.
    absent: Bools  #: True where the file has no position.
    wrong: Bools  #: True where the file's value isn't a direction.


def directions(
    longitude: Column,
    latitude: Column,
    frame: Frame,
    *,
    longitude_unit: str = "",
    latitude_unit: str = "",
) -> Directions:
    """Return the directions in two columns.

    The columns hold numbers, or text with decimals and sexagesimals, mixed; for `frame` see
    `frame_of`. Units from the user take precedence over the file's.

    Raises
    ------
    TableError
        If a unit isn't an angle's, or the frame isn't known.

    Notes
    -----
    Numbers without a stated unit are degrees. A sexagesimal right ascension is in hours, unless it
    is marked ``d`` or its unit is stated as degrees and it can't be hours; a sexagesimal value
    of any other longitude is in degrees.
    """
    equatorial = frame.system in ("icrs", "fk5", "fk4")
    x, no_x, bad_x = _angles_deg(longitude, longitude_unit, hours=equatorial)
    y, no_y, bad_y = _angles_deg(latitude, latitude_unit, hours=False)
    absent = no_x | no_y
    with np.errstate(invalid="ignore"):
        bad = bad_x | bad_y | (np.abs(y) > 90) | (np.abs(x) > 360)
    wrong = bad & ~absent
    x, y = np.where(absent | wrong, np.nan, x), np.where(absent | wrong, np.nan, y)
    good = ~(absent | wrong)
    ra, dec = np.full(len(x), np.nan), np.full(len(x), np.nan)
    if good.any():
        ra[good], dec[good] = to_icrs(x[good], y[good], frame)
    ra %= 360.0
    # A tiny negative angle becomes 360.0 after rounding.
    ra[ra >= 360.0] = 0.0
    return Directions(ra, dec, absent, wrong)


def with_joined_position(table: Table) -> Table:
    """Return a table with RA and DEC made from columns such as RAh, RAm, RAs, DE-, DEd, DEm, DEs.

    A table without such columns, or that also has a position, is returned unchanged.
    """
    by_name = {c.name: c for c in table.columns}
    parts = [by_name.get(n) for n in ("RAh", "RAm", "RAs", "DEd", "DEm", "DEs")]
    if any(p is None for p in parts) or {"RAJ2000", "RA", "DEC"} & set(by_name):
        return table
    h, m, s, d, dm, ds = (p.text() for p in parts if p is not None)
    sign = by_name["DE-"].text() if "DE-" in by_name else np.full(table.n_rows, "")
    ra = [" ".join(v) if all(v) else "" for v in zip(h, m, s, strict=True)]
    dec = [
        a + " ".join(v) if all(v) else ""
        for a, *v in zip(np.where(sign == "", "+", sign), d, dm, ds, strict=True)
    ]
    frame = parts[0].frame if parts[0] is not None else None
    joined = (
        column_of("RA", ra, unit='"h:m:s"', ucd="pos.eq.ra;meta.main", frame=frame),
        column_of("DEC", dec, unit='"d:m:s"', ucd="pos.eq.dec;meta.main", frame=frame),
    )
    return replace(table, columns=(*table.columns, *joined))


def frame_of(table: Table, longitude: Column, latitude: Column, given: str = "") -> Frame:
    """Return the frame of two columns: given, stated by the file, or in the columns' names.

    The user's frame, such as ``fk4``, ``B1950``, ``galactic``, takes precedence.

    Raises
    ------
    TableError
        If the two columns are in different frames, or the frame isn't known.

    Notes
    -----
    Without a stated frame: ICRS, which agrees with J2000 catalogues within 0.03 arcsec.
    """
    if given:
        return parse_frame(given)
    if longitude.frame != latitude.frame and longitude.frame and latitude.frame:
        raise TableError(
            f"column {longitude.name} is stated to be {longitude.frame}, column {latitude.name} "
            f"{latitude.frame}: they are no position together"
        )
    stated = longitude.frame or latitude.frame or _in_keywords(table)
    if stated is not None and stated.system not in _SYSTEMS:
        raise TableError(
            f"columns {longitude.name} and {latitude.name} are stated to be in the frame "
            f"{stated.system!r}, which can't be converted into ICRS; --frame gives another"
        )
    named = _in_names(longitude, latitude)
    if stated is not None and (named is None or named.system not in ("galactic", "ecliptic")):
        return stated
    return named or Frame("icrs")


def parse_frame(text: str) -> Frame:
    """Return the frame of a text such as ``FK4``, ``B1950``, ``J2000``, ``galactic``.

    Raises
    ------
    TableError
        If the frame isn't known.
    """
    parts = text.replace(",", " ").replace("(", " ").replace(")", " ").split()
    system, equinox = "", ""
    for part in parts:
        if re.fullmatch(r"[BJ]?(18|19|20)\d\d(\.\d+)?", part, re.IGNORECASE):
            equinox = part.upper()
        elif part.casefold().removeprefix("eq_") in _SYSTEMS:
            system = part.casefold().removeprefix("eq_")
        else:
            system = part.casefold()
    if equinox[:1].isdigit():
        equinox = ("B" if float(equinox) < 1984 else "J") + equinox
    if not system and equinox:
        system = "fk4" if equinox.startswith("B") else "fk5"
    if system not in _SYSTEMS:
        raise TableError(
            f"{text!r} is no frame that is known: {', '.join(_SYSTEMS)}, B1950 or J2000"
        )
    return Frame(system, equinox)


def to_icrs(longitude_deg: Floats, latitude_deg: Floats, frame: Frame) -> tuple[Floats, Floats]:
    """Return ICRS degrees of directions (degrees, shape (n,)) in another frame.

    FK4 without an equinox is B1950, FK5 is J2000; FK4's epoch, where it isn't stated, is its
    equinox.

    Raises
    ------
    TableError
        If the frame, its equinox or its epoch isn't known.
    """
    if frame.system == "icrs":
        return longitude_deg, latitude_deg
    from astropy import units as u
    from astropy.coordinates import (
        FK4,
        FK5,
        BarycentricMeanEcliptic,
        Galactic,
        SkyCoord,
        Supergalactic,
    )

    equinox = _epoch(frame.equinox or ("B1950" if frame.system == "fk4" else "J2000"), frame)
    if frame.system == "fk4":
        built: Any = FK4(equinox=equinox, obstime=_epoch(frame.epoch, frame) or equinox)
    elif frame.system == "fk5":
        built = FK5(equinox=equinox)
    elif frame.system == "galactic":
        built = Galactic()
    elif frame.system == "supergalactic":
        built = Supergalactic()
    elif frame.system == "ecliptic":
        built = BarycentricMeanEcliptic(equinox=equinox)
    else:
        raise TableError(f"the frame {frame} can't be converted into ICRS")
    where = SkyCoord(longitude_deg * u.deg, latitude_deg * u.deg, frame=built).icrs
    return np.asarray(where.ra.deg), np.asarray(where.dec.deg)


def _epoch(text: str, frame: Frame) -> Any:
    from astropy.time import Time

    if not text:
        return None
    plain = text.strip().upper()
    if plain[:1].isdigit():
        plain = ("B" if float(plain) < 1984 else "J") + plain
    try:
        return Time(plain)
    except ValueError as error:
        raise TableError(f"{text!r} of the frame {frame} is no equinox or epoch") from error


def sexagesimal_deg(text: str, *, hours: bool) -> float:
    """Return the degrees of ``01:37:41.3``, ``01h37m41.3s``, ``-17d27'11.8"``; NaN if invalid.

    With `hours` the whole number is in hours where the text doesn't mark it.
    """
    found = _SEXAGESIMAL.fullmatch(text.strip())
    if found is None:
        return np.nan
    minutes, seconds = float(found["minutes"]), float(found["seconds"] or 0)
    if minutes >= 60 or seconds > 60:
        return np.nan
    if found["mark"] in "hH":
        hours = True
    elif found["mark"] in "dD\u00b0":
        hours = False
    whole = int(found["whole"])
    if hours and (whole > 24 or found["sign"] in ("-", "\u2212")):
        return np.nan
    value = (whole + minutes / 60 + seconds / 3600) * (15.0 if hours else 1.0)
    return -value if found["sign"] in ("-", "\u2212") else value


def _angles_deg(column: Column, given: str, *, hours: bool) -> tuple[Floats, Bools, Bools]:
    """Return degrees, a mask of absent values, and a mask of values that aren't angles."""
    unit = given or column.unit
    try:
        factor = factor_between(unit, "deg") if unit else 1.0
    except TableError as error:
        raise TableError(
            f"column {column.name} is in {unit}, which is no angle", column=column.name
        ) from error
    numbers, wrong = column.numbers_and_wrong()
    degrees = factor * numbers
    absent = column.absent.copy()
    if column.is_text:
        absent |= ~wrong & ~np.isfinite(degrees)
    if not wrong.any():
        return degrees, absent, wrong
    # Sexagesimal text is in hours, unless degrees are stated in words such as "d:m:s".
    counted_in_hours = hours and not _is_dms(unit)
    if unit and parse_unit(unit) == parse_unit("hourangle"):
        counted_in_hours = True
    text = column.text()
    for i in np.flatnonzero(wrong):
        degrees[i] = sexagesimal_deg(str(text[i]), hours=counted_in_hours)
        wrong[i] = not np.isfinite(degrees[i])
        if str(text[i]).casefold() in MISSING_NUMBERS:
            absent[i], wrong[i] = True, False
    return degrees, absent, wrong


def _is_dms(unit: str) -> bool:
    plain = unit.strip("\"' ").casefold()
    return plain in ("d:m:s", "dms", "dd:mm:ss", "deg", "degree", "degrees")


def _in_keywords(table: Table) -> Frame | None:
    system = str(table.keywords.get("RADESYS") or table.keywords.get("RADECSYS") or "").strip()
    equinox = table.keywords.get("EQUINOX") or ""
    for comment in table.comments:
        if not equinox and (
            found := re.match(r"#?\s*equinox\s*[:=]\s*([BJ]?\d{4}(\.\d+)?)", comment, re.IGNORECASE)
        ):
            equinox = found[1]
    text = f"{system} {str(equinox).strip()}".strip()
    if not text:
        return None
    if system.casefold() in ("fk4-no-e", "gappt"):
        return Frame(system.casefold())
    return parse_frame(text)


def _in_names(longitude: Column, latitude: Column) -> Frame | None:
    for column in (longitude, latitude):
        name = column.name.casefold()
        if "1950" in name:
            return Frame("fk4", "B1950")
        if column.ucd.startswith(("pos.galactic", "pos_gal")) or re.fullmatch(
            r"_?(glon|glat|gal_?(lon|lat)|gal_?[lb]|[lb]_gal|l|b)(_?deg)?", name
        ):
            return Frame("galactic")
        if column.ucd.startswith("pos.ecliptic") or re.fullmatch(r"_?(elon|elat)", name):
            return Frame("ecliptic", "J2000")
        if column.ucd.startswith("pos.supergalactic") or re.fullmatch(r"_?(sgl|sgb)", name):
            return Frame("supergalactic")
    return None
