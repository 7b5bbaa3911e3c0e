"""Numbers as documents hold them: few digits, and nothing that JSON doesn't know.

Belongs here: rounding columns and single numbers. Doesn't: units, which numbers there are.

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
#: Of measures that may be of any size.
DIGITS = 6


def decimals(values: NDArray[np.float64], places: int) -> list[float]:
    """Return a column rounded to so many decimals."""
    return np.round(np.asarray(values, np.float64), places).tolist()  # type: ignore[no-any-return]


def significant(values: NDArray[np.float64], digits: int = DIGITS) -> list[float]:
    """Return a column rounded to so many significant digits."""
    return [float(f"{v:.{digits}g}") for v in np.asarray(values, np.float64).tolist()]


def finite(value: Any, digits: int = DIGITS) -> float | None:
    """Return a number rounded to so many significant digits; None for what is no finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
        return None
    return float(f"{float(value):.{digits}g}") if math.isfinite(value) else None


def known(value: float, places: int) -> float | None:
    """Return a number rounded to so many decimals; None for what is no finite number."""
    return round(float(value), places) if math.isfinite(value) else None


def rounded(value: float, places: int) -> float:
    """Return a number that must be there, rounded to so many decimals."""
    return round(float(value), places)
