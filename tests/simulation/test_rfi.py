from typing import Any

import numpy as np

from contimg_resources.simulation.predict import Interference, draw_interference
from contimg_resources.simulation.spec import RfiSpec

CHANNELS = np.linspace(1311.372e6, 1498.628e6, 768)


def draw(**changes: Any) -> Interference:
    silent: dict[str, Any] = {"lines_mhz": (), "n_bursts": 0, "satellite": False} | changes
    return draw_interference(RfiSpec(**silent), (1, 2), CHANNELS, 24, 10)


def test_lines_stay_in_their_channels_all_the_time() -> None:
    strength = draw(lines_mhz=RfiSpec().lines_mhz).strength_jy.sum(axis=0)
    heard = np.unique(CHANNELS[(strength > 0).all(axis=0)]) / 1e6
    assert (strength > 0).any(axis=0).sum() == heard.size
    assert all(1378.3 < f < 1379.7 or 1486.8 < f < 1498.7 for f in heard)
    assert np.any(heard < 1380)
    assert np.any(heard > 1487)


def test_a_burst_fills_the_band_for_one_integration() -> None:
    strength = draw(n_bursts=3).strength_jy
    assert strength.shape[0] == 3
    for burst in strength:
        assert ((burst > 0).all(axis=1)).sum() == 1
        assert ((burst > 0).any(axis=1)).sum() == 1


def test_a_satellite_rises_and_sets() -> None:
    (transit,) = draw(satellite=True).strength_jy.max(axis=2, keepdims=False)
    peak = int(np.argmax(transit))
    assert 0 < peak < 23
    assert transit[0] < 0.2 * transit[peak]
    assert transit[-1] < 0.2 * transit[peak]


def test_a_silent_site_hears_nothing() -> None:
    assert draw().heard(0, CHANNELS).shape == (0, 768, 10)


def test_the_same_seed_gives_the_same_interference() -> None:
    first, second = draw(n_bursts=2, satellite=True), draw(n_bursts=2, satellite=True)
    np.testing.assert_array_equal(first.strength_jy, second.strength_jy)
    np.testing.assert_array_equal(first.heard(3, CHANNELS), second.heard(3, CHANNELS))
