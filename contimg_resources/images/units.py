"""The unit of an image's pixels.

Belongs here: converting a header's unit to a factor. Doesn't: units of columns.
"""

import re
from typing import Any

from contimg_resources.core.errors import TableError
from contimg_resources.tables.units import parse_unit

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
