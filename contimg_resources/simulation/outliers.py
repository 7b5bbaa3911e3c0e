"""Bright sources far outside the field: Cas A, Cyg A, Tau A, Vir A, the Sun and the Moon.

Belongs here: their positions, flux densities and discs, each antenna's far sidelobes, their
visibilities. Doesn't: the sources of the field (see `contimg_resources.simulation.sky`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import erfa  # type: ignore[import-untyped]
import numpy as np
from scipy.constants import Boltzmann, speed_of_light
from scipy.special import j1

from contimg_resources.core.arrays import Complexes, Floats
from contimg_resources.core.point_sources import direction_cosines
from contimg_resources.core.times import MJD_ZERO_JD, TT_MINUS_UTC_DAYS
from contimg_resources.instrument.dsa110 import LATITUDE_DEG
from contimg_resources.instrument.primary_beam import airy_voltage
from contimg_resources.observations.calibrators import separation_deg
from contimg_resources.observations.flux_model import PERLEY_BUTLER_2017, FluxModel
from contimg_resources.simulation.effects import Effects
from contimg_resources.simulation.meridian import meridian_direction_deg
from contimg_resources.simulation.spec import OutlierSpec

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
#: Parts of each dish that scatter into the far sidelobes, and their distance from its centre along
#: each axis, metres (standard deviation): a direction changes its response within 3 deg.
_N_SCATTERERS, _SCATTERER_M = 3, 1.2
_STREAM = 14


@dataclass(frozen=True)
class Outlier:
    """A bright source at one time, or a part of it."""

    name: str  #: Its name; parts of a source share it.
    ra_deg: float  #: Position, ICRS, degrees.
    dec_deg: float  #: Position, ICRS, degrees.
    model: FluxModel  #: Flux density as a function of frequency.
    diameter_arcmin: float  #: Diameter of its uniform disc, arcmin.


def outliers_above(spec: OutlierSpec, mjd: float) -> tuple[Outlier, ...]:
    """Return the bright sources above the horizon at a time, MJD in days (UTC).

    Sun and Moon are those of erfa (``epv00``, ``moon98``), without aberration, that is to 0.5
    arcmin; the Moon's parallax is included.
    """
    zenith = meridian_direction_deg(LATITUDE_DEG, mjd)
    return tuple(
        s
        for s in _all(spec, mjd, erfa.s2c(*np.radians(zenith)))
        if separation_deg(s.ra_deg, s.dec_deg, *zenith) < 90
    )


def _all(spec: OutlierSpec, mjd: float, zenith: Floats) -> Iterator[Outlier]:
    for name, places, diameter, (level, *slopes) in _FIXED:
        faded = _FADING_A_YEAR * (mjd - _FADING_FROM_MJD) / 365.25 if name == "Cas A" else 0.0
        each = level + np.log10((1 - faded) / len(places))
        model = FluxModel((float(each), *slopes), 1.0, PERLEY_BUTLER_2017)
        for ra_deg, dec_deg in places:
            yield Outlier(name, ra_deg, dec_deg, model, diameter)
    tt = MJD_ZERO_JD, mjd + TT_MINUS_UTC_DAYS
    if spec.sun_sfu > 0:
        sun = -erfa.epv00(*tt)[0]["p"]
        level_jy = spec.sun_sfu * _SFU_JY
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


@dataclass(frozen=True)
class FarSidelobes:
    """Responses of all antennas far from their pointing.

    Notes
    -----
    To the Airy pattern, zero behind the dish, each antenna and polarisation adds radiation that its
    rim and legs scatter: ``sqrt(level / K) sum_k exp(2 pi i nu/c r_k . s)`` with K places r_k, so
    that its power is `level` in the mean over antennas, and phases are independent between them.
    """

    #: Places that scatter, metres east, north and toward the pointing. Shape (2, antennas, K, 3).
    scatterers_m: Floats
    level: float  #: Mean power relative to the centre of the main beam.

    @classmethod
    def of(cls, spec: OutlierSpec, seed: int, antennas: Sequence[str]) -> "FarSidelobes":
        """Draw the sidelobes; they belong to the stations, so observations share them."""
        shape = (2, _N_SCATTERERS, 3)
        drawn = [
            np.random.default_rng([seed, _STREAM, int(n)]).normal(size=shape) for n in antennas
        ]
        return cls(_SCATTERER_M * np.stack(drawn, axis=1), 10 ** (-0.1 * spec.sidelobe_db))

    def voltage(
        self, cosines: Floats, frequencies_hz: Floats, effects: Effects | None = None
    ) -> Complexes:
        """Return responses, shape (polarisations, frequencies, antennas, sources).

        `cosines`, shape (3, sources), are l, m and n - 1 about the pointing.
        """
        toward = cosines + np.array([[0.0], [0.0], [1.0]])
        if effects is not None and effects.own_beams:
            main = effects.voltage(cosines, frequencies_hz)
        else:
            away = np.arccos(np.clip(toward[2], -1, 1))
            main = airy_voltage(away, frequencies_hz[:, None])[:, None, :]
        turns = (self.scatterers_m @ toward)[:, None] * (
            frequencies_hz[:, None, None, None] / speed_of_light
        )
        scattered = np.exp(2j * np.pi * turns).sum(axis=3) * np.sqrt(self.level / _N_SCATTERERS)
        return np.asarray(scattered + np.where(toward[2] > 0, main, 0.0))


def outlier_visibilities(
    outliers: Sequence[Outlier],
    sidelobes: FarSidelobes,
    pointing_deg: tuple[float, float],
    antenna_uvw_m: Floats,
    frequencies_hz: Floats,
    effects: Effects | None = None,
) -> Complexes:
    """Return the visibilities of bright sources in one integration, Jy.

    They have the shape (polarisations, frequencies, antennas, antennas); the arguments are as in
    `contimg_resources.simulation.predict.true_visibilities`.

    Notes
    -----
    A uniform disc of diameter theta attenuates a baseline of q wavelengths, projected onto the
    plane that the source sees, by ``2 J1(x) / x`` with ``x = pi theta q`` (Thompson, Moran &
    Swenson, 3rd ed., 10.4). Smearing over channel and
    integration is neglected.
    """
    n = len(antenna_uvw_m)
    first, second = np.triu_indices(n)
    baselines_m = antenna_uvw_m[first] - antenna_uvw_m[second]
    waves = frequencies_hz / speed_of_light
    pairs = np.zeros((2, frequencies_hz.size, first.size), np.complex64)
    for source in outliers:
        cosines = np.array(direction_cosines(source.ra_deg, source.dec_deg, *pointing_deg))
        each = sidelobes.voltage(cosines[:, None], frequencies_hz, effects)[..., 0]
        turns = (antenna_uvw_m @ cosines) * waves[:, None]
        amplitude = np.sqrt(source.model.flux_jy(frequencies_hz))[:, None]
        each = (each * amplitude * np.exp(2j * np.pi * turns)).astype(np.complex64)
        along_m = baselines_m @ (cosines + np.array([0.0, 0.0, 1.0]))
        across_m = np.sqrt(np.maximum((baselines_m**2).sum(axis=1) - along_m**2, 0))
        x = np.pi * np.radians(source.diameter_arcmin / 60) * across_m * waves[:, None]
        x = np.maximum(x, 1e-6)
        disc = (2 * j1(x) / x).astype(np.float32)
        pairs += each[..., first] * each[..., second].conj() * disc
    seen = np.empty((2, frequencies_hz.size, n, n), np.complex64)
    seen[..., second, first] = pairs.conj()
    seen[..., first, second] = pairs
    return seen
