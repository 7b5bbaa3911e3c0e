"""The primary beam is the Airy pattern of a blocked dish."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.integrate import quad
from scipy.special import j0

from contimg_resources.instrument import dsa110
from contimg_resources.instrument.primary_beam import airy_power


@pytest.mark.parametrize("degrees", [0.3, 1.0, 1.4, 2.5])
def test_power_is_the_hankel_transform_of_the_annular_aperture(degrees: float) -> None:
    wavelength_m = 299_792_458.0 / 1.4e9
    k = 2 * np.pi / wavelength_m * np.sin(np.radians(degrees))
    inner, outer = dsa110.BLOCKAGE_DIAMETER_M / 2, dsa110.DISH_DIAMETER_M / 2
    integral, _ = quad(lambda r: j0(k * r) * r, inner, outer)
    expected = (integral / ((outer**2 - inner**2) / 2)) ** 2
    assert_allclose(airy_power(np.radians(degrees), 1.4e9), expected, rtol=1e-6)


def test_full_width_at_half_power_is_that_of_dsa110_at_1400_mhz() -> None:
    angles_deg = np.linspace(0, 2.5, 5001)
    power = airy_power(np.radians(angles_deg), 1.4e9)
    fwhm_deg = 2 * angles_deg[np.argmax(power < 0.5)]
    assert 2.65 < fwhm_deg < 2.95


def test_power_at_the_centre_is_one_at_every_frequency() -> None:
    assert_allclose(airy_power(0.0, np.array([1.31e9, 1.5e9])), 1.0)


def test_ninety_six_of_117_stations_are_active_and_antenna_names_are_not_ids() -> None:
    active = dsa110.active_stations()
    assert len(dsa110.stations()) == 117
    assert len(active) == 96
    assert active[9].name == "11"
    positions = np.array([(s.east_m, s.north_m, s.up_m) for s in active])
    baselines = np.linalg.norm(positions[:, None] - positions[None], axis=-1)
    lengths = baselines[np.triu_indices(96, 1)]
    assert_allclose([lengths.min(), lengths.max()], [5.7, 2602], rtol=0.01)
    assert np.median(lengths) == pytest.approx(308, rel=0.01)
