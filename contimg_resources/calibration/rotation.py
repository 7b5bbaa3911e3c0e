"""Bringing baselines and visibilities from one phase centre to another.

Belongs here: the geometry. Doesn't: loops over visibilities (see `.memory`).
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def axes(ra_rad: float, dec_rad: float) -> Floats:
    """Return the unit vectors of u, v and w for a phase centre, as rows, shape (3, 3)."""
    sin_ra, cos_ra = np.sin(ra_rad), np.cos(ra_rad)
    sin_dec, cos_dec = np.sin(dec_rad), np.cos(dec_rad)
    return np.array(
        [
            [-sin_ra, cos_ra, 0.0],
            [-sin_dec * cos_ra, -sin_dec * sin_ra, cos_dec],
            [cos_dec * cos_ra, cos_dec * sin_ra, sin_dec],
        ]
    )


def rotate_uvw(
    uvw_m: Floats, old_rad: tuple[float, float], new_rad: tuple[float, float]
) -> tuple[Floats, Floats]:
    """Return baselines about a new phase centre, and by how much their paths grew.

    Parameters
    ----------
    uvw_m : ndarray of float, shape (n_rows, 3)
        Baselines about the old phase centre, metres.
    old_rad, new_rad : (float, float)
        Right ascension and declination of both, radians, in one frame.

    Returns
    -------
    uvw_m : ndarray of float, shape (n_rows, 3)
        Baselines about the new one, metres.
    path_m : ndarray of float, shape (n_rows,)
        Old minus new w: visibilities are multiplied by ``exp(2 pi i nu path / c)``.

    Notes
    -----
    The baseline b stays, the axes turn: ``uvw = R b``. About the centre s0 a source in s has the
    phase ``2 pi nu / c (b.s - b.s0)``, and b.s0 is w (Thompson, Moran & Swenson, 3rd ed., 3.1).
    """
    turned = uvw_m @ (axes(*new_rad) @ axes(*old_rad).T).T
    return turned, uvw_m[:, 2] - turned[:, 2]
