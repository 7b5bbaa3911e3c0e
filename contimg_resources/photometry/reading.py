"""Reading of images and mosaics for photometry.

Belongs here: the files of an image, its properties for measuring, parts of it. Doesn't: the
contents of FITS files (see `contimg_resources.images.reading`), measuring.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from contimg_resources.core.arrays import Singles
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


def part_around(
    image: MeasurableImage, ra_deg: float, dec_deg: float, half_beams: float
) -> MeasurableImage:
    """Return the square part of an image around a position, clipped at the image's edge.

    It extends `half_beams` major axes of the beam to each side. A position outside the image gives
    the whole image, on which it is outside, too.
    """
    from contimg_resources.photometry.beams import pixel_of_sky
    from contimg_resources.photometry.measuring import middle_axes

    at = [v[0] for v in pixel_of_sky(image, np.array([ra_deg]), np.array([dec_deg]))]
    pixels_per_arcsec = float(np.sqrt(abs(np.linalg.det(middle_axes(image)))))
    half = int(np.ceil(half_beams * image.beam.major_arcsec * pixels_per_arcsec))
    if not all(-0.5 <= v <= n - 0.5 for v, n in zip(at, image.pixels.shape, strict=True)):
        return image
    rows, columns = (
        slice(max(0, round(v) - half), min(n, round(v) + half + 1))
        for v, n in zip(at, image.pixels.shape, strict=True)
    )
    wcs = image.wcs.deepcopy()
    wcs.wcs.crpix = wcs.wcs.crpix - (columns.start, rows.start)

    def cut(pixels: Singles | None) -> Singles | None:
        return None if pixels is None else np.ascontiguousarray(pixels[rows, columns])

    return replace(
        image,
        pixels=np.ascontiguousarray(image.pixels[rows, columns]),
        sigma_jy=cut(image.sigma_jy),
        primary_beam=cut(image.primary_beam),
        wcs=wcs,
    )


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
