"""Reading the 5-minute images that a mosaic is made of.

Belongs here: opening their files, and refusing what isn't a sane tile. Doesn't: using them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from contimg_resources.errors import MosaicFailed
from contimg_resources.imaging.model import Beam, ImageGrid
from contimg_resources.mosaics.model import TileFiles

Pixels = NDArray[np.float32]


@dataclass(frozen=True)
class Tile:
    """What the header of a tile says.

    Parameters
    ----------
    files : TileFiles
        Where it is.
    grid : ImageGrid
        Its pixels.
    beam : Beam
        Its restoring beam.
    frequency_hz, bandwidth_hz : float
        Effective frequency and width of the band, Hz.
    start_mjd, end_mjd : float
        Time covered, MJD in days.
    telescope : str
        Telescope.
    """

    files: TileFiles
    grid: ImageGrid
    beam: Beam
    frequency_hz: float
    bandwidth_hz: float
    start_mjd: float
    end_mjd: float
    telescope: str

    @property
    def key(self) -> str:
        """Partition key of its observation."""
        return self.files.key

    @property
    def mid_mjd(self) -> float:
        """Middle of the time covered, MJD in days."""
        return 0.5 * (self.start_mjd + self.end_mjd)


def read_tile(files: TileFiles) -> Tile:
    """Read the header of a tile.

    Raises
    ------
    MosaicFailed
        If its image is missing, truncated, or lacks a sane header.
    """
    try:
        with fits.open(files.image) as hdus:
            header: Any = hdus[0].header
            tile = Tile(
                files=files,
                grid=ImageGrid(
                    int(header["NAXIS1"]),
                    3600 * float(header["CDELT2"]),
                    float(header["CRVAL1"]),
                    float(header["CRVAL2"]),
                ),
                beam=Beam(
                    3600 * float(header["BMAJ"]),
                    3600 * float(header["BMIN"]),
                    float(header["BPA"]),
                ),
                frequency_hz=float(header["CRVAL3"]),
                bandwidth_hz=float(header["CDELT3"]),
                start_mjd=float(header["MJD-OBS"]),
                end_mjd=float(header["MJD-END"]),
                telescope=str(header["TELESCOP"]),
            )
            square = header["NAXIS1"] == header["NAXIS2"] and header["CTYPE1"] == "RA---SIN"
    except (OSError, KeyError, TypeError, ValueError, IndexError) as error:
        raise _refused(files.image, f"can't be read: {error}") from error
    beam = tile.beam
    if not square or not tile.grid.cell_arcsec > 0:
        raise _refused(files.image, "isn't a square image in the projection SIN")
    if not 0 < beam.minor_arcsec <= beam.major_arcsec < 3600 or not np.isfinite(beam.angle_deg):
        raise _refused(files.image, f"has no sane restoring beam ({beam})")
    return tile


def read_pixels(path: Path, size: int) -> Pixels:
    """Return the pixels of one of a tile's files, shape (size, size).

    Raises
    ------
    MosaicFailed
        If it can't be read, or has another size than the tile's image.
    """
    try:
        with fits.open(path, memmap=False) as hdus:
            pixels = np.asarray(np.squeeze(hdus[0].data), dtype=np.float32)
    except (OSError, TypeError, ValueError, IndexError) as error:
        raise _refused(path, f"can't be read: {error}") from error
    if pixels.shape != (size, size):
        raise _refused(path, f"has {pixels.shape} pixels, not {size} x {size} as its image")
    return pixels


def _refused(path: Path, why: str) -> MosaicFailed:
    return MosaicFailed(f"{path} {' '.join(why.split())}", path=str(path))
