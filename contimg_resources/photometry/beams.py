"""The restoring beam in pixels at the position of a source.

Belongs here: from a beam on the sky to a quadratic form in pixels. Doesn't: measuring.
"""

import numpy as np
from astropy.wcs import WCS

from contimg_resources.core.arrays import Floats
from contimg_resources.imaging.model import Beam
from contimg_resources.photometry.model import MeasurableImage

_FOUR_LN2 = 4.0 * np.log(2.0)
_STEP_DEG = 1e-5
#: At a pole every direction is south, so the axes at a distance of 4 arcsec are used there.
_NEAREST_POLE_DEG = 89.999


def pixel_of_sky(image: MeasurableImage, ra_deg: Floats, dec_deg: Floats) -> tuple[Floats, Floats]:
    """Return row and column of directions, counted from 0; NaN on the opposite side of the sky."""
    columns, rows = image.wcs.all_world2pix(ra_deg, dec_deg, 0)
    # A projection also maps the opposite side.
    back_ra, back_dec = image.wcs.all_pix2world(columns, rows, 0)
    away = np.hypot((back_ra - ra_deg + 180) % 360 - 180, back_dec - dec_deg)
    near = np.cos(np.radians(dec_deg)) * away < 1e-4
    return np.where(near, rows, np.nan), np.where(near, columns, np.nan)


def axes_in_pixels(image: MeasurableImage, ra_deg: Floats, dec_deg: Floats) -> Floats:
    """Return the directions of north and east, in pixels per arcsec, shape (n, 2, 2).

    ``[:, :, 0]``: column and row per arcsec eastwards; ``[:, :, 1]``: northwards. Directions are
    ICRS degrees. In an image, whose beam is constant in pixels, they are the same everywhere; in a
    mosaic they are local.
    """
    if image.kind == "image":
        ra0, dec0 = image.middle_deg
        middle = _axes(image.wcs, np.array([ra0]), np.array([dec0]))
        return np.broadcast_to(middle, (len(ra_deg), 2, 2)).copy()
    return _axes(image.wcs, ra_deg, dec_deg)


def _axes(wcs: WCS, ra_deg: Floats, dec_deg: Floats) -> Floats:
    dec_deg = np.clip(dec_deg, -_NEAREST_POLE_DEG, _NEAREST_POLE_DEG)
    east_deg = _STEP_DEG / np.cos(np.radians(dec_deg))
    here = np.stack(wcs.all_world2pix(ra_deg, dec_deg, 0))
    east = np.stack(wcs.all_world2pix(ra_deg + east_deg, dec_deg, 0)) - here
    north = np.stack(wcs.all_world2pix(ra_deg, dec_deg + _STEP_DEG, 0)) - here
    return np.asarray(np.moveaxis(np.stack([east, north], axis=1), 2, 0).transpose(0, 2, 1)) / (
        3600 * _STEP_DEG
    )


def quadratic_forms(beam: Beam, axes: Floats) -> Floats:
    """Return the beam as ``exp(-(a dx^2 + 2 b dx dy + c dy^2))`` in pixels.

    The result, shape (n, 3), holds a, b and c, per square pixel. The beam's position angle is east
    of north; for `axes` see `axes_in_pixels`.
    """
    angle = np.radians(beam.angle_deg)
    # Rows: along the major axis, across it; columns: east, north.
    turned = np.array([[np.sin(angle), np.cos(angle)], [np.cos(angle), -np.sin(angle)]])
    scaled = np.sqrt(_FOUR_LN2) * turned / [[beam.major_arcsec], [beam.minor_arcsec]]
    in_pixels = scaled @ np.linalg.inv(axes)
    forms = np.swapaxes(in_pixels, 1, 2) @ in_pixels
    return np.stack([forms[:, 0, 0], forms[:, 0, 1], forms[:, 1, 1]], axis=1)
