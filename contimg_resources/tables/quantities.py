"""Convert the numbers of a column to a wanted unit.

Belongs here: finding the unit of a column, and the conversion. Doesn't: notations of
units (see `units`), directions (see `positions`).
"""

from contimg_resources.core.errors import TableError
from contimg_resources.tables.model import Column, Floats
from contimg_resources.tables.units import factor_between


def numbers_in(column: Column, wanted: str, unstated: str | None = None, given: str = "") -> Floats:
    """Return a column's numbers in a unit such as ``Jy``, NaN where there is none, shape (n,).

    A stated unit takes precedence over the column's name, the user's unit `given` over the file's.
    `unstated` is assumed for a column that states none; None: such a column is refused.

    Raises
    ------
    TableError
        If the unit can't be converted or isn't known, or a value isn't a number; the message names
        the column.
    """
    return factor_of(column, wanted, unstated, given) * column.numbers()


def factor_of(column: Column, wanted: str, unstated: str | None = None, given: str = "") -> float:
    """Return the factor that converts a column's numbers to a unit (parameters: see `numbers_in`).

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
