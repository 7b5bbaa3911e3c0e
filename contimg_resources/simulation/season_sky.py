"""Draw the sky of a simulated season and its epochs from a seed.

Belongs here: positions of sources and their flux densities at each epoch; the observed transits,
and their mosaic windows. Doesn't: images and files (see `season`).
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from contimg_resources.catalogues.model import CatalogueSources, unit_vectors
from contimg_resources.core.arrays import Floats
from contimg_resources.core.errors import ConfigurationError
from contimg_resources.core.keys import mosaic_key
from contimg_resources.imaging.png import celestial_wcs
from contimg_resources.mosaics.model import MosaicGrid
from contimg_resources.mosaics.windows import WindowGrid
from contimg_resources.simulation.light_curves import event_curve, flare_curve, walk_curve
from contimg_resources.simulation.season_spec import (
    SeasonSpec,
    SeasonTruth,
    TrueEpoch,
    TrueEvent,
)
from contimg_resources.simulation.sky import REFERENCE_GHZ
from contimg_resources.variability.points import transit_mjd, transit_number

#: Distance of sources from the field's edge, in beams (major axis), so that stamps are complete.
_EDGE_BEAMS = 2.5
_TRIES = 100_000
#: Each kind of draw has its own random number stream, so that no choice changes another.
_PLACES, _FLUXES, _CHOICE, _WALKS, _SCALES, _LOSSES, _EVENT_WALKS = range(7)


def season_grid(spec: SeasonSpec) -> MosaicGrid:
    """Return the pixels of the field."""
    side = 2 * round(0.5 * spec.size_deg * 3600 / spec.cell_arcsec)
    return MosaicGrid(side, side, spec.cell_arcsec, spec.ra_deg, spec.dec_deg)


def draw_sources(spec: SeasonSpec) -> CatalogueSources:
    """Draw the sources; their flux densities are the quiescent ones, at the mosaics' frequency.

    Raises
    ------
    ConfigurationError
        If the field is too small for the sources.
    """
    ra_deg, dec_deg = _places(spec)
    low, high = np.log(spec.flux_jy)
    flux_jy = np.exp(_rng(spec, _FLUXES).uniform(low, high, spec.n_sources))
    names = np.array([f"{spec.name}-{i:03d}" for i in range(1, spec.n_sources + 1)])
    unknown = np.full(spec.n_sources, np.nan)
    return CatalogueSources(
        source_id=names,
        name=names,
        ra_deg=ra_deg,
        dec_deg=dec_deg,
        flux_jy=flux_jy,
        flux_error_jy=unknown,
        reference_ghz=np.full(spec.n_sources, REFERENCE_GHZ),
        spectral_index=unknown,
        major_arcsec=unknown,
        minor_arcsec=unknown,
        angle_deg=unknown,
        # None of them is known to vary yet.
        variable=np.zeros(spec.n_sources, np.bool_),
    )


def draw_epochs(spec: SeasonSpec, windows: WindowGrid) -> tuple[TrueEpoch, ...]:
    """Draw the observed transits and their quality; each in the window that covers it best."""
    ra = np.array([spec.ra_deg])
    ends = np.array([spec.start_day_mjd, spec.end_mjd], np.float64)
    first, last = transit_number(ends, np.repeat(ra, 2))
    numbers = np.arange(first - 1, last + 2)
    passed = transit_mjd(numbers, np.repeat(ra, len(numbers)))
    passed = passed[(passed >= spec.start_day_mjd) & (passed < spec.end_mjd)]
    rng = _rng(spec, _LOSSES)
    lost = rng.random(len(passed)) < spec.lost_share
    since = passed - spec.mjd_at(spec.maintenance_share)
    lost |= (since >= 0) & (since < spec.maintenance_days)
    passed = passed[~lost]
    bad = np.zeros(len(passed), np.bool_)
    bad[rng.permutation(len(passed))[: spec.n_bad]] = True
    rng = _rng(spec, _SCALES)
    scale = np.exp(spec.scale_error * rng.standard_normal(len(passed)))
    off = 1.0 + spec.bad_scale_error * np.where(np.arange(len(passed)) % 2, 1.0, -1.0)
    return tuple(
        _epoch(spec, windows, float(mjd), float(off[i] if bad[i] else scale[i]), bool(bad[i]))
        for i, mjd in enumerate(passed)
    )


def true_season(
    spec: SeasonSpec, sources: CatalogueSources, epochs: tuple[TrueEpoch, ...]
) -> SeasonTruth:
    """Draw which sources vary and how; return the truth of the season.

    Raises
    ------
    ConfigurationError
        If too few sources have a flux density in the range of variable sources.
    """
    low, high = spec.varying_flux_jy
    able = np.flatnonzero((sources.flux_jy >= low) & (sources.flux_jy <= high))
    kinds = (len(spec.events), len(spec.flares), len(spec.walks))
    if len(able) < sum(kinds):
        raise ConfigurationError(
            f"{sum(kinds)} sources are to vary, but only {len(able)} have {low:g} to {high:g} Jy"
        )
    chosen = _rng(spec, _CHOICE).permutation(able)
    bounds = np.cumsum((0, *kinds))
    eventful, flaring, slow = (chosen[a:b] for a, b in pairwise(bounds))
    mjd = np.array([e.mid_mjd for e in epochs])
    relative = np.ones((len(sources), len(epochs)))
    events = []
    for i, event in zip(eventful, spec.events, strict=True):
        mid_mjd = spec.mjd_at(event.mid_share)
        relative[i] = event_curve(mjd, mid_mjd, event)
        # Half a width outside half depth only the wings of a dip are left.
        ends_mjd = mid_mjd + event.width_days
        name = str(sources.source_id[i])
        events.append(
            TrueEvent(name, mid_mjd, event.width_days, event.depth, ends_mjd > spec.end_mjd)
        )
    rng = _rng(spec, _EVENT_WALKS)
    # A lens magnifies the source as it is.
    for i, walk in zip(eventful, spec.event_walks, strict=False):
        relative[i] *= walk_curve(mjd, walk, rng)
    for i, flare in zip(flaring, spec.flares, strict=True):
        relative[i] = flare_curve(mjd, spec.mjd_at(flare.peak_share), flare)
    rng = _rng(spec, _WALKS)
    for i, walk in zip(slow, spec.walks, strict=True):
        relative[i] = walk_curve(mjd, walk, rng)
    flux = sources.flux_jy[:, None] * relative
    steady = np.setdiff1d(np.arange(len(sources)), chosen[: bounds[-1]])
    return SeasonTruth(
        spec=spec,
        events=tuple(events),
        flaring=_names(sources, flaring),
        slow=_names(sources, slow),
        steady=_names(sources, steady),
        epochs=epochs,
        flux_jy={str(sources.source_id[i]): tuple(flux[i].tolist()) for i in range(len(sources))},
    )


def _epoch(
    spec: SeasonSpec, windows: WindowGrid, passed_mjd: float, scale: float, bad: bool
) -> TrueEpoch:
    bounds = [windows.bounds_mjd(n) for n in windows.windows_of(passed_mjd)]
    start_mjd, end_mjd = min(bounds, key=lambda b: abs(0.5 * (b[0] + b[1]) - passed_mjd))
    key = mosaic_key(0.5 * (start_mjd + end_mjd), spec.dec_deg)
    return TrueEpoch(key, start_mjd, end_mjd, passed_mjd, scale, bad)


def _places(spec: SeasonSpec) -> tuple[Floats, Floats]:
    grid = season_grid(spec)
    margin = _EDGE_BEAMS * spec.beam.major_arcsec / spec.cell_arcsec
    rng = _rng(spec, _PLACES)
    wcs = celestial_wcs(grid)
    chord = 2 * np.sin(0.5 * np.radians(spec.min_separation_arcmin / 60))
    kept: list[tuple[float, float]] = []
    vectors = np.empty((0, 3))
    tried = rng.uniform(margin, grid.columns - 1 - margin, (_TRIES, 2))
    ra, dec = wcs.all_pix2world(tried[:, 0], tried[:, 1], 0)
    there = unit_vectors(ra, dec)
    for i in range(_TRIES):
        if (np.linalg.norm(vectors - there[i], axis=1) < chord).any():
            continue
        kept.append((float(ra[i]), float(dec[i])))
        vectors = np.vstack([vectors, there[i]])
        if len(kept) == spec.n_sources:
            found = np.array(kept)
            return found[:, 0], found[:, 1]
    raise ConfigurationError(
        f"a field of {spec.size_deg:g} deg is too small for {spec.n_sources} sources that are "
        f"{spec.min_separation_arcmin:g} arcmin apart"
    )


def _names(sources: CatalogueSources, which: NDArray[np.intp]) -> tuple[str, ...]:
    return tuple(str(name) for name in sources.source_id[which])


def _rng(spec: SeasonSpec, stream: int) -> np.random.Generator:
    return np.random.default_rng([spec.seed, 17, stream])
