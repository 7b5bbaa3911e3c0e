"""Bright sources far outside the field: Cas A, Cyg A, Tau A, Vir A, the Sun and the Moon.

Belongs here: each antenna's far sidelobes, and visibilities through them. Doesn't: the sources'
positions (see `contimg_resources.observations.bright_sky`), those of the field.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.constants import speed_of_light

from contimg_resources.core.arrays import Complexes, Floats
from contimg_resources.core.point_sources import direction_cosines
from contimg_resources.core.smearing import smeared
from contimg_resources.instrument.dsa110 import INTEGRATION_S, LATITUDE_DEG
from contimg_resources.instrument.primary_beam import airy_voltage
from contimg_resources.observations.bright_sky import Outlier, outliers_above, seen_of_disc
from contimg_resources.simulation.effects import Effects
from contimg_resources.simulation.meridian import meridian_direction_deg
from contimg_resources.simulation.spec import OutlierSpec

#: Parts of each dish that scatter into the far sidelobes, and their distance from its centre along
#: each axis, metres (standard deviation): a direction changes its response within 3 deg.
_N_SCATTERERS, _SCATTERER_M = 3, 1.2
_STREAM = 14


def above_horizon(spec: OutlierSpec, mjd: float) -> tuple[Outlier, ...]:
    """Return the bright sources that an observation sees at a time, MJD in days."""
    return outliers_above(mjd, meridian_direction_deg(LATITUDE_DEG, mjd), spec.sun_sfu)


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
    channel_hz: float,
    effects: Effects | None = None,
) -> Complexes:
    """Return the visibilities of bright sources in one integration, Jy.

    They have the shape (polarisations, frequencies, antennas, antennas); the arguments are as in
    `contimg_resources.simulation.predict.true_visibilities`, and the width of a channel, Hz, over
    which they are averaged as they are over the integration.

    """
    n = len(antenna_uvw_m)
    first, second = np.triu_indices(n)
    baselines_m = antenna_uvw_m[first] - antenna_uvw_m[second]
    waves = frequencies_hz / speed_of_light
    pairs = np.zeros((2, frequencies_hz.size, first.size), np.complex64)
    for source in outliers:
        where = np.array([source.ra_deg]), np.array([source.dec_deg])
        cosines = np.stack(direction_cosines(*where, *pointing_deg))[:, 0]
        each = sidelobes.voltage(cosines[:, None], frequencies_hz, effects)[..., 0]
        turns = (antenna_uvw_m @ cosines) * waves[:, None]
        amplitude = np.sqrt(source.model.flux_jy(frequencies_hz))[:, None]
        each = (each * amplitude * np.exp(2j * np.pi * turns)).astype(np.complex64)
        along_m = baselines_m @ (cosines + np.array([0.0, 0.0, 1.0]))
        across_m = np.sqrt(np.maximum((baselines_m**2).sum(axis=1) - along_m**2, 0))
        disc = seen_of_disc(source.diameter_arcmin, across_m, frequencies_hz)
        left = smeared(
            baselines_m,
            (source.ra_deg, source.dec_deg),
            pointing_deg,
            pointing_deg,
            frequencies_hz,
            channel_hz,
            INTEGRATION_S,
        )
        seen_there = (disc * left).T.astype(np.float32)
        pairs += each[..., first] * each[..., second].conj() * seen_there
    seen = np.empty((2, frequencies_hz.size, n, n), np.complex64)
    seen[..., second, first] = pairs.conj()
    seen[..., first, second] = pairs
    return seen
