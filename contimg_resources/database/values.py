"""Values in the form stored in JSON columns."""

import math
import time
from collections.abc import Mapping, Sequence, Set
from enum import Enum
from pathlib import Path
from typing import Any

from contimg_resources.core.times import SECONDS_PER_DAY

_UNIX_EPOCH_MJD = 40_587.0


def plain_json(value: Any) -> Any:
    """Return `value` with only types that JSON has.

    Numpy scalars and arrays become numbers and lists, paths become text. NaN and infinities
    become None: Postgres refuses them, and a value that isn't finite wasn't measured.

    Raises
    ------
    TypeError
        If it contains a type without a JSON form.
    """
    if isinstance(value, Enum):
        return plain_json(value.value)
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(k): plain_json(v) for k, v in value.items()}
    if isinstance(value, Set):
        return sorted((plain_json(v) for v in value), key=repr)
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [plain_json(v) for v in value]
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        return plain_json(value.tolist())
    raise TypeError(f"{value!r} ({type(value).__name__}) can't be stored as JSON")


def now_mjd() -> float:
    """Return the present time, MJD in days, for "recorded at" columns.

    This is only for bookkeeping: the time of an observation never comes from the clock.
    """
    return mjd_from_unix_s(time.time())


def mjd_from_unix_s(seconds: float) -> float:
    """Return the MJD in days of a Unix time (seconds since 1970), as file systems record it."""
    return _UNIX_EPOCH_MJD + seconds / SECONDS_PER_DAY
