"""Vetting of a dip: its fit, its two sides, and its neighbours.

Belongs here: one dip of one source. Doesn't: the search (see `ese`), names and records.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np

from contimg_resources.core.arrays import Bools, Floats
from contimg_resources.variability.templates import MOST_OF_SPAN, Shape

#: Range of the baseline on one side of a dip, in widths from the epoch of minimum.
_SIDE_FROM, _SIDE_TO = 0.75, 2.0
#: The grid on which a dip is fitted again, in widths found by the search.
_WIDTH_RATIOS = 1.2 ** np.arange(-8.0, 3.0)
_MIDS_BEFORE, _MIDS_AFTER, _N_MIDS = 0.8, 0.5, 53
_MIN_ON_SIDE = 3
#: A side has returned to the baseline if at most this fraction of the depth is missing there.
_MISSING = 0.4
#: A fitted width may exceed the maximum of the search by this factor.
_TOLERANCE = 1.1
#: With a reduced chi2 above this, the residuals must be below this fraction of the depth.
_POOR_FIT, _LEFT_OVER = 3.0, 0.1
_FREE_PARAMETERS = 5
#: Range of the maxima beside a dip, in widths from its epoch of minimum.
_MAXIMA_FROM, _MAXIMA_TO = 0.55, 1.6
#: One epoch alone, or the errors of one week, are not an event.
_MOST_OF_ONE_POINT = 0.5
#: A dip is fitted to the measurements within this many widths of its epoch of minimum.
REACH_WIDTHS = 2.0
#: Neighbours share a dip if their median depth exceeds this fraction of its depth.
_SHARED = 0.4
_SHARED_SIGMA = 3.0
MIN_NEIGHBOURS = 3
#: Other times are farther than this from the epoch of minimum, in widths; the minimum number of
#: measurements at other times.
_ELSEWHERE_WIDTHS = 1.0
_MIN_ELSEWHERE = 10


class Outcome(StrEnum):
    """The result of vetting a dip."""

    COMPLETE = "complete"
    IN_PROGRESS = "in progress"
    NO_RETURN = "doesn't return to its baseline"
    NO_BASELINE = "has no baseline before it"
    ONE_EPOCH = "depends on a single epoch"
    SHARED = "is shared by its neighbours"
    NO_LENS = "doesn't have the shape of a lens"
    SHALLOW = "is too shallow, or its depth is too uncertain"
    NO_FIT = "can't be fitted: it has no valid baseline"
    LIKE_OTHERS = "is consistent with the source's intrinsic variability"


@dataclass(frozen=True)
class DipFit:
    """The fit of a dip."""

    mid_mjd: float  #: Epoch of minimum, MJD in days.
    mid_error_days: float  #: Uncertainty of the epoch.
    width_days: float  #: Full width at half depth.
    width_error_days: float  #: Uncertainty of the width.
    depth: float  #: Depth as a fraction of the baseline.
    depth_error: float  #: Uncertainty of the depth.
    baseline_jy: float  #: Baseline at the epoch of minimum, Jy.
    baseline_error_jy: float  #: Uncertainty of the baseline, Jy.
    slope_jy_per_day: float  #: Slope of the baseline.
    reduced_chi2: float  #: Reduced chi2 of the measurements within two widths.
    n_in_dip: int  #: Measurements within half a width.
    #: Fraction of the gain in chi2 that is due to the most important measurement.
    largest_share: float

    @property
    def is_finite(self) -> bool:
        """Whether the measurements determine the dip: a positive baseline and finite errors."""
        numbers = (self.mid_mjd, self.width_days, self.depth, self.depth_error, self.baseline_jy)
        return bool(np.isfinite(numbers).all())

    def model(self, mjd: Floats, shape: Shape) -> Floats:
        """Return the fitted flux density, Jy, at times in MJD."""
        off = mjd - self.mid_mjd
        dip = self.depth * self.baseline_jy * shape.at(off / self.width_days)
        return np.asarray(self.baseline_jy + self.slope_jy_per_day * off + dip)


def fit_dip(
    mjd: Floats,
    flux_jy: Floats,
    error_jy: Floats,
    shape: Shape,
    mid_mjd: float,
    width_days: float,
    max_width_days: float,
) -> DipFit:
    """Fit epoch of minimum, width, depth and a straight baseline to the data within two widths.

    Parameters
    ----------
    mjd, flux_jy, error_jy : ndarray, shape (n,)
        Measurements of the source, in the order of time.
    shape : Shape
        Shape to fit.
    mid_mjd, width_days : float
        Result of the search; the fitted epoch stays within half a width of it, and the fitted width
        within a factor of 1.5.
    max_width_days : float
        Maximum width.

    Returns
    -------
    DipFit
        Errors are those of the fit, from its covariance, times the root of the reduced chi2 where
        that is above 1. Depth and its error are NaN where the baseline isn't above zero.
    """
    from scipy.optimize import least_squares

    near = np.abs(mjd - mid_mjd) <= REACH_WIDTHS * width_days
    t, f, e = mjd[near], flux_jy[near], error_jy[near]

    def linear(middle: float, width: float) -> tuple[Floats, Floats]:
        design = np.array([np.ones_like(t), t - middle, shape.at((t - middle) / width)]).T
        solved = np.linalg.lstsq(design / e[:, None], f / e, rcond=None)[0]
        return np.asarray(solved, np.float64), design

    def residuals(x: Floats) -> Floats:
        coefficients, design = linear(x[0], x[1])
        return np.asarray((f - design @ coefficients) / e)

    low = np.array([mid_mjd - width_days / 2, width_days / 1.5])
    high = np.array([mid_mjd + width_days / 2, min(width_days * 1.5, max_width_days * 1.05)])
    start = np.clip([mid_mjd, width_days], low + 1e-6, high - 1e-6)
    found = least_squares(residuals, start, bounds=(low, high), x_scale=width_days)
    middle, width = (float(v) for v in found.x)
    (base, slope, amount), design = linear(middle, width)
    left = f - design @ np.array([base, slope, amount])
    dof = max(1, len(t) - 5)
    reduced = float(np.sum(np.square(left / e)) / dof)
    covariance = _covariance(t, e, shape, base, slope, amount, middle, width) * max(1.0, reduced)
    errors = np.sqrt(np.abs(np.diag(covariance)))
    depth = amount / base if base > 0 else np.nan
    relative = np.array([-depth / base, 1.0 / base])
    depth_error = float(np.sqrt(np.abs(relative @ covariance[np.ix_([0, 2], [0, 2])] @ relative)))
    flat = np.array([np.ones_like(t), t - middle]).T
    without = f - flat @ np.linalg.lstsq(flat / e[:, None], f / e, rcond=None)[0]
    gains = np.square(without / e) - np.square(left / e)
    return DipFit(
        mid_mjd=middle,
        mid_error_days=float(errors[3]),
        width_days=width,
        width_error_days=float(errors[4]),
        depth=float(depth),
        depth_error=depth_error,
        baseline_jy=float(base),
        baseline_error_jy=float(errors[0]),
        slope_jy_per_day=float(slope),
        reduced_chi2=reduced,
        n_in_dip=int(np.sum(np.abs(t - middle) <= width / 2)),
        largest_share=float(gains.max() / max(gains.sum(), 1e-9)),
    )


def refined_starts(
    mjd: Floats,
    flux_jy: Floats,
    error_jy: Floats,
    shapes: Sequence[Shape],
    mid_mjd: float,
    width_days: float,
    limits_days: tuple[float, float],
) -> list[tuple[int, float, float]]:
    """Refine epoch of minimum and width for each shape on a finer grid, all on the same data.

    The search compares widths by the chi2 that each explains in its own window; for an event in
    progress, a dip that is far too wide explains nearly as much as the true one. `mid_mjd` and
    `width_days` are its result. Returns the index of the shape, epoch of minimum (MJD) and width
    (days) with the least chi2, between both limits; the best shape first.
    """
    near = np.abs(mjd - mid_mjd) <= REACH_WIDTHS * width_days
    t, f, w = mjd[near], flux_jy[near], 1.0 / error_jy[near]
    flat = np.array([w, w * (t - mid_mjd)])
    # The baseline is projected out of the data and of every shape once.
    basis = np.linalg.qr(flat.T)[0]
    left = f * w - basis @ (basis.T @ (f * w))
    best = [(-np.inf, number, mid_mjd, width_days) for number in range(len(shapes))]
    mids = mid_mjd + width_days * np.linspace(-_MIDS_BEFORE, _MIDS_AFTER, _N_MIDS)
    for width in width_days * _WIDTH_RATIOS:
        if width != width_days and not limits_days[0] <= width <= limits_days[1]:
            continue
        u = (t[None, :] - mids[:, None]) / width
        enough = np.sum(np.abs(u) <= 0.5, axis=1) >= _MIN_ON_SIDE
        for number, shape in enumerate(shapes):
            dips = shape.at(u) * w
            dips = dips - (dips @ basis) @ basis.T
            own = np.sum(np.square(dips), axis=1)
            product = dips @ left
            good = enough & (product > 0) & (own > 0)
            gain = np.where(good, np.square(product) / np.where(own > 0, own, 1.0), -np.inf)
            most = int(np.argmax(gain))
            if gain[most] > best[number][0]:
                best[number] = (float(gain[most]), number, float(mids[most]), float(width))
    return [(number, mid, width) for _, number, mid, width in sorted(best, reverse=True)]


def _covariance(
    t: Floats,
    e: Floats,
    shape: Shape,
    base: float,
    slope: float,
    amount: float,
    middle: float,
    width: float,
) -> Floats:
    """Return the covariance of baseline, slope, amount, minimum and width, by differences."""
    values = np.array([base, slope, amount, middle, width])

    def model(x: Floats) -> Floats:
        return np.asarray(x[0] + x[1] * (t - x[3]) + x[2] * shape.at((t - x[3]) / x[4]))

    steps = np.array([1e-4 * abs(base), 1e-4 * abs(base) / width, 1e-4 * abs(base), 0.0, 0.0])
    steps[3:] = 0.02 * width
    columns = []
    for i, step in enumerate(np.maximum(steps, 1e-12)):
        beside = np.zeros(5)
        beside[i] = step
        columns.append((model(values + beside) - model(values - beside)) / (2 * step) / e)
    jacobian = np.array(columns).T
    # A parameter that the data don't constrain has no finite error; the pseudo-inverse gives 0.
    return np.asarray(np.linalg.inv(jacobian.T @ jacobian + 1e-12 * np.eye(5)))


def widest_days(mjd: Floats, max_width_days: float) -> float:
    """Return the maximum width of a dip with a baseline twice as long, days."""
    return min(max_width_days, _TOLERANCE * MOST_OF_SPAN * float(mjd[-1] - mjd[0]))


def vet_sides(fit: DipFit, shape: Shape, mjd: Floats, flux_jy: Floats, error_jy: Floats) -> Outcome:
    """Check that the source was at its baseline before the dip and returned, or may still return.

    A side may be above the baseline of `shape` there, never below.
    """
    if not _has_lens_shape(fit, shape, mjd, flux_jy, error_jy):
        return Outcome.NO_LENS
    if fit.largest_share > _MOST_OF_ONE_POINT:
        return Outcome.ONE_EPOCH
    u = (mjd - fit.mid_mjd) / fit.width_days
    before = (u >= -_SIDE_TO) & (u <= -_SIDE_FROM)
    after = (u >= _SIDE_FROM) & (u <= _SIDE_TO)
    ended = after.sum() >= _MIN_ON_SIDE
    if before.sum() < _MIN_ON_SIDE or not _is_back(
        fit, shape, u, flux_jy, error_jy, before, by_others=not ended
    ):
        return Outcome.NO_BASELINE
    if ended:
        back = _is_back(fit, shape, u, flux_jy, error_jy, after)
        return Outcome.COMPLETE if back else Outcome.NO_RETURN
    # Too few measurements after the dip: they are not yet taken, or were lost in a gap.
    return Outcome.IN_PROGRESS if u[-1] < _SIDE_TO else Outcome.NO_RETURN


def _has_lens_shape(
    fit: DipFit, shape: Shape, mjd: Floats, flux_jy: Floats, error_jy: Floats
) -> bool:
    # Without the maxima beside the dip: no bank contains all shapes that lenses produce there.
    u = np.abs(mjd - fit.mid_mjd) / fit.width_days
    told = (u <= _MAXIMA_FROM) | ((u >= _MAXIMA_TO) & (u <= REACH_WIDTHS))
    if told.sum() <= _FREE_PARAMETERS:
        return True
    left = (flux_jy - fit.model(mjd, shape))[told] / error_jy[told]
    reduced = float(np.sum(np.square(left)) / (told.sum() - _FREE_PARAMETERS))
    left_jy = np.sqrt(max(reduced - 1.0, 0.0)) * float(np.median(error_jy[told]))
    return reduced <= _POOR_FIT or left_jy <= _LEFT_OVER * fit.depth * fit.baseline_jy


def _is_back(
    fit: DipFit,
    shape: Shape,
    u: Floats,
    flux_jy: Floats,
    error_jy: Floats,
    side: Bools,
    *,
    by_others: bool = False,
) -> bool:
    weight = 1.0 / np.square(error_jy[side])
    shoulders = fit.depth * fit.baseline_jy * np.maximum(shape.at(u[side]), 0.0)
    there = np.sum(weight * flux_jy[side]) / np.sum(weight)
    error = 1.0 / np.sqrt(np.sum(weight))
    # The fit's own level, without its slope, which would follow a step; or the source's at all
    # other times: for an event in progress, a slope and the maximum before it are degenerate.
    levels = [float(np.sum(weight * (fit.baseline_jy + shoulders)) / np.sum(weight))]
    far = np.abs(u) > _ELSEWHERE_WIDTHS
    if by_others and far.sum() >= _MIN_ELSEWHERE:
        levels.append(float(np.median(flux_jy[far])))
    allowed = _MISSING * fit.depth * fit.baseline_jy + 2.0 * error
    return bool(min(levels) - there <= allowed)


@dataclass(frozen=True)
class Neighbours:
    """The behaviour of a candidate's neighbours at the same time."""

    #: Neighbours that are bright enough to show the dip, the nearest first.
    source_ids: tuple[str, ...]
    separations_deg: tuple[float, ...]  #: Their distances.
    #: `depth`, `depth_error`: Median depth of the same dip in them, as a fraction of their
    #: baselines; NaN without any.
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
