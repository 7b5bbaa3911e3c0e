"""Variation of simulated sources: flux densities relative to the quiescent one.

Belongs here: shapes over time. Doesn't: assigning them to sources.
"""

import numpy as np
from numpy.typing import NDArray

from contimg_resources.simulation.season_spec import EventSpec, FlareSpec, WalkSpec
from contimg_resources.variability.templates import fiedler

Floats = NDArray[np.float64]


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
