"""Reading of images in sections, and of cutouts; FITS headers of cutouts.

Belongs here: files, and the cards of the image and of the cutout. Doesn't: the use of the pixels.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from contimg_resources.core.errors import CutoutFailed, UnreadableImage
from contimg_resources.cutouts.model import Cutout, CutoutFacts
from contimg_resources.imaging.model import Beam

if TYPE_CHECKING:
    from contimg_resources.images.reading import SkyImage


@contextmanager
def opened_image(path: Path) -> Iterator["SkyImage"]:
    """Open an image, written by any software, for reading in sections.

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


_AXES = re.compile(
    r"(NAXIS|CTYPE|CRVAL|CDELT|CRPIX|CUNIT|CROTA|CNAME)[1-9]"
    r"|(PC|CD)0*[1-9]_?0*[1-9]|(PV|PS)[1-9]_[0-9]+|WCSAXES|LONPOLE|LATPOLE"
    r"|RADE(C)?SYS|EQUINOX|EPOCH"
)
#: Keywords of the whole image's pixels; and its log, which stays in the named image.
_NOT_KEPT = ("CHECKSUM", "DATASUM", "HISTORY", "COMMENT", "BSCALE", "BZERO", "BLANK", "EXTEND")


def cutout_header(image: "SkyImage", wcs: Any, facts: CutoutFacts, image_name: str) -> Any:
    """Return the header of a cutout: the image's, with the cutout's own cards.

    `wcs` holds the sky axes of the cutout, ICRS.
    """
    header = image.header.copy()
    for name in {*header}:
        if _AXES.fullmatch(name) or name in _NOT_KEPT:
            header.remove(name, ignore_missing=True, remove_all=True)
    header.update(wcs.to_header())
    beam = facts.beam
    for name, value in {
        "BUNIT": ("Jy/beam", "unit of the pixels"),
        "BMAJ": (beam.major_arcsec / 3600, "[deg] restoring beam, major axis, FWHM"),
        "BMIN": (beam.minor_arcsec / 3600, "[deg] restoring beam, minor axis, FWHM"),
        "BPA": (beam.angle_deg, "[deg] its position angle, north through east"),
        "RESTFRQ": (image.frequency_hz, "[Hz]"),
        **_cards(facts, image_name),
    }.items():
        header[name] = value
    return header


def _cards(facts: CutoutFacts, image_name: str) -> dict[str, tuple[Any, str]]:
    return {
        # Reversible, and plain ASCII in one line whatever the source is called.
        "SOURCE": (as_ascii(facts.source_id), "source at the centre"),
        "SRC_RA": (facts.ra_deg, "[deg] its position, ICRS"),
        "SRC_DEC": (facts.dec_deg, "[deg] its position, ICRS"),
        # EPOCH would mean the equinox.
        "CUTEPOCH": (facts.epoch, "key of mosaic or observation"),
        "MJD-AVG": (facts.mid_mjd, "[d] middle of the data"),
        "CUTSIZE": (facts.size_arcmin, "[arcmin] requested side"),
        "CUTRMS": (facts.rms_jy, "[Jy/beam] 1.4826 MAD of the cutout"),
        "IMGNAME": (as_ascii(image_name), "image of this cutout"),
        "IMGSUM": (facts.image_checksum, "checksum of that image"),
    }


def as_ascii(text: str) -> str:
    """Escape text for a header; `from_ascii` reverses it."""
    escaped = text.encode("unicode_escape").decode("ascii")
    bare = escaped.rstrip(" ")
    # FITS treats trailing blanks as padding.
    return bare + r"\x20" * (len(escaped) - len(bare))


def from_ascii(text: str) -> str:
    """Return the text that was passed to `as_ascii`."""
    return text.encode("ascii").decode("unicode_escape")


def facts_of(header: Any, path: Path) -> CutoutFacts:
    """Return the facts in the header of a cutout.

    Raises
    ------
    CutoutFailed
        If the header isn't that of a cutout.
    """
    try:
        return CutoutFacts(
            source_id=from_ascii(header["SOURCE"]),
            ra_deg=float(header["SRC_RA"]),
            dec_deg=float(header["SRC_DEC"]),
            epoch=str(header["CUTEPOCH"]),
            mid_mjd=float(header["MJD-AVG"]),
            size_arcmin=float(header["CUTSIZE"]),
            image_checksum=str(header["IMGSUM"]),
            beam=beam_of(header, path),
            rms_jy=float(header["CUTRMS"]),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise CutoutFailed(f"{path} is not a cutout: {error}", path=str(path)) from error


def beam_of(header: Any, path: Path) -> Beam:
    """Return the restoring beam in a header.

    Raises
    ------
    CutoutFailed
        If the header has none.
    """
    values = [header.get(name) for name in ("BMAJ", "BMIN", "BPA")]
    if not all(isinstance(v, int | float) and np.isfinite(v) for v in values):
        raise CutoutFailed(f"{path}: its header has no restoring beam: {values}", path=str(path))
    return Beam(3600 * float(values[0]), 3600 * float(values[1]), float(values[2]))
