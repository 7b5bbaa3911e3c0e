"""The card of a candidate: its light curve, its neighbours, and cutouts.

Belongs here: drawing. Doesn't: finding candidates, cutting images.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from contimg_resources.core.times import datetime_from_mjd
from contimg_resources.products.dips import DipEvidence
from contimg_resources.products.events import CandidateRecord
from contimg_resources.variability.model import LightCurves

_MOST_PIECES = 6
_SHOWN_NEIGHBOURS = 5
_AROUND_WIDTHS = 3.0
_LEAST_AROUND_DAYS = 60.0


class Piece(NamedTuple):
    """A cutout of one epoch.

    Parameters
    ----------
    mid_mjd : float
        MJD in days.
    pixels : ndarray, shape (n, n)
        Jy/beam; NaN where nothing was observed.
    """

    mid_mjd: float
    pixels: NDArray[np.floating[Any]]


def through(candidate: CandidateRecord, mids_mjd: Sequence[float]) -> list[int]:
    """Choose epochs that show an event: before it, through it, and after it.

    Parameters
    ----------
    candidate : CandidateRecord
        The event.
    mids_mjd : sequence of float
        Available epochs, rising.

    Returns
    -------
    list of int
        Indices of at most six of them, rising.
    """
    if not mids_mjd:
        return []
    width = candidate.end_mjd - candidate.start_mjd
    wanted = candidate.mid_mjd + width * np.array([-1.5, -0.6, -0.2, 0.2, 0.6, 1.5])
    nearest = {int(np.argmin(np.abs(np.asarray(mids_mjd) - t))) for t in wanted}
    return sorted(nearest)[:_MOST_PIECES]


def draw_card(
    path: Path, candidate: CandidateRecord, curves: LightCurves, pieces: Sequence[Piece] = ()
) -> None:
    """Draw a candidate's card.

    Parameters
    ----------
    path : Path
        PNG to write.
    candidate : CandidateRecord
        Candidate to draw.
    curves : LightCurves
        Light curves that include the source and its neighbours.
    pieces : sequence of Piece
        Cutouts through the event; without any, the card has no such row. Added light curves have
        no cutouts, which the card states.
    """
    from matplotlib.figure import Figure

    rows = [3.0, 1.5] + ([1.6] if pieces else [])
    figure = Figure(figsize=(9.0, 1.5 * sum(rows) + 0.6), dpi=100, layout="constrained")
    parts = figure.add_gridspec(len(rows), 1, height_ratios=rows)
    width = candidate.end_mjd - candidate.start_mjd
    around = max(_AROUND_WIDTHS * width, _LEAST_AROUND_DAYS)
    span = (candidate.mid_mjd - around, candidate.mid_mjd + around)
    told = candidate.parameters
    figure.suptitle(
        f"{candidate.source_id}   {candidate.state.value}\n"
        f"depth {100 * told.depth:.1f} ± {100 * told.depth_error:.1f} %,  "
        f"width {told.width_days:.1f} ± {told.width_error_days:.1f} d,  "
        f"minimum {datetime_from_mjd(candidate.mid_mjd):%Y-%m-%d} "
        f"± {told.mid_error_days:.1f} d,  "
        f"score {candidate.score:.0f} (threshold {told.threshold:.0f})"
        f"{_over_walk(candidate.evidence)}"
        f"{_withdrawn_line(candidate.evidence)}"
        f"{_added_line(candidate)}"
        f"{_spectral_line(candidate.evidence)}",
        fontsize=10,
    )
    curve = figure.add_subplot(parts[0])
    _draw_source(curve, candidate, curves, span)
    beside = figure.add_subplot(parts[1], sharex=curve)
    _draw_neighbours(beside, candidate, curves, span)
    if pieces:
        _draw_pieces(figure, parts[2], pieces)
    figure.savefig(path, format="png")


def _over_walk(evidence: DipEvidence) -> str:
    # Candidates of earlier releases don't have this value.
    over_walk = evidence.over_walk
    return f",  over random walk {over_walk:.0f}" if math.isfinite(over_walk) else ""


def _withdrawn_line(evidence: DipEvidence) -> str:
    return f"\nwithdrawn: {evidence.withdrawn}" if evidence.withdrawn else ""


def _added_line(candidate: CandidateRecord) -> str:
    if candidate.added_list is None:
        return ""
    files = candidate.evidence.added_from
    return f"\nadded light curve, list {candidate.added_list} ({files}): no images"


def _spectral_line(evidence: DipEvidence) -> str:
    if not math.isfinite(evidence.spectral_change):
        return ""
    return (
        f"\nspectral index changes by {evidence.spectral_change:+.2f} ± "
        f"{evidence.spectral_change_error:.2f} in the dip ({evidence.n_bands} sub-bands)"
    )


def _draw_source(
    axes: Any, candidate: CandidateRecord, curves: LightCurves, span: tuple[float, float]
) -> None:
    mjd, flux, error = _points(curves, candidate.source_id)
    near = (mjd >= span[0]) & (mjd <= span[1])
    axes.errorbar(
        mjd[near], 1e3 * flux[near], 1e3 * error[near], fmt="o", ms=3, lw=0.8, color="tab:blue"
    )
    axes.plot(
        candidate.parameters.template_mjd,
        1e3 * np.asarray(candidate.parameters.template_jy),
        color="tab:red",
        lw=1.8,
        label=candidate.parameters.template,
    )
    axes.axvspan(candidate.start_mjd, candidate.end_mjd, color="tab:red", alpha=0.08)
    axes.set(ylabel="flux density (mJy)", xlim=span)
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    axes.legend(loc="lower right", fontsize=8)


def _draw_neighbours(
    axes: Any, candidate: CandidateRecord, curves: LightCurves, span: tuple[float, float]
) -> None:
    names = candidate.evidence.neighbours[:_SHOWN_NEIGHBOURS]
    for name in names:
        mjd, flux, _ = _points(curves, name)
        near = (mjd >= span[0]) & (mjd <= span[1])
        if near.any():
            axes.plot(mjd[near], flux[near] / np.median(flux), ".-", ms=3, lw=0.6, alpha=0.8)
    axes.axhline(1.0, color="0.7", lw=0.8, zorder=0)
    axes.axvspan(candidate.start_mjd, candidate.end_mjd, color="tab:red", alpha=0.08)
    depth = candidate.evidence.neighbour_depth
    axes.set_title(
        f"{len(names)} of {len(candidate.evidence.neighbours)} neighbours, "
        f"median depth of the same dip in them {100 * depth:.1f} %"
        if math.isfinite(depth)
        else "no other source of the list within the radius"
        if candidate.added_list and not names
        else "no neighbour is bright enough to show the dip",
        fontsize=9,
    )
    axes.set(ylabel="flux density / median", xlabel="MJD (days, UTC)", ylim=(0.4, 1.6))


def _draw_pieces(figure: Any, part: Any, pieces: Sequence[Piece]) -> None:
    row = part.subgridspec(1, len(pieces))
    # All cutouts share the source's brightness scale: only so the dip is visible beside others.
    top = max(_brightest_in_middle(p.pixels) for p in pieces)
    for number, piece in enumerate(pieces):
        axes = figure.add_subplot(row[0, number])
        axes.imshow(
            piece.pixels, origin="lower", cmap="inferno", vmin=-0.05 * top, vmax=max(top, 1e-9)
        )
        axes.set_title(f"{datetime_from_mjd(piece.mid_mjd):%Y-%m-%d}", fontsize=8)
        axes.set(xticks=[], yticks=[])


def _brightest_in_middle(pixels: NDArray[np.floating[Any]]) -> float:
    rows, columns = pixels.shape
    middle = pixels[rows * 3 // 8 : rows * 5 // 8 + 1, columns * 3 // 8 : columns * 5 // 8 + 1]
    finite = middle[np.isfinite(middle)]
    return float(finite.max()) if finite.size else 0.0


def _points(
    curves: LightCurves, source_id: str
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    index = int(np.searchsorted(curves.source_id, source_id))
    if index >= len(curves) or curves.source_id[index] != source_id:
        nothing = np.empty(0)
        return nothing, nothing, nothing
    own = curves.of(index)
    return curves.mid_mjd[own], curves.flux_jy[own], curves.error_jy[own]
