"""The fast imaging engine: all data in memory, ducc0's w-gridder, compiled CLEAN.

Belongs here: combining the steps. Doesn't: the steps themselves.
"""

import numpy as np
from numpy.typing import NDArray

from contimg_resources.core.progress import report_progress
from contimg_resources.imaging.engines.base import ImagingTask, RawImages
from contimg_resources.imaging.engines.bright import BrightSources, bright_sources
from contimg_resources.imaging.engines.clean import restore
from contimg_resources.imaging.engines.cycles import PointSpread, clean, restore_model
from contimg_resources.imaging.engines.gridding import EXACT, FAINT, ROUGH, Gridder
from contimg_resources.imaging.model import ImageGrid

Singles = NDArray[np.float32]

_MAJOR_CYCLES = 8
#: Below this many times the noise an error of a hundredth of the image's rms is negligible: near
#: a source of 33 times the noise it was 0.006 times the noise on average, 0.06 at most.
_FAINT_SIGMA = 100.0
#: So little is left of a subtracted source, some percent, that the residual is faint.
_TAKEN_OUT_SIGMA = 2000.0


class FastEngine:
    """Cotton-Schwab CLEAN of visibilities in memory, after subtracting bright sources."""

    name = "fast"

    def image(self, task: ImagingTask) -> RawImages:
        """Grid, CLEAN and restore; see `contimg_resources.imaging.engines.base`.

        Raises
        ------
        ImagingFailed
            If CLEAN diverges or the image isn't finite.
        """
        gridder = Gridder(task.seen.blocks, task.weighting.weight)
        return cleaned_image(task, gridder, bright_sources(task))


def cleaned_image(task: ImagingTask, gridder: Gridder, bright: BrightSources | None) -> RawImages:
    """CLEAN the visibilities without bright sources, and restore all sources.

    Parameters
    ----------
    task : ImagingTask
        The task.
    gridder : Gridder
        The gridder of its visibilities.
    bright : BrightSources, optional
        Bright sources, and these visibilities without them.

    Raises
    ------
    ImagingFailed
        If CLEAN diverges or the image isn't finite.
    """
    values = task.seen.values if bright is None else bright.values
    gridder.accuracy = EXACT if bright is None else _accuracy_without(bright, task)
    grid = task.grid
    point = PointSpread.of(gridder, grid, wide=bright is None)
    dirty = gridder.dirty(values, grid)
    if bright is not None:
        left_jy = float(np.abs(dirty).max())
        gridder.accuracy = FAINT if left_jy < _FAINT_SIGMA * task.noise_jy else ROUGH
    report_progress(f"CLEAN down to {1e3 * task.threshold_jy:.3g} mJy/beam", 0.5)
    cleaned = clean(
        task,
        grid,
        point,
        dirty.copy(),
        lambda model: dirty - gridder.response(model, grid),
        task.threshold_jy,
        _MAJOR_CYCLES,
    )
    image = cleaned.residual.copy()
    restore_model(image, cleaned.model, point)
    if bright is not None:
        _restore_bright(image, bright, grid, point)
    return RawImages(
        image, cleaned.residual, point.middle(grid.size), point.beam, cleaned.n_iterations, bright
    )


def _accuracy_without(bright: BrightSources, task: ImagingTask) -> float:
    """Return the gridding accuracy for an image from which bright sources were subtracted."""
    brightest_jy = float(np.abs(bright.variation.mean_jy).max())
    return FAINT if brightest_jy < _TAKEN_OUT_SIGMA * task.noise_jy else ROUGH


def _restore_bright(
    image: Singles, bright: BrightSources, grid: ImageGrid, point: PointSpread
) -> None:
    cell_rad, half = np.deg2rad(grid.cell_arcsec / 3600), grid.size // 2
    cosines = bright.variation.cosines
    restore(
        image,
        half + cosines[:, 1] / cell_rad,
        half - cosines[:, 0] / cell_rad,
        bright.variation.mean_jy,
        point.form,
    )
