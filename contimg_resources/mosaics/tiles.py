"""Reading the 5-minute images of a mosaic.

Belongs here: opening their files, and rejecting invalid ones. Doesn't: using them.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.wcs.utils import proj_plane_pixel_scales
from numpy.typing import NDArray

from contimg_resources.core.errors import MosaicFailed, UnreadableImage
from contimg_resources.images.reading import opened_image, read_raw
from contimg_resources.imaging.model import Beam, ImageGrid, SubBandImage
from contimg_resources.mosaics.model import TileFiles

Pixels = NDArray[np.float32]


@dataclass(frozen=True)
class Tile:
    """Header of a tile."""

    files: TileFiles  #: Its files.
    grid: ImageGrid  #: Its pixel grid.
    beam: Beam  #: Its restoring beam.
    #: `frequency_hz`, `bandwidth_hz`: Effective frequency and bandwidth, Hz; the latter NaN if it
    #: isn't known.
    frequency_hz: float
    bandwidth_hz: float
    #: `start_mjd`, `end_mjd`: Time covered, MJD in days.
    start_mjd: float
    end_mjd: float
    telescope: str  #: Telescope.

    @property
    def key(self) -> str:
        """Partition key of its observation."""
        return self.files.key

    @property
    def mid_mjd(self) -> float:
        """Mid-time of its data, MJD in days."""
        return 0.5 * (self.start_mjd + self.end_mjd)


def read_tile(files: TileFiles) -> Tile:
    """Read the header of a tile.

    Raises
    ------
    MosaicFailed
        If its image is missing or truncated, or has no valid header.
    """
    try:
        with opened_image(files.image) as image:
            rows, columns = image.shape
            sky = image.wcs
            cell_deg = float(proj_plane_pixel_scales(sky)[1])
            tile = Tile(
                files=files,
                grid=ImageGrid(
                    columns,
                    # Not from the matrix, which has fewer digits.
                    3600 * float(image.header.get("CDELT2", cell_deg)),
                    *(float(v) for v in sky.wcs.crval),
                ),
                beam=image.beam,
                frequency_hz=image.frequency_hz,
                bandwidth_hz=image.bandwidth_hz,
                start_mjd=image.observed.start_mjd,
                end_mjd=image.observed.end_mjd,
                telescope=str(image.header.get("TELESCOP", "")),
            )
    except UnreadableImage as error:
        raise MosaicFailed(error.message, path=str(files.image)) from error
    off = np.abs(sky.wcs.crpix - (columns // 2 + 1)).max()
    if rows != columns or str(sky.wcs.ctype[0]) != "RA---SIN" or off > 1e-3:
        raise _refused(files.image, "isn't a square image in the projection SIN")
    return tile


def read_response(tile: Tile) -> Pixels:
    """Read the primary beam of a tile, shape (size, size), also one with larger pixels.

    Raises
    ------
    MosaicFailed
        If it can't be read, or its size fits neither the image nor that of a sub-band's beam.
    """
    path, coarse = tile.files.primary_beam, SubBandImage.beam_grid(tile.grid)
    pixels = _read(path)
    if pixels.shape != (coarse.size, coarse.size):
        return _checked(path, pixels, tile.grid.size)
    step = coarse.cell_arcsec / tile.grid.cell_arcsec
    place = (np.arange(tile.grid.size) - tile.grid.size // 2) / step + coarse.size // 2
    # Linear interpolation along both axes.
    away = np.abs(place[:, None] - np.arange(coarse.size))
    matrix = np.maximum(1.0 - away, 0.0).astype(np.float32)
    return np.asarray(matrix @ pixels.astype(np.float32) @ matrix.T)


def read_pixels(path: Path, size: int) -> Pixels:
    """Read one of a tile's files, shape (size, size).

    Raises
    ------
    MosaicFailed
        If it can't be read, or its size differs from that of the tile's image.
    """
    return _checked(path, _read(path), size)


def _read(path: Path) -> Pixels:
    try:
        return read_raw(path)
    except UnreadableImage as error:
        raise MosaicFailed(error.message, path=str(path)) from error


def _checked(path: Path, pixels: Pixels, size: int) -> Pixels:
    if pixels.shape != (size, size):
        raise _refused(path, f"has {pixels.shape} pixels, not {size} x {size} like its image")
    return pixels


def _refused(path: Path, why: str) -> MosaicFailed:
    return MosaicFailed(f"{path} {' '.join(why.split())}", path=str(path))
