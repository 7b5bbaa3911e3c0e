"""The simulated sky: point sources.

Belongs here: the random catalogue, the calibrators on it, and selecting sources near a pointing.
Doesn't: the primary beam and visibilities (see `contimg_resources.simulation.predict`).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from contimg_resources.core.arrays import Floats
from contimg_resources.observations.calibrators import FLUX_SCALE_SOURCES, separation_deg
from contimg_resources.observations.flux_model import FluxModel
from contimg_resources.simulation.spec import SkySpec

#: Frequency at which the catalogue's flux densities are drawn, GHz.
REFERENCE_GHZ = 1.405

#: Cumulative density of sources per square degree above a flux density (Jy) at 1.4 GHz, from the
#: NVSS counts (Condon et al. 1998, AJ 115, 1693).
_COUNTS_FLUX_JY = np.array([0.0025, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0])
_COUNTS_PER_DEG2 = np.array([53.0, 17.0, 6.2, 1.7, 0.41, 0.07, 0.01, 0.001])

_SPECTRAL_INDEX_MEAN = -0.75
_SPECTRAL_INDEX_STD = 0.25
#: Minimum distance of a catalogue source to a calibrator: the calibrator's model is a point source.
_CLEAR_OF_CALIBRATOR_DEG = 0.1


@dataclass(frozen=True)
class Source:
    """A point source."""

    name: str  #: Its name.
    ra_deg: float  #: Position, ICRS, degrees.
    dec_deg: float  #: Position, ICRS, degrees.
    model: FluxModel  #: Flux density as a function of frequency.
    calibrator: bool = False  #: Whether it is a source of the flux scale.


def sources_near(sky: SkySpec, seed: int, ra_deg: Floats, dec_deg: Floats) -> tuple[Source, ...]:
    """Return the sources within ``sky.radius_deg`` of any pointing (ICRS degrees).

    Calibrators and added sources come first, then the catalogue, which depends on `seed` and not on
    the selected part.
    """
    found: list[Source] = []
    if sky.calibrators:
        found += [Source(c.name, c.ra_deg, c.dec_deg, c.model, True) for c in FLUX_SCALE_SOURCES]
    found += [
        Source(
            s.name,
            s.ra_deg,
            s.dec_deg,
            FluxModel.power_law(s.flux_jy, s.reference_ghz, s.spectral_index, "added by hand"),
        )
        for s in sky.added
    ]
    if sky.catalogue:
        found += _well_apart(
            [
                s
                for cell in _cells(ra_deg, dec_deg, sky.radius_deg + sky.separation_deg)
                for s in _catalogue_cell(sky, seed, *cell)
            ],
            sky.separation_deg,
        )
    return tuple(
        s
        for s in found
        if separation_deg(s.ra_deg, s.dec_deg, ra_deg, dec_deg).min() <= sky.radius_deg
    )


def _well_apart(sources: list[Source], least_deg: float) -> list[Source]:
    """Leave out sources that have a brighter one nearby, whether or not that one is kept.

    Only the surroundings matter, so that neighbouring observations leave out the same sources.
    """
    if least_deg <= 0:
        return sources
    ra = np.array([s.ra_deg for s in sources])
    dec = np.array([s.dec_deg for s in sources])
    flux = np.array([s.model.flux_jy(REFERENCE_GHZ * 1e9) for s in sources])
    return [
        s
        for i, s in enumerate(sources)
        if not np.any((separation_deg(s.ra_deg, s.dec_deg, ra, dec) < least_deg) & (flux > flux[i]))
    ]


def _cells(ra_deg: Floats, dec_deg: Floats, radius_deg: float) -> Iterator[tuple[int, int]]:
    low = max(-90, int(np.floor(dec_deg.min() - radius_deg)))
    high = min(89, int(np.floor(dec_deg.max() + radius_deg)))
    for dec_cell in range(low, high + 1):
        widest = min(89.0, max(abs(dec_cell), abs(dec_cell + 1)))
        reach = radius_deg / np.cos(np.radians(widest)) + 1.0
        cells = np.arange(360)
        away = np.abs((cells[:, None] + 0.5 - ra_deg[None, :] + 180.0) % 360.0 - 180.0)
        for ra_cell in cells[(away <= reach).any(axis=1)]:
            yield int(ra_cell), dec_cell


def _catalogue_cell(sky: SkySpec, seed: int, ra_cell: int, dec_cell: int) -> list[Source]:
    """Draw the sources of the 1 deg x 1 deg cell with the given south-west corner, degrees.

    Each cell is drawn separately, so that neighbouring observations have the same sources.
    """
    rng = np.random.default_rng([seed, 1, ra_cell, dec_cell + 90])
    sines = np.sin(np.radians([dec_cell, dec_cell + 1]))
    area_deg2 = np.degrees(sines[1] - sines[0])
    brighter = _per_deg2(np.array([sky.minimum_jy, sky.maximum_jy]))
    n = int(rng.poisson(area_deg2 * (brighter[0] - brighter[1])))
    ra = ra_cell + rng.random(n)
    dec = np.degrees(np.arcsin(rng.uniform(sines[0], sines[1], n)))
    rank = rng.uniform(brighter[1], brighter[0], n)
    flux = np.exp(
        np.interp(np.log(rank), np.log(_COUNTS_PER_DEG2[::-1]), np.log(_COUNTS_FLUX_JY[::-1]))
    )
    index = rng.normal(_SPECTRAL_INDEX_MEAN, _SPECTRAL_INDEX_STD, n)
    clear = np.all(
        [
            separation_deg(ra, dec, c.ra_deg, c.dec_deg) > _CLEAR_OF_CALIBRATOR_DEG
            for c in FLUX_SCALE_SOURCES
        ],
        axis=0,
    )
    return [
        Source(
            _source_name(ra[i], dec[i]),
            float(ra[i]),
            float(dec[i]),
            FluxModel.power_law(
                float(flux[i]), REFERENCE_GHZ, float(index[i]), "simulated catalogue"
            ),
        )
        for i in np.flatnonzero(clear)
    ]


def _per_deg2(flux_jy: Floats) -> Floats:
    counts = np.interp(np.log(flux_jy), np.log(_COUNTS_FLUX_JY), np.log(_COUNTS_PER_DEG2))
    return np.asarray(np.exp(counts), np.float64)


def _source_name(ra_deg: float, dec_deg: float) -> str:
    tenths, arcsec = int(ra_deg * 2_400.0), int(abs(dec_deg) * 3_600.0)
    hours = f"{tenths // 36_000:02d}{tenths // 600 % 60:02d}{tenths / 10 % 60:04.1f}"
    degrees = f"{arcsec // 3600:02d}{arcsec // 60 % 60:02d}{arcsec % 60:02d}"
    return f"J{hours}{'-' if dec_deg < 0 else '+'}{degrees}"
