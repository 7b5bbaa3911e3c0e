"""The primary beam: the Airy pattern of a dish with a central blockage.

Belongs here: power and voltage as functions of angle and frequency, and the shape of a beam beside
that pattern.
Doesn't: its mean over a drift, grids and images (see `contimg_resources.imaging.beam`), measuring
the shape (see `contimg_resources.imaging.measured_beam`).
"""

from dataclasses import astuple, dataclass
from typing import Any

import numpy as np

from contimg_resources.core.arrays import Floats
from contimg_resources.instrument.dsa110 import BLOCKAGE_DIAMETER_M, DISH_DIAMETER_M


@dataclass(frozen=True)
class BeamShape:
    """The shape of a primary beam relative to the Airy pattern of the dish.

    East is toward smaller hour angles. The axes of the ellipse are those of the mount: hour angle
    and declination.
    """

    width: float = 1.0  #: Width over that of the pattern, geometric mean of both axes.
    #: `east_deg`, `north_deg`: Direction of the beam's centre from the pointing, degrees.
    east_deg: float = 0.0
    north_deg: float = 0.0
    #: e: the beam is wider by 1 + e from east to west, and by 1 - e from north to south.
    ellipticity: float = 0.0

    def radius(self, east: Floats, north: Floats) -> Floats:
        """Return the sine of the angle at which the pattern has the response of this beam.

        `east` and `north` are direction cosines about the pointing, of the same shape.
        """
        east = (east - np.sin(np.radians(self.east_deg))) / (self.width * (1 + self.ellipticity))
        north = (north - np.sin(np.radians(self.north_deg))) / (self.width * (1 - self.ellipticity))
        return np.asarray(np.hypot(east, north))

    @property
    def parameters(self) -> Floats:
        """Return width, east, north, ellipticity as an array."""
        return np.array(astuple(self))

    @property
    def beside_model(self) -> Floats:
        """Return the parameters minus those of the model."""
        return np.asarray(self.parameters - MODEL_SHAPE.parameters)

    @property
    def is_model(self) -> bool:
        """Whether it is that of the model."""
        return self == MODEL_SHAPE


#: The beam of the model: the pattern itself.
MODEL_SHAPE = BeamShape()


def airy_power(
    separation_rad: Any,
    frequency_hz: Any,
    dish_diameter_m: float = DISH_DIAMETER_M,
    blockage_diameter_m: float = BLOCKAGE_DIAMETER_M,
) -> Floats:
    """Return the power response relative to the pointing centre; see `airy_voltage`."""
    voltage = airy_voltage(separation_rad, frequency_hz, dish_diameter_m, blockage_diameter_m)
    return np.asarray(voltage**2)


def airy_voltage(
    separation_rad: Any,
    frequency_hz: Any,
    dish_diameter_m: float = DISH_DIAMETER_M,
    blockage_diameter_m: float = BLOCKAGE_DIAMETER_M,
) -> Floats:
    """Return the voltage response relative to the pointing centre.

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
        Voltage, 1 at the centre, of the broadcast shape.

    Notes
    -----
    With x = pi D sin(theta) / lambda and e = d / D the voltage pattern of an annular aperture is
    ``E = (2 J1(x)/x - e^2 2 J1(e x)/(e x)) / (1 - e^2)`` (Born & Wolf, Principles of Optics, 7th
    ed., 8.6.2).
    """
    # scipy is slow to load, and many users of this module never compute a beam.
    from scipy.constants import speed_of_light

    wavelength_m = speed_of_light / np.asarray(frequency_hz, dtype=np.float64)
    x = np.pi * dish_diameter_m * np.sin(np.asarray(separation_rad, np.float64)) / wavelength_m
    ratio = blockage_diameter_m / dish_diameter_m
    voltage = (_jinc(x) - ratio**2 * _jinc(ratio * x)) / (1.0 - ratio**2)
    return np.asarray(voltage, dtype=np.float64)


def _jinc(x: Floats) -> Floats:
    from scipy.special import j1

    near_zero = np.abs(x) < 1e-6
    safe = np.where(near_zero, 1.0, x)
    return np.where(near_zero, 1.0, 2.0 * j1(safe) / safe)
