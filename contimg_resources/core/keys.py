"""Keys: the one place where they are made and parsed.

Belongs here: keys of observations, mosaics, UTC days and caltable sets, names of days on disk.
Doesn't: other names and paths (see `naming`), times that users type (see `times`).

Anybody may type a partition key in Dagster or put a file into a directory, so every key is parsed
before it is used in a path or a query. A key that is parsed is the one that its content gives.
"""

import re
from datetime import date

from contimg_resources.core.errors import InvalidName
from contimg_resources.core.times import MJD_MAX_DAYS, MJD_MIN_DAYS, check_mjd, mjd_day, utc_day

#: The resolution of a partition key, 0.864 s.
KEY_RESOLUTION_DAYS = 1e-5

_OBSERVATION = re.compile(r"[0-9]{5}\.[0-9]{5}", re.ASCII)
_MOSAIC = re.compile(r"([0-9]{5}\.[0-9]{5})([+-][0-9]{2}\.[0-9])", re.ASCII)
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_SET = re.compile(r"(.+)\.v(0|[1-9][0-9]{0,8})", re.ASCII | re.DOTALL)
_DAY_NAME = re.compile(r"[0-9]{5}", re.ASCII)
_FIRST_DATE_ORDINAL = date(1858, 11, 17).toordinal()


def partition_key(mjd: float) -> str:
    """Return the fixed-width key of an observation, MJD with five decimals: ``61041.00347``.

    Raises
    ------
    InvalidName
        If it is no possible observing date.
    """
    return f"{check_mjd(mjd):.5f}"


def is_partition_key(text: str) -> bool:
    """Return whether a text has the form of an observation's partition key."""
    return bool(_OBSERVATION.fullmatch(text))


def parse_partition_key(key: str) -> float:
    """Return the MJD in days of an observation's partition key.

    Raises
    ------
    InvalidName
        If `key` isn't five digits, a point and five digits, or is no possible observing date.
    """
    if not is_partition_key(key):
        raise InvalidName(
            f"{key!r} is no observation key: an MJD with five decimals, such as 61041.00347, "
            "was expected"
        )
    return check_mjd(float(key))


def mosaic_key(mid_mjd: float, declination_deg: float) -> str:
    """Return a key such as ``61041.02083+54.6``: MJD of the window's middle, and the strip.

    Raises
    ------
    InvalidName
        If it is no possible observing date, or no declination.
    """
    if not abs(declination_deg) <= 90:
        raise InvalidName(f"{declination_deg!r} is no declination in degrees")
    # Avoids -00.0 as the name of a strip.
    return f"{partition_key(mid_mjd)}{round(declination_deg, 1) + 0.0:+05.1f}"


def parse_mosaic_key(key: str) -> tuple[float, float]:
    """Return the mid-time (MJD, days) and strip (degrees) in a mosaic's key.

    Raises
    ------
    InvalidName
        If the text isn't the key of a mosaic.
    """
    found = _MOSAIC.fullmatch(key)
    if not found or abs(float(found[2])) > 90 or found[2] == "-00.0":
        raise InvalidName(
            f"{key!r} is not a mosaic key: expected the MJD of its middle with five decimals and "
            "its declination with sign and one decimal, such as 61041.02083+54.6"
        )
    return parse_partition_key(found[1]), float(found[2])


def epoch_mjd(key: str) -> float:
    """Return the MJD (days) in the key of an epoch, which is an observation or a mosaic.

    Raises
    ------
    InvalidName
        If the key is of neither.
    """
    return parse_partition_key(key) if is_partition_key(key) else parse_mosaic_key(key)[0]


def day_key(mjd: float) -> str:
    """Return the partition key of the UTC day on which an MJD in days falls: ``2025-10-06``."""
    return utc_day(mjd).isoformat()


def parse_day_key(key: str) -> int:
    """Return the integer MJD of a UTC day's partition key.

    Raises
    ------
    InvalidName
        If the text is no UTC date with four, two and two digits, or no possible observing date.
    """
    try:
        if _DAY.fullmatch(key):
            days = date.fromisoformat(key).toordinal() - _FIRST_DATE_ORDINAL
            return mjd_day(days)
    except InvalidName:
        raise
    except ValueError:
        pass
    raise InvalidName(f"{key!r} is no UTC day: a date such as 2025-10-06 was expected")


def day_name(mjd: float) -> str:
    """Return the name of a UTC day's file or directory, its integer MJD: ``61041``."""
    return str(mjd_day(mjd))


def is_day_name(text: str) -> bool:
    """Return whether a text is the name of a day's file or directory; others may lie there."""
    return bool(_DAY_NAME.fullmatch(text)) and MJD_MIN_DAYS <= int(text) <= MJD_MAX_DAYS


def parse_day_name(name: str) -> int:
    """Return the integer MJD of a day's file or directory.

    Raises
    ------
    InvalidName
        If the text isn't five digits, or is no possible observing date.
    """
    if not is_day_name(name):
        raise InvalidName(f"{name!r} is no UTC day: an integer MJD such as 61041 was expected")
    return int(name)


def set_name(calibrator: str, key: str) -> str:
    """Return the name of the caltable set solved from an observation: ``3C286_61041.00347``."""
    return f"{calibrator}_{key}"


def observation_of_set(name: str) -> str | None:
    """Return the key of the observation in a set's name; None if it names none."""
    _, _, key = name.rpartition("_")
    return key if is_partition_key(key) and key != name else None


def set_key(name: str, version: int) -> str:
    """Return the key of one version of a caltable set, such as ``3C286_61041.00347.v2``."""
    return f"{name}.v{version}"


def parse_set_key(key: str) -> tuple[str, int]:
    """Return the name and version in the key of a caltable set.

    Raises
    ------
    InvalidName
        If the text doesn't end in a version.
    """
    found = _SET.fullmatch(key)
    if not found:
        raise InvalidName(f"{key!r} is no version of a caltable set: NAME.v1 was expected")
    return found[1], int(found[2])
