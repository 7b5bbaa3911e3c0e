"""Flux density as a function of frequency.

Belongs here: the common form of the flux scale's polynomials and of power laws.
Doesn't: the sources (see `contimg_resources.observations.calibrators`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from contimg_resources.core.arrays import Floats

PERLEY_BUTLER_2017 = "Perley-Butler 2017"


@dataclass(frozen=True)
class FluxModel:
    """A flux density as a function of frequency."""

    #: a_0, a_1, ... of ``log10 S[Jy] = sum a_k (log10(nu / reference))^k``.
    coefficients: tuple[float, ...]
    reference_ghz: float  #: Reference frequency, GHz.
    scale: str  #: Source of the coefficients.
    #: Lowest and highest frequency of the model's validity, GHz; None: not stated.
    valid_ghz: tuple[float, float] | None = None

    @classmethod
    def power_law(
        cls, flux_jy: float, reference_ghz: float, spectral_index: float, scale: str
    ) -> "FluxModel":
        """Return ``S = flux_jy (nu / reference)^spectral_index``."""
        return cls((math.log10(flux_jy), spectral_index), reference_ghz, scale)

    def holds_at(self, frequency_hz: float) -> bool:
        """Return whether the model is valid at a frequency in Hz."""
        low, high = self.valid_ghz or (0.0, math.inf)
        return low <= frequency_hz / 1e9 <= high and frequency_hz > 0

    def flux_jy(self, frequency_hz: Any) -> Floats:
        """Return the flux density.

        Parameters
        ----------
        frequency_hz : array_like
            Frequencies, Hz, positive.

        Returns
        -------
        ndarray of float
            Flux densities, Jy, of the shape of `frequency_hz`.

        Raises
        ------
        ValueError
            If a frequency isn't finite and positive, or is outside the model's valid range.

        References
        ----------
        Perley & Butler 2017, ApJS 230, 7, equation 1.
        """
        ghz = np.asarray(frequency_hz, dtype=np.float64) / 1e9
        if not np.all(np.isfinite(ghz) & (ghz > 0)):
            raise ValueError("a flux density needs finite positive frequencies in Hz")
        if self.valid_ghz is not None:
            low, high = self.valid_ghz
            if not np.all((ghz >= low) & (ghz <= high)):
                raise ValueError(
                    f"the {self.scale} model holds from {low:g} to {high:g} GHz; asked for "
                    f"{ghz.min():.6g} to {ghz.max():.6g} GHz (are these Hz?)"
                )
        logarithm = np.log10(ghz / self.reference_ghz)
        exponent = np.polynomial.polynomial.polyval(logarithm, np.array(self.coefficients))
        return np.asarray(10.0**exponent, dtype=np.float64)


def flux_densities_jy(models: Sequence[FluxModel], frequencies_hz: Floats) -> Floats:
    """Return the flux densities of many models at once (see `FluxModel.flux_jy`).

    Parameters
    ----------
    models : sequence of FluxModel
        The models.
    frequencies_hz : ndarray of float, shape (frequencies,)
        Frequencies, Hz, positive.

    Returns
    -------
    ndarray of float, shape (models, frequencies)
        Flux densities, Jy.

    Raises
    ------
    ValueError
        If a frequency isn't finite and positive, or is outside the valid range of a model.
    """
    flux_jy = np.empty((len(models), frequencies_hz.size))
    # Those without limits are computed together.
    free = [k for k, m in enumerate(models) if m.valid_ghz is None]
    for k in sorted(set(range(len(models))) - set(free[1:])):
        flux_jy[k] = models[k].flux_jy(frequencies_hz)
    terms = max((len(models[k].coefficients) for k in free), default=0)
    padded = np.zeros((len(free), terms))
    for row, k in enumerate(free):
        padded[row, : len(models[k].coefficients)] = models[k].coefficients
    reference_ghz = np.array([models[k].reference_ghz for k in free])
    logarithm = np.log10(frequencies_hz / 1e9 / reference_ghz[:, None])
    exponent = np.zeros_like(logarithm)
    for column in padded.T[::-1]:
        exponent = exponent * logarithm + column[:, None]
    flux_jy[free] = 10.0**exponent
    return flux_jy
