"""Read images and mosaics for photometry.

Belongs here: FITS files and what their headers must say. Doesn't: measuring.
"""

from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from contimg_resources.errors import UnreadableImage
from contimg_resources.imaging.model import Beam, ImageFiles
from contimg_resources.photometry.model import Kind, MeasurableImage, Singles

_JY_PER_BEAM = "jy/beam"


def read_image(directory: Path, stem: str, *, epoch: str | None = None) -> MeasurableImage:
    """Read a 5-minute image and its primary beam.

    Parameters
    ----------
    directory : Path
        Directory of the image's products.
    stem : str
        First part of their names.
    epoch : str, optional
        Partition key; None: `stem`.

    Returns
    -------
    MeasurableImage
        Flat noise; fluxes are to be divided by the primary beam.

    Raises
    ------
    UnreadableImage
        Naming the file and what is wrong with it.
    """
    files = ImageFiles.in_directory(directory, stem)
    return _read("image", epoch or stem, files.image, None, files.primary_beam)


def read_mosaic(image: Path, sigma: Path | None, *, epoch: str) -> MeasurableImage:
    """Read a mosaic and its map of noise.

    Parameters
    ----------
    image : Path
        PB-corrected, Jy/beam, NaN outside the observed sky.
    sigma : Path or None
        Noise of each pixel, Jy/beam; None: it varies slowly.
    epoch : str
        Partition key.

    Returns
    -------
    MeasurableImage
        The mosaic.

    Raises
    ------
    UnreadableImage
        Naming the file and what is wrong with it.
    """
    return _read("mosaic", epoch, image, sigma, None)


def _read(
    kind: Kind, epoch: str, image: Path, sigma: Path | None, primary_beam: Path | None
) -> MeasurableImage:
    header, pixels = _open(image, _JY_PER_BEAM)
    sigma_jy = None if sigma is None else _map(sigma, _JY_PER_BEAM, image, pixels)
    response = None if primary_beam is None else _map(primary_beam, "", image, pixels)
    start_mjd, end_mjd = _number(header, image, "MJD-OBS"), _number(header, image, "MJD-END")
    if start_mjd > end_mjd:
        raise UnreadableImage(
            f"{image} ends before it begins: MJD-OBS = {start_mjd}, MJD-END = {end_mjd}",
            path=str(image),
        )
    frequency_hz = _number(header, image, "RESTFRQ")
    if frequency_hz <= 0:
        raise UnreadableImage(
            f"{image}: its header says RESTFRQ = {frequency_hz}, a frequency was expected",
            path=str(image),
        )
    beam = Beam(
        3600 * _number(header, image, "BMAJ"),
        3600 * _number(header, image, "BMIN"),
        _number(header, image, "BPA"),
    )
    if not beam.major_arcsec >= beam.minor_arcsec > 0:
        raise UnreadableImage(f"{image}: its header has no sane beam: {beam}", path=str(image))
    return MeasurableImage(
        kind=kind,
        epoch=epoch,
        pixels=pixels,
        sigma_jy=sigma_jy,
        primary_beam=response,
        wcs=_sky(header, image),
        beam=beam,
        frequency_hz=frequency_hz,
        start_mjd=start_mjd,
        mid_mjd=(
            _number(header, image, "MJD-AVG")
            if "MJD-AVG" in header
            else 0.5 * (start_mjd + end_mjd)
        ),
        end_mjd=end_mjd,
    )


def _map(path: Path, unit: str, image: Path, pixels: Singles) -> Singles:
    found = _open(path, unit)[1]
    if found.shape != pixels.shape:
        raise UnreadableImage(
            f"{path} has {found.shape} pixels, {image} has {pixels.shape}", path=str(path)
        )
    return found


def _open(path: Path, unit: str) -> tuple[fits.Header, Singles]:
    try:
        with fits.open(path, memmap=False) as hdus:
            header = hdus[0].header.copy()
            data = hdus[0].data
    # A truncated file is a ValueError or TypeError to astropy, depending on where it ends.
    except (OSError, ValueError, TypeError, IndexError) as error:
        said = " ".join(str(error).split())
        raise UnreadableImage(f"{path} can't be read: {said}", path=str(path)) from error
    if data is None or data.dtype.kind != "f":
        raise UnreadableImage(f"{path} holds no image of real numbers", path=str(path))
    if data.ndim < 2 or data.size != data.shape[-1] * data.shape[-2]:
        raise UnreadableImage(
            f"{path} has shape {data.shape}: one plane was expected", path=str(path)
        )
    told = str(header.get("BUNIT", "")).strip().lower()
    if told != unit:
        raise UnreadableImage(f"{path} is in {told!r}, not in {unit!r}", path=str(path))
    return header, np.ascontiguousarray(data.reshape(data.shape[-2:]), dtype=np.float32)


def _number(header: fits.Header, path: Path, keyword: str) -> float:
    value: Any = header.get(keyword)
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        raise UnreadableImage(
            f"{path}: its header says {keyword} = {value!r}, a number was expected",
            path=str(path),
        )
    return float(value)


def _sky(header: fits.Header, path: Path) -> WCS:
    try:
        wcs = WCS(header).celestial
    except Exception as error:  # wcslib has a family of its own
        raise UnreadableImage(
            f"{path}: no sky coordinates: {' '.join(str(error).split())}", path=str(path)
        ) from error
    if wcs.naxis != 2:
        raise UnreadableImage(f"{path}: its header has no sky axes", path=str(path))
    if (wcs.wcs.lngtyp, wcs.wcs.lattyp) != ("RA", "DEC"):
        raise UnreadableImage(
            f"{path}: its sky axes are {' and '.join(wcs.wcs.ctype)}, RA and DEC were expected",
            path=str(path),
        )
    return wcs
