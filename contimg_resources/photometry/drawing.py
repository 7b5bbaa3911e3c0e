"""Plots of photometry: an epoch against its references, and light curves.

Belongs here: drawing. Doesn't: measuring.
"""

from pathlib import Path
from typing import Any

import numpy as np

from contimg_resources.core.times import isot_from_mjd
from contimg_resources.imaging.model import Beam
from contimg_resources.imaging.png import brightest_pixels
from contimg_resources.photometry.epoch import EpochScale
from contimg_resources.photometry.light_curves import LightCurve
from contimg_resources.photometry.measuring import RawMeasurements
from contimg_resources.photometry.model import MeasurableImage, SourceList

_LIMIT_SIGMA = 3.0
_PICTURE_PIXELS = 1000


def draw_epoch(
    path: Path,
    raw: RawMeasurements,
    sources: SourceList,
    scale: EpochScale,
    beam: Beam,
    title: str,
) -> None:
    """Draw flux ratios against S/N and on the sky, and offsets from the catalogue positions.

    The restoring beam is drawn among the offsets.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Ellipse

    figure = Figure(figsize=(15.0, 4.6), dpi=100, layout="constrained")
    ratios, sky, offsets = figure.subplots(1, 3)
    with np.errstate(invalid="ignore"):
        shown = np.isfinite(scale.ratio) & (raw.snr > _LIMIT_SIGMA)
    reference = scale.is_reference
    for which, style in (
        (shown & ~reference, {"color": "0.6", "label": "sources"}),
        (reference, {"color": "tab:blue", "label": "references"}),
    ):
        ratios.scatter(raw.snr[which], scale.ratio[which], s=9, **style)
    ratios.axhline(1.0, color="0.8", zorder=0)
    if np.isfinite(scale.scale):
        ratios.axhline(scale.scale, color="tab:blue", linewidth=1)
        ratios.axhspan(
            scale.scale - scale.scatter, scale.scale + scale.scatter, color="tab:blue", alpha=0.12
        )
    ratios.set(
        xscale="log", ylim=(0.4, 1.6), xlabel="S/N", ylabel="measured / expected flux density"
    )
    if not (shown | reference).any():
        # A logarithmic axis without a number can't be drawn.
        ratios.set_xlim(_LIMIT_SIGMA, 1e3)
    ratios.legend(loc="upper right", fontsize=8)
    ratios.set_title(
        f"scale {scale.scale:.3f} ± {scale.error:.3f}, scatter {scale.scatter:.3f}, "
        f"{scale.n_references} references",
        fontsize=9,
    )
    drawn: Any = sky.scatter(
        sources.ra_deg[shown],
        sources.dec_deg[shown],
        c=scale.ratio[shown],
        s=14,
        cmap="coolwarm",
        vmin=0.7,
        vmax=1.3,
    )
    sky.invert_xaxis()
    sky.set(xlabel="right ascension (deg)", ylabel="declination (deg)")
    sky.set_title(f"{int(shown.sum())} sources above {_LIMIT_SIGMA:g} sigma", fontsize=9)
    figure.colorbar(drawn, ax=sky, label="flux ratio")
    offsets.scatter(raw.east_arcsec, raw.north_arcsec, s=9, color="tab:blue")
    offsets.add_patch(
        Ellipse(
            (0, 0),
            width=beam.minor_arcsec,
            height=beam.major_arcsec,
            # Degrees east of north; the horizontal axis increases to the east.
            angle=-beam.angle_deg,
            facecolor="none",
            edgecolor="tab:cyan",
        )
    )
    reach = 0.6 * beam.major_arcsec
    offsets.set(
        xlim=(reach, -reach), ylim=(-reach, reach), xlabel="east (arcsec)", ylabel="north (arcsec)"
    )
    offsets.axhline(0, color="0.85", zorder=0)
    offsets.axvline(0, color="0.85", zorder=0)
    offsets.set_aspect("equal")
    offsets.set_title(
        f'median offset {scale.east_arcsec:+.2f}" east, {scale.north_arcsec:+.2f}" north; beam',
        fontsize=9,
    )
    figure.suptitle(
        title if scale.ok else f"{title}   NOT PUBLISHED: {scale.reason}",
        fontsize=10,
        parse_math=False,
    )
    figure.savefig(path, format="png", pil_kwargs={"compress_level": 6})


def draw_sources(
    path: Path, image: MeasurableImage, raw: RawMeasurements, sources: SourceList, title: str
) -> None:
    """Draw an image with the measured sources marked."""
    from matplotlib.figure import Figure

    rows, columns = image.pixels.shape
    shown = brightest_pixels(image.pixels, _PICTURE_PIXELS)
    noise = float(np.nanmedian(raw.rms_jy * raw.primary_beam))
    height = float(np.clip(10.0 * rows / columns + 1.0, 3.0, 9.0))
    figure = Figure(figsize=(11.0, height), dpi=90, layout="constrained")
    axes: Any = figure.subplots(subplot_kw={"projection": image.wcs})
    axes.imshow(
        shown,
        extent=(-0.5, columns - 0.5, -0.5, rows - 0.5),
        origin="lower",
        cmap="gray_r",
        vmin=-2 * noise,
        vmax=12 * noise,
        interpolation="nearest",
    )
    x, y = image.wcs.all_world2pix(sources.ra_deg, sources.dec_deg, 0)
    with np.errstate(invalid="ignore"):
        detected = raw.in_image & (raw.snr > _LIMIT_SIGMA)
    told = raw.in_image & np.isfinite(raw.flux_jy)
    for which, colour, words in (
        (told & detected, "tab:blue", f"above {_LIMIT_SIGMA:g} sigma"),
        (told & ~detected, "tab:orange", "not detected"),
        (raw.in_image & ~told, "tab:red", "not measured"),
    ):
        if which.any():
            axes.scatter(
                x[which],
                y[which],
                s=34,
                facecolors="none",
                edgecolors=colour,
                linewidths=0.8,
                label=f"{words} ({int(which.sum())})",
            )
    axes.legend(loc="lower right", fontsize=7)
    axes.coords[0].set_axislabel("Right ascension (ICRS)")
    axes.coords[1].set_axislabel("Declination (ICRS)")
    axes.set_title(title, fontsize=10)
    figure.savefig(path, format="png", pil_kwargs={"compress_level": 6})


def draw_light_curve(path: Path, curve: LightCurve) -> None:
    """Draw flux density against time, with upper limits for non-detections; bad epochs grey."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.0, 4.2), dpi=110, layout="constrained")
    axes = figure.subplots()
    with np.errstate(invalid="ignore"):
        detected = curve.flux_jy > _LIMIT_SIGMA * curve.flux_error_jy
    told = np.isfinite(curve.flux_jy)
    for good, colour in ((True, "tab:blue"), (False, "0.7")):
        mine = told & (curve.epoch_ok.astype(bool) == good)
        points, limits = mine & detected, mine & ~detected
        axes.errorbar(
            curve.mid_mjd[points],
            1e3 * curve.flux_jy[points],
            1e3 * curve.flux_error_jy[points],
            fmt="o",
            markersize=3,
            linewidth=0.8,
            color=colour,
            label=("measured" if good else "bad epoch") if points.any() else None,
        )
        if limits.any():
            axes.scatter(
                curve.mid_mjd[limits],
                1e3 * _LIMIT_SIGMA * curve.flux_error_jy[limits],
                marker="v",
                s=12,
                color=colour,
                label=f"{_LIMIT_SIGMA:g} sigma limit" if good else None,
            )
    kinds = ", ".join(sorted(set(curve.kind.tolist())))
    days = [isot_from_mjd(float(mjd))[:10] for mjd in curve.mid_mjd[[0, -1]]] if len(curve) else []
    span = f", {' to '.join(days)}" if days else ""
    axes.set(xlabel="MJD (UTC)", ylabel="flux density (mJy)")
    axes.ticklabel_format(axis="x", useOffset=False)
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    axes.set_title(
        f"{curve.source_id}   {len(curve)} epochs ({kinds}){span}", fontsize=10, parse_math=False
    )
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8)
    figure.savefig(path, format="png", pil_kwargs={"compress_level": 6})
