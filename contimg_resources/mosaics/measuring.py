"""Quality measures of a mosaic: noise, coverage, steps at the edges of tiles.

Belongs here: numbers over pixels. Doesn't: their limits, making mosaics.
"""

import numpy as np
from numpy.typing import NDArray

from contimg_resources.core.errors import MosaicFailed
from contimg_resources.core.statistics import mad_rms, without_slopes
from contimg_resources.images.resampling import Pixels, places
from contimg_resources.imaging.model import Beam
from contimg_resources.mosaics.grid import box_of, reach_deg
from contimg_resources.mosaics.model import MosaicGrid, MosaicStatistics, Seam, TileInMosaic
from contimg_resources.mosaics.tiles import Tile, read_response

#: Neighbouring pixels are correlated: pixels this many beams apart are used.
_STEP_BEAMS = 0.7
#: Size of the blocks for fitting a slope, in beams (major axis).
_BLOCK_BEAMS = 16.0
#: Width of the zones on either side of a tile's edge, in beams.
_BAND_BEAMS = 6.0
#: Pixels further from their median than this are sources.
_SOURCE_SIGMA = 4.0
_LEAST_BEAMS = 20.0


def measure(
    image: Pixels, sigma: Pixels, coverage: Pixels, grid: MosaicGrid, beam: Beam, n_tiles: int
) -> MosaicStatistics:
    """Measure a mosaic.

    Parameters
    ----------
    image, sigma, coverage : ndarray of float32, shape (rows, columns)
        Mosaic and expected noise, Jy/beam, NaN where no tile is; number of tiles.
    grid : MosaicGrid
        Pixels.
    beam : Beam
        Restoring beam.
    n_tiles : int
        Number of tiles.

    Raises
    ------
    MosaicFailed
        If no pixel is observed.
    """
    covered = int(np.count_nonzero(coverage))
    if not covered:
        raise MosaicFailed("the mosaic covers no sky")
    step = _step(grid, beam)
    some, expected = image[::step, ::step], sigma[::step, ::step]
    # Faint emission on scales of many beams isn't noise.
    side = max(1, round(_BLOCK_BEAMS * beam.major_arcsec / (step * grid.cell_arcsec)))
    quiet = without_slopes(some, side)
    deep = expected <= np.nanpercentile(expected, 25)
    return MosaicStatistics(
        rms_jy=mad_rms(quiet[deep]),
        expected_rms_jy=float(np.median(expected[deep])),
        rms_ratio=mad_rms(quiet / expected),
        peak_jy=float(np.nanmax(image)),
        observed_deg2=covered * (grid.cell_arcsec / 3600) ** 2,
        n_tiles=n_tiles,
        deepest_tiles=int(coverage.max()),
    )


def find_seam(
    tile: Tile,
    known: TileInMosaic,
    image: Pixels,
    sigma: Pixels,
    grid: MosaicGrid,
    beam: Beam,
    cut: float,
) -> Seam | None:
    """Measure the step at the edge of a tile; None if it doesn't overlap other tiles.

    Notes
    -----
    The mean of N pixels of noise with the shape of the restoring beam has the variance
    ``sigma^2 2 Omega / (N a)``, with the beam's solid angle Omega and a pixel's a: the
    autocorrelation of the noise is a Gaussian of twice the solid angle.
    """
    from scipy.ndimage import distance_transform_edt

    response = read_response(tile)
    reach = reach_deg(response, tile.grid, cut)
    # A margin for sky outside the edge.
    margin_deg = _BAND_BEAMS * beam.major_arcsec / 3600
    inner = box_of(grid, tile.grid.ra_deg, tile.grid.dec_deg, reach)
    if inner is None:
        return None
    step = _step(grid, beam)
    more = int(np.ceil(3600 * margin_deg / grid.cell_arcsec))
    box = (
        slice(max(0, inner[0].start - more), min(grid.rows, inner[0].stop + more)),
        slice(max(0, inner[1].start - more), min(grid.columns, inner[1].stop + more)),
    )
    with np.errstate(invalid="ignore"):
        used = places(tile.grid, grid, box, step).sample(response, 1) > cut
    rows, columns = (slice(s.start, s.stop, step) for s in box)
    value, expected = image[rows, columns], sigma[rows, columns]
    near = more / step
    seen = np.isfinite(value)
    inside = seen & used & (distance_transform_edt(used) <= near)
    outside = seen & ~used & (distance_transform_edt(~used) <= near)
    area = grid.cell_arcsec**2 * step**2
    least = _LEAST_BEAMS * beam.area_pixels(1.0) / area
    if inside.sum() < least or outside.sum() < least:
        return None
    (step_in, var_in), (step_out, var_out) = (
        _quiet_mean(value[m], expected[m], beam.area_pixels(1.0) / area) for m in (inside, outside)
    )
    return Seam(known.key, step_in - step_out, float(np.sqrt(var_in + var_out)))


def _quiet_mean(value: Pixels, sigma: Pixels, beam_cells: float) -> tuple[float, float]:
    """Return the weighted mean of correlated pixels without sources, and its variance."""
    quiet = np.abs(value - np.median(value)) < _SOURCE_SIGMA * sigma
    weight = sigma[quiet].astype(np.float64) ** -2
    # Cells larger than two beams are independent.
    correlated = max(1.0, 2.0 * beam_cells)
    # Faint sources increase the scatter above the tiles' noise.
    excess = max(1.0, mad_rms(value / sigma)) ** 2
    mean = (weight * value[quiet]).sum() / weight.sum()
    return float(mean), float(excess * correlated / weight.sum())


def _step(grid: MosaicGrid, beam: Beam) -> int:
    pixels: NDArray[np.float64] = np.sqrt(np.float64(beam.area_pixels(grid.cell_arcsec)))
    return max(1, round(_STEP_BEAMS * float(pixels)))
