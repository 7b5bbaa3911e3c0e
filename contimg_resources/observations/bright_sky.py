"""The brightest sources of the sky, wherever they are: Cas A, Cyg A, Tau A, Vir A, Sun and Moon.

Belongs here: their positions, flux densities and discs at a time, and what a baseline sees of a
disc. Doesn't: an antenna's response to them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import erfa  # type: ignore[import-untyped]
import numpy as np
from scipy.constants import Boltzmann, speed_of_light
from scipy.special import j1

from contimg_resources.core.arrays import Floats
from contimg_resources.core.times import MJD_ZERO_JD, TT_MINUS_UTC_DAYS
from contimg_resources.observations.calibrators import separation_deg
from contimg_resources.observations.flux_model import PERLEY_BUTLER_2017, FluxModel

#: Name, ICRS position of each part (degrees), diameter of its disc (arcmin), and Perley & Butler's
#: (2017, ApJS 230, 7) coefficients of the whole source about 1 GHz. The discs are rough: a shell of
#: 5 arcmin, two hot spots with their lobes, a filled nebula of 7 x 5 arcmin, a core.
_FIXED: tuple[tuple[str, tuple[tuple[float, float], ...], float, tuple[float, ...]], ...] = (
    ("Cas A", ((350.8500, 58.8150),), 5.0, (3.3584, -0.7518, -0.0347, -0.0705)),
    (
        "Cyg A",
        ((299.8500, 40.7396), (299.8868, 40.7283)),
        0.3,
        (3.3498, -1.0022, -0.2246, 0.0227, 0.0425),
    ),
    ("Tau A", ((83.6331, 22.0145),), 5.5, (2.9516, -0.2173, -0.0473, -0.0674)),
    ("Vir A", ((187.7059, 12.3911),), 0.7, (2.4466, -0.8116, -0.0483)),
)
#: Cas A fades by 0.67 % a year at 1.4 GHz (Trotter et al. 2017, MNRAS 469, 1299) from the epoch of
#: its coefficients, 2016.0 (MJD).
_FADING_A_YEAR, _FADING_FROM_MJD = 0.0067, 57_388.0
#: Disc of the Sun and of the Moon, arcmin; temperature of the Moon (Keihm 1984, Icarus 60, 568).
_SUN_ARCMIN, _MOON_ARCMIN, _MOON_K = 32.0, 31.1, 230.0
#: Index of the flux density of the quiet Sun at 1.4 GHz.
_SUN_INDEX = 0.6
_REFERENCE_GHZ = 1.4
_SFU_JY = 1e4
_EARTH_RADIUS_AU = 6371.0 / 149_597_870.7


@dataclass(frozen=True)
class Outlier:
    """A bright source at one time, or a part of it."""

    name: str  #: Its name; parts of a source share it.
    ra_deg: float  #: Position, ICRS, degrees.
    dec_deg: float  #: Position, ICRS, degrees.
    model: FluxModel  #: Flux density as a function of frequency.
    diameter_arcmin: float  #: Diameter of its uniform disc, arcmin.


def outliers_above(
    mjd: float, zenith_deg: tuple[float, float], sun_sfu: float = 70.0
) -> tuple[Outlier, ...]:
    """Return the bright sources above the horizon at a time, MJD in days (UTC).

    `zenith_deg` is the ICRS direction of the zenith, `sun_sfu` the flux density of the Sun at
    1.4 GHz, 1e4 Jy; 0: no Sun. Sun and Moon are those of erfa (``epv00``, ``moon98``), without
    aberration, that is to 0.5 arcmin; the Moon's parallax is included.
    """
    return tuple(
        s
        for s in _all(mjd, erfa.s2c(*np.radians(zenith_deg)), sun_sfu)
        if separation_deg(s.ra_deg, s.dec_deg, *zenith_deg) < 90
    )


def _all(mjd: float, zenith: Floats, sun_sfu: float) -> Iterator[Outlier]:
    for name, places, diameter, (level, *slopes) in _FIXED:
        faded = _FADING_A_YEAR * (mjd - _FADING_FROM_MJD) / 365.25 if name == "Cas A" else 0.0
        each = level + np.log10((1 - faded) / len(places))
        model = FluxModel((float(each), *slopes), 1.0, PERLEY_BUTLER_2017)
        for ra_deg, dec_deg in places:
            yield Outlier(name, ra_deg, dec_deg, model, diameter)
    tt = MJD_ZERO_JD, mjd + TT_MINUS_UTC_DAYS
    if sun_sfu > 0:
        sun = -erfa.epv00(*tt)[0]["p"]
        level_jy = sun_sfu * _SFU_JY
        model = FluxModel.power_law(level_jy, _REFERENCE_GHZ, _SUN_INDEX, "quiet Sun")
        yield Outlier("Sun", *_degrees(sun), model, _SUN_ARCMIN)
    moon = erfa.moon98(*tt)["p"] - _EARTH_RADIUS_AU * zenith
    solid_angle = 0.25 * np.pi * np.radians(_MOON_ARCMIN / 60) ** 2
    per_area = 2 * Boltzmann * _MOON_K * (_REFERENCE_GHZ * 1e9 / speed_of_light) ** 2
    model = FluxModel.power_law(1e26 * per_area * solid_angle, _REFERENCE_GHZ, 2.0, "black body")
    yield Outlier("Moon", *_degrees(moon), model, _MOON_ARCMIN)


def _degrees(vector: Floats) -> tuple[float, float]:
    ra, dec = erfa.c2s(vector)
    return float(np.degrees(ra) % 360), float(np.degrees(dec))


def seen_of_disc(diameter_arcmin: float, across_m: Floats, frequencies_hz: Floats) -> Floats:
    """Return the share of a uniform disc's signal on baselines, shape (baselines, frequencies).

    `across_m` are the lengths of the baselines across the direction of the source, metres.

    Notes
    -----
    ``2 J1(x) / x`` with ``x = pi theta q`` for a diameter theta and a baseline of q wavelengths
    (Thompson, Moran & Swenson, 3rd ed., 10.4).
    """
    wide = np.pi * np.radians(diameter_arcmin / 60) / speed_of_light
    x = np.maximum(wide * across_m[:, None] * frequencies_hz, 1e-6)
    return np.asarray(2 * j1(x) / x)
