"""The primary beam: the Airy pattern of a dish with a central blockage.

Belongs here: power against angle and frequency, and its mean over a drift.
Doesn't: grids and images (see `contimg_resources.imaging`).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.constants import speed_of_light
from scipy.special import j1

from contimg_resources.instrument.dsa110 import BLOCKAGE_DIAMETER_M, DISH_DIAMETER_M

Floats = NDArray[np.float64]


def airy_power(
    separation_rad: Any,
    frequency_hz: Any,
    dish_diameter_m: float = DISH_DIAMETER_M,
    blockage_diameter_m: float = BLOCKAGE_DIAMETER_M,
) -> Floats:
    """Return the power response relative to the pointing centre.

    Parameters
    ----------
    separation_rad : array_like
        Angle from the pointing centre, radians; broadcasts with `frequency_hz`.
    frequency_hz : array_like
        Frequency, Hz.
    dish_diameter_m, blockage_diameter_m : float
        Diameters of the dish and of its central blockage, metres.

    Returns
    -------
    ndarray of float
        Power, 1 at the centre, of the broadcast shape.

    Notes
    -----
    With x = pi D sin(theta) / lambda and e = d / D the voltage pattern of an annular aperture is
    ``E = (2 J1(x)/x - e^2 2 J1(e x)/(e x)) / (1 - e^2)`` and the power ``E^2`` (Born & Wolf,
    Principles of Optics, 7th ed., 8.6.2).
    """
    wavelength_m = speed_of_light / np.asarray(frequency_hz, dtype=np.float64)
    x = np.pi * dish_diameter_m * np.sin(np.asarray(separation_rad, np.float64)) / wavelength_m
    ratio = blockage_diameter_m / dish_diameter_m
    voltage = (_jinc(x) - ratio**2 * _jinc(ratio * x)) / (1.0 - ratio**2)
    return np.asarray(voltage**2, dtype=np.float64)


def drift_averaged_power(
    separations_rad: Sequence[Any] | Floats,
    frequency_hz: float,
    weights: Sequence[float] | None = None,
    dish_diameter_m: float = DISH_DIAMETER_M,
    blockage_diameter_m: float = BLOCKAGE_DIAMETER_M,
) -> Floats:
    """Return the mean power over the pointings of a drift scan.

    Parameters
    ----------
    separations_rad : sequence of array_like
        For each pointing the angles from its centre, radians; all of one shape.
    frequency_hz : float
        Frequency, Hz.
    weights : sequence of float, optional
        Weight of each pointing, such as its unflagged data; equal by default.
    dish_diameter_m, blockage_diameter_m : float
        See `airy_power`.

    Returns
    -------
    ndarray of float
        Weighted mean power, of the shape of one element of `separations_rad`.

    Raises
    ------
    ValueError
        If there are no pointings or all weights are zero.
    """
    share = np.ones(len(separations_rad)) if weights is None else np.asarray(weights, np.float64)
    if not share.sum() > 0:
        raise ValueError("a drift-averaged beam needs at least one pointing with weight")
    share = share / share.sum()
    total = np.zeros(np.shape(separations_rad[0]), dtype=np.float64)
    # One pointing at a time: a 2400 x 2400 grid of 24 pointings would take 1.1 GB at once.
    for weight, separation in zip(share, separations_rad, strict=True):
        total += weight * airy_power(separation, frequency_hz, dish_diameter_m, blockage_diameter_m)
    return total


def _jinc(x: Floats) -> Floats:
    near_zero = np.abs(x) < 1e-6
    safe = np.where(near_zero, 1.0, x)
    return np.where(near_zero, 1.0, 2.0 * j1(safe) / safe)
