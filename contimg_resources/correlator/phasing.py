"""Directions on the meridian, and baselines as seen from there.

Belongs here: apparent declination to ICRS, UVW from antenna positions, both in double precision.
Doesn't: turning visibilities (`contimg_resources.correlator.loops`).

The dishes point to an *apparent* declination on the meridian, so each integration has another ICRS
direction. The transformations are ERFA's, with UT1 and polar motion of the IERS tables that astropy
bundles; nothing is downloaded. The steps are those of pyuvdata, so that UVW agree to nanometres.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import erfa  # type: ignore[import-untyped]
import numpy as np

from contimg_resources.correlator.uvh5 import Floats

#: Arc about the phase centre over which north is determined, as in pyuvdata, radians.
_NORTH_RAD = np.pi / 360.0


@dataclass(frozen=True)
class Sky:
    """The orientation of the Earth at some times, seen from a site.

    Arrays have the shape (times,).
    """

    #: `utc`, `tt`, `ut1`: The times as two-part JD.
    utc: tuple[Floats, Floats]
    tt: tuple[Floats, Floats]
    ut1: tuple[Floats, Floats]
    ut1_minus_utc_s: Floats  #: UT1 - UTC, seconds.
    pole_rad: tuple[Floats, Floats]  #: Coordinates of the pole, radians.
    #: Geodetic longitude and latitude, radians, and height, metres.
    site: tuple[float, float, float]
    #: Whether the IERS tables don't reach one of the times: UT1 and pole are the nearest known.
    predicted: bool

    @classmethod
    def at(cls, time_jd: Floats, site: tuple[float, float, float]) -> "Sky":
        """Return the orientation at some times.

        Parameters
        ----------
        time_jd : ndarray of float, shape (times,)
            Times, JD (UTC).
        site : tuple of float
            Geodetic longitude and latitude, degrees, and height, metres.
        """
        from astropy.time import Time

        times = Time(time_jd, format="jd", scale="utc")
        orientation, predicted = _orientation(times.mjd)
        times.delta_ut1_utc = orientation[2]
        return cls(
            utc=(times.utc.jd1, times.utc.jd2),
            tt=(times.tt.jd1, times.tt.jd2),
            ut1=(times.ut1.jd1, times.ut1.jd2),
            ut1_minus_utc_s=orientation[2],
            pole_rad=(np.radians(orientation[0] / 3600), np.radians(orientation[1] / 3600)),
            site=(float(np.radians(site[0])), float(np.radians(site[1])), site[2]),
            predicted=predicted,
        )

    def meridian_rad(self, declination_rad: float) -> tuple[Floats, Floats]:
        """Return ICRS RA and Dec of an apparent declination on the meridian, radians."""
        ra, dec = self._icrs("h", np.zeros(len(self.utc[0])), declination_rad)
        return ra % (2 * np.pi), dec

    def antenna_uvw_m(self, ra_rad: Floats, dec_rad: Floats, positions_m: Floats) -> Floats:
        """Return UVW of antennas; a baseline's are its second antenna's minus its first's.

        Parameters
        ----------
        ra_rad, dec_rad : ndarray of float, shape (times,)
            ICRS phase centre at each time, radians.
        positions_m : ndarray of float, shape (antennas, 3)
            ITRF positions relative to the array centre, metres.

        Returns
        -------
        ndarray of float, shape (times, antennas, 3)
            UVW, metres.
        """
        *_, dec, ra_cirs, origins = erfa.atco13(
            *(ra_rad, dec_rad, 0.0, 0.0, 0.0, 0.0),
            *self._observer(),
        )
        ra = np.mod(ra_cirs - origins, 2 * np.pi)
        greenwich = erfa.gst06a(*self.ut1, *self.tt) + erfa.sp00(*self.tt)
        hour_angle = np.mod(greenwich + self.site[0], 2 * np.pi) - ra - self.site[0]
        east, north, toward = _axes(hour_angle, dec)
        angle = self._north_rad(ra, dec)[:, None]
        cos, sin = np.cos(angle), np.sin(angle)
        axes = np.stack([cos * east - sin * north, cos * north + sin * east, toward], axis=1)
        return np.asarray(np.einsum("tkx,ax->tak", axes, positions_m), np.float64)

    def _north_rad(self, ra: Floats, dec: Floats) -> Floats:
        """Return the position angle of north of date against that of ICRS."""
        matrix = erfa.pnm06a(*self.tt)
        x, y = erfa.bpn2xy(matrix)
        origins = erfa.eors(matrix, erfa.s06(*self.tt, x, y))
        ends: list[Floats] = []
        for step in (-_NORTH_RAD, _NORTH_RAD):
            beside = dec + step
            over = beside > np.pi / 2
            ra_there = np.where(over, np.mod(ra + np.pi, 2 * np.pi), ra)
            ends += self._icrs("r", ra_there + origins, np.where(over, np.pi - beside, beside))
        return np.asarray(-erfa.pas(*ends))

    def _icrs(self, kind: str, first: Any, second: Any) -> tuple[Floats, Floats]:
        ra, dec = erfa.atoc13(kind, first, second, *self._observer())
        return ra, dec

    def _observer(self) -> tuple[Any, ...]:
        # Without refraction: no pressure.
        return (*self.utc, self.ut1_minus_utc_s, *self.site, *self.pole_rad, 0.0, 0.0, 0.0, 0.0)


def _orientation(mjd: Floats) -> tuple[Floats, bool]:
    """Interpolate between the days of the IERS tables, as astropy does.

    Parameters
    ----------
    mjd : ndarray of float, shape (times,)
        Times, MJD in days (UTC).

    Returns
    -------
    ndarray of float, shape (3, times)
        x and y of the pole, arcsec, and UT1 - UTC, seconds: from Bulletin B where it is known, else
        from Bulletin A.
    bool
        Whether a time is outside the tables: the values are the nearest known.

    Notes
    -----
    astropy reads 43,000 days, which takes most of a second; here only those needed are.
    """
    from astropy.utils import iers

    # finals2000A, with columns of fixed width: a flag in column 17 where a day has values.
    lines = Path(iers.IERS_A_FILE).read_text().splitlines()
    lines = [line for line in lines if line[16:17].strip()]
    days = np.array([float(line[7:15]) for line in lines])
    last = np.clip(np.searchsorted(days, mjd, side="right"), 1, days.size - 1)
    first_day, last_day = days[last.min() - 1], days[last.max()]
    # eopc04: Bulletin B itself, which Bulletin A repeats with fewer digits in columns 135 to 165.
    with Path(iers.IERS_B_FILE).open() as file:
        rows = (line for line in file if not line.startswith("#"))
        rows = (line for line in rows if first_day <= float(line[16:26]) <= last_day)
        final = {float(row[16:26]): row[26:].split()[:3] for row in rows}
    values = np.empty((3, days.size))
    for k in range(last.min() - 1, last.max() + 1):
        rough = lines[k][18:27], lines[k][37:46], lines[k][58:68]
        values[:, k] = final.get(days[k], rough) if lines[k][134:165].strip() else rough
    before = values[:, last - 1]
    change = values[:, last] - before
    # A leap second is no change of the Earth's rotation.
    change[2] -= np.round(change[2])
    share = np.clip((mjd - days[last - 1]) / (days[last] - days[last - 1]), 0.0, 1.0)
    return before + share * change, bool(np.any((mjd < days[0]) | (mjd >= days[-1])))


def _axes(hour_angle: Floats, dec: Floats) -> tuple[Floats, Floats, Floats]:
    """Return unit vectors to the east, to the north and to a direction, in ITRF, (times, 3)."""
    cos_h, sin_h, cos_d, sin_d = np.cos(hour_angle), np.sin(hour_angle), np.cos(dec), np.sin(dec)
    east = np.stack([sin_h, cos_h, np.zeros_like(dec)], axis=1)
    north = np.stack([-sin_d * cos_h, sin_d * sin_h, cos_d], axis=1)
    toward = np.stack([cos_d * cos_h, -cos_d * sin_h, sin_d], axis=1)
    return east, north, toward
