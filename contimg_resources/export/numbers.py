"""Rounding of numbers for the documents.

Belongs here: rounding columns and single numbers. Doesn't: units, the choice of numbers.

NaN and infinity stay in the lists of `decimals` and `significant`; they become null when the page
is encoded (see `contimg_resources.export.pages`).
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: 0.09 s.
MJD_DECIMALS = 6
#: 4 milliarcsec.
DEG_DECIMALS = 6
#: 0.1 uJy.
MJY_DECIMALS = 4
#: Significant digits of quantities without a typical size.
DIGITS = 6


def decimals(values: NDArray[np.float64], places: int) -> list[float]:
    """Return a column rounded to `places` decimals."""
    return np.round(np.asarray(values, np.float64), places).tolist()  # type: ignore[no-any-return]


def significant(values: NDArray[np.float64], digits: int = DIGITS) -> list[float]:
    """Return a column rounded to `digits` significant digits."""
    return [float(f"{v:.{digits}g}") for v in np.asarray(values, np.float64).tolist()]


def finite(value: Any, digits: int = DIGITS) -> float | None:
    """Return a number rounded to `digits` significant digits; None if it isn't finite."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
        return None
    return float(f"{float(value):.{digits}g}") if math.isfinite(value) else None


def known(value: float, places: int) -> float | None:
    """Return a number rounded to `places` decimals; None if it isn't finite."""
    return round(float(value), places) if math.isfinite(value) else None


def rounded(value: float, places: int) -> float:
    """Return a required number rounded to `places` decimals."""
    return round(float(value), places)
