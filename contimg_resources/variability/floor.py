"""The systematic error floor: uncertainty not included in the errors, relative to the flux density.

Belongs here: measuring it on the flux references. Doesn't: choosing the flux references.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contimg_resources.variability.metrics import errors_with_floor, medians, scatter_of
from contimg_resources.variability.model import LightCurves

#: Minimum number of reference sources.
MIN_REFERENCES = 5
_LARGEST = 1.0
#: With this many sources the median is known to 2 % of a standard deviation.
_MOST_REFERENCES = 1000


@dataclass(frozen=True)
class Floor:
    """A systematic error floor."""

    share: float  #: Fraction of the flux density; NaN if it couldn't be measured.
    low: float  #: The floor one standard deviation below and above.
    high: float  #: The floor one standard deviation below and above.
    n_references: int  #: Number of reference sources that it was measured on.

    @property
    def applied(self) -> float:
        """Fraction that is added to the errors: 0 if the floor couldn't be measured."""
        return self.share if np.isfinite(self.share) else 0.0


def reference_sources(curves: LightCurves, min_epochs: int) -> NDArray[np.bool_]:
    """Return which sources were references in at least half of their epochs, (n_sources,)."""
    if not len(curves):
        return np.zeros(0, np.bool_)
    n = np.diff(curves.offsets)
    told = np.add.reduceat(curves.is_reference.astype(np.int64), curves.offsets[:-1])
    return np.asarray((n >= min_epochs) & (2 * told >= n))


def measure_floor(curves: LightCurves, min_epochs: int) -> Floor:
    """Find the floor with which the median reference source scatters according to its errors.

    This is the f for which the median over reference sources of the probability of a smaller chi2
    is one half. A median is used because a few references may vary. A reference source has at least
    `min_epochs` epochs.
    """
    reference = reference_sources(curves, min_epochs) & curves.sound()
    n_references = int(reference.sum())
    if n_references < MIN_REFERENCES:
        return Floor(np.nan, np.nan, np.nan, n_references)
    chosen = curves.only(_some_of(reference))
    # Standard deviation of the rank of a median.
    beside = 0.5 / np.sqrt(len(chosen))
    low, middle, high = (_solve(chosen, 0.5 + off) for off in (-beside, 0.0, beside))
    return Floor(middle, low, high, n_references)


def _some_of(which: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return at most `_MOST_REFERENCES` of the sources, evenly chosen."""
    there = np.flatnonzero(which)
    if len(there) <= _MOST_REFERENCES:
        return which
    chosen = np.zeros_like(which)
    chosen[there[np.linspace(0, len(there) - 1, _MOST_REFERENCES).astype(np.int64)]] = True
    return chosen


def _solve(curves: LightCurves, quantile: float) -> float:
    from scipy.optimize import brentq

    level_jy = medians(curves)

    def too_large(floor: float) -> float:
        # p is the probability of a larger chi2.
        smaller = 1.0 - scatter_of(curves, errors_with_floor(curves, floor, level_jy)).p_value
        return float(np.quantile(smaller, quantile) - 0.5)

    if too_large(0.0) <= 0:
        return 0.0
    if too_large(_LARGEST) > 0:
        return _LARGEST
    return float(brentq(too_large, 0.0, _LARGEST, xtol=1e-4))
