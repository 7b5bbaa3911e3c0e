"""Times, defined in one place: Modified Julian Dates (UTC, in days), UTC days.

Belongs here: conversions between CASA's seconds, MJD and UTC text. Doesn't: keys (see `keys`), the
present time. An observation's time comes from its TIME column, never the clock.
"""

import math
import re
from datetime import UTC, date, datetime, timedelta

from contimg_resources.core.errors import InvalidName

SECONDS_PER_DAY = 86_400.0
#: Julian date of MJD 0.
MJD_ZERO_JD = 2_400_000.5
#: TT - UTC since 2017: 37 leap seconds and 32.184 s.
TT_MINUS_UTC_DAYS = 69.184 / SECONDS_PER_DAY

#: Degrees of right ascension that transit in a day of UT.
SIDEREAL_DEG_PER_DAY = 360.985_647_4

#: An MJD outside these bounds was read with the wrong epoch: 1960-01-01, before the first
#: interferometers whose data are kept (and when UTC began), and 2100-01-01.
MJD_MIN_DAYS = 36_934.0
MJD_MAX_DAYS = 88_069.0

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{5}", re.ASCII)
_MJD_EPOCH = datetime(1858, 11, 17, tzinfo=UTC)


def check_mjd(mjd: float) -> float:
    """Return `mjd` (days) if it is a possible observing date.

    Raises
    ------
    InvalidName
        If it isn't finite or lies before 1960 or after 2100: a time in other units or of another
        epoch, not an observation.
    """
    if not math.isfinite(mjd) or not MJD_MIN_DAYS <= mjd <= MJD_MAX_DAYS:
        raise InvalidName(
            f"{mjd!r} is no observing date: an MJD in days between {MJD_MIN_DAYS:.0f} (1960) and "
            f"{MJD_MAX_DAYS:.0f} (2100) was expected"
        )
    return mjd


def mjd_from_casa_seconds(seconds: float) -> float:
    """Convert a MeasurementSet time (seconds since MJD 0, UTC) to an MJD in days.

    Raises
    ------
    InvalidName
        If the result is no possible observing date (see `check_mjd`).
    """
    return check_mjd(seconds / SECONDS_PER_DAY)


def casa_seconds_from_mjd(mjd: float) -> float:
    """Convert an MJD in days to a MeasurementSet time in seconds."""
    return check_mjd(mjd) * SECONDS_PER_DAY


def mjd_day(mjd: float) -> int:
    """Return the integer MJD, which is one UTC day."""
    return math.floor(check_mjd(mjd))


def datetime_from_mjd(mjd: float) -> datetime:
    """Return the UTC `datetime` of an MJD in days."""
    return _MJD_EPOCH + timedelta(days=check_mjd(mjd))


def mjd_from_datetime(moment: datetime) -> float:
    """Return the MJD in days of a `datetime`; one without a time zone is taken as UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return check_mjd((aware - _MJD_EPOCH) / timedelta(days=1))


def isot_from_mjd(mjd: float) -> str:
    """Return UTC as in FITS ``DATE-OBS``: ``2025-10-06T12:36:09.123``."""
    return datetime_from_mjd(mjd).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]


def utc_day(mjd: float) -> date:
    """Return the UTC date on which an MJD in days falls."""
    return datetime_from_mjd(mjd).date()


def parse_span(begin: str | None, end: str | None) -> tuple[float | None, float | None]:
    """Return the MJDs in days of a span given by a user: from the first, up to the last.

    A UTC date, ``2025-10-06``, or its integer MJD means that whole day; a UTC time,
    ``2025-10-06T12:30``, or an MJD with a fraction that moment; None: without a limit.

    Raises
    ------
    InvalidName
        If one is none of these, or the end is before the beginning.
    """
    first = None if begin is None else _moment(begin)
    last = None if end is None else _moment(end) + (1 if _DAY.fullmatch(end) else 0)
    if first is not None and last is not None and last <= first:
        raise InvalidName(f"nothing is between {begin} and {end}: the end is before the beginning")
    return first, last


def _moment(text: str) -> float:
    try:
        return check_mjd(float(text))
    except ValueError:
        pass
    try:
        return mjd_from_datetime(datetime.fromisoformat(text))
    except ValueError as error:
        raise InvalidName(
            f"{text!r} is no date: a UTC date or time such as 2025-10-06 or 2025-10-06T12:30, or "
            "an MJD, was expected"
        ) from error
