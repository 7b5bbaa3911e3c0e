"""Read units as people write them, and convert the numbers of a column.

Belongs here: reading a unit in any notation, finding the unit of a column, conversion between
units. Doesn't: directions (see `positions`).
"""

import math
import re
import warnings
from functools import lru_cache
from typing import Any

from contimg_resources.core.errors import TableError
from contimg_resources.tables.model import Column

#: Spellings that astropy doesn't know, in lower case without blanks and quotes.
_SPELLINGS = {
    "h:m:s": "hourangle",
    "hms": "hourangle",
    "hh:mm:ss": "hourangle",
    "hour": "hourangle",
    "hours": "hourangle",
    "hr": "hourangle",
    "hrs": "hourangle",
    "h": "hourangle",
    "d:m:s": "deg",
    "dms": "deg",
    "dd:mm:ss": "deg",
    "degree": "deg",
    "degrees": "deg",
    "degs": "deg",
    "radian": "rad",
    "radians": "rad",
    "arcsecs": "arcsec",
    "arcseconds": "arcsec",
    "arcsecond": "arcsec",
    "asec": "arcsec",
    "as": "arcsec",
    "arcmins": "arcmin",
    "arcminutes": "arcmin",
    "millijansky": "mJy",
    "microjansky": "uJy",
    "days": "d",
    "day": "d",
    "mjd": "d",
    "jd": "d",
}
_FLUXES = {"jy": "Jy", "mjy": "mJy", "ujy": "uJy", "µjy": "uJy", "μjy": "uJy", "njy": "nJy"}
_FLUXES |= {"jansky": "Jy", "janskys": "Jy", "millijy": "mJy", "microjy": "uJy"}
#: Parts of a unit in any case; but ``MJy`` is a megajansky.
_PARTS = {**_FLUXES, "beam": "beam", "beams": "beam", "bm": "beam"}
#: Powers of ten as whole numbers: ``10**99999``, ``10^(99999)``, ``10+99999``.
_ENDLESS = re.compile(r"(?<![\d.])10(?:\s*(?:\*\*|\^)\s*\(?\s*\+?|\+)\s*\d{5,}")
_FREQUENCIES = {"hz": "Hz", "khz": "kHz", "mhz": "MHz", "ghz": "GHz"}


@lru_cache(maxsize=512)
def parse_unit(text: str) -> Any:
    """Return the astropy unit of a text, such as ``"h:m:s"``, ``JY/BEAM``, ``beam-1 mJy``.

    Raises
    ------
    TableError
        If it isn't a unit.
    """
    from astropy import units as u

    refuse_endless(text)
    plain = text.strip().strip("\"'").strip()
    squeezed = "".join(plain.split()).casefold()
    if re.fullmatch(r"[bj]?\d{4}(\.\d*)?", squeezed):
        raise TableError(f"{text!r} is an epoch and no unit")
    # Upper case only where it can't be another prefix: MJY is mJy in old FITS, MJy is a megajansky.
    if plain == plain.upper() or plain == plain.lower():
        if squeezed in _FLUXES:
            return u.Unit(_FLUXES[squeezed])
        if squeezed in _FREQUENCIES:
            return u.Unit(_FREQUENCIES[squeezed])
    if squeezed in _SPELLINGS:
        return u.Unit(_SPELLINGS[squeezed])
    plain = re.sub(
        r"[A-Za-zµμ]+",
        lambda part: part[0] if part[0] == "MJy" else _PARTS.get(part[0].casefold(), part[0]),
        plain.removeprefix("(").removesuffix(")") if plain.count("(") == 1 else plain,
    )
    for form in (None, "vounit", "fits", "cds"):
        if (unit := _parsed(plain, form)) is not None:
            return unit
    if (unit := _parsed(plain.casefold(), None)) is None:
        raise TableError(f"{text!r} is no unit that is known")
    return unit


def refuse_endless(text: str) -> None:
    """Refuse a unit, or a text with units, that would take astropy's parsers hours.

    They compute powers of ten as whole numbers, such as ``10**99999999``.

    Raises
    ------
    TableError
        If there is such a unit; the message names it.
    """
    if found := _ENDLESS.search(text):
        raise TableError(f"{found[0]!r} is no unit that is known")


def _parsed(text: str, form: str | None) -> Any:
    """Return astropy's unit for a text; None if it isn't a unit for numbers."""
    from astropy import units as u

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", u.UnitsWarning)
            unit = u.Unit(text, format=form, parse_strict="raise")
        # The logarithm of a unit has no unit within.
        plain = getattr(unit, "physical_unit", unit)
        scale = abs(complex(plain.decompose().scale))
    except Exception:  # its parsers raise many kinds of exception
        return None
    return unit if math.isfinite(scale) and scale > 0 else None


def is_unit(text: str) -> bool:
    """Return whether a text is a unit."""
    try:
        parse_unit(text)
    except TableError:
        return False
    return True


def factor_between(stated: str, wanted: str) -> float:
    """Return the factor from one unit to another; flux density per beam counts as flux density.

    Raises
    ------
    TableError
        If `stated` isn't a unit, or can't be converted.
    """
    from astropy import units as u

    unit = parse_unit(stated)
    # A time in hours is a time too.
    times = (u.hour,) if unit == u.hourangle else ()
    for candidate in (unit, unit * u.beam, *times):
        try:
            return float(candidate.to(u.Unit(wanted)))
        except (u.UnitConversionError, TypeError, AttributeError):
            continue
    raise TableError(f"{stated} can't be converted into {wanted}")


def factor_of(column: Column, wanted: str, unstated: str | None = None, given: str = "") -> float:
    """Return the factor that converts a column's numbers to a unit such as ``Jy``.

    A stated unit takes precedence over the column's name, the user's unit `given` over the file's.
    `unstated` is assumed for a column that states none; None: such a column is refused.

    Raises
    ------
    TableError
        If the unit can't be converted or isn't known; the message names the column.
    """
    unit = given or column.unit or unstated
    if unit is None:
        raise TableError(f"column {column.name} states no unit", column=column.name)
    if wanted == unit:
        return 1.0
    try:
        return factor_between(unit, wanted)
    except TableError as error:
        raise TableError(
            f"column {column.name} is in {unit}, which isn't {_kind_of(wanted)} ({error.message})",
            column=column.name,
        ) from error


def _kind_of(unit: str) -> str:
    return {
        "Jy": "a flux density (in Jy, mJy, Jy/beam, ...)",
        "GHz": "a frequency (in Hz, MHz, GHz, ...)",
        "Hz": "a frequency (in Hz, MHz, GHz, ...)",
        "deg": "an angle (in deg, rad, hourangle, arcsec, ...)",
        "arcsec": "an angle (in arcsec, deg, ...)",
        "d": "a time (in d, s, ...)",
        "": "a number without a unit",
    }.get(unit, f"convertible into {unit}")
