"""Values in the form stored in JSON columns."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import asdict
from enum import Enum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import BeforeValidator, TypeAdapter

from contimg_resources.core.times import SECONDS_PER_DAY

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")

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


def _number(value: Any) -> float:
    # NaN is stored as null; text and flags are no measurements.
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number else math.nan


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


#: Types of the fields of stored dataclasses: a number (NaN: unknown), a count, text, and marks of
#: lists and dictionaries, whose absence is stored as null.
Number = Annotated[float, BeforeValidator(_number)]
Count = Annotated[int | None, BeforeValidator(_count)]
Text = Annotated[str, BeforeValidator(lambda v: v if isinstance(v, str) else "")]
LIST = BeforeValidator(lambda v: () if v is None else v)
DICT = BeforeValidator(lambda v: {} if v is None else v)


def read_json(of: type[T], stored: Mapping[str, Any]) -> T:
    """Return stored values as a dataclass; names that an earlier release didn't store are unknown.

    `of` is a dataclass whose fields have defaults and the types above; names that this release
    doesn't know are left out.

    Raises
    ------
    ValueError
        If a list or a dictionary holds something else.
    """
    read: TypeAdapter[T] = _reader(of)
    return read.validate_python(stored)


def known_values(of: "DataclassInstance") -> Iterator[tuple[str, float | int | str]]:
    """Yield the names and values of a stored dataclass that are known, without the lists."""
    for name, value in asdict(of).items():
        if isinstance(value, str | int | float) and value != "" and value == value:
            yield name, value


#: Building a reader takes longer than reading.
_reader: Callable[[Any], TypeAdapter[Any]] = cache(TypeAdapter)
