"""Gradient of the flux scale over an image.

Belongs here: the linear fit, its significance, and the fit without one reference. Doesn't: choosing
references (see `epoch`).
"""

from dataclasses import dataclass

import numpy as np

from contimg_resources.core.arrays import Bools, Floats
from contimg_resources.core.statistics import STD_OF_MAD

#: Number of terms (a constant and two slopes), and of references required for each.
_TERMS = 3
_REFERENCES_PER_TERM = 10
#: A gradient is used if the probability of chance is below this.
_SIGNIFICANT = 1e-3
#: References further from the median are left out of the fit.
_CLIP = 4.0


@dataclass(frozen=True)
class Gradient:
    """A gradient of the flux scale; zero if there is none."""

    #: Of 1, degrees eastwards and degrees northwards in the logarithm of the scale; zeros without a
    #: gradient. Shape (3,).
    coefficients: Floats
    covariance: Floats  #: Covariance of the coefficients. Shape (3, 3).
    #: `residual`, `leverage`: Residual and leverage of each source's logarithm, 0 for those that
    #: aren't in the fit. Shape (n,).
    residual: Floats
    leverage: Floats
    pull: Floats  #: Change of the coefficients with each source's residual. Shape (n, 3).

    @property
    def slopes(self) -> tuple[float, float]:
        """Change of the scale's logarithm per degree, eastwards and northwards."""
        return float(self.coefficients[1]), float(self.coefficients[2])

    def factor(self, terms: Floats) -> Floats:
        """Return the scale over that at the centre, shape (n,), for terms ``[1, east, north]``."""
        return np.asarray(np.exp(terms[:, 1:] @ self.coefficients[1:]))

    def error(self, terms: Floats) -> Floats:
        """Return the relative uncertainty of `factor`, shape (n,)."""
        slopes = self.covariance[1:, 1:]
        return np.asarray(np.sqrt(np.einsum("ni,ij,nj->n", terms[:, 1:], slopes, terms[:, 1:])))

    def without(self, i: int) -> "Gradient":
        """Return the fit without a source.

        Notes
        -----
        ``c - (T^T W T)^-1 t_i w_i r_i / (1 - h_i)`` with the residual r and the leverage h (Cook &
        Weisberg 1982, Residuals and Influence in Regression, 3.4.3), which needs no further fit.
        """
        left = 1.0 - self.leverage[i]
        if not left > 0:
            return self
        moved = self.coefficients - self.pull[i] * self.residual[i] / left
        return Gradient(moved, self.covariance, self.residual, self.leverage, self.pull)


def fit_gradient(logs: Floats, weight: Floats, terms: Floats, chosen: Bools) -> Gradient:
    """Fit a gradient to the references where it is significantly better than a constant.

    The result is zero with fewer than thirty references, or if an F-test, of all or of all but the
    most influential one, gives a probability of chance of 0.1 % or more. `logs` are the logarithms
    of the sources' flux ratios, `weight` is one over their variances, `chosen` marks the
    references, all of shape (n,); `terms`, shape (n, 3), are 1, degrees eastwards and degrees
    northwards.
    """
    n = len(logs)
    none = Gradient(
        np.zeros(_TERMS),
        np.zeros((_TERMS, _TERMS)),
        np.zeros(n),
        np.zeros(n),
        np.zeros((n, _TERMS)),
    )
    if chosen.sum() < _TERMS * _REFERENCES_PER_TERM:
        return none
    middle = np.median(logs[chosen])
    spread = STD_OF_MAD * np.median(np.abs(logs[chosen] - middle))
    kept = np.flatnonzero(chosen & (np.abs(logs - middle) <= _CLIP * max(float(spread), 1e-12)))
    root = np.sqrt(weight[kept])
    design, data = terms[kept] * root[:, None], logs[kept] * root
    if np.linalg.matrix_rank(design) < _TERMS:
        return none
    inverse = np.asarray(np.linalg.inv(design.T @ design), np.float64)
    found = inverse @ design.T @ data
    residual, leverage, pull = np.zeros(n), np.zeros(n), np.zeros((n, _TERMS))
    residual[kept] = data - design @ found
    leverage[kept] = np.einsum("ni,ij,nj->n", design, inverse, design)
    pull[kept] = design @ inverse
    # A gradient that depends on a single bright reference (by Cook's distance) isn't used.
    others = np.arange(len(kept)) != np.argmax(
        residual[kept] ** 2 * leverage[kept] / np.maximum(1 - leverage[kept], 1e-9) ** 2
    )
    if not (_is_better(design, data) and _is_better(design[others], data[others])):
        return none
    variance = float((residual**2).sum()) / (len(kept) - _TERMS)
    return Gradient(found, inverse * variance, residual, leverage, pull)


def _is_better(design: Floats, data: Floats) -> bool:
    """Return whether a gradient fits significantly better than a constant (F-test)."""
    from scipy.special import fdtrc

    dof = len(data) - _TERMS
    if dof < 1:
        return False
    rest, simple = (
        float(((data - part @ np.linalg.lstsq(part, data, rcond=None)[0]) ** 2).sum())
        for part in (design, design[:, :1])
    )
    if rest <= 0:
        return simple > 0
    ratio = ((simple - rest) / (_TERMS - 1)) / (rest / dof)
    return bool(fdtrc(_TERMS - 1, dof, ratio) < _SIGNIFICANT)
