"""Plots of variability: the plane of eta and V.

Belongs here: drawing. Doesn't: measuring.
"""

from pathlib import Path
from typing import Any

import numpy as np

from contimg_resources.core.times import datetime_from_mjd
from contimg_resources.variability.model import Variability

_NAMED = 12


def draw_plane(path: Path, table: Variability) -> None:
    """Draw log V against log eta, both distributions, and the sources flagged as variable."""
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 7.4), dpi=110, layout="constrained")
    axes = figure.subplot_mosaic(
        [["top", "none"], ["plane", "side"]],
        width_ratios=(4, 1),
        height_ratios=(1, 4),
        empty_sentinel="none",
    )
    plane = axes["plane"]
    with np.errstate(invalid="ignore"):
        shown = (table.eta > 0) & (table.v > 0) & (table.median_snr > 0)
    day = table.facts.day_mjd
    up_to = "" if day is None else f" up to {datetime_from_mjd(day):%Y-%m-%d}"
    figure.suptitle(
        f"Variability{up_to}: {int(table.is_variable.sum())} of "
        f"{int(shown.sum())} sources are flagged as variable",
        fontsize=11,
    )
    if not shown.any():
        plane.text(0.5, 0.5, "no source has metrics yet", ha="center", transform=plane.transAxes)
        figure.savefig(path, format="png")
        return
    eta, v, snr = table.eta[shown], table.v[shown], table.median_snr[shown]
    chosen = table.is_variable[shown]
    norm = LogNorm(max(snr.min(), 1e-3), max(snr.max(), snr.min() * 1.01, 1e-2))
    cloud: Any = plane.scatter(
        eta[~chosen], v[~chosen], c=snr[~chosen], s=9, cmap="viridis", norm=norm, rasterized=True
    )
    plane.scatter(
        eta[chosen], v[chosen], c=snr[chosen], s=46, cmap="viridis", norm=norm, edgecolors="tab:red"
    )
    _draw_thresholds(plane, table, norm)
    for number in np.argsort(-np.where(chosen, eta, -1.0))[: min(_NAMED, int(chosen.sum()))]:
        plane.annotate(
            str(table.source_id[shown][number])[-24:],
            (eta[number], v[number]),
            textcoords="offset points",
            xytext=(6, 4),
            fontsize=7,
        )
    plane.set(
        xscale="log",
        yscale="log",
        xlabel="η (reduced χ² about the weighted mean)",
        ylabel="V (standard deviation / mean)",
    )
    figure.colorbar(cloud, ax=plane, location="bottom", shrink=0.6, label="median S/N")
    bins = min(60, max(10, int(np.sqrt(len(eta)))))
    axes["top"].hist(np.log10(eta), bins=bins, color="0.6")
    axes["top"].set_xlabel("log η")
    axes["side"].hist(np.log10(v), bins=bins, orientation="horizontal", color="0.6")
    axes["side"].set_ylabel("log V")
    figure.savefig(path, format="png")


def _draw_thresholds(plane: Any, table: Variability, norm: Any) -> None:
    from matplotlib import colormaps

    facts = table.facts
    values = list(zip(facts.threshold_snr, facts.threshold_eta, facts.threshold_v, strict=True))
    # Thresholds depend on the S/N: those of the lowest, the middle and the highest are drawn.
    for snr, eta, v in {values[i] for i in (0, len(values) // 2, -1)} if values else ():
        style = {"color": colormaps["viridis"](norm(snr)), "linewidth": 1.2, "alpha": 0.9}
        plane.plot([eta, eta, plane.get_xlim()[1]], [plane.get_ylim()[1], v, v], **style)
