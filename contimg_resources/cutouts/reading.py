"""Reading of images in sections, and of cutouts.

Belongs here: files. Doesn't: the use of the pixels.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from contimg_resources.core.errors import CutoutFailed, UnreadableImage
from contimg_resources.cutouts.header import facts_of
from contimg_resources.cutouts.model import Cutout, CutoutFacts

if TYPE_CHECKING:
    from contimg_resources.images.reading import SkyImage


@contextmanager
def opened_image(path: Path) -> Iterator["SkyImage"]:
    """Open an image, written by any software, for reading in sections.

    Yields
    ------
    SkyImage
        The image.

    Raises
    ------
    CutoutFailed
        If it isn't a complete image of one plane with sky axes.
    """
    from contimg_resources.images.reading import opened_image as opened

    try:
        with opened(path) as image:
            yield image
    except UnreadableImage as error:
        raise CutoutFailed(error.message, path=str(path)) from error


def read_cutout(path: Path) -> Cutout:
    """Read a cutout.

    Raises
    ------
    CutoutFailed
        If the file is damaged or isn't a cutout.
    """
    with opened_image(path) as image:
        pixels = image.piece(slice(None), slice(None))
        return Cutout(facts_of(image.header, path), pixels, image.wcs)


def read_facts(path: Path) -> CutoutFacts:
    """Read the facts in a cutout's header, without the pixels.

    Raises
    ------
    CutoutFailed
        If the file is damaged or isn't a cutout.
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
