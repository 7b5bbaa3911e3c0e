"""Fit of a dip, its state, and its neighbours.

Belongs here: one dip of one source. Doesn't: the search (see `ese`), names and records.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np

from contimg_resources.core.arrays import Floats, Ints
from contimg_resources.products.dips import DipEvidence
from contimg_resources.products.events import CandidateState
from contimg_resources.settings import EseSettings
from contimg_resources.variability.ese import TYPICAL_DEPTH, change_of
from contimg_resources.variability.noise import LogCurves, Noises, log_curves
from contimg_resources.variability.templates import MOST_OF_SPAN, REACH, Shape, U, bank, fine_bank

#: The posterior of a dip is evaluated on grids of shape, epoch of minimum and width, each closer
#: around the last: maximum number of shapes, numbers of epochs and of widths. The first has the
#: shapes of the search, the second those of the fine bank too.
_GRIDS = ((99, 9, 7), (99, 5, 5), (8, 5, 5), (6, 7, 7))
#: The first grid extends this far around the result of the search: in widths, and as a factor.
_NEAR_WIDTHS, _NEAR_FACTOR = 0.6, 1.8
#: The next ones extend this many standard deviations, and at least this many steps of the last.
_NEAR_SIGMA, _NEAR_STEPS = 3.5, 1.3
#: Noises that are less probable than the most probable one by this ln are left out.
_NEGLIGIBLE, _MOST_NOISES = 5.0, 6
_DEEPEST = 0.95
#: The source is back at its baseline this many widths after the epoch of minimum.
_SIDE_FROM, _MIN_ON_SIDE = 0.75, 3
#: The measurements within this many widths of the epoch of minimum show the quality of a fit.
REACH_WIDTHS = 2.0
#: Neighbours share a dip if their median depth exceeds this fraction of its depth.
_SHARED = 0.4
_SHARED_SIGMA = 3.0
MIN_NEIGHBOURS = 3


class Dip(Protocol):
    """Epoch and width of a dip."""

    @property
    def mid_mjd(self) -> float:
        """Epoch of minimum, MJD in days."""

    @property
    def width_days(self) -> float:
        """Full width at half depth."""


def is_same(one: Dip, other: Dip) -> bool:
    """Return whether dips of one source are one event: that of each is within the wider one."""
    return abs(one.mid_mjd - other.mid_mjd) <= max(one.width_days, other.width_days)


class Outcome(StrEnum):
    """The reason to reject a dip."""

    ONE_EPOCH = "depends on a single epoch"
    SHARED = "is shared by its neighbours"
    BETWEEN_FLARES = "is the trough between flares"
    TOO_WEAK = "is too weak after its fit"


@dataclass(frozen=True)
class DipFit:
    """The fit of a dip; errors are standard deviations over all shapes and noises."""

    shape: Shape  #: Its most probable shape.
    mid_mjd: float  #: Epoch of minimum, MJD in days.
    mid_error_days: float  #: Uncertainty of the epoch.
    width_days: float  #: Full width at half depth.
    width_error_days: float  #: Uncertainty of the width.
    depth: float  #: Depth as a fraction of the baseline.
    depth_error: float  #: Uncertainty of the depth.
    noise: int  #: Index of the most probable noise with the dip.

    def change(self, mjd: Floats) -> Floats:
        """Return the change of ln S in units of that at the minimum, at times in MJD."""
        return change_of(self.shape, (mjd - self.mid_mjd) / self.width_days, self.depth)

    def lensed(self, mjd: Floats) -> Floats:
        """Return the flux density relative to the baseline, at times in MJD."""
        return np.asarray(1.0 + self.depth * self.shape.at((mjd - self.mid_mjd) / self.width_days))

    def state(self, mjd: Floats) -> CandidateState:
        """Return whether measurements at these times show the baseline after the dip."""
        after = np.sum(mjd >= self.mid_mjd + _SIDE_FROM * self.width_days)
        return CandidateState.COMPLETE if after >= _MIN_ON_SIDE else CandidateState.IN_PROGRESS


def fit_dip(
    mjd: Floats,
    flux: Floats,
    error: Floats,
    noises: Noises,
    place: tuple[float, float],
    settings: EseSettings,
) -> DipFit:
    """Fit epoch of minimum, width and depth: mean and standard deviation of their posterior.

    It is marginalised over shapes and over all noises that are probable with the dip. Shapes,
    epochs and logarithms of widths have equal prior probability; the amplitude is Gaussian in each
    cell of the grid. `mjd`, `flux` and `error`, shape (n,), are the source's measurements in the
    order of time, relative to its level; `place` is the result of the search: epoch of minimum
    (MJD), width (days).
    """
    from contimg_resources.variability.ese_loops import changes_at

    offsets = np.array([0, len(mjd)])
    shapes = bank(settings.templates)
    (mid, width), depth = place, TYPICAL_DEPTH
    widest = max(min(settings.max_width_days, MOST_OF_SPAN * float(mjd[-1] - mjd[0])), width)
    mid_reach, log_reach = _NEAR_WIDTHS * width, float(np.log(_NEAR_FACTOR))
    fit = DipFit(shapes[0], mid, np.nan, width, np.nan, depth, np.nan, 0)
    lensed = np.ones_like(mjd)
    for number, (n_shapes, n_mids, n_widths) in enumerate(_GRIDS):
        curve = log_curves(offsets, mjd, flux, error, lensed)
        noise = _likely_noises(curve, noises, fit.change(mjd))
        shapes = shapes[:n_shapes]
        mids = mid + mid_reach * np.linspace(-1.0, 1.0, n_mids)
        logs = np.log(width) + log_reach * np.linspace(-1.0, 1.0, n_widths)
        logs = logs[logs <= np.log(widest) + 1e-9]
        tables = np.array([change_of(shape, U, depth) for shape in shapes])
        columns = changes_at(mjd, mids, np.exp(logs), tables, REACH)
        fits = noises.fit(curve, columns.reshape(len(mjd), -1), noise)
        cells = (len(shapes), n_mids, len(logs), len(noise))
        weight = (fits.log_posterior[:, None, :] + fits.gains(0.0)).reshape(cells)
        weight = np.exp(weight - weight.max())
        weight /= weight.sum()
        depths = 1.0 - np.exp(-np.clip(fits.amplitude.reshape(cells), 0.0, 3.0))
        errors = (1.0 - depths) * np.minimum(fits.error.reshape(cells), 1.0)
        depth, depth_error = _moments(depths, weight, errors)
        mid, mid_error = _moments(mids[:, None, None], weight)
        log_width, log_error = _moments(logs[:, None], weight)
        # Of a posterior that is narrower than a cell only the cell is known.
        mid_step, log_step = 2.0 * mid_reach / (n_mids - 1), 2.0 * log_reach / (n_widths - 1)
        mid_error = max(mid_error, mid_step / np.sqrt(12.0))
        log_error = max(log_error, log_step / np.sqrt(12.0))
        width, depth = float(np.exp(log_width)), float(np.clip(depth, 0.01, _DEEPEST))
        likely = np.argsort(-weight.sum(axis=(1, 2, 3)))
        fit = DipFit(
            shapes[likely[0]],
            mid,
            mid_error,
            width,
            width * log_error,
            depth,
            depth_error,
            int(noise[weight.sum(axis=(0, 1, 2)).argmax()]),
        )
        shapes = tuple(shapes[i] for i in likely) if number else (*shapes, *fine_bank())
        lensed = fit.lensed(mjd)
        mid_reach = min(mid_reach, max(_NEAR_SIGMA * mid_error, _NEAR_STEPS * mid_step))
        log_reach = min(log_reach, max(_NEAR_SIGMA * log_error, _NEAR_STEPS * log_step))
    return fit


def _moments(values: Floats, weight: Floats, errors: Floats | float = 0.0) -> tuple[float, float]:
    mean = float(np.sum(weight * values))
    variance = np.sum(weight * (np.square(values - mean) + np.square(errors)))
    return mean, float(np.sqrt(variance))


def _likely_noises(curve: LogCurves, noises: Noises, column: Floats) -> Ints:
    """Return the noises that are probable with a change, in the order of the grid."""
    fits = noises.fit(curve, column[:, None])
    with_change = (fits.log_posterior[:, None, :] + fits.gains(0.0))[0, 0]
    chosen = np.argsort(-with_change)[:_MOST_NOISES]
    return np.sort(chosen[with_change[chosen] >= with_change.max() - _NEGLIGIBLE])


def baseline_at(
    fit: DipFit, mjd: Floats, flux: Floats, error: Floats, noises: Noises, at_mjd: Floats
) -> tuple[Floats, Floats]:
    """Return the baseline of a dip and its error, in the most probable noise with the dip.

    Predicted at the times `at_mjd` from all measurements; see `fit_dip`. Shape as `at_mjd`.
    """
    lensed = fit.lensed(mjd)
    curve = log_curves(np.array([0, len(mjd)]), mjd, flux, error, lensed)
    curve = LogCurves(curve.offsets, mjd, curve.values - np.log(lensed), curve.error)
    sigma, tau_days, _ = noises.grid[fit.noise]
    # The covariance of the walk at a time with the measurements: its expectation is the product
    # with their inverse covariance and the residuals, which is amplitude over variance.
    walk = sigma**2 * np.exp(-np.abs(mjd[:, None] - at_mjd) / tau_days)
    fits = noises.fit(curve, walk, np.array([fit.noise]))
    known = 1.0 / np.square(fits.error[0, :, 0])
    (level, level_variance), amplitude = fits.level[0, 0], fits.amplitude[0, :, 0]
    baseline = np.exp(level + amplitude * known)
    variance = np.maximum(sigma**2 - known, 0.0) + level_variance + 0 * at_mjd
    return np.asarray(baseline), np.asarray(baseline * np.sqrt(variance))


def is_shared(neighbours: DipEvidence, depth: float) -> bool:
    """Return whether a candidate's neighbours share a dip of this depth."""
    if len(neighbours.neighbours) < MIN_NEIGHBOURS:
        return False
    shared, error = neighbours.neighbour_depth, neighbours.neighbour_depth_error
    return shared > _SHARED * depth and shared > _SHARED_SIGMA * error


def depth_of(
    dip: Dip, shape: Shape, mjd: Floats, flux_jy: Floats, error_jy: Floats
) -> tuple[float, float]:
    """Return the depth of the same dip (epoch, width) in other measurements, and its error.

    NaN if the measurements don't constrain it.
    """
    u = (mjd - dip.mid_mjd) / dip.width_days
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
