"""Counts of radio sources at 1.4 GHz.

Belongs here: the published counts and their integral. Doesn't: a sky drawn from them (see
`contimg_resources.simulation.sky`), the sources expected in an image (see
`contimg_resources.photometry.completeness`).
"""

from typing import Final

import numpy as np

from contimg_resources.core.arrays import Floats

#: Flux densities between which the counts hold, Jy.
FAINTEST_JY: Final = 5e-5
BRIGHTEST_JY: Final = 1.0
#: Frequency of the counts, Hz.
COUNTS_HZ: Final = 1.4e9

#: Coefficients of ``log10((dN/dS) S^2.5) = sum a_k (log10 S[mJy])^k``, Jy^1.5 per steradian.
_COEFFICIENTS = (0.859, 0.508, 0.376, -0.049, -0.121, 0.057, -0.008)


def brighter_per_deg2(flux_jy: Floats) -> Floats:
    """Return the sources per square degree between each flux density and the first one.

    Parameters
    ----------
    flux_jy : ndarray
        Descending flux densities at 1.4 GHz, Jy; dense enough for the trapezoidal rule. Shape (n,).

    Returns
    -------
    ndarray
        Number per square degree; 0 for the first. Shape (n,).

    Notes
    -----
    The integral of the polynomial of Hopkins et al. (2003, AJ 125, 465, equation 7), which holds
    from 0.05 mJy to 1 Jy.
    """
    per_jy_sr = (
        10 ** np.polynomial.polynomial.polyval(np.log10(1e3 * flux_jy), _COEFFICIENTS)
        * flux_jy**-2.5
    )
    steps = 0.5 * (per_jy_sr[1:] + per_jy_sr[:-1]) * -np.diff(flux_jy)
    return np.asarray(np.concatenate([[0.0], np.cumsum(steps)]) * np.radians(1) ** 2)
