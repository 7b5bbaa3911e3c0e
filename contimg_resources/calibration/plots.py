"""PNG plots of solutions: one a table, and one summary of the whole set.

Belongs here: figures of caltables. Doesn't: images (see `contimg_resources.imaging`) and plots of
visibilities (see `contimg_resources.casa.plotms`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_resources.calibration.inspection import Solutions
from contimg_resources.calibration.tables import CaltableType

_COLOURS = ("#1f5f99", "#d1661b")
_TITLES = {
    CaltableType.K: "Delay (K)",
    CaltableType.BA: "Bandpass amplitude (BA)",
    CaltableType.BP: "Bandpass phase (BP)",
    CaltableType.GA: "Gain amplitude (GA)",
    CaltableType.GP: "Gain phase (GP)",
    CaltableType.G2: "Short-interval gain (2G)",
    CaltableType.FLUX: "Gain amplitude on the flux scale (FLUX)",
}
_BANDPASS = (CaltableType.BA, CaltableType.BP)
_PHASES = (CaltableType.BP, CaltableType.GP)


@dataclass(frozen=True)
class PlotContext:
    """What a plot needs beside the solutions.

    Parameters
    ----------
    title : str
        What the set is: calibrator, date, reference antenna.
    antenna_names : tuple of str
        By id.
    frequencies_hz : sequence of ndarray of float
        Channel centres of each spectral window by id, Hz.
    receptors : tuple of str
        Names of the two receptors, such as X and Y.
    """

    title: str
    antenna_names: tuple[str, ...]
    frequencies_hz: Sequence[NDArray[np.float64]]
    receptors: tuple[str, str] = ("X", "Y")


def plot_table(
    table_type: CaltableType, solutions: Solutions, context: PlotContext, png: Path
) -> Path:
    """Draw one caltable, both receptors in one panel each.

    Parameters
    ----------
    table_type : CaltableType
        Its type; decides what is drawn against what.
    solutions : Solutions
        Its solutions.
    context : PlotContext
        Names and frequencies.
    png : Path
        The file to make; replaced when it exists.

    Returns
    -------
    Path
        `png`.
    """
    figure, axes = _figure(1, 2, (11.0, 4.2))
    for receptor, ax in enumerate(axes.ravel()):
        _draw(ax, table_type, solutions, receptor, context, marker=2.0)
        ax.set_title(f"{_TITLES[table_type]}, {context.receptors[receptor]}", loc="left")
    figure.suptitle(context.title, fontsize=9, color="0.35", x=0.01, ha="left")
    return _save(figure, png, dpi=110)


def plot_summary(
    tables: Mapping[CaltableType, Solutions], context: PlotContext, png: Path, dpi: int = 80
) -> Path:
    """Draw the whole set in one compact figure, both receptors together.

    Parameters
    ----------
    tables : mapping of CaltableType to Solutions
        The set.
    context : PlotContext
        Names and frequencies.
    png : Path
        The file to make; replaced when it exists.
    dpi : int
        Pixels per inch; the figure is 11 inches wide.

    Returns
    -------
    Path
        `png`.
    """
    rows = -(-len(tables) // 3)
    figure, axes = _figure(rows, 3, (11.0, 2.7 * rows))
    panels = list(axes.ravel())
    for panel, (table_type, solutions) in zip(panels, tables.items(), strict=False):
        for receptor in range(solutions.values.shape[0]):
            _draw(panel, table_type, solutions, receptor, context, marker=1.2)
        panel.set_title(_TITLES[table_type], loc="left")
    for panel in panels[len(tables) :]:
        panel.set_axis_off()
    if panels:
        for receptor, name in enumerate(context.receptors):
            panels[0].plot([], [], "o", ms=4, color=_COLOURS[receptor], label=name)
        panels[0].legend(loc="upper right", frameon=False, fontsize=7, ncols=2)
    figure.suptitle(context.title, fontsize=9, color="0.35", x=0.01, ha="left")
    return _save(figure, png, dpi=dpi)


def _figure(rows: int, columns: int, size: tuple[float, float]) -> tuple[Any, Any]:
    # Without pyplot: no global state, no backend to choose, no figures left open.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure: Any = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False)


def _save(figure: Any, png: Path, dpi: int) -> Path:
    png.parent.mkdir(parents=True, exist_ok=True)
    writing = png.with_name(f".{png.name}.writing")
    figure.savefig(writing, dpi=dpi, format="png")
    writing.rename(png)
    return png


def _draw(
    ax: Any,
    table_type: CaltableType,
    solutions: Solutions,
    receptor: int,
    context: PlotContext,
    marker: float,
) -> None:
    good = ~solutions.flags[receptor]
    values = solutions.values[receptor]
    colour = _COLOURS[receptor % 2]
    style = {"ms": marker, "color": colour, "alpha": 0.55, "mew": 0, "rasterized": True}
    if table_type is CaltableType.K:
        y, label = values.real, "delay / ns"
    elif table_type in _PHASES:
        y, label = np.degrees(np.angle(values)), "phase / deg"
    else:
        y, label = np.abs(values), "amplitude"
    x, x_label = _abscissa(table_type, solutions, context)
    ax.plot(x[good], y[good], "o", **style)
    ax.set_xlabel(x_label)
    ax.set_ylabel(label)
    if table_type in _PHASES:
        ax.set_ylim(-185, 185)
        ax.set_yticks([-180, -90, 0, 90, 180])
    elif table_type is not CaltableType.K and good.any():
        ax.set_ylim(0, 1.15 * float(np.percentile(y[good], 99.5)))
    if not _against_frequency_or_time(table_type, solutions):
        _antenna_ticks(ax, context)
    ax.grid(color="0.9", lw=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize=7)
    ax.xaxis.label.set_size(8)
    ax.yaxis.label.set_size(8)
    ax.title.set_size(9)


def _against_frequency_or_time(table_type: CaltableType, solutions: Solutions) -> bool:
    """Tell whether a table is drawn against frequency or time rather than antenna."""
    if table_type in _BANDPASS or table_type is CaltableType.G2:
        return True
    return table_type is not CaltableType.K and _n_times(solutions) > 1


def _n_times(solutions: Solutions) -> int:
    return int(np.unique(np.round(solutions.times_s)).size)


def _abscissa(
    table_type: CaltableType, solutions: Solutions, context: PlotContext
) -> tuple[NDArray[np.float64], str]:
    shape = solutions.values.shape[1:]
    if table_type in _BANDPASS:
        x = np.full(shape, np.nan)
        for window in np.unique(solutions.windows):
            hz = np.asarray(context.frequencies_hz[int(window)])
            x[: hz.size, solutions.windows == window] = hz[:, None] / 1e6
        return x, "frequency / MHz"
    if _against_frequency_or_time(table_type, solutions):
        minutes = (solutions.times_s - solutions.times_s.min()) / 60.0
        return np.broadcast_to(minutes, shape), "time / min"
    # Windows of one antenna side by side, lowest id first.
    windows = max(int(np.unique(solutions.windows).size), 1)
    offset = (solutions.windows - solutions.windows.min()) / windows * 0.7 - 0.35
    return np.broadcast_to(solutions.antennas + offset, shape), "antenna"


def _antenna_ticks(ax: Any, context: PlotContext) -> None:
    count = len(context.antenna_names)
    step = max(1, -(-count // 12))
    ticks = list(range(0, count, step))
    ax.set_xticks(ticks, [context.antenna_names[i] for i in ticks])
    ax.set_xlim(-1, count)
