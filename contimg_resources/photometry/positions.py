"""Where sources are, beside where they are known to be.

Belongs here: offsets on the sky and their uncertainties. Doesn't: fitting (see `filter_loops`).
"""

import numpy as np
from numpy.typing import NDArray

from contimg_resources.photometry.model import MeasurableImage

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

#: Positions are measured from this S/N on.
_POSITION_SNR = 10.0
_SIGMA_OF_FWHM = 1.0 / np.sqrt(8.0 * np.log(2.0))


def offsets_arcsec(
    offset_columns: Floats,
    offset_rows: Floats,
    axes: Floats,
    image: MeasurableImage,
    snr: Floats,
    flags: Integers,
) -> tuple[Floats, Floats, Floats, Floats]:
    """Return measured less known positions and their uncertainties, arcsec.

    Parameters
    ----------
    offset_columns, offset_rows : ndarray, shape (n,)
        Fitted offsets, pixels; NaN without a fit.
    axes : ndarray, shape (n, 2, 2)
        See `contimg_resources.photometry.beams.axes_in_pixels`.
    image : MeasurableImage
        The image.
    snr : ndarray, shape (n,)
        Fitted flux density over its uncertainty.
    flags : ndarray of int, shape (n,)
        Only sources without any are measured.

    Returns
    -------
    tuple of ndarray, shape (n,)
        East, north and their uncertainties; NaN below an S/N of 10, in blends and far off.

    Notes
    -----
    The uncertainty of a Gaussian's position along an axis of FWHM theta is ``theta / sqrt(8 ln 2)``
    over the S/N of its fitted flux density (Condon 1997, eq. 21).
    """
    with np.errstate(invalid="ignore"):
        told = (snr >= _POSITION_SNR) & (flags == 0)
    offsets = np.stack([offset_columns, offset_rows], axis=1)
    sky = np.linalg.solve(axes, np.nan_to_num(offsets)[:, :, None])[:, :, 0]
    angle = np.radians(image.beam.angle_deg)
    along, across = image.beam.major_arcsec, image.beam.minor_arcsec
    extents = (
        np.hypot(along * np.sin(angle), across * np.cos(angle)),
        np.hypot(along * np.cos(angle), across * np.sin(angle)),
    )
    # Beyond half a beam the linear step says only that it is far off.
    near = np.hypot(sky[:, 0], sky[:, 1]) < image.beam.major_arcsec / 2
    told &= near & np.isfinite(offset_columns)
    east, north = (np.where(told, sky[:, k], np.nan) for k in (0, 1))
    errors = [np.where(told, _SIGMA_OF_FWHM * extent / snr, np.nan) for extent in extents]
    return east, north, errors[0], errors[1]
