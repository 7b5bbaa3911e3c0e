"""Reading of images and mosaics for photometry.

Belongs here: the files of an image, and its properties for measuring. Doesn't: the contents of FITS
files (see `contimg_resources.images.reading`), measuring.
"""

from pathlib import Path

import numpy as np

from contimg_resources.core.errors import UnreadableImage
from contimg_resources.images.reading import opened_image, read_map
from contimg_resources.imaging.model import ImageFiles
from contimg_resources.photometry.model import Kind, MeasurableImage


def read_image(directory: Path, stem: str, *, epoch: str | None = None) -> MeasurableImage:
    """Read a 5-minute image, of uniform noise, and its primary beam.

    `stem` is the first part of the products' names, and the default of the partition key `epoch`.

    Raises
    ------
    UnreadableImage
        Names the file and the problem.
    """
    files = ImageFiles.in_directory(directory, stem)
    return _read("image", epoch or stem, files.image, None, files.primary_beam)


def read_mosaic(image: Path, sigma: Path | None, *, epoch: str) -> MeasurableImage:
    """Read a mosaic and its noise map; None if the noise varies slowly.

    The mosaic is PB-corrected; both may have any unit of flux density per beam, projection and
    frame.

    Raises
    ------
    UnreadableImage
        Names the file and the problem.
    """
    return _read("mosaic", epoch, image, sigma, None)


def _read(
    kind: Kind, epoch: str, image: Path, sigma: Path | None, primary_beam: Path | None
) -> MeasurableImage:
    with opened_image(image) as found:
        pixels = found.pixels()
        response = None if primary_beam is None else read_map(primary_beam, found, response=True)
        if response is not None and not np.isfinite(response[np.isfinite(pixels)]).any():
            raise UnreadableImage(
                f"{image} and {primary_beam} have no pixel in common", path=str(image)
            )
        return MeasurableImage(
            kind=kind,
            epoch=epoch,
            pixels=pixels,
            sigma_jy=None if sigma is None else read_map(sigma, found),
            primary_beam=response,
            wcs=found.wcs,
            beam=found.beam,
            frequency_hz=found.frequency_hz,
            start_mjd=found.observed.start_mjd,
            mid_mjd=found.observed.mid_mjd,
            end_mjd=found.observed.end_mjd,
        )
