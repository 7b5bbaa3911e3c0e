"""Pictures: the plane of eta and V, the card of a candidate, and its finding chart.

Belongs here: drawing. Doesn't: measuring, finding candidates, cutting images.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from contimg_resources.core.arrays import Floats, Reals
from contimg_resources.core.times import datetime_from_mjd
from contimg_resources.observations.calibrators import separation_deg
from contimg_resources.products.dips import DipEvidence
from contimg_resources.products.events import CandidateRecord
from contimg_resources.products.new_sources import Appearance
from contimg_resources.variability.model import LightCurves, Variability

_MOST_PIECES = 6
_SHOWN_NEIGHBOURS = 5
_AROUND_WIDTHS = 3.0
_LEAST_AROUND_DAYS = 60.0


class Piece(NamedTuple):
    """A cutout of one epoch."""

    mid_mjd: float  #: MJD in days.
    pixels: Reals  #: Jy/beam; NaN where nothing was observed. Shape (n, n).


def through(candidate: CandidateRecord, mids_mjd: Sequence[float]) -> list[int]:
    """Choose at most six epochs that show an event: before it, through it, and after it.

    `mids_mjd` are the available epochs, rising; their indices are returned, rising.
    """
    if not mids_mjd:
        return []
    # A new source may have a single transit.
    width = max(candidate.width_days, 1.0)
    wanted = candidate.mid_mjd + width * np.array([-1.5, -0.6, -0.2, 0.2, 0.6, 1.5])
    nearest = {int(np.argmin(np.abs(np.asarray(mids_mjd) - t))) for t in wanted}
    return sorted(nearest)[:_MOST_PIECES]


def draw_card(
    path: Path, candidate: CandidateRecord, curves: LightCurves, pieces: Sequence[Piece] = ()
) -> None:
    """Draw a candidate's card.

    The light curves include the source and its neighbours. Without pieces, which are cutouts
    through the event, the card has no such row. Added light curves have no cutouts, which the card
    states.
    """
    from matplotlib.figure import Figure

    rows = [3.0, 1.5] + ([1.6] if pieces else [])
    figure = Figure(figsize=(9.0, 1.5 * sum(rows) + 0.6), dpi=100, layout="constrained")
    parts = figure.add_gridspec(len(rows), 1, height_ratios=rows)
    width = candidate.width_days
    around = max(_AROUND_WIDTHS * width, _LEAST_AROUND_DAYS)
    span = (candidate.mid_mjd - around, candidate.mid_mjd + around)
    told = candidate.parameters
    depth, width_days = told.in_words()
    figure.suptitle(
        f"{candidate.source_id}   {candidate.state.value}\n"
        f"depth {depth} %,  width {width_days} d,  "
        f"minimum {datetime_from_mjd(candidate.mid_mjd):%Y-%m-%d} "
        f"± {told.mid_error_days:.2g} d,  "
        f"score {candidate.score:.0f} (threshold {told.threshold:.0f})"
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


def draw_new_card(
    path: Path,
    candidate: CandidateRecord,
    evidence: Appearance,
    curves: LightCurves,
    pieces: Sequence[Piece] = (),
) -> None:
    """Draw the card of a new source: all of its light curve, upper limit before it, cutouts."""
    from matplotlib.figure import Figure

    rows = [3.0] + ([1.6] if pieces else [])
    figure = Figure(figsize=(9.0, 1.5 * sum(rows) + 0.6), dpi=100, layout="constrained")
    parts = figure.add_gridspec(len(rows), 1, height_ratios=rows)
    figure.suptitle(
        f"{candidate.source_id}   new source, {candidate.state.value}\n"
        f"found first {datetime_from_mjd(candidate.start_mjd):%Y-%m-%d},  "
        f"{1e3 * evidence.flux_jy:.2f} ± {1e3 * evidence.flux_error_jy:.2f} mJy,  earlier "
        f"{1e3 * evidence.earlier_jy:.2f} ± {1e3 * evidence.earlier_error_jy:.2f} mJy "
        f"in {evidence.n_earlier} transits,  {candidate.score:.1f} sigma"
        f"{_withdrawn_line(candidate.evidence)}",
        fontsize=10,
    )
    axes = figure.add_subplot(parts[0])
    mjd, flux, error = _points(curves, candidate.source_id)
    axes.errorbar(mjd, 1e3 * flux, 1e3 * error, fmt="o", ms=3, lw=0.8, color="tab:blue")
    if math.isfinite(evidence.upper_limit_jy):
        span = [evidence.earliest_mjd, evidence.first_mjd]
        axes.plot(
            span,
            [1e3 * evidence.upper_limit_jy] * 2,
            color="tab:red",
            label="upper limit of the earlier epochs (3 sigma)",
        )
        axes.legend(loc="upper left", fontsize=8)
    axes.axvline(candidate.start_mjd, color="tab:red", lw=0.8)
    axes.axhline(0.0, color="0.7", lw=0.8, zorder=0)
    axes.set(ylabel="flux density (mJy)", xlabel="MJD (days, UTC)")
    if pieces:
        _draw_pieces(figure, parts[1], pieces)
    figure.savefig(path, format="png")


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
    line = (
        f"\nspectral index changes by {evidence.spectral_change:+.2f} ± "
        f"{evidence.spectral_change_error:.2f} in the dip ({evidence.n_bands} sub-bands)"
    )
    if math.isfinite(evidence.lens_over_grey):
        line += (
            f"; {evidence.lens_fraction:.2f} ± {evidence.lens_fraction_error:.2f} of the colour of "
            f"a lens (evidence {evidence.lens_over_grey:+.1f})"
        )
    return line


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


def _brightest_in_middle(pixels: Reals) -> float:
    rows, columns = pixels.shape
    middle = pixels[rows * 3 // 8 : rows * 5 // 8 + 1, columns * 3 // 8 : columns * 5 // 8 + 1]
    finite = middle[np.isfinite(middle)]
    return float(finite.max()) if finite.size else 0.0


def _points(curves: LightCurves, source_id: str) -> tuple[Floats, Floats, Floats]:
    index = int(np.searchsorted(curves.source_id, source_id))
    if index >= len(curves) or curves.source_id[index] != source_id:
        nothing = np.empty(0)
        return nothing, nothing, nothing
    own = curves.of(index)
    return curves.mid_mjd[own], curves.flux_jy[own], curves.error_jy[own]


#: Without a cutout, a finding chart shows this side; sources at most this far from the centre, in
#: sides, are marked; the names of the brightest are shown, at most this number.
_CHART_ARCMIN, _NEAR_SIDES, _NAMED_ON_CHART = 30.0, 0.75, 8


def draw_finding_chart(
    file: IO[bytes],
    candidate: CandidateRecord,
    table: Variability | None,
    image: tuple[Reals, Any] | None = None,
) -> None:
    """Draw a finding chart as PNG: the sky around a candidate, with the known sources.

    Parameters
    ----------
    file : file
        Receives the picture.
    candidate : CandidateRecord
        The candidate; without a position, the chart only says so.
    table : Variability, optional
        Positions and flux densities of the sources.
    image : tuple of array and WCS, optional
        Pixels of a cutout in Jy/beam, shape (rows, columns), and its two sky axes, ICRS.
    """
    from astropy.wcs import WCS
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 7.4), dpi=100, layout="constrained")
    if not math.isfinite(candidate.ra_deg):
        figure.suptitle(f"{candidate.source_id}\nits position is not known")
        figure.savefig(file, format="png")
        return
    side = 301
    wcs = WCS(naxis=2) if image is None else image[1]
    if image is None:
        wcs.wcs.ctype, wcs.wcs.radesys = ["RA---TAN", "DEC--TAN"], "ICRS"
        wcs.wcs.crval, wcs.wcs.crpix = [candidate.ra_deg, candidate.dec_deg], [side // 2 + 1] * 2
        wcs.wcs.cdelt = [-_CHART_ARCMIN / 60 / side, _CHART_ARCMIN / 60 / side]
    rows, columns = (side, side) if image is None else image[0].shape
    axes: Any = figure.add_subplot(projection=wcs)
    if image is not None:
        top = max(_brightest_in_middle(image[0]), 1e-9)
        axes.imshow(image[0], origin="lower", cmap="gray_r", vmin=-0.05 * top, vmax=0.7 * top)
    sky = axes.get_transform("icrs")
    (x,), (y,) = wcs.all_world2pix([candidate.ra_deg], [candidate.dec_deg], 0)
    # A gap at the centre: the source itself stays visible.
    gap, arm = 0.03 * columns, 0.1 * columns
    for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        axes.plot(
            [x + gap * dx, x + arm * dx], [y + gap * dy, y + arm * dy], color="tab:red", lw=1.6
        )
    cell_deg = float(np.sqrt(abs(np.linalg.det(wcs.pixel_scale_matrix))))
    if table is not None:
        _draw_known(axes, sky, candidate, table, 0.5 * max(rows, columns) * cell_deg)
    minute, corner = 1 / 60 / cell_deg, (0.06 * columns, 0.06 * rows)
    axes.plot([corner[0], corner[0] + minute], [corner[1]] * 2, color="black", lw=2)
    axes.annotate(
        "1 arcmin", (corner[0], corner[1]), (0, 4), textcoords="offset points", fontsize=9
    )
    axes.set(xlim=(-0.5, columns - 0.5), ylim=(-0.5, rows - 0.5))
    axes.coords[0].set_axislabel("RA (ICRS)")
    axes.coords[1].set_axislabel("Dec (ICRS)")
    axes.coords.grid(color="0.6", alpha=0.4, linestyle="dotted")
    figure.suptitle(
        f"{candidate.source_id}\n{_sexagesimal(candidate)}, north up, east left", fontsize=11
    )
    figure.savefig(file, format="png")


def _draw_known(
    axes: Any, sky: Any, candidate: CandidateRecord, table: Variability, half_deg: float
) -> None:
    """Mark the known sources around a candidate, and name the brightest."""
    away_deg = separation_deg(candidate.ra_deg, candidate.dec_deg, table.ra_deg, table.dec_deg)
    near = np.flatnonzero(away_deg <= 2 * _NEAR_SIDES * half_deg)
    near = near[table.source_id[near] != candidate.source_id]
    near = near[np.argsort(-table.mean_flux_jy[near], kind="stable")]
    axes.scatter(
        table.ra_deg[near],
        table.dec_deg[near],
        s=90,
        transform=sky,
        edgecolors="tab:blue",
        facecolors="none",
    )
    for number in near[:_NAMED_ON_CHART]:
        axes.annotate(
            f"{str(table.source_id[number])[-24:]}\n{1e3 * table.mean_flux_jy[number]:.3g} mJy",
            (table.ra_deg[number], table.dec_deg[number]),
            xycoords=sky,
            xytext=(7, 5),
            textcoords="offset points",
            fontsize=7,
            color="tab:blue",
            annotation_clip=True,
        )


def _sexagesimal(candidate: CandidateRecord) -> str:
    from astropy.coordinates import Angle

    ra = Angle(candidate.ra_deg, "deg").to_string("hourangle", sep=":", precision=2, pad=True)
    dec = Angle(candidate.dec_deg, "deg").to_string(
        "deg", sep=":", precision=1, pad=True, alwayssign=True
    )
    return f"{ra} {dec} (ICRS)"


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
