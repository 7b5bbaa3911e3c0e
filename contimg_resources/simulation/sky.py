"""The simulated sky: points and circular Gaussians.

Belongs here: the random catalogue and its faint population, doubles and sizes, the calibrators,
selecting sources near a pointing.
Doesn't: the primary beam and visibilities (see `contimg_resources.simulation.predict`).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from contimg_resources.core.arrays import Floats
from contimg_resources.core.source_counts import brighter_per_deg2
from contimg_resources.instrument.primary_beam import airy_power
from contimg_resources.observations.calibrators import FLUX_SCALE_SOURCES, separation_deg
from contimg_resources.observations.flux_model import FluxModel, flux_densities_jy
from contimg_resources.simulation.spec import SkySpec

#: Frequency at which the catalogue's flux densities are drawn, GHz.
REFERENCE_GHZ = 1.405

#: Cumulative density of sources per square degree above a flux density (Jy) at 1.4 GHz, from the
#: NVSS counts (Condon et al. 1998, AJ 115, 1693).
_COUNTS_FLUX_JY = np.array([0.0025, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0])
_COUNTS_PER_DEG2 = np.array([53.0, 17.0, 6.2, 1.7, 0.41, 0.07, 0.01, 0.001])

#: Steps of the integral of faint counts.
_N_COUNTS = 400

#: Median largest angular size ``2 arcsec (S[mJy])^0.30`` at 1.4 GHz, and the share of sources
#: larger than theta, ``2^-((theta / median)^0.62)`` (Windhorst, Mathis & Neuschaefer 1990, ASP
#: Conf. 10, 389).
_SIZE_OF_1_MJY_ARCSEC, _SIZE_SLOPE, _SIZE_SHAPE = 2.0, 0.30, 0.62
#: Sizes are rounded to these, arcsec, which makes visibilities cheap; a double is as wide as drawn.
_SIZES_ARCSEC = np.array([4.0, 6.0, 9.0, 13.0, 20.0, 30.0, 45.0, 70.0, 100.0])
#: A smaller source is a point for all baselines.
_POINT_ARCSEC = 3.0
_FAINT_STREAM, _SHAPE_STREAM, _CLUSTER_STREAM = 12, 13, 17

#: Logarithm of the flux density (Jy) of sources that are kept far outside the field.
_LOG_BRIGHT = 0.0
#: Largest distance of sources that belong together by clustering, degrees.
_CLUSTER_DEG = 0.5

_SPECTRAL_INDEX_MEAN = -0.75
_SPECTRAL_INDEX_STD = 0.25
#: Minimum distance of a catalogue source to a calibrator: the calibrator's model is a point source.
_CLEAR_OF_CALIBRATOR_DEG = 0.1


@dataclass(frozen=True)
class Source:
    """A point, or a circular Gaussian."""

    name: str  #: Its name.
    ra_deg: float  #: Position, ICRS, degrees.
    dec_deg: float  #: Position, ICRS, degrees.
    model: FluxModel  #: Flux density as a function of frequency.
    calibrator: bool = False  #: Whether it is a source of the flux scale.
    fwhm_arcsec: float = 0.0  #: Full width at half maximum, arcsec; 0: a point.
    part_of: str = ""  #: Name of the source of which it is a component; empty: it is whole.

    @property
    def bright(self) -> bool:
        """Return whether sidelobes of the dishes see it."""
        whole = np.log10(2.0) if self.part_of else 0.0
        return bool(self.model.coefficients[0] + whole > _LOG_BRIGHT)


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
        cells = list(_cells(ra_deg, dec_deg, sky.radius_deg + sky.separation_deg))
        listed = _well_apart(
            [s for cell in cells for s in _catalogue_cell(sky, seed, *cell)], sky.separation_deg
        )
        if sky.faintest_jy > 0:
            faint = [s for cell in cells for s in _faint_cell(sky, seed, *cell)]
            listed += _visible(faint, sky, ra_deg, dec_deg)
        wider = set(_cells(ra_deg, dec_deg, sky.bright_radius_deg))
        for cell in sorted(wider.difference(cells)):
            listed += [s for s in _catalogue_cell(sky, seed, *cell) if s.bright]
        found += _shaped(listed, sky, seed)
    bright_deg = max(sky.radius_deg, sky.bright_radius_deg)
    return tuple(
        s
        for s in found
        if separation_deg(s.ra_deg, s.dec_deg, ra_deg, dec_deg).min()
        <= (bright_deg if s.bright else sky.radius_deg)
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
    shape = _spectral_shape(rng, sky, n)
    return _listed(
        *_clustered(sky, (seed, _CLUSTER_STREAM, ra_cell, dec_cell + 90), ra, dec), flux, *shape
    )


def _faint_cell(sky: SkySpec, seed: int, ra_cell: int, dec_cell: int) -> list[Source]:
    """Draw the faint population of a cell, see `_catalogue_cell`."""
    rng = np.random.default_rng([seed, _FAINT_STREAM, ra_cell, dec_cell + 90])
    sines = np.sin(np.radians([dec_cell, dec_cell + 1]))
    flux_jy = np.geomspace(sky.minimum_jy, sky.faintest_jy, _N_COUNTS)
    above = brighter_per_deg2(flux_jy)
    n = int(rng.poisson(np.degrees(sines[1] - sines[0]) * above[-1]))
    ra = ra_cell + rng.random(n)
    dec = np.degrees(np.arcsin(rng.uniform(sines[0], sines[1], n)))
    flux = np.exp(np.interp(rng.uniform(0, above[-1], n), above, np.log(flux_jy)))
    shape = _spectral_shape(rng, sky, n)
    return _listed(
        *_clustered(sky, (seed, _FAINT_STREAM, _CLUSTER_STREAM, ra_cell, dec_cell + 90), ra, dec),
        flux,
        *shape,
    )


def _spectral_shape(rng: np.random.Generator, sky: SkySpec, n: int) -> tuple[Floats, Floats]:
    """Draw spectral indices and curvatures."""
    index = rng.normal(_SPECTRAL_INDEX_MEAN, _SPECTRAL_INDEX_STD, n)
    return index, sky.curvature * rng.standard_normal(n)


def _clustered(
    sky: SkySpec, drawn_from: tuple[int, ...], ra: Floats, dec: Floats
) -> tuple[Floats, Floats]:
    """Move some sources of a cell beside others of it.

    Notes
    -----
    With n sources in a square degree and a correlation ``w = A theta^-0.8`` a source has
    ``2 pi A n theta^1.2 / 1.2`` more neighbours within theta than by chance. Half of that number is
    the share of sources to move, at most a half, as each makes a pair.
    """
    n = len(ra)
    if sky.clustering == 0 or n < 2:
        return ra, dec
    rng = np.random.default_rng(drawn_from)
    narrow = np.cos(np.radians(dec.mean()))
    pairs = np.pi * sky.clustering * n / narrow * _CLUSTER_DEG**1.2 / 1.2
    moves = rng.random(n) < min(0.5, pairs)
    moves[0] = False
    moved, parent = np.flatnonzero(moves), rng.choice(np.flatnonzero(~moves), int(moves.sum()))
    away = _CLUSTER_DEG * rng.random(moved.size) ** (1 / 1.2)
    angle = rng.uniform(0, 2 * np.pi, moved.size)
    ra, dec = ra.copy(), dec.copy()
    # A cell keeps its sources, so that neighbouring observations agree.
    west, south = np.floor(ra.min()), np.floor(dec.min())
    ra[moved] = west + (ra[parent] + away * np.sin(angle) / narrow - west) % 1
    dec[moved] = south + (dec[parent] + away * np.cos(angle) - south) % 1
    return ra, dec


def _visible(faint: list[Source], sky: SkySpec, ra_deg: Floats, dec_deg: Floats) -> list[Source]:
    """Return the faint sources that reach a quarter of the limit through the primary beam."""
    if not faint:
        return []
    ra, dec = np.array([(s.ra_deg, s.dec_deg) for s in faint]).T
    nearest = np.full(len(faint), 180.0)
    for k in range(len(ra_deg)):
        nearest = np.minimum(nearest, separation_deg(ra, dec, ra_deg[k], dec_deg[k]))
    hz = REFERENCE_GHZ * 1e9
    flux_jy = flux_densities_jy([s.model for s in faint], np.array([hz]))[:, 0]
    seen = flux_jy * airy_power(np.radians(nearest), hz) > 0.25 * sky.faintest_jy
    return [faint[i] for i in np.flatnonzero(seen & (nearest <= sky.radius_deg))]


def _shaped(sources: list[Source], sky: SkySpec, seed: int) -> list[Source]:
    """Give sources their sizes, and divide doubles into two equal points."""
    if not sky.sizes and sky.doubles == 0:
        return sources
    shaped = []
    for s in sources:
        # Drawn from the position, so that neighbouring observations agree.
        place = (round(s.ra_deg * 1e7), round((s.dec_deg + 90) * 1e7))
        rng = np.random.default_rng([seed, _SHAPE_STREAM, *place])
        double, share, angle = rng.random() < sky.doubles, rng.random(), rng.uniform(0, np.pi)
        mjy = 1e3 * float(s.model.flux_jy(REFERENCE_GHZ * 1e9))
        median = _SIZE_OF_1_MJY_ARCSEC * mjy**_SIZE_SLOPE
        size = min(median * float(-np.log2(1 - share)) ** (1 / _SIZE_SHAPE), _SIZES_ARCSEC[-1])
        if double:
            shaped += _lobes(s, size, angle)
        elif sky.sizes and size > _POINT_ARCSEC:
            rounded = _SIZES_ARCSEC[np.argmin(np.abs(np.log(_SIZES_ARCSEC / size)))]
            shaped.append(replace(s, fwhm_arcsec=float(rounded)))
        else:
            shaped.append(s)
    return shaped


def _lobes(source: Source, apart_arcsec: float, angle_rad: float) -> list[Source]:
    half_deg = 0.5 * apart_arcsec / 3600
    level, *others = source.model.coefficients
    half = replace(source.model, coefficients=(level - np.log10(2.0), *others))
    return [
        replace(
            source,
            name=source.name + end,
            ra_deg=float(
                (
                    source.ra_deg
                    + sign * half_deg * np.sin(angle_rad) / np.cos(np.radians(source.dec_deg))
                )
                % 360.0
            ),
            dec_deg=float(np.clip(source.dec_deg + sign * half_deg * np.cos(angle_rad), -90, 90)),
            model=half,
            part_of=source.name,
        )
        for end, sign in (("A", 1), ("B", -1))
    ]


def _listed(
    ra: Floats, dec: Floats, flux_jy: Floats, index: Floats, curvature: Floats
) -> list[Source]:
    """Return sources of the random catalogue, without those too close to a calibrator."""
    clear = np.all(
        [
            separation_deg(ra, dec, c.ra_deg, c.dec_deg) > _CLEAR_OF_CALIBRATOR_DEG
            for c in FLUX_SCALE_SOURCES
        ],
        axis=0,
    )
    curved = [(float(c),) if c else () for c in curvature]
    return [
        Source(
            _source_name(ra[i], dec[i]),
            float(ra[i]),
            float(dec[i]),
            FluxModel(
                (float(np.log10(flux_jy[i])), float(index[i]), *curved[i]),
                REFERENCE_GHZ,
                "simulated catalogue",
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
