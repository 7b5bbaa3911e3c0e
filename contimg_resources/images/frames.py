"""Convert the sky axes of an image to ICRS.

Belongs here: finding the frame of a header, and rotating its axes. Doesn't: pixels.
"""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy import units as u
from astropy.coordinates import FK4, FK5, ICRS, FK4NoETerms, Galactic, SkyCoord
from astropy.time import Time
from astropy.wcs import WCS

from contimg_resources.core.arrays import Floats

#: From here on an equinox without a frame means FK5 (FITS paper II, 3.1).
_FK5_SINCE = 1984.0
_SAME_AS_ICRS = ("ICRS", "ICRF", "ICRF2", "ICRF3")
#: Rotated axes must agree with the frame's own transformation to this accuracy.
_ALLOWED_ARCSEC = 0.1
_NEAR_DEG = 0.5
_PLACES = 5


@dataclass(frozen=True)
class IcrsAxes:
    """Sky axes in ICRS."""

    wcs: WCS  #: Right ascension and declination, with the original projection and pixels.
    frame: str  #: The original frame, such as ``FK5 J2000``.
    #: Position angle in ICRS, at the image centre, of the original frame's north: added to position
    #: angles.
    turned_deg: float


def icrs_axes(sky: WCS, radesys: str, equinox: float | None, shape: tuple[int, int]) -> IcrsAxes:
    """Rotate the sky axes of an image to ICRS, in the same projection.

    `sky` has the longitude first; `radesys` is empty if the header has none; `equinox` is in years;
    `shape` holds the numbers of rows and columns.

    Raises
    ------
    ValueError
        If the frame isn't known, or the axes aren't sky axes.

    Notes
    -----
    Another frame is another orientation of the same sphere: only the three Euler angles of the
    projection change (Calabretta & Greisen 2002, 2.2). FK4's aberration isn't exactly a rotation;
    within a few degrees of the centre the difference is below 0.02 arcsec.
    """
    frame, words = _frame(sky, radesys, equinox)
    if isinstance(frame, ICRS):
        turned = sky.deepcopy()
        turned.wcs.radesys = "ICRS"
        return IcrsAxes(turned, words, 0.0)
    x, y = (
        v.ravel()
        for v in np.meshgrid(
            np.linspace(0, shape[1] - 1, _PLACES), np.linspace(0, shape[0] - 1, _PLACES)
        )
    )
    middle = np.array([[0.5 * (shape[1] - 1), 0.5 * (shape[0] - 1)]])
    native, there = _native(sky, np.vstack([middle, np.column_stack([x, y])]))
    if not np.isfinite(there[0]).all():
        raise ValueError("the middle of its pixels is nowhere on the sky")
    to_icrs, turned_deg = _rotation(frame, *there[0])
    wcs = _turned(sky, to_icrs @ _orientation(native, there))
    _check(wcs, frame, there, np.vstack([middle, np.column_stack([x, y])]))
    return IcrsAxes(wcs, words, turned_deg)


def _frame(sky: WCS, radesys: str, equinox: float | None) -> tuple[Any, str]:
    kinds = (sky.wcs.lngtyp, sky.wcs.lattyp)
    if kinds == ("GLON", "GLAT"):
        return Galactic(), "galactic"
    if kinds != ("RA", "DEC"):
        raise ValueError(
            f"its sky axes are {' and '.join(sky.wcs.ctype)}: RA and DEC, or GLON and GLAT, were "
            "expected"
        )
    name = radesys.strip().upper()
    if name in ("J2000", "FK5(J2000)"):
        name, equinox = "FK5", 2000.0
    elif name in ("B1950", "FK4(B1950)"):
        name, equinox = "FK4", 1950.0
    elif not name and equinox is not None:
        name = "FK5" if equinox >= _FK5_SINCE else "FK4"
    if not name or name in _SAME_AS_ICRS:
        return ICRS(), "ICRS"
    if name == "FK5":
        year = 2000.0 if equinox is None else equinox
        return FK5(equinox=Time(year, format="jyear")), f"FK5 J{year:g}"
    if name in ("FK4", "FK4-NO-E"):
        year = 1950.0 if equinox is None else equinox
        kind = FK4 if name == "FK4" else FK4NoETerms
        return kind(equinox=Time(year, format="byear")), f"{name} B{year:g}"
    raise ValueError(
        f"RADESYS = {radesys!r} is no frame that can be converted to ICRS: ICRS, FK5, FK4, "
        "FK4-NO-E and galactic axes can"
    )


def _native(sky: WCS, pixels: Floats) -> tuple[Floats, Floats]:
    """Return native and celestial longitude and latitude of pixels, degrees; NaN off the sky."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = sky.wcs.p2s(pixels, 0)
    bad = np.asarray(found.get("stat", np.zeros(len(pixels)))) != 0
    native = np.column_stack([np.atleast_1d(found["phi"]), np.atleast_1d(found["theta"])])
    celestial = np.array(found["world"], dtype=float)
    native[bad] = celestial[bad] = np.nan
    return native, celestial


def _unit_vectors(degrees: Floats) -> Floats:
    lon, lat = np.radians(degrees).T
    return np.column_stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])


def _orientation(native: Floats, celestial: Floats) -> Floats:
    """Return the rotation from native to celestial vectors that best fits pairs of directions."""
    good = np.isfinite(celestial).all(axis=1) & np.isfinite(native).all(axis=1)
    left, _, right = np.linalg.svd(_unit_vectors(celestial[good]).T @ _unit_vectors(native[good]))
    # A proper rotation, even with few pixels or pixels on one line.
    return np.asarray(left @ np.diag([1, 1, np.linalg.det(left @ right)]) @ right)


def _rotation(frame: Any, lon_deg: float, lat_deg: float) -> tuple[Floats, float]:
    """Return the rotation from a frame to ICRS about a direction, and the angle of its north."""
    here = SkyCoord(lon_deg, lat_deg, unit="deg", frame=frame)
    away = [here.directional_offset_by(angle * u.deg, _NEAR_DEG * u.deg) for angle in (0, 90)]
    before, after = ([], [])
    for coordinate in (here, *away):
        icrs = coordinate.transform_to(ICRS())
        before.append([coordinate.spherical.lon.deg, coordinate.spherical.lat.deg])
        after.append([icrs.ra.deg, icrs.dec.deg])
    turned = here.transform_to(ICRS()).position_angle(away[0].transform_to(ICRS())).deg
    rotation = _triad(_unit_vectors(np.array(after))) @ _triad(_unit_vectors(np.array(before))).T
    return rotation, float((turned + 180) % 360 - 180)


def _triad(vectors: Floats) -> Floats:
    """Return the right-handed axes along the first vector and towards the second, as columns."""
    first = vectors[0]
    second = vectors[1] - (vectors[1] @ first) * first
    second /= np.linalg.norm(second)
    return np.column_stack([first, second, np.cross(first, second)])


def _turned(sky: WCS, rotation: Floats) -> WCS:
    """Return axes with a rotated native sphere."""
    pole = rotation @ np.array([0.0, 0.0, 1.0])
    lat_pole = np.degrees(np.arcsin(np.clip(pole[2], -1, 1)))
    celestial_pole = rotation.T @ np.array([0.0, 0.0, 1.0])
    lonpole = np.degrees(np.arctan2(celestial_pole[1], celestial_pole[0]))
    fiducial = rotation @ _unit_vectors(np.array([[sky.wcs.phi0, sky.wcs.theta0]]))[0]
    turned = sky.deepcopy()
    turned.wcs.ctype = [
        f"{name}{kind[len(name) :]}"
        for name, kind in zip(("RA--", "DEC-"), sky.wcs.ctype, strict=True)
    ]
    turned.wcs.set_pv([(i, m, v) for i, m, v in sky.wcs.get_pv() if not (i == 1 and m in (3, 4))])
    turned.wcs.crval = [
        np.degrees(np.arctan2(fiducial[1], fiducial[0])) % 360,
        np.degrees(np.arcsin(np.clip(fiducial[2], -1, 1))),
    ]
    turned.wcs.cunit = ["deg", "deg"]
    turned.wcs.lonpole, turned.wcs.latpole = lonpole, lat_pole
    turned.wcs.radesys, turned.wcs.equinox = "ICRS", np.nan
    turned.wcs.set()
    return turned


def _check(wcs: WCS, frame: Any, before: Floats, pixels: Floats) -> None:
    good = np.isfinite(before).all(axis=1)
    meant = SkyCoord(*before[good].T, unit="deg", frame=frame).transform_to(ICRS())
    ra, dec = wcs.wcs_pix2world(pixels[good], 0).T
    # FK4's aberration distorts an image of a radian by arcseconds: only the centre is exact.
    off = meant.separation(SkyCoord(ra, dec, unit="deg", frame=ICRS())).arcsec
    reach = meant.separation(meant[0]).deg
    if not (off <= _ALLOWED_ARCSEC * np.maximum(1.0, reach / 5.0)).all():
        raise ValueError(f"its axes can't be converted to ICRS (up to {off.max():.2g} arcsec off)")
