"""The contribution of a tile to a mosaic.

Belongs here: from the files of a tile to pixels on the mosaic's grid, at its beam. Doesn't: adding
them up.
"""

from dataclasses import dataclass

import numpy as np

from contimg_resources.core.errors import ImagingFailed, MosaicFailed
from contimg_resources.core.statistics import observed_rms
from contimg_resources.images.resampling import Pixels, places
from contimg_resources.imaging.model import Beam
from contimg_resources.mosaics.beams import convolve
from contimg_resources.mosaics.grid import box_of, reach_deg
from contimg_resources.mosaics.model import MosaicGrid, TileInMosaic
from contimg_resources.mosaics.tiles import Tile, read_pixels, read_response


@dataclass(frozen=True)
class Contribution:
    """A tile on the pixels of the mosaic."""

    tile: TileInMosaic  #: The tile and its noise.
    box: tuple[slice, slice]  #: Rows and columns of the mosaic.
    image: Pixels  #: At the common beam, before primary-beam correction, Jy/beam. Shape of the box.
    beam: Pixels  #: Primary beam; NaN below its cut. Shape of the box.


def reach_of(tile: Tile, cut: float) -> float:
    """Return the radius within which a tile contributes, degrees.

    Raises
    ------
    MosaicFailed
        If its primary beam can't be read, or is below the cut everywhere.
    """
    reach = reach_deg(read_response(tile), tile.grid, cut)
    if reach <= 0:
        raise MosaicFailed(
            f"{tile.files.primary_beam} is below {cut:g} everywhere",
            path=str(tile.files.primary_beam),
        )
    return reach


def contribution(tile: Tile, grid: MosaicGrid, common: Beam, cut: float) -> Contribution:
    """Convolve a tile to the beam of a mosaic and resample it onto its pixels.

    The noise is measured again, on the residual at the common beam.

    Raises
    ------
    MosaicFailed
        If its files can't be read, contain pixels that aren't finite, or lie outside the mosaic.
    """
    size, cell = tile.grid.size, tile.grid.cell_arcsec
    image = read_pixels(tile.files.image, size)
    residual = read_pixels(tile.files.residual, size)
    response = read_response(tile)
    for path, pixels in ((tile.files.image, image), (tile.files.residual, residual)):
        # The convolution would treat them as zeros, or the spline spread them over the tile.
        if wrong := int(np.count_nonzero(~np.isfinite(pixels))):
            raise MosaicFailed(f"{path} has {wrong} pixels that are not finite", path=str(path))
    reach = reach_deg(response, tile.grid, cut)
    box = box_of(grid, tile.grid.ra_deg, tile.grid.dec_deg, reach) if reach > 0 else None
    if box is None:
        raise MosaicFailed(
            f"{tile.files.image} is outside the mosaic"
            if reach > 0
            else f"{tile.files.primary_beam} is below {cut:g} everywhere",
            path=str(tile.files.image),
        )
    try:
        with np.errstate(invalid="ignore"):
            rms_jy = observed_rms(convolve(residual, tile.beam, common, cell), response > cut)
    except ImagingFailed as error:
        raise MosaicFailed(f"{tile.files.residual}: {error.message}") from error
    blurred = convolve(image, tile.beam, common, cell)
    if not rms_jy > 0:
        raise MosaicFailed(f"{tile.files.residual} has no noise", path=str(tile.files.residual))
    there = places(tile.grid, grid, box)
    return Contribution(
        tile=TileInMosaic(
            key=tile.key,
            checksum=tile.files.checksum,
            beam=tile.beam,
            rms_jy=rms_jy,
            ra_deg=tile.grid.ra_deg,
            dec_deg=tile.grid.dec_deg,
            start_mjd=tile.start_mjd,
            end_mjd=tile.end_mjd,
            frequency_hz=tile.frequency_hz,
        ),
        box=box,
        image=there.sample(blurred, 5),
        # It is smooth, and NaN below its cut, which a longer spline would spread.
        beam=there.sample(response, 1),
    )
