"""Simulated light curves with the properties of real ones: gaps, epoch errors, variables, events.

Belongs here: measurements with known truth, without images; shapes of variation over time.
Doesn't: searching them; seasons with images (see `season`).
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from contimg_resources.core.arrays import Bools, Floats
from contimg_resources.core.keys import mosaic_key
from contimg_resources.simulation.season_spec import EventSpec, FlareSpec, WalkSpec
from contimg_resources.variability.model import OF_POINTS, LightCurves
from contimg_resources.variability.points import DayPoints, write_points
from contimg_resources.variability.templates import Shape, fiedler

_START_MJD = 60_676.0
#: Sources per square degree: those above some 40 mJy.
_DENSITY = 4.0
_STRIP_DEC_DEG = 54.6
_STRIP_WIDTH_DEG = 3.0
#: Number of flares, fewer than one per epoch interval.
_RISE_DAYS = 0.05
_GAP_EVERY_DAYS = 110.0


@dataclass(frozen=True)
class Watch:
    """The observing pattern of the sources."""

    n_days: int = 365  #: Length of the observations, days.
    cadence_days: float = 1.0  #: Interval between epochs, days.
    error: float = 0.05  #: Relative error of one flux density.
    #: Share of the epochs that are lost at random, in addition to the gaps.
    lost: float = 0.08
    gap_days: float = 6.0  #: Length of the gaps, days; there is one every 110 days.
    epoch_scatter: float = 0.02  #: Relative error common to all sources of an epoch.
    epoch_days: float = 0.0  #: Correlation time of these errors, days; 0: independent.
    #: Relative error of each measurement that isn't included in its uncertainty.
    own_scatter: float = 0.015


@dataclass(frozen=True)
class Event:
    """An event that is added to a light curve."""

    shape: Shape  #: Its shape.
    mid_mjd: float  #: Epoch of minimum.
    width_days: float  #: Full width at half depth.
    depth: float  #: Share of the flux density that is missing at minimum.


def steady_light_curves(
    n_sources: int, watch: Watch, random: np.random.Generator, *, prefix: str = "steady"
) -> LightCurves:
    """Simulate light curves of constant sources along a strip of sky; names begin with `prefix`."""
    times = _START_MJD + np.arange(0.0, watch.n_days, watch.cadence_days)
    kept = random.random(len(times)) >= watch.lost
    offset = random.uniform(0, _GAP_EVERY_DAYS)
    kept &= (times - _START_MJD + offset) % _GAP_EVERY_DAYS >= watch.gap_days
    mjd = times[kept]
    n = len(mjd)
    level = 10 ** random.uniform(-1.4, 0.0, n_sources)
    if watch.epoch_days:
        drift = WalkSpec(scatter=watch.epoch_scatter, memory_days=watch.epoch_days)
        common = walk_curve(mjd, drift, random)
    else:
        common = 1 + watch.epoch_scatter * random.standard_normal(n)
    flux = level[:, None] * common
    error = np.broadcast_to(watch.error * level[:, None], flux.shape)
    flux = flux * (1 + watch.own_scatter * random.standard_normal(flux.shape))
    flux = flux + error * random.standard_normal(flux.shape)
    length_deg = n_sources / (_DENSITY * _STRIP_WIDTH_DEG * np.cos(np.radians(_STRIP_DEC_DEG)))
    return LightCurves(
        source_id=np.array([f"{prefix}-{i:06d}" for i in range(n_sources)]),
        ra_deg=random.uniform(0, min(length_deg, 360.0), n_sources),
        dec_deg=_STRIP_DEC_DEG + _STRIP_WIDTH_DEG * random.uniform(-0.5, 0.5, n_sources),
        offsets=n * np.arange(n_sources + 1, dtype=np.int64),
        mid_mjd=np.tile(mjd, n_sources),
        flux_jy=flux.ravel(),
        # The known part of the error from an epoch's flux scale.
        error_jy=np.hypot(error, 0.5 * watch.epoch_scatter * level[:, None]).ravel(),
        flags=np.zeros(n * n_sources, np.int64),
        is_reference=np.repeat(level > np.quantile(level, 0.7), n),
        epoch=np.tile(np.array([mosaic_key(t, _STRIP_DEC_DEG) for t in mjd]), n_sources),
    )


def observed(curves: LightCurves, start_mjd: float, end_mjd: float) -> LightCurves:
    """Return the measurements in [start, end), MJD in days, of sources that have any."""
    there = (curves.mid_mjd >= start_mjd) & (curves.mid_mjd < end_mjd)
    counts = np.add.reduceat(there, curves.offsets[:-1], dtype=np.int64)
    return replace(
        curves,
        offsets=np.concatenate([[0], np.cumsum(counts)]),
        **{name: getattr(curves, name)[there] for name in OF_POINTS},
    ).only(counts > 0)


def with_events(curves: LightCurves, events: dict[int, Event]) -> LightCurves:
    """Return the light curves with events in some of the sources, by number."""
    flux = curves.flux_jy.copy()
    for index, event in events.items():
        own = curves.of(index)
        u = (curves.mid_mjd[own] - event.mid_mjd) / event.width_days
        # The signal changes, the noise stays: it comes from the receiver.
        flux[own] += event.depth * np.median(flux[own]) * event.shape.at(u)
    return replace(curves, flux_jy=flux)


def with_variables(
    curves: LightCurves, share: float, random: np.random.Generator
) -> tuple[LightCurves, Bools]:
    """Make some sources intrinsically variable: slow and irregular, or with flares.

    Returned with them is which sources vary, a fraction `share` of all.
    """
    varying = random.random(len(curves)) < share
    flux = curves.flux_jy.copy()
    for index in np.flatnonzero(varying):
        own = curves.of(int(index))
        mjd = curves.mid_mjd[own]
        if random.random() < 0.7:
            walk = WalkSpec(scatter=random.uniform(0.05, 0.2), memory_days=random.uniform(20, 200))
            flux[own] *= walk_curve(mjd, walk, random)
        else:
            peak = random.uniform()
            flare = FlareSpec(
                peak_share=peak,
                amplitude=random.uniform(0.3, 2.0),
                rise_days=_RISE_DAYS,
                decay_days=random.uniform(5, 40),
            )
            flux[own] *= flare_curve(mjd, mjd[0] + peak * (mjd[-1] - mjd[0]), flare)
    return replace(curves, flux_jy=flux), varying


def write_light_curves(root: Path, curves: LightCurves) -> None:
    """Write light curves in the platform's format: a file of measurements for each day."""
    place = np.repeat(np.arange(len(curves)), np.diff(curves.offsets))
    day_of = np.floor(curves.mid_mjd).astype(np.int64)
    order = np.argsort(day_of, kind="stable")
    for chosen in np.split(order, np.flatnonzero(np.diff(day_of[order])) + 1):
        columns = {
            "source_id": curves.source_id[place[chosen]],
            "ra_deg": curves.ra_deg[place[chosen]],
            "dec_deg": curves.dec_deg[place[chosen]],
            "transit_mjd": curves.mid_mjd[chosen],
            "n_mosaics": np.full(len(chosen), 2),
            "integrated_flux_jy": curves.integrated_jy[chosen],
            "integrated_error_jy": curves.integrated_error_jy[chosen],
            **{
                name: getattr(curves, name)[chosen]
                for name in ("mid_mjd", "flux_jy", "error_jy", "flags", "is_reference", "epoch")
            },
        }
        write_points(root, DayPoints(int(day_of[chosen[0]]), columns, len(chosen), ()))


def event_curve(mjd: Floats, mid_mjd: float, event: EventSpec) -> Floats:
    """Return an Extreme Scattering Event of exactly the requested depth and width.

    Times, and its epoch of minimum, are MJD in days.
    """
    d = np.linspace(0.0, 4.0 * (event.lens + event.scattering), 40_001)
    missing = 1.0 - fiedler(d, event.lens, event.scattering)
    deepest = float(missing.max())
    # The outermost point where half of the depth is missing.
    half = float(d[np.flatnonzero(missing >= 0.5 * deepest)[-1]])
    offset = (mjd - mid_mjd) * 2.0 * half / event.width_days
    return fiedler(offset, event.lens, event.scattering, event.depth / deepest)


def flare_curve(mjd: Floats, peak_mjd: float, flare: FlareSpec) -> Floats:
    """Return a flare that peaks at an MJD (days)."""
    after = mjd - peak_mjd
    efolds = np.where(after < 0, -after / flare.rise_days, after / flare.decay_days)
    return np.asarray(1.0 + flare.amplitude * np.exp(-efolds))


def walk_curve(mjd: Floats, walk: WalkSpec, rng: np.random.Generator) -> Floats:
    """Return a damped random walk at ascending MJD (days), exact for any spacing."""
    log = np.empty(len(mjd))
    kept = np.exp(-np.diff(mjd, prepend=-np.inf) / walk.memory_days)
    steps = walk.scatter * np.sqrt(1.0 - kept**2) * rng.standard_normal(len(mjd))
    last = 0.0
    for i in range(len(mjd)):
        log[i] = last = kept[i] * last + steps[i]
    return np.exp(log)
