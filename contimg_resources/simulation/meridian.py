"""The direction of the meridian.

Belongs here: sidereal time, directions on the meridian in ICRS, transits.
Doesn't: UVW coordinates; CASA computes those.

UT1 is approximated by UTC: since 1972 they differ by less than 0.9 s, that is 13" of pointing in a
beam of 2.8 deg. Phase centres stay exact, because they are written as computed.
"""

import erfa  # type: ignore[import-untyped]
import numpy as np

from contimg_resources.core.times import (
    MJD_ZERO_JD,
    SIDEREAL_DEG_PER_DAY,
    TT_MINUS_UTC_DAYS,
    check_mjd,
)
from contimg_resources.instrument.dsa110 import LONGITUDE_DEG


def sidereal_time_deg(mjd: float) -> float:
    """Return the apparent local sidereal time at the array, degrees from 0 to 360."""
    check_mjd(mjd)
    greenwich = erfa.gst06a(MJD_ZERO_JD, mjd, MJD_ZERO_JD, mjd + TT_MINUS_UTC_DAYS)
    return float((np.degrees(greenwich) + LONGITUDE_DEG) % 360.0)


def apparent_direction_deg(ra_deg: float, dec_deg: float, mjd: float) -> tuple[float, float]:
    """Return apparent right ascension and declination of date of an ICRS direction, degrees."""
    ra, dec, origins = erfa.atci13(
        np.radians(ra_deg), np.radians(dec_deg), 0, 0, 0, 0, MJD_ZERO_JD, mjd + TT_MINUS_UTC_DAYS
    )
    return float(np.degrees(ra - origins) % 360.0), float(np.degrees(dec))


def meridian_direction_deg(apparent_declination_deg: float, mjd: float) -> tuple[float, float]:
    """Return the ICRS direction (RA, Dec in degrees) of a point on the meridian.

    Its apparent declination is that of date; the time is MJD in days (UTC).
    """
    tt = mjd + TT_MINUS_UTC_DAYS
    origins = erfa.eo06a(MJD_ZERO_JD, tt)
    ra, dec, _ = erfa.atic13(
        np.radians(sidereal_time_deg(mjd)) + origins,
        np.radians(apparent_declination_deg),
        MJD_ZERO_JD,
        tt,
    )
    return float(np.degrees(ra) % 360.0), float(np.degrees(dec))


def next_transit_mjd(ra_deg: float, dec_deg: float, after_mjd: float) -> float:
    """Return the first upper transit of an ICRS direction after a time, MJD in days."""
    ra, _ = apparent_direction_deg(ra_deg, dec_deg, after_mjd)
    ahead = (ra - sidereal_time_deg(after_mjd)) % 360.0
    mjd = after_mjd + ahead / SIDEREAL_DEG_PER_DAY
    for _ in range(2):
        ra, _ = apparent_direction_deg(ra_deg, dec_deg, mjd)
        late = (ra - sidereal_time_deg(mjd) + 180.0) % 360.0 - 180.0
        mjd += late / SIDEREAL_DEG_PER_DAY
    return mjd
