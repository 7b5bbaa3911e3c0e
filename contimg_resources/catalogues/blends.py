"""Find the sources of a catalogue that a beam can't separate.

Belongs here: neighbours on the sky. Doesn't: measuring them together.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Sources closer to each other than this many beams (major axis) affect each other's flux density.
BLEND_BEAMS = 1.5


def unit_vectors(ra_deg: Floats, dec_deg: Floats) -> Floats:
    """Return directions as unit vectors, shape (n, 3)."""
    ra, dec = np.radians(ra_deg), np.radians(dec_deg)
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)


def neighbour_pairs(ra_deg: Floats, dec_deg: Floats, radius_arcsec: float) -> NDArray[np.intp]:
    """Return the pairs of sources that are closer to each other than a radius.

    Positions have the shape (n,), the pairs of indices (n_pairs, 2); each pair occurs once.
    """
    from scipy.spatial import cKDTree

    if len(ra_deg) < 2:
        return np.empty((0, 2), np.intp)
    chord = 2 * np.sin(0.5 * np.radians(radius_arcsec / 3600))
    pairs = cKDTree(unit_vectors(ra_deg, dec_deg)).query_pairs(chord, output_type="ndarray")
    return np.asarray(pairs, np.intp)


def blended(ra_deg: Floats, dec_deg: Floats, beam_major_arcsec: float) -> NDArray[np.bool_]:
    """Return which sources have another within `BLEND_BEAMS` beams, shape (n,)."""
    found = np.zeros(len(ra_deg), bool)
    found[neighbour_pairs(ra_deg, dec_deg, BLEND_BEAMS * beam_major_arcsec).ravel()] = True
    return found
