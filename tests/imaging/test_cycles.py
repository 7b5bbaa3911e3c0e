"""CLEAN with exact residuals that are made up here."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from contimg_resources.core.errors import ImagingFailed
from contimg_resources.imaging.engines.cycles import PointSpread, clean
from contimg_resources.imaging.geometry import form_of_beam
from contimg_resources.imaging.model import Beam, ImageGrid
from contimg_resources.settings import ImagingSettings

SIZE, CELL_ARCSEC, NOISE_JY = 128, 10.0, 1e-3
BEAM = Beam(40.0, 40.0, 0.0)
GRID = ImageGrid(SIZE, CELL_ARCSEC, 30.0, 33.0)


def point(size: int, row: int, column: int, peak_jy: float, beams: float = 1.0) -> np.ndarray:
    rows, columns = np.mgrid[:size, :size]
    sigma = beams * BEAM.major_arcsec / CELL_ARCSEC / 2.355
    away = (rows - row) ** 2 + (columns - column) ** 2
    return np.asarray(peak_jy * np.exp(-0.5 * away / sigma**2), np.float32)


SPREAD = PointSpread(
    point(2 * SIZE, SIZE, SIZE, 1.0), BEAM, form_of_beam(BEAM, CELL_ARCSEC), sidelobe=0.01
)


def cleaned_with(peaks_jy: list[float], beams: float = 1.0) -> int:
    """CLEAN an image while its exact residuals have these peaks; return how many were asked for."""
    task = SimpleNamespace(settings=ImagingSettings(), noise_jy=NOISE_JY, ms=Path("/x.ms"))
    rng, asked = np.random.default_rng(1), 0

    def residual(_model: Any = None) -> np.ndarray:
        nonlocal asked
        noise = rng.normal(0, NOISE_JY, (SIZE, SIZE)).astype(np.float32)
        asked += 1
        its = point(SIZE, 20 + 20 * asked, 50, peaks_jy[asked - 1], beams)
        return np.asarray(noise + its, np.float32)

    clean(cast(Any, task), GRID, SPREAD, residual(), residual, 4 * NOISE_JY, len(peaks_jy) - 1)
    return asked


def test_exact_residuals_may_exceed_those_of_the_point_spread_function() -> None:
    assert cleaned_with([10.0, 5.0, 2.0, 0.01]) == 4


def test_exact_residuals_that_grow_end_it() -> None:
    with pytest.raises(ImagingFailed, match="diverges"):
        cleaned_with([1.0, 2.5, 0.5])


def test_an_extended_source_is_exact_though_no_pixel_is_bright() -> None:
    assert cleaned_with([0.01, 0.001]) == 1
    assert cleaned_with([0.01, 0.001], beams=4.0) == 2
