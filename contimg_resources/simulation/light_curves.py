"""Made-up light curves with all that real ones have: gaps, errors of epochs, variables, events.

Belongs here: points whose truth is known, without images. Doesn't: searching them; seasons with
images (see `season`).
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contimg_resources.simulation.season_spec import FlareSpec, WalkSpec
from contimg_resources.simulation.variables import flare_curve, walk_curve
from contimg_resources.variability.model import LightCurves
from contimg_resources.variability.passages import DayPoints
from contimg_resources.variability.points import write_points
from contimg_resources.variability.templates import Shape

Floats = NDArray[np.float64]

_START_MJD = 60_676.0
#: Sources to the square degree: those above some 40 mJy.
_DENSITY = 4.0
_STRIP_DEC_DEG = 54.6
_STRIP_WIDTH_DEG = 3.0
#: Of flares, less than from one epoch to the next.
_RISE_DAYS = 0.05
_GAP_EVERY_DAYS, _GAP_DAYS = 110.0, 6.0


@dataclass(frozen=True)
class Watch:
    """How sources are watched.

    Parameters
    ----------
    n_days : int
        How long, days.
    cadence_days : float
        From one epoch to the next.
    error : float
        Error of one flux density, a share of it.
    lost : float
        Share of the epochs that are lost at random, besides a gap of six days every 110.
    epoch_scatter : float
        Error that all sources of an epoch share, a share of the flux density.
    own_scatter : float
        Error that isn't known of and that each measurement has by itself, a share of it.
    """

    n_days: int = 365
    cadence_days: float = 1.0
    error: float = 0.05
    lost: float = 0.08
    epoch_scatter: float = 0.02
    own_scatter: float = 0.015


@dataclass(frozen=True)
class Event:
    """An event that is put into a light curve.

    Parameters
    ----------
    shape : Shape
        Its shape.
    mid_mjd, width_days : float
        Middle and full width at half depth.
    depth : float
        Share of the flux density that is missing in the middle.
    """

    shape: Shape
    mid_mjd: float
    width_days: float
    depth: float


def steady_light_curves(
    n_sources: int, watch: Watch, random: np.random.Generator, *, prefix: str = "steady"
) -> LightCurves:
    """Make up light curves of steady sources along a strip of sky.

    Parameters
    ----------
    n_sources : int
        How many.
    watch : Watch
        Epochs and errors.
    random : numpy.random.Generator
        What is drawn from.
    prefix : str
        Of their names.
    """
    times = _START_MJD + np.arange(0.0, watch.n_days, watch.cadence_days)
    kept = random.random(len(times)) >= watch.lost
    offset = random.uniform(0, _GAP_EVERY_DAYS)
    kept &= (times - _START_MJD + offset) % _GAP_EVERY_DAYS >= _GAP_DAYS
    mjd = times[kept]
    n = len(mjd)
    level = 10 ** random.uniform(-1.4, 0.0, n_sources)
    flux = level[:, None] * (1 + watch.epoch_scatter * random.standard_normal(n))
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
        # The known part of what an epoch's scale adds.
        error_jy=np.hypot(error, 0.5 * watch.epoch_scatter * level[:, None]).ravel(),
        flags=np.zeros(n * n_sources, np.int64),
        is_reference=np.repeat(level > np.quantile(level, 0.7), n),
        epoch=np.tile(np.array([f"{t:.5f}+54.6" for t in mjd]), n_sources),
    )


def with_events(curves: LightCurves, events: dict[int, Event]) -> LightCurves:
    """Return the light curves with events in some of the sources, by number."""
    flux = curves.flux_jy.copy()
    for index, event in events.items():
        own = curves.of(index)
        u = (curves.mid_mjd[own] - event.mid_mjd) / event.width_days
        # Signal changes, noise stays: it is the receiver's.
        flux[own] += event.depth * np.median(flux[own]) * event.shape.at(u)
    return replace(curves, flux_jy=flux)


def with_variables(
    curves: LightCurves, share: float, random: np.random.Generator
) -> tuple[LightCurves, NDArray[np.bool_]]:
    """Let some sources vary by themselves: slowly and without order, or in flares.

    Parameters
    ----------
    curves : LightCurves
        Steady sources.
    share : float
        How many of them shall vary.
    random : numpy.random.Generator
        What is drawn from.

    Returns
    -------
    tuple of (LightCurves, ndarray of bool)
        The light curves, and which sources vary.
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
    """Write light curves as the platform keeps them: a file of points for each day.

    Parameters
    ----------
    root : Path
        The directory of light curves.
    curves : LightCurves
        What is written.
    """
    place = np.repeat(np.arange(len(curves)), np.diff(curves.offsets))
    day_of = np.floor(curves.mid_mjd).astype(np.int64)
    order = np.argsort(day_of, kind="stable")
    for chosen in np.split(order, np.flatnonzero(np.diff(day_of[order])) + 1):
        columns = {
            "source_id": curves.source_id[place[chosen]],
            "ra_deg": curves.ra_deg[place[chosen]],
            "dec_deg": curves.dec_deg[place[chosen]],
            "passage_mjd": curves.mid_mjd[chosen],
            "n_mosaics": np.full(len(chosen), 2),
            "integrated_flux_jy": curves.integrated_jy[chosen],
            "integrated_error_jy": curves.integrated_error_jy[chosen],
            **{
                name: getattr(curves, name)[chosen]
                for name in ("mid_mjd", "flux_jy", "error_jy", "flags", "is_reference", "epoch")
            },
        }
        write_points(root, DayPoints(int(day_of[chosen[0]]), columns, len(chosen), ()))
