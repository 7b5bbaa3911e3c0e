"""Which plots of a caltable set casaplotms draws.

Belongs here: the list. Doesn't: drawing (see `contimg_resources.casa.plotms`), and contimg's own
plots (see `.plots`), which need no system libraries.
"""

from collections.abc import Mapping
from pathlib import Path

from contimg_resources.calibration.tables import CaltableType
from contimg_resources.casa.plotms import PlotmsPlot

_AXES = {
    CaltableType.K: (("antenna1", "delay"),),
    CaltableType.BA: (("freq", "amp"),),
    CaltableType.BP: (("freq", "phase"),),
    CaltableType.GA: (("antenna1", "amp"),),
    CaltableType.GP: (("antenna1", "phase"),),
    CaltableType.G2: (("time", "amp"), ("time", "phase")),
    CaltableType.FLUX: (("antenna1", "amp"),),
}


def caltable_plots(tables: Mapping[CaltableType, Path], directory: Path) -> tuple[PlotmsPlot, ...]:
    """Return the plots of a set for `contimg_resources.casa.plotms.draw_plotms`.

    Parameters
    ----------
    tables : mapping of CaltableType to Path
        The set.
    directory : Path
        Where the PNG files go: ``plotms_<table>_<axis>.png``.
    """
    return tuple(
        PlotmsPlot(
            vis=path,
            png=directory / f"plotms_{path.name}_{yaxis}.png",
            xaxis=xaxis,
            yaxis=yaxis,
            options={"coloraxis": "corr" if xaxis == "antenna1" else "antenna1"},
        )
        for kind, path in tables.items()
        for xaxis, yaxis in _AXES[kind]
    )
