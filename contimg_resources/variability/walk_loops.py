"""The likelihood of light curves that wander, compiled.

Belongs here: the recursion along one light curve. Doesn't: what is made of it (see `red_noise`).
"""

import numpy as np
from numpy.typing import NDArray

from contimg_resources.compiling import compiled

Floats = NDArray[np.float64]


@compiled()
def whitened(
    mjd: Floats, error: Floats, columns: Floats, scatter: float, memory_days: float
) -> tuple[Floats, float]:
    """Take a damped random walk and the errors out of columns of values.

    What is left of each column, of the data or of a model of them, has variance 1 and no memory if
    the data are of such a walk: that makes least squares of it right. The walk's covariance is
    ``scatter^2 exp(-dt / memory)``; it is followed by Kalman's recursion, as Kelly et al. 2009 (ApJ
    698, 895, eqs 6-12) do, in one turn over the points.

    Parameters
    ----------
    mjd, error : ndarray, shape (n,)
        Days, in the order of time; in the unit of the columns.
    columns : ndarray, shape (m, n)
        Values.
    scatter, memory_days : float
        Standard deviation of the walk in the unit of the columns, and its time scale.

    Returns
    -------
    tuple of (ndarray, float)
        The columns, shape (m, n), and the logarithm of the covariance's determinant.
    """
    n_columns, n = columns.shape
    left = np.empty((n_columns, n))
    state = np.zeros(n_columns)
    variance = scatter * scatter
    log_determinant = 0.0
    for i in range(n):
        if i > 0:
            kept = np.exp(-(mjd[i] - mjd[i - 1]) / memory_days)
            variance = kept * kept * variance + scatter * scatter * (1.0 - kept * kept)
            for c in range(n_columns):
                state[c] *= kept
        total = variance + error[i] * error[i]
        gain = variance / total
        root = np.sqrt(total)
        log_determinant += np.log(total)
        for c in range(n_columns):
            surprise = columns[c, i] - state[c]
            left[c, i] = surprise / root
            state[c] += gain * surprise
        variance *= 1.0 - gain
    return left, log_determinant
