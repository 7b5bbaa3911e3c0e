"""Plots show every table type, and leave no half-written file."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from contimg_resources.calibration.solutions import Solutions
from contimg_resources.calibration.solve.plots import PlotContext, plot_summary, plot_table
from contimg_resources.instrument.caltables import CaltableType

CONTEXT = PlotContext(
    title="3C286   2025-11-21T17:21:35 UTC   reference antenna 105",
    antenna_names=("103", "104", "105"),
    frequencies_hz=(np.linspace(1.4e9, 1.41e9, 8), np.linspace(1.3e9, 1.31e9, 8)),
)


def solutions(table_type: CaltableType, *, flagged: bool = False) -> Solutions:
    rng = np.random.default_rng(4)
    channels = 8 if table_type in (CaltableType.BA, CaltableType.BP) else 1
    times = 5 if table_type is CaltableType.G2 else 1
    grid = np.array([(t, w, a) for t in range(times) for w in range(2) for a in range(3)])
    shape = (2, channels, len(grid))
    values = np.exp(1j * rng.normal(size=shape))
    if table_type is CaltableType.K:
        values = values.imag * 10
    flags = np.full(shape, flagged)
    flags[:, :, grid[:, 2] == 1] = True
    snr = np.full(shape, 20.0)
    return Solutions(values, flags, snr, grid[:, 2], grid[:, 1], 5e9 + 60.0 * grid[:, 0])


@pytest.mark.parametrize("table_type", list(CaltableType))
def test_each_table_type_has_a_plot(table_type: CaltableType, tmp_path: Path) -> None:
    png = plot_table(table_type, solutions(table_type), CONTEXT, tmp_path / "new" / "a.png")
    with Image.open(png) as image:
        assert image.size[0] == 1210
        # Both receptors' colours are there.
        pixels = np.asarray(image.convert("RGB")).astype(int)
    redness = pixels[..., 0] - pixels[..., 2]
    assert (redness > 60).sum() > 5
    assert (redness < -60).sum() > 5
    assert [p.name for p in png.parent.iterdir()] == ["a.png"]


def test_the_summary_shows_a_set_and_survives_a_table_without_solutions(tmp_path: Path) -> None:
    tables = {kind: solutions(kind) for kind in CaltableType}
    tables[CaltableType.BP] = solutions(CaltableType.BP, flagged=True)
    png = plot_summary(tables, CONTEXT, tmp_path / "summary.png")
    with Image.open(png) as image:
        assert image.size[0] == 880
        assert image.size[1] < 880
