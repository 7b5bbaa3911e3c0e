"""Animations of a source's cutouts.

Belongs here: choosing frames, the GIF. Doesn't: drawing a frame (see `drawing`).
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from contimg_resources.core.directories import whole_file
from contimg_resources.cutouts.drawing import Caption, Panel, shown_time
from contimg_resources.cutouts.model import BrightnessScale, Cutout, shown_name
from contimg_resources.cutouts.stacking import CommonGrid, one_source, read_all

MOST_FRAMES = 120
_FRAME_MS = 250
_LAST_MS = 1500
_DPI = 90
_COLOURS = 160


class FluxThen(NamedTuple):
    """Measurement of a source in an epoch."""

    flux_jy: float  #: Flux density, Jy; NaN if it wasn't measured.
    error_jy: float  #: Error of the flux density, Jy; NaN if it wasn't measured.


def animate(
    cutouts: Sequence[Path],
    place: Path,
    fluxes: Mapping[str, FluxThen] | None = None,
    scale: BrightnessScale | None = None,
    most_frames: int = MOST_FRAMES,
) -> int:
    """Write an animation (GIF) of a source's cutouts; return its number of frames.

    All frames are on one grid and in one brightness scale: by default one from the typical noise
    and the brightest peak. The cutouts are in the order of time; if there are more than
    `most_frames` (at most `MOST_FRAMES`), that many are chosen evenly, including the first and the
    last. `fluxes` are the flux densities by epoch, written into the frames.

    Raises
    ------
    CutoutFailed
        If no cutout can be read, or they show several sources.
    """
    from PIL import Image

    found, _ = read_all(chosen(cutouts, min(most_frames, MOST_FRAMES)))
    read = [cutout for _, cutout in found]
    source_id = one_source(read, cutouts)
    grid = CommonGrid.of(read)
    pixels = [grid.resampled(cutout) for cutout in read]
    if scale is None:
        rms_jy = float(np.median([c.facts.rms_jy for c in read]))
        peaks = [float(np.nanmax(p)) for p in pixels if np.isfinite(p).any()]
        scale = BrightnessScale.of(rms_jy, max(peaks, default=math.nan))
    panel = Panel(grid.wcs, grid.shape, grid.ra_deg, grid.dec_deg, scale, _DPI)
    frames = [
        Image.fromarray(panel.draw(p, c.facts.beam, _caption(source_id, c, fluxes or {}))).quantize(
            _COLOURS, dither=Image.Dither.NONE
        )
        for c, p in zip(read, pixels, strict=True)
    ]
    durations_ms = [_FRAME_MS] * (len(frames) - 1) + [_LAST_MS]

    def write(partial: Path) -> None:
        frames[0].save(
            partial,
            format="GIF",
            save_all=True,
            append_images=frames[1:],
            duration=durations_ms if len(frames) > 1 else _LAST_MS,
            loop=0,
            optimize=False,
        )

    place.parent.mkdir(parents=True, exist_ok=True)
    whole_file(place, write)
    return len(frames)


def chosen(cutouts: Sequence[Path], most: int) -> list[Path]:
    """Choose at most that many, evenly, including the first and the last."""
    if len(cutouts) <= most:
        return list(cutouts)
    if most < 2:
        return [cutouts[-1]]
    return [cutouts[i] for i in np.linspace(0, len(cutouts) - 1, most).round().astype(int)]


def _caption(source_id: str, cutout: Cutout, fluxes: Mapping[str, FluxThen]) -> Caption:
    told = shown_time(cutout.facts.mid_mjd)
    then = fluxes.get(cutout.facts.epoch)
    if then is not None and math.isfinite(then.flux_jy):
        told += f"   {1e3 * then.flux_jy:.1f} ± {1e3 * then.error_jy:.1f} mJy"
    return Caption(shown_name(source_id), told)
