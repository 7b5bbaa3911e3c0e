"""The sequence of minor and major cycles.

Belongs here: the mask, the depth, and the stopping criteria of CLEAN. Doesn't: gridding, the minor
cycle itself.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label

from contimg_resources.core.errors import ImagingFailed
from contimg_resources.core.progress import report_progress
from contimg_resources.core.statistics import LocalNoise, mad_rms
from contimg_resources.imaging.engines.base import ImagingTask
from contimg_resources.imaging.engines.clean import (
    Mask,
    MinorCycle,
    highest_sidelobe,
    mark_around,
    minor_cycle,
    restore,
    take_components_out,
)
from contimg_resources.imaging.engines.gridding import Gridder
from contimg_resources.imaging.geometry import BeamForm, form_of_beam, restoring_beam
from contimg_resources.imaging.model import Beam, ImageGrid

Integers = NDArray[np.int64]
Singles = NDArray[np.float32]

_GAIN = 0.15
#: Minor cycles end at this share of the highest exact residual: the point-spread function without w
#: terms is accurate to a few percent of its sidelobes, and CLEAN would fit its errors below that.
_DEPTH = 0.05
#: Components may be where the residual is above this many times the local noise, and above this
#: many times the highest sidelobe of the highest residual ...
_MASK_SIGMA = 5.0
_MASK_SIDELOBE = 1.3
#: ... and up to this many major axes around there.
_MASK_BEAMS = 0.6
#: Inside the mask CLEAN continues to this share of the threshold: these pixels are known to hold
#: sources, whose sidelobes would remain otherwise ...
_DEEPER = 0.7
#: ... and stops when an exact residual is above it by this factor or less.
_ENOUGH = 1.5
#: Number of minor cycles between exact residuals from the visibilities.
_ROUNDS = 4
#: Sources below this many times the noise are taken out by the point-spread function well enough:
#: its errors, some percent, and sidelobes beyond its edge stay far below the noise, and no further
#: exact residuals are computed. The components of an extended source count together.
_TRUSTED = 16.0
#: Maximum iterations of one minor cycle.
_MOST_ITERATIONS = 3000
#: The noise of the whole image is measured on every n-th row and column.
_STEP = 5
#: CLEAN diverges when its residual grows by this factor.
_DIVERGED = 2.0


@dataclass(frozen=True)
class PointSpread:
    """A point-spread function and its measured properties."""

    psf: Singles  #: Peak 1 at (extent/2, extent/2). Shape (extent, extent).
    beam: Beam  #: Restoring beam.
    form: BeamForm  #: The restoring beam in pixels.
    sidelobe: float  #: Highest abs(psf) outside the main lobe.

    @classmethod
    def of(cls, gridder: Gridder, grid: ImageGrid, *, wide: bool) -> "PointSpread":
        """Make and measure a point-spread function.

        Parameters
        ----------
        gridder : Gridder
            The gridder that makes it.
        grid : ImageGrid
            Pixels of the image.
        wide : bool
            Whether it extends over twice the image: a sparse array's sidelobes do, and where those
            of bright sources aren't known they are mistaken for sources.
        """
        return cls.measured(gridder.psf(replace(grid, size=2 * grid.size) if wide else grid), grid)

    @classmethod
    def measured(cls, psf: Singles, grid: ImageGrid) -> "PointSpread":
        """Measure a point-spread function on the pixels of a grid."""
        beam = restoring_beam(psf, grid.cell_arcsec)
        radius = 1.2 * beam.major_arcsec / grid.cell_arcsec
        return cls(psf, beam, form_of_beam(beam, grid.cell_arcsec), highest_sidelobe(psf, radius))

    def hidden_below_jy(self, peak_jy: float) -> float:
        """Return the flux density below which a sidelobe of this peak looks like a source."""
        return _MASK_SIDELOBE * self.sidelobe * peak_jy

    def middle(self, size: int) -> Singles:
        """Return the central part, shape (size, size)."""
        edge = (len(self.psf) - size) // 2
        return self.psf[edge : edge + size, edge : edge + size]


@dataclass(frozen=True)
class Cleaned:
    """Result of CLEAN."""

    model: Singles  #: Components, Jy/pixel. Shape (size, size).
    residual: Singles  #: Residual, Jy/beam. Shape (size, size).
    n_iterations: int  #: Number of iterations done.


def clean(
    task: ImagingTask,
    grid: ImageGrid,
    point: PointSpread,
    dirty: Singles,
    residual_of: Callable[[Singles], Singles] | None,
    down_to_jy: float,
    most_cycles: int,
) -> Cleaned:
    """Alternate minor cycles with exact residuals.

    Parameters
    ----------
    task : ImagingTask
        The task, with its thresholds and limits.
    grid : ImageGrid
        Pixels of the image.
    point : PointSpread
        Point-spread function on these pixels.
    dirty : ndarray of float32, shape (size, size)
        Dirty image, Jy/beam; overwritten.
    residual_of : callable, optional
        Computes the residual image of a model from the visibilities; None: not used.
    down_to_jy : float
        CLEAN threshold, Jy/beam; the task's multiple of the residual's rms also applies.
    most_cycles : int
        Maximum number of major cycles.

    Raises
    ------
    ImagingFailed
        If CLEAN diverges or the image isn't finite.
    """
    residual, model = dirty, np.zeros_like(dirty)
    mask = np.zeros(dirty.shape, np.bool_)
    reach = max(1, round(_MASK_BEAMS * point.beam.major_arcsec / grid.cell_arcsec))
    done, lowest_exact = 0, np.inf
    for _ in range(most_cycles):
        before, brightest = done, 0.0
        taken: list[MinorCycle] = []
        # Between exact residuals the point-spread function's errors are hidden: an exact one is
        # only comparable with exact ones.
        lowest = lowest_exact
        for number in range(_ROUNDS):
            highest = _highest(residual, task)
            if number == 0:
                lowest_exact = min(lowest_exact, highest)
            if highest > _DIVERGED * lowest:
                raise ImagingFailed(
                    f"CLEAN of {task.ms} diverges: its residuals grow, so its data or their "
                    "calibration are wrong",
                    path=str(task.ms),
                )
            lowest = min(lowest, highest)
            threshold = max(
                down_to_jy, task.settings.threshold_sigma * mad_rms(residual[::_STEP, ::_STEP])
            )
            noise = LocalNoise.of(residual, point.beam.area_pixels(grid.cell_arcsec))
            least = max(threshold, point.hidden_below_jy(highest))
            mark_around(mask, *_seeds(residual, noise, least), reach)
            inside = float(np.abs(residual[mask]).max(initial=0.0))
            brightest = max(brightest, inside)
            deep = max(_DEEPER * threshold, _DEPTH * (inside if residual_of is None else brightest))
            if inside <= _ENOUGH * deep or done >= task.settings.niter:
                break
            minor = minor_cycle(
                residual,
                point.psf,
                mask,
                gain=_GAIN,
                down_to_jy=deep,
                most_iterations=min(task.settings.niter - done, _MOST_ITERATIONS),
            )
            model[minor.rows, minor.columns] += minor.flux_jy
            done += minor.n_iterations
            taken.append(minor)
            take_components_out(residual, point.psf, minor.rows, minor.columns, minor.flux_jy)
        report_progress(f"{done} iterations, residual {1e3 * _highest(residual, task):.3g} mJy")
        trusted = max(brightest, _largest_jy(taken, mask)) <= _TRUSTED * task.noise_jy
        if done == before or residual_of is None or trusted:
            break
        residual = residual_of(model)
    return Cleaned(model, residual, done)


def _seeds(residual: Singles, noise: LocalNoise, least_jy: float) -> tuple[Integers, Integers]:
    """Return the pixels where a residual exceeds the local noise and a limit."""
    rows, columns = np.nonzero(np.abs(residual) > max(least_jy, _MASK_SIGMA * noise.least_jy))
    seeds = np.abs(residual[rows, columns]) > _MASK_SIGMA * noise.at(rows, columns)
    return rows[seeds], columns[seeds]


def _largest_jy(taken: list[MinorCycle], mask: Mask) -> float:
    """Return the largest flux density that components have in one island of a mask, Jy."""
    islands, n = label(mask)
    total_jy = np.zeros(n + 1)
    for minor in taken:
        where = islands[minor.rows, minor.columns]
        total_jy += np.bincount(where, minor.flux_jy, n + 1)
    return float(np.abs(total_jy).max())


def _highest(residual: Singles, task: ImagingTask) -> float:
    highest = float(max(residual.max(), -residual.min()))
    if not np.isfinite(highest):
        raise ImagingFailed(
            f"the image of {task.ms} has pixels that are not finite", path=str(task.ms)
        )
    return highest


def restore_model(image: Singles, model: Singles, point: PointSpread) -> None:
    """Add the components of a model to an image, convolved with the restoring beam, in place."""
    rows, columns = np.nonzero(model)
    peaks_jy = model[rows, columns].astype(np.float64)
    restore(image, rows.astype(np.float64), columns.astype(np.float64), peaks_jy, point.form)
