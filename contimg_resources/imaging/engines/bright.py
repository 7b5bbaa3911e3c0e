"""Find the bright sources of a drift scan in rough images, with their beams and spectra.

Belongs here: choosing the sources whose drift is subtracted. Doesn't: subtracting it (see `drift`),
the final image.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from contimg_resources.core.progress import report_progress
from contimg_resources.core.statistics import LocalNoise
from contimg_resources.imaging.beam import DriftBeam
from contimg_resources.imaging.engines.base import ImagingTask, RawImages
from contimg_resources.imaging.engines.cycles import PointSpread, clean, restore_model
from contimg_resources.imaging.engines.drift import (
    Band,
    Variation,
    band_of,
    joined,
    seen_through,
    take_out,
    variation_of,
    with_spectra,
)
from contimg_resources.imaging.engines.gridding import FAINT, ROUGH, Gridder, Values
from contimg_resources.imaging.geometry import beam_extent_rad, fft_friendly
from contimg_resources.imaging.model import ImageGrid, Source
from contimg_resources.imaging.sources import find_sources

Floats = NDArray[np.float64]

#: Lowest signal-to-noise ratio of the sources that are subtracted, with their drift through the
#: beam, before the final CLEAN.
BRIGHT_SIGMA = 15.0
#: The same in a second search, after the brighter sources are subtracted.
_FAINTER_SIGMA = 10.0
#: Lowest primary beam response at which sources are searched for.
_LOWEST_BEAM = 0.03
#: The search image has pixels larger by this factor, which halves the time, and is at most this
#: much wider: sources farther out are smeared.
_COARSER = 1.4
_WIDEST = 1.5
#: Sources above this many times the noise get a spectral index: its error is a tenth or less.
_DOMINANT_SIGMA = 250.0
#: Near a source above this many times the noise its own varying sidelobes look like bright sources:
#: subtract only sources above this share of the brightest first, then search for others.
_GLARING_SIGMA = 2000.0
_GLARING_SHARE = 0.2
_ROUNDS = 4
#: The search uses every fourth integration, where there are enough: the flux densities needn't be
#: better than that, because their residuals are CLEANed with everything else.
_EVERY = 4
_LEAST_FIELDS = 4


@dataclass(frozen=True)
class BrightSources:
    """Bright sources, and the visibilities without them."""

    variation: Variation  #: The sources.
    #: Visibilities of each block after subtracting the sources, Jy. Shape (n_rows, n_columns).
    values: Values


def drifts(task: ImagingTask) -> bool:
    """Return whether the telescope pointed in more than one direction."""
    return len(task.beam.pointings_deg) > 1


def rough_grid(grid: ImageGrid, beam: DriftBeam) -> ImageGrid:
    """Return the pixels of the image in which bright sources are searched for.

    It extends to the edge of the primary beam even where the image itself ends before: the
    sidelobes of sources outside affect the image too.
    """
    reach_rad = beam_extent_rad(beam, grid.ra_deg, grid.dec_deg, _LOWEST_BEAM)
    half_rad = 0.5 * grid.size * np.deg2rad(grid.cell_arcsec / 3600)
    wider = np.clip(reach_rad / half_rad, 1.0, _WIDEST)
    return replace(
        grid,
        size=fft_friendly(wider * grid.size / _COARSER),
        cell_arcsec=grid.cell_arcsec * _COARSER,
    )


def bright_sources(task: ImagingTask) -> BrightSources | None:
    """Find the bright sources of a drift scan and subtract them; None when there are none.

    Parameters
    ----------
    task : ImagingTask
        The data.
    """
    if not drifts(task):
        return None
    band = band_of(task.weighting)
    part = _Part.of(task, band)
    known: BrightSources | None = None
    least_sigma = BRIGHT_SIGMA
    for _ in range(_ROUNDS):
        left = task.seen.values if known is None else known.values
        found, hiding = _found(task, part, left, least_sigma)
        if not found:
            break
        known = _with(task, band, part.band, known, found)
        if hiding:
            continue
        if least_sigma < BRIGHT_SIGMA:
            break
        least_sigma, part.gridder.accuracy = _FAINTER_SIGMA, FAINT
    if known is not None:
        report_progress(f"subtracted {len(known.variation.flux_jy)} bright sources", 0.4)
    return known


@dataclass(frozen=True)
class _Part:
    """The integrations in which bright sources are searched for."""

    rows: tuple[NDArray[np.bool_], ...]
    gridder: Gridder
    grid: ImageGrid
    beam: Floats
    """Primary beam on this grid; NaN where no sources are searched for."""
    point: PointSpread
    band: Band
    noise_share: float
    """Noise of an image of all integrations over that of an image of these."""

    @classmethod
    def of(cls, task: ImagingTask, band: Band) -> "_Part":
        there = np.flatnonzero(band.share.any(axis=1))
        used = np.zeros(len(band.share), np.bool_)
        used[there[:: _EVERY if len(there) >= _EVERY * _LEAST_FIELDS else 1]] = True
        blocks = task.seen.blocks
        rows = tuple(used[b.field_ids] for b in blocks)
        gridder = Gridder(
            [replace(b, uvw_m=b.uvw_m[some]) for b, some in zip(blocks, rows, strict=True)],
            [w[some] for w, some in zip(task.weighting.weight, rows, strict=True)],
            together=True,
        )
        share = float(np.sqrt(band.share[used].sum() / band.share.sum()))
        grid = rough_grid(task.grid, task.beam)
        beam = task.beam.on_grid(grid)
        beam[beam < _LOWEST_BEAM] = np.nan
        gridder.accuracy = FAINT
        point = PointSpread.of(gridder, grid, wide=True)
        gridder.accuracy = ROUGH
        return cls(rows, gridder, grid, beam, point, band.of_fields(used), share)


def _found(
    task: ImagingTask, part: _Part, values: Values, least_sigma: float
) -> tuple[list[Source], bool]:
    """Find sources that can't be sidelobes; return whether they may hide others."""
    grid = part.grid
    some = tuple(v[rows] for v, rows in zip(values, part.rows, strict=True))
    raw = _rough(task, part, some, least_sigma)
    noise = LocalNoise.of(raw.residual, raw.beam.area_pixels(grid.cell_arcsec))
    least = least_sigma * part.noise_share
    found = find_sources(raw.image, noise, part.beam, raw.beam, grid, least, shapes=False)
    peak_jy = max((s.peak_jy for s in found), default=0.0)
    hidden_jy = part.point.hidden_below_jy(float(np.abs(raw.residual).max()))
    if peak_jy > _GLARING_SIGMA * task.noise_jy:
        hidden_jy = max(hidden_jy, _GLARING_SHARE * peak_jy)
    certain = [s for s in found if s.peak_jy > hidden_jy]
    return certain, len(certain) < len(found)


def _with(
    task: ImagingTask,
    band: Band,
    found_in: Band,
    known: BrightSources | None,
    found: list[Source],
) -> BrightSources:
    """Subtract further sources, and refine the fluxes and spectra of the dominant ones."""
    seen = task.seen
    there = variation_of(
        found,
        found_in,
        seen.pointings_deg,
        seen.phase_center_deg,
        task.dish_m,
        seen.beam_shape,
    )
    more = seen_through(there, band)
    table = more.table_jy(band)
    values = tuple(v.copy() for v in seen.values) if known is None else known.values
    take_out(values, seen, band, more.cosines, table)
    together = more if known is None else joined(known.variation, more)
    dominant = np.abs(together.mean_jy) > _DOMINANT_SIGMA * task.noise_jy
    if not dominant[-len(found) :].any():
        # The earlier ones were measured already, and faint ones don't affect them.
        dominant[:] = False
    better = with_spectra(
        together, band, seen, task.weighting.weight, values, dominant, task.noise_jy
    )
    changed = np.flatnonzero(dominant)
    if len(changed):
        change = better.table_jy(band)[:, :, changed] - together.table_jy(band)[:, :, changed]
        take_out(values, seen, band, better.cosines[changed], change)
    return BrightSources(better, values)


def _rough(task: ImagingTask, part: _Part, values: Values, least_sigma: float) -> RawImages:
    """Make an image of bright sources without major cycles."""
    grid, point = part.grid, part.point
    dirty = part.gridder.dirty(values, grid)
    peak_jy = float(np.abs(dirty).max())
    down_to_jy = least_sigma * task.noise_jy
    if peak_jy > _GLARING_SIGMA * task.noise_jy:
        # Anything fainter than the sources to subtract is mostly their sidelobes.
        down_to_jy = max(down_to_jy, 0.5 * _GLARING_SHARE * peak_jy)
    cleaned = clean(task, grid, point, dirty, None, down_to_jy, 1)
    image = cleaned.residual.copy()
    restore_model(image, cleaned.model, point)
    return RawImages(
        image, cleaned.residual, point.middle(grid.size), point.beam, cleaned.n_iterations
    )
