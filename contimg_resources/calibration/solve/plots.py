"""PNG plots of solutions: one per table, and a summary of the whole set.

Belongs here: figures of caltables. Doesn't: images (see `contimg_resources.imaging`) and plots of
visibilities (see `contimg_resources.casa.plotms`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from contimg_resources.calibration.solutions import Solutions
from contimg_resources.core.arrays import Floats
from contimg_resources.instrument.caltables import CaltableType

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
#: Phases with a larger spread are shown over the full circle.
_WRAPPED_DEG = 180.0


@dataclass(frozen=True)
class PlotContext:
    """Information for a plot besides the solutions."""

    title: str  #: Description of the set: calibrator, date, reference antenna.
    antenna_names: tuple[str, ...]  #: Names of the antennas by id.
    #: Channel centres of each spectral window by id, Hz.
    frequencies_hz: Sequence[Floats]
    receptors: tuple[str, str] = ("X", "Y")  #: Names of the two receptors, such as X and Y.


def plot_table(
    table_type: CaltableType, solutions: Solutions, context: PlotContext, png: Path
) -> Path:
    """Draw one caltable into `png`, a panel for each receptor; amplitudes and phases of 2G."""
    phases: tuple[bool, ...] = (table_type in _PHASES,)
    if table_type is CaltableType.G2:
        phases = (False, True)
    figure, axes = _figure(len(phases), 2, (11.0, 4.2 * len(phases) - 0.6 * (len(phases) - 1)))
    for row, phase in zip(axes, phases, strict=True):
        for receptor, ax in enumerate(row):
            _draw(ax, table_type, solutions, (receptor,), context, phase=phase)
            ax.set_title(f"{_TITLES[table_type]}, {context.receptors[receptor]}", loc="left")
    figure.suptitle(context.title, fontsize=9, color="0.35", x=0.01, ha="left")
    return _save(figure, png, dpi=110)


def plot_summary(
    tables: Mapping[CaltableType, Solutions], context: PlotContext, png: Path, dpi: int = 80
) -> Path:
    """Draw the whole set into `png`, compactly, both receptors together; for 2G the phases.

    The figure is 11 inches wide.
    """
    rows = -(-len(tables) // 3)
    figure, axes = _figure(rows, 3, (11.0, 2.7 * rows))
    panels = list(axes.ravel())
    for panel, (table_type, solutions) in zip(panels, tables.items(), strict=False):
        receptors = tuple(range(solutions.values.shape[0]))
        phase = table_type in _PHASES or table_type is CaltableType.G2
        _draw(panel, table_type, solutions, receptors, context, phase=phase)
        panel.set_title(_TITLES[table_type], loc="left")
    for panel in panels[len(tables) :]:
        panel.set_axis_off()
    for receptor, name in enumerate(context.receptors):
        panels[0].plot([], [], "o", ms=4, color=_COLOURS[receptor], label=name)
    figure.legend(loc="upper right", frameon=False, fontsize=8, ncols=2)
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
    receptors: tuple[int, ...],
    context: PlotContext,
    *,
    phase: bool,
) -> None:
    x, x_label = _abscissa(table_type, solutions, context)
    if table_type is CaltableType.K:
        y, label = solutions.values.real, "delay / ns"
    elif phase:
        y, label = np.degrees(np.angle(solutions.values)), "phase / deg"
    else:
        y, label = np.abs(solutions.values), "amplitude"
    good = ~solutions.flags
    for receptor in receptors:
        shown = good[receptor]
        ax.plot(
            x[shown],
            y[receptor][shown],
            "o",
            ms=1.4 if shown.sum() > 4000 else 2.6,
            color=_COLOURS[receptor % 2],
            alpha=0.55,
            mew=0,
            rasterized=True,
        )
    if not _against_frequency_or_time(table_type, solutions):
        _antenna_ticks(ax, context)
    else:
        ax.locator_params(axis="x", nbins=5)
    _limits(ax, y[list(receptors)][good[list(receptors)]], phase=phase)
    ax.set_xlabel(x_label, fontsize=8)
    ax.set_ylabel(label, fontsize=8)
    ax.grid(color="0.9", lw=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize=7)
    ax.title.set_size(9)


def _limits(ax: Any, values: Floats, *, phase: bool) -> None:
    """Scale to the bulk of the values, so that one bad solution does not flatten the others."""
    if not values.size:
        return
    low, high = (float(v) for v in np.percentile(values, [0.5, 99.5]))
    if phase and high - low > _WRAPPED_DEG:
        ax.set_ylim(-185, 185)
        ax.set_yticks([-180, -90, 0, 90, 180])
    elif high > low:
        margin = 0.25 * (high - low)
        ax.set_ylim(low - margin, high + margin)


def _against_frequency_or_time(table_type: CaltableType, solutions: Solutions) -> bool:
    """Return whether a table is drawn against frequency or time rather than antenna."""
    if table_type in _BANDPASS or table_type is CaltableType.G2:
        return True
    return table_type is not CaltableType.K and len(np.unique(np.round(solutions.times_s))) > 1


def _abscissa(
    table_type: CaltableType, solutions: Solutions, context: PlotContext
) -> tuple[Floats, str]:
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
