"""The most significant pair of epochs, compiled.

Belongs here: the loop over pairs. Doesn't: what a pair means.
"""

import numpy as np
from numpy.typing import NDArray

from contimg_resources.compiling import compiled, spread

Floats = NDArray[np.float64]


@compiled(parallel=True)
def most_significant_pairs(
    offsets: NDArray[np.int64], flux: Floats, error: Floats
) -> NDArray[np.int64]:
    """Find the pair of each source whose flux densities differ most, in units of their errors.

    ``Vs = (S_1 - S_2) / hypot(sigma_1, sigma_2)`` (Mooley et al. 2016, ApJ 818, 105).

    Parameters
    ----------
    offsets : ndarray of int, shape (n_sources + 1,)
        Source i has the points ``offsets[i]:offsets[i + 1]``.
    flux, error : ndarray, shape (n_points,)
        In the same unit.

    Returns
    -------
    ndarray of int, shape (n_sources, 2)
        Points, the earlier first; -1 for sources with fewer than two.
    """
    found = np.full((len(offsets) - 1, 2), -1, np.int64)
    for source in spread(len(offsets) - 1):
        largest = -1.0
        for i in range(offsets[source], offsets[source + 1]):
            for j in range(i + 1, offsets[source + 1]):
                difference = flux[i] - flux[j]
                # Squares: no root in the innermost loop.
                significance = difference * difference / (error[i] * error[i] + error[j] * error[j])
                if significance > largest:
                    largest = significance
                    found[source, 0], found[source, 1] = i, j
    return found
