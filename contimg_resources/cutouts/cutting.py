"""Cut the sky around a source out of an image, as FITS with a PNG beside it.

Belongs here: choosing the pixels, and writing both files. Doesn't: drawing, choosing images.
"""

import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from contimg_resources.core.arrays import Singles
from contimg_resources.core.checksums import content_checksum
from contimg_resources.core.directories import whole_file
from contimg_resources.core.errors import CutoutFailed
from contimg_resources.core.statistics import mad_rms
from contimg_resources.cutouts.drawing import write_picture
from contimg_resources.cutouts.model import BrightnessScale, Cutout, CutoutFacts, shown_name
from contimg_resources.cutouts.places import png_beside
from contimg_resources.cutouts.reading import cutout_header, opened_image

if TYPE_CHECKING:
    from contimg_resources.images.reading import SkyImage

#: Maximum size of a cutout.
_MOST_PIXELS = 4096
_TRIES = 3


@dataclass(frozen=True)
class CutoutOf:
    """Source and epoch of a cutout."""

    source_id: str  #: Name of the source.
    epoch: str  #: Key of the mosaic or observation.
    #: Checksum of the image; if empty it is computed, which reads the whole image.
    image_checksum: str = ""


def cut(
    image_path: Path,
    ra_deg: float,
    dec_deg: float,
    size_arcmin: float,
    place: Path,
    of: CutoutOf,
    scale: BrightnessScale | None = None,
) -> CutoutFacts:
    """Cut the sky around a source out of an image, in the image's own pixels.

    Image and cutout are in Jy/beam; the position is in ICRS degrees, and pixels outside the image
    are NaN. The FITS file is written to `place`, whose directory is made, and the PNG beside it;
    `scale` is the PNG's, by default one that suits this cutout.

    Raises
    ------
    CutoutFailed
        If the position is outside the image, there are no observed pixels, or the image can't be
        read.
    """
    try:
        with opened_image(image_path) as image:
            pixels, wcs = _piece(image, ra_deg, dec_deg, size_arcmin)
            facts = CutoutFacts(
                source_id=of.source_id,
                ra_deg=ra_deg % 360.0,
                dec_deg=dec_deg,
                epoch=of.epoch,
                mid_mjd=image.observed.mid_mjd,
                size_arcmin=size_arcmin,
                image_checksum=of.image_checksum or content_checksum(image_path),
                beam=image.beam,
                rms_jy=mad_rms(pixels),
            )
            header = cutout_header(image, wcs, facts, image_path.name)
    except CutoutFailed as error:
        raise CutoutFailed(
            f"no cutout of {shown_name(of.source_id)} from {image_path}: {error.message}",
            path=str(image_path),
            source_id=of.source_id,
        ) from error
    _write(place, header, Cutout(facts, pixels, wcs), scale)
    return facts


def _piece(
    image: "SkyImage", ra_deg: float, dec_deg: float, size_arcmin: float
) -> tuple[Singles, Any]:
    from astropy.nddata import Cutout2D

    x, y, cell_arcmin = _pixel_of(image, ra_deg, dec_deg)
    if not 0 < size_arcmin < _MOST_PIXELS * cell_arcmin:
        raise CutoutFailed(f"{size_arcmin} arcmin is not a valid size of a cutout")
    # Odd, so that the source is in the central pixel.
    side = 2 * max(1, math.ceil(0.5 * size_arcmin / cell_arcmin - 1e-6)) + 1
    rows, columns = _within(round(y), side, image.shape[0]), _within(round(x), side, image.shape[1])
    part = image.wcs.deepcopy()
    part.wcs.crpix = part.wcs.crpix - (columns.start, rows.start)
    found = Cutout2D(
        image.piece(rows, columns),
        (x - columns.start, y - rows.start),
        (side, side),
        wcs=part,
        mode="partial",
        fill_value=np.nan,
        copy=True,
    )
    if not np.isfinite(found.data).any():
        raise CutoutFailed(f"nothing was observed within {size_arcmin:g} arcmin of the position")
    return np.asarray(found.data, np.float32), found.wcs


def _within(middle: int, side: int, n: int) -> slice:
    half = side // 2
    return slice(max(0, middle - half), min(n, middle + half + 1))


def _pixel_of(image: "SkyImage", ra_deg: float, dec_deg: float) -> tuple[float, float, float]:
    """Return column and row of a position, and the size of a pixel in arcmin."""
    from astropy.wcs.utils import proj_plane_pixel_scales

    where = f"RA {ra_deg:.5f}, Dec {dec_deg:+.5f}"
    if not (math.isfinite(ra_deg) and abs(dec_deg) <= 90):
        raise CutoutFailed(f"{where} is not a position on the sky")
    try:
        x, y = (float(v) for v in image.wcs.all_world2pix(ra_deg, dec_deg, 0))
        ra, dec = (float(v) for v in image.wcs.all_pix2world(x, y, 0))
    except Exception:  # wcslib raises its own errors for positions on the other side of the sky
        x = y = ra = dec = math.nan
    rows, columns = image.shape
    there = (
        -0.5 <= x <= columns - 0.5
        and -0.5 <= y <= rows - 0.5
        # A projection maps the opposite side of the sky to the same pixels.
        and abs(dec - dec_deg) < 1e-3
        and abs((ra - ra_deg + 180) % 360 - 180) * math.cos(math.radians(dec)) < 1e-3
    )
    if not there:
        raise CutoutFailed(f"{where} is outside the image")
    return x, y, 60 * float(np.mean(proj_plane_pixel_scales(image.wcs)))


def _write(place: Path, header: Any, cutout: Cutout, scale: BrightnessScale | None) -> None:
    from astropy.io import fits

    def both(partial: Path) -> None:
        with warnings.catch_warnings():
            # A long name of a source or file continues on further cards.
            warnings.simplefilter("ignore")
            fits.PrimaryHDU(cutout.pixels.astype(">f4"), header).writeto(partial, checksum=True)
        # The PNG is written while the FITS file is still incomplete, so that the removal of old
        # cutouts recognises the pair as unfinished.
        whole_file(png_beside(place), lambda png: write_picture(png, cutout, scale))

    for attempt in range(_TRIES):
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            whole_file(place, both)
            return
        except FileNotFoundError:
            # The removal of old cutouts deleted the directory while it was empty.
            if attempt == _TRIES - 1:
                raise
