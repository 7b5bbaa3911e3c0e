"""Fit and vetting of a dip: its parameters, its state, and its neighbours.

Belongs here: one dip of one source. Doesn't: the search (see `ese`), names and records.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from contimg_resources.variability.noise import log_curves
from contimg_resources.variability.templates import Shape

Floats = NDArray[np.float64]

#: The source is back at its baseline this many widths after the epoch of minimum.
_SIDE_FROM = 0.75
_MIN_ON_SIDE = 3
#: The measurements within this many widths of the epoch of minimum show the quality of a fit.
REACH_WIDTHS = 2.0
#: The fitted epoch stays within this many widths of the start, the width within this factor.
_NEAR_WIDTHS, _WIDTH_FACTOR = 0.5, 1.6
_DEEPEST = 0.98
#: The lowest relative flux density behind a lens.
_LEAST_LENSED = 0.02
_ROUNDS, _EVALUATIONS = 2, 12
_FREE_PARAMETERS = 5
#: Neighbours share a dip if their median depth exceeds this fraction of its depth.
_SHARED = 0.4
_SHARED_SIGMA = 3.0
MIN_NEIGHBOURS = 3
#: Parameters with their errors.
_WITH_ERRORS = {
    "mid_mjd": "mid_error_days",
    "width_days": "width_error_days",
    "depth": "depth_error",
    "baseline": "baseline_error",
}


class Outcome(StrEnum):
    """The result of vetting a dip."""

    COMPLETE = "complete"
    IN_PROGRESS = "in progress"
    ONE_EPOCH = "depends on a single epoch"
    SHARED = "is shared by its neighbours"
    BETWEEN_FLARES = "is the trough between flares"
    NO_FIT = "has too little evidence for its fit"


@dataclass(frozen=True)
class DipFit:
    """The fit of a dip.

    Parameters
    ----------
    shape : Shape
        Its shape.
    mid_mjd, mid_error_days : float
        Epoch of minimum, MJD in days, and its error.
    width_days, width_error_days : float
        Full width at half depth.
    depth, depth_error : float
        Depth as a fraction of the baseline, and its error.
    baseline, baseline_error : float
        Baseline at the epoch of minimum relative to the source's level, and its error.
    reduced_chi2 : float
        Reduced chi2 of the whitened measurements within two widths.
    n_in_dip : int
        Measurements within half a width.
    noise : tuple of float
        Sigma and tau (days) of the walk, jitter.
    """

    shape: Shape
    mid_mjd: float
    mid_error_days: float
    width_days: float
    width_error_days: float
    depth: float
    depth_error: float
    baseline: float
    baseline_error: float
    reduced_chi2: float
    n_in_dip: int
    noise: tuple[float, float, float]

    @property
    def is_finite(self) -> bool:
        """Whether the measurements determine the dip."""
        numbers = (self.mid_mjd, self.width_days, self.depth, self.depth_error, self.baseline)
        return bool(np.isfinite(numbers).all())

    def change(self, mjd: Floats) -> Floats:
        """Return the change of ln S in units of that at the minimum, at times in MJD."""
        change = np.log(self.lensed(mjd))
        return np.asarray(change / max(float(-change.min(initial=0.0)), 1e-9))

    def lensed(self, mjd: Floats) -> Floats:
        """Return the flux density relative to the baseline, at times in MJD."""
        return _lensed(self.shape, mjd, (self.mid_mjd, self.width_days, self.depth))


def _lensed(shape: Shape, mjd: Floats, x: Floats | tuple[float, float, float]) -> Floats:
    return np.maximum(1.0 + x[2] * shape.at((mjd - x[0]) / x[1]), _LEAST_LENSED)


def fit_dip(
    mjd: Floats,
    flux: Floats,
    error: Floats,
    shape: Shape,
    start: tuple[float, float, float],
    noise: Floats,
    widest_days: float,
) -> DipFit:
    """Fit epoch of minimum, width and depth in the noise of the source.

    Least squares of the whitened logarithms of the flux density, which are linearised about the
    fitted light curve (see `contimg_resources.variability.noise.log_curves`); two rounds.

    Parameters
    ----------
    mjd, flux, error : ndarray, shape (n,)
        Measurements of the source, in the order of time, relative to its level.
    shape : Shape
        Shape to fit.
    start : tuple of float
        Epoch of minimum (MJD), width (days) and depth of the search.
    noise : ndarray, shape (3,)
        Sigma and tau (days) of the walk, jitter.
    widest_days : float
        Maximum width.

    Returns
    -------
    DipFit
        Errors are those of the fit, from its covariance.
    """
    from scipy.optimize import least_squares

    from contimg_resources.variability.ese_loops import whitened

    sigma, tau_days, jitter = (float(v) for v in noise)
    offsets = np.array([0, len(mjd)])
    middle, width, depth = start
    low = np.array([middle - _NEAR_WIDTHS * width, width / _WIDTH_FACTOR, 0.0])
    high = np.array([middle + _NEAR_WIDTHS * width, max(width * _WIDTH_FACTOR, 1.0), _DEEPEST])
    high[1] = max(min(high[1], 1.05 * widest_days), low[1] * 1.01)
    x = np.clip([middle, width, depth], low + 1e-6, high - 1e-6)

    def white(columns: Floats) -> Floats:
        return whitened(mjd, np.hypot(curve.error, jitter), columns, sigma, tau_days)[0]

    def residuals(x: Floats) -> Floats:
        left, level = white(
            np.array([curve.values - np.log(_lensed(shape, mjd, x)), np.ones_like(mjd)])
        )
        return np.asarray(left - level * (left @ level) / (level @ level))

    for _ in range(_ROUNDS):
        curve = log_curves(offsets, mjd, flux, error, _lensed(shape, mjd, x))
        x = least_squares(
            residuals,
            x,
            bounds=(low, high),
            x_scale=(width, width, 0.5),
            diff_step=(1e-3,),
            max_nfev=_EVALUATIONS,
        ).x
    steps = np.array([0.01 * x[1], 0.01 * x[1], 0.01])
    change = [
        (np.log(_lensed(shape, mjd, x + s)) - np.log(_lensed(shape, mjd, x - s))) / (2 * s.max())
        for s in np.diag(steps)
    ]
    # The walk at the epoch of minimum is predicted from all measurements.
    walk = sigma**2 * np.exp(-np.abs(mjd - x[0]) / tau_days)
    left = curve.values - np.log(_lensed(shape, mjd, x))
    columns = white(np.array([np.ones_like(mjd), *change, walk, left]))
    design, walk, left = columns[:4].T, columns[4], columns[5]
    covariance = np.linalg.pinv(design.T @ design)
    level = float(covariance[0] @ (design.T @ left))
    gradient = np.array([1.0, 0.0, 0.0, 0.0]) - design.T @ walk
    baseline = np.exp(level + float(walk @ (left - level * design[:, 0])))
    variance = sigma**2 - walk @ walk + gradient @ covariance @ gradient
    errors = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    near = np.abs(mjd - x[0]) <= REACH_WIDTHS * x[1]
    left = left - level * design[:, 0]
    return DipFit(
        shape=shape,
        mid_mjd=float(x[0]),
        mid_error_days=float(errors[1]),
        width_days=float(x[1]),
        width_error_days=float(errors[2]),
        depth=float(x[2]),
        depth_error=float(errors[3]),
        baseline=float(baseline),
        baseline_error=float(baseline * np.sqrt(max(variance, 0.0))),
        reduced_chi2=float(np.sum(np.square(left[near])) / max(1, near.sum() - _FREE_PARAMETERS)),
        n_in_dip=int(np.sum(np.abs(mjd - x[0]) <= x[1] / 2)),
        noise=(sigma, tau_days, jitter),
    )


def with_errors_of_shape(fits: Sequence[DipFit], evidence: Floats) -> DipFit:
    """Return the best of several fits, its errors with the spread of all, weighted by evidence.

    No bank contains all shapes of lenses, so the shape is an uncertainty of every parameter.
    """
    best = fits[int(np.argmax(evidence))]
    weights = np.exp(0.5 * (evidence - evidence.max()))
    errors: dict[str, Any] = {}
    for name, error_name in _WITH_ERRORS.items():
        apart = np.array([getattr(f, name) - getattr(best, name) for f in fits])
        squares = np.square([getattr(f, error_name) for f in fits]) + np.square(apart)
        errors[error_name] = float(np.sqrt(np.average(squares, weights=weights)))
    return replace(best, **errors)


def baseline_at(fit: DipFit, mjd: Floats, flux: Floats, error: Floats, at_mjd: Floats) -> Floats:
    """Return the baseline of a dip, predicted from all measurements in the noise of the source.

    Parameters
    ----------
    fit : DipFit
        The dip.
    mjd, flux, error : ndarray, shape (n,)
        The measurements that it was fitted to.
    at_mjd : ndarray, shape (m,)
        Times, MJD in days.
    """
    from contimg_resources.variability.ese_loops import whitened

    sigma, tau_days, jitter = fit.noise
    lensed = fit.lensed(mjd)
    curve = log_curves(np.array([0, len(mjd)]), mjd, flux, error, lensed)
    walk = sigma**2 * np.exp(-np.abs(mjd - at_mjd[:, None]) / tau_days)
    columns = np.array([curve.values - np.log(lensed), np.ones_like(mjd), *walk])
    white, _ = whitened(mjd, np.hypot(curve.error, jitter), columns, sigma, tau_days)
    level = (white[0] @ white[1]) / (white[1] @ white[1])
    return np.asarray(np.exp(level + white[2:] @ (white[0] - level * white[1])))


def vet(fit: DipFit, mjd: Floats) -> Outcome:
    """Return the state of an event, or the reason to reject a dip, from its own light curve.

    Parameters
    ----------
    fit : DipFit
        The dip.
    mjd : ndarray, shape (n,)
        Times of the measurements.
    """
    if not fit.is_finite:
        return Outcome.NO_FIT
    after = np.sum(mjd >= fit.mid_mjd + _SIDE_FROM * fit.width_days)
    return Outcome.COMPLETE if after >= _MIN_ON_SIDE else Outcome.IN_PROGRESS


@dataclass(frozen=True)
class Neighbours:
    """The behaviour of a candidate's neighbours at the same time.

    Parameters
    ----------
    source_ids : tuple of str
        Neighbours that are bright enough to show the dip, the nearest first.
    separations_deg : tuple of float
        Their distances.
    depth, depth_error : float
        Median depth of the same dip in them, as a fraction of their baselines; NaN without any.
    """

    source_ids: tuple[str, ...]
    separations_deg: tuple[float, ...]
    depth: float
    depth_error: float

    def share(self, depth: float) -> bool:
        """Return whether they share a dip of this depth."""
        if len(self.source_ids) < MIN_NEIGHBOURS:
            return False
        return self.depth > _SHARED * depth and self.depth > _SHARED_SIGMA * self.depth_error


class Placed(Protocol):
    """A dip with known epoch and width."""

    @property
    def mid_mjd(self) -> float:
        """Its epoch of minimum, MJD in days."""

    @property
    def width_days(self) -> float:
        """Its full width at half depth."""


def depth_of(
    fit: Placed, shape: Shape, mjd: Floats, flux_jy: Floats, error_jy: Floats
) -> tuple[float, float]:
    """Return the depth of the same dip (epoch, width) in other measurements, and its error.

    NaN if the measurements don't constrain it.
    """
    u = (mjd - fit.mid_mjd) / fit.width_days
    near = np.abs(u) <= REACH_WIDTHS
    if near.sum() < 4 or not (np.abs(u) <= 0.5).any() or not (np.abs(u[near]) > 0.5).any():
        return np.nan, np.nan
    design = np.array([np.ones(int(near.sum())), shape.at(u[near])]).T / error_jy[near][:, None]
    normal = design.T @ design
    if np.linalg.cond(normal) > 1e8:
        return np.nan, np.nan
    inverse = np.linalg.inv(normal)
    base, amount = inverse @ (design.T @ (flux_jy[near] / error_jy[near]))
    if base <= 0:
        return np.nan, np.nan
    # The error of a deep dip depends on that of the baseline.
    relative = np.array([-amount / base, 1.0]) / base
    return float(amount / base), float(np.sqrt(relative @ inverse @ relative))
