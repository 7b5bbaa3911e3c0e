"""Read images piece by piece, and cutouts.

Belongs here: files. Doesn't: what is done with the pixels.
"""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from contimg_resources.cutouts.header import facts_of
from contimg_resources.cutouts.model import Cutout, CutoutFacts, Singles
from contimg_resources.errors import CutoutFailed


@dataclass(frozen=True)
class OpenImage:
    """An image of which pieces can be read.

    Parameters
    ----------
    header : Header
        Its header.
    wcs : WCS
        Its sky axes.
    shape : tuple of int
        Rows and columns.
    section : Section
        Pixels, all axes.
    """

    header: Any
    wcs: Any
    shape: tuple[int, int]
    section: Any

    def piece(self, rows: slice, columns: slice) -> Singles:
        """Read some rows and columns, and nothing else of the file."""
        degenerate = (0,) * (self.header["NAXIS"] - 2)
        return np.ascontiguousarray(self.section[(*degenerate, rows, columns)], np.float32)


@contextmanager
def opened_image(path: Path) -> Iterator[OpenImage]:
    """Open an image for its pieces.

    Parameters
    ----------
    path : Path
        FITS file.

    Yields
    ------
    OpenImage
        The image.

    Raises
    ------
    CutoutFailed
        If it isn't a whole image of one plane with sky axes.
    """
    from astropy.io import fits
    from astropy.wcs import WCS

    # Not mapped into memory: a file that shrinks meanwhile would kill the process.
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with fits.open(path, memmap=False) as hdus:
                hdu = hdus[0]
                shape = hdu.shape
                if len(shape) < 2 or np.prod(shape) != shape[-1] * shape[-2]:
                    raise CutoutFailed(f"{path} has shape {shape}: one plane was expected")
                needed = hdu.fileinfo()["datLoc"] + np.prod(shape) * abs(hdu.header["BITPIX"]) // 8
                if os.path.getsize(path) < needed:  # noqa: PTH202
                    raise CutoutFailed(f"{path} is truncated: {needed} bytes were expected")
                wcs = WCS(hdu.header).celestial
                if (wcs.wcs.lngtyp, wcs.wcs.lattyp) != ("RA", "DEC") or wcs.wcs.lng != 0:
                    raise CutoutFailed(f"{path}: its first axes aren't RA and DEC")
                yield OpenImage(hdu.header, wcs, shape[-2:], hdu.section)
    # A truncated file is a ValueError or TypeError to astropy, depending on where it ends.
    except (OSError, ValueError, TypeError, IndexError, KeyError, fits.VerifyError) as error:
        said = " ".join(str(error).split())
        raise CutoutFailed(f"{path} can't be read: {said}", path=str(path)) from error


def read_cutout(path: Path) -> Cutout:
    """Read a cutout.

    Raises
    ------
    CutoutFailed
        If it is damaged or none.
    """
    with opened_image(path) as image:
        pixels = image.piece(slice(None), slice(None))
        return Cutout(facts_of(image.header, path), pixels, image.wcs)


def read_facts(path: Path) -> CutoutFacts:
    """Read what a cutout's header says, and no more of it.

    Raises
    ------
    CutoutFailed
        If it is damaged or none.
    """
    from astropy.io import fits

    try:
        header = fits.Header.fromfile(path)
        facts = facts_of(header, path)
        needed = len(header.tostring()) + 4 * header["NAXIS1"] * header["NAXIS2"]
        is_whole = path.stat().st_size >= needed
    except (OSError, ValueError, KeyError, fits.VerifyError) as error:
        said = " ".join(str(error).split())
        raise CutoutFailed(f"{path} can't be read: {said}", path=str(path)) from error
    if not is_whole:
        raise CutoutFailed(f"{path} is truncated: {needed} bytes were expected", path=str(path))
    return facts
