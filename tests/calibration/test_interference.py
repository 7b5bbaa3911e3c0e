"""Interference stands out of the band and of the drift; the sky and the bandpass do not."""

import numpy as np
import pytest

from contimg_resources.calibration.flagging.interference import find_interference


def dynamic_spectrum(noise: float = 0.01) -> np.ndarray:
    """A calibrator drifting through the beam, with a bandpass and a slope over the band."""
    rng = np.random.default_rng(2)
    x = np.linspace(-1, 1, 128)
    drift = np.exp(-0.5 * (np.linspace(-1, 1, 24) / 1.5) ** 2)
    band = (1 - 0.08 * x) * (1 + 0.03 * np.cos(5 * x))
    return 12.0 * drift[:, None] * band[None, :] * (1 + noise * rng.normal(size=(24, 128)))


def test_a_clean_calibrator_transit_keeps_all_its_data() -> None:
    assert not find_interference(dynamic_spectrum()).any()


@pytest.mark.parametrize("channels", [slice(50, 52), slice(116, 128), slice(0, 8)])
def test_an_emitter_that_never_pauses_loses_its_channels_and_no_others(channels: slice) -> None:
    level = dynamic_spectrum()
    level[:, channels] += 100
    found = find_interference(level)
    assert found[:, channels].all()
    found[:, channels] = False
    assert not found.any()


def test_a_burst_loses_its_integration_and_a_sweep_its_cells() -> None:
    level = dynamic_spectrum()
    level[7] += 50
    for time in range(10, 20):
        level[time, 3 * time] += 20
    found = find_interference(level)
    assert found[7].all()
    assert all(found[time, 3 * time] for time in range(10, 20))
    assert found.sum() == 128 + 10


def test_band_edges_and_flagged_channels_are_no_interference() -> None:
    level = dynamic_spectrum()
    level[:, :2] *= 0.3
    level[:, 60:64] = np.nan
    assert not find_interference(level).any()


def test_nothing_at_all_is_no_interference() -> None:
    assert not find_interference(np.full((3, 5), np.nan)).any()
    assert not find_interference(np.zeros((1, 1))).any()
