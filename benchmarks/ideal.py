"""The search for events on sources like real AGN, beside an ideal observer.

Belongs here: the population, the ideal observer, both on the same light curves. Doesn't: steady
sources and others (see `events`), the report.

The ideal observer knows the covariance of every source; it has the same templates and the same
rate of false alarms. No search can find more events than it does.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from contimg_resources.core.arrays import Floats
from contimg_resources.products.events import CandidateRecord
from contimg_resources.settings import EseSettings
from contimg_resources.simulation.light_curves import Event, Watch, steady_light_curves
from contimg_resources.variability.candidates import Found, search_candidates
from contimg_resources.variability.ese import matches, source_years, threshold_for
from contimg_resources.variability.ese_loops import MID, SCORE
from contimg_resources.variability.model import LightCurves
from contimg_resources.variability.noise import AGN, LogCurves, drawn, log_curves, relative
from contimg_resources.variability.templates import Shape, clegg, fiedler, normalised

#: Sigma and tau (days) of the walks, and jitter: a steady source, and those of real AGN.
POPULATION = np.array([(0.0, 3.0, 0.0), *AGN])
WATCH = Watch(n_days=730)
DAY = 61_040
DEPTHS, WIDTHS_DAYS = (0.3, 0.5), (20.0, 40.0, 80.0, 120.0)


@dataclass(frozen=True)
class Beside:
    """The search beside the ideal observer, for one kind of event."""

    depth: float  #: Depth of the events.
    width_days: float  #: Width of the events.
    n: int  #: Events.
    n_found: int  #: Events that the search found.
    n_ideal: int  #: Events that the ideal observer found.
    #: `depth_off`, `mid_off_days`: Medians over the found events, measured less true.
    depth_off: float
    mid_off_days: float
    #: `depth_pull`, `mid_pull`: Standard deviations of the same over their errors, from the median
    #: absolute deviation.
    depth_pull: float
    mid_pull: float


def agn_like(
    n: int, random: np.random.Generator, watch: Watch = WATCH
) -> tuple[LightCurves, Floats]:
    """Simulate light curves of such AGN, and return the noise of each source beside its errors."""
    curves = steady_light_curves(n, watch, random)
    noise = POPULATION[np.arange(n) % len(POPULATION)]
    zero = np.zeros(len(curves.mid_mjd))
    walks = drawn(LogCurves(curves.offsets, curves.mid_mjd, zero, zero), noise, random).values
    # A part of the scatter that an epoch's sources share is in the errors.
    unknown = np.sqrt(watch.own_scatter**2 + 0.75 * watch.epoch_scatter**2)
    known = np.column_stack([noise[:, :2], np.hypot(noise[:, 2], unknown)])
    return replace(curves, flux_jy=curves.flux_jy * np.exp(walks)), known


def with_lenses(curves: LightCurves, events: dict[int, Event]) -> LightCurves:
    """Return the light curves with lenses, which multiply the intrinsic variability."""
    flux_jy = curves.flux_jy.copy()
    for index, event in events.items():
        own = curves.of(index)
        u = (curves.mid_mjd[own] - event.mid_mjd) / event.width_days
        flux_jy[own] *= 1.0 + event.depth * event.shape.at(u)
    return replace(curves, flux_jy=flux_jy)


def logs_of(curves: LightCurves) -> LogCurves:
    """Return the logarithms of light curves."""
    _, flux, error = relative(curves)
    return log_curves(curves.offsets, curves.mid_mjd, flux, error)


def ideal_threshold(n: int, settings: EseSettings, random: np.random.Generator) -> float:
    """Return the ideal observer's threshold, measured on `n` light curves without events."""
    curves, noise = agn_like(n, random)
    scores = matches(logs_of(curves), noise, settings)[:, 0, SCORE]
    return threshold_for(scores, source_years(curves), settings.false_alarms)


def measure_beside(
    n_events: int, n_alone: int, settings: EseSettings, random: np.random.Generator
) -> tuple[Found, Iterator[Beside]]:
    """Measure the search and the ideal observer on the same light curves.

    Returns the search of `n_alone` sources without events, with its threshold, which is used for
    all; and the kinds of events, `n_events` of each, one by one.
    """
    alone, _ = agn_like(n_alone, random)
    found = _search(alone, settings, None)
    ideal = ideal_threshold(n_alone, settings, random)
    cells = (
        _beside(depth, width, n_events, settings, found.threshold, ideal, random)
        for depth in DEPTHS
        for width in WIDTHS_DAYS
    )
    return found, cells


def _search(curves: LightCurves, settings: EseSettings, threshold: float | None) -> Found:
    return search_candidates(curves, settings, DAY, threshold=threshold)


def _beside(
    depth: float,
    width_days: float,
    n: int,
    settings: EseSettings,
    threshold: float,
    ideal: float,
    random: np.random.Generator,
) -> Beside:
    # As many sources without an event: the noises of all are fitted together.
    curves, noise = agn_like(2 * n, random)
    first, last = curves.mid_mjd[0], curves.mid_mjd[-1]
    events = {
        index: Event(
            any_shape(random),
            random.uniform(first + width_days, last - width_days / 2),
            width_days,
            depth,
        )
        for index in range(n)
    }
    curves = with_lenses(curves, events)
    place = {name: i for i, name in enumerate(curves.source_id.tolist())}
    best: dict[int, tuple[CandidateRecord, Event]] = {}
    for candidate in _search(curves, settings, threshold).candidates:
        event = events.get(index := place[candidate.source_id])
        if event and abs(candidate.mid_mjd - event.mid_mjd) <= width_days:
            best.setdefault(index, (candidate, event))
    ideals = matches(logs_of(curves), noise, settings)[:n]
    mids_mjd = np.array([events[i].mid_mjd for i in range(n)])[:, None]
    near = np.abs(ideals[..., MID] - mids_mjd) <= width_days
    depths = np.array([c.parameters.depth - e.depth for c, e in best.values()])
    mids = np.array([c.mid_mjd - e.mid_mjd for c, e in best.values()])
    depth_errors = np.array([c.parameters.depth_error for c, _ in best.values()])
    mid_errors = np.array([c.parameters.mid_error_days for c, _ in best.values()])
    return Beside(
        depth,
        width_days,
        n,
        len(best),
        int(np.sum((near & (ideals[..., SCORE] >= ideal)).any(axis=1))),
        float(np.median(depths)),
        float(np.median(mids)),
        _spread(depths / depth_errors),
        _spread(mids / mid_errors),
    )


def _spread(values: Floats) -> float:
    return float(1.4826 * np.median(np.abs(values - np.median(values))))


def any_shape(random: np.random.Generator) -> Shape:
    """Return a shape that isn't in the template bank: a random lens of either kind."""
    while True:
        if random.random() < 0.7:
            d = np.linspace(-40.0, 40.0, 16_001)
            flux = fiedler(d, random.uniform(0.8, 5.0), random.uniform(3.0, 15.0))
        else:
            d = np.linspace(-15.0, 15.0, 1_501)
            flux = clegg(d, random.uniform(0.7, 10.0), random.uniform(0.5, 1.5))
        # Some lenses are bright at the centre: their width isn't that of a dip.
        if flux[len(d) // 2] < flux.min() + 0.05 * (1 - flux.min()):
            return normalised("drawn", d, flux)
