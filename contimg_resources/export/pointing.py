"""Where the telescope looked, of many observations at once.

Belongs here: right ascension on the meridian. Doesn't: declinations, which are known of each strip.
"""

import numpy as np
from numpy.typing import NDArray

from contimg_resources.instrument.dsa110 import LONGITUDE_DEG

_MJD_ZERO = 2_400_000.5
#: TT - UTC since 2017, days.
_TT_MINUS_UTC_DAYS = 69.184 / 86_400


def meridian_ra_deg(dec_deg: NDArray[np.float64], mjd: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the ICRS right ascension on the meridian, degrees.

    Parameters
    ----------
    dec_deg : ndarray, shape (n,)
        Declinations of the strips, degrees.
    mjd : ndarray, shape (n,)
        When, MJD in days (UTC).

    Notes
    -----
    Precession, nutation and aberration are those of the middle of each day: within a day they
    change by less than an arcsecond. `contimg_resources.simulation.meridian` takes one direction
    at a time, as exactly as is known.
    """
    if not len(mjd):
        return np.empty(0)
    import erfa  # type: ignore[import-untyped]

    days, day = np.unique(np.floor(mjd), return_inverse=True)
    of_days, _ = erfa.apci13(_MJD_ZERO, days + 0.5 + _TT_MINUS_UTC_DAYS)
    on_meridian_rad = erfa.era00(_MJD_ZERO, mjd) + np.radians(LONGITUDE_DEG)
    ra_rad, _ = erfa.aticq(on_meridian_rad, np.radians(dec_deg), of_days[day])
    return np.asarray(np.degrees(ra_rad) % 360.0, np.float64)
