from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from contimg_resources.core.errors import ConfigurationError, InvalidName
from contimg_resources.instrument.dsa110 import active_stations
from contimg_resources.simulation.spec import (
    RfiSpec,
    SimulationSpec,
    Size,
    window_order,
)

SPEC = SimulationSpec.of_size(Size.TINY, 60954.5, 33.3)


@pytest.mark.parametrize("size", list(Size))
def test_every_size_covers_the_whole_band(size: Size) -> None:
    frequencies = SimulationSpec.of_size(size, 60954.5, 33.3).window_frequencies_hz
    width = SimulationSpec.of_size(size, 60954.5, 33.3).channel_width_hz
    assert frequencies.shape[0] == 16
    assert frequencies.min() - width / 2 == pytest.approx(1311.25e6, abs=2e3)
    assert frequencies.max() + width / 2 == pytest.approx(1498.75e6, abs=2e3)
    assert np.diff(np.sort(frequencies.ravel())) == pytest.approx(width, rel=1e-4)


def test_the_full_size_is_the_active_array_with_its_real_channels() -> None:
    full = SimulationSpec.of_size(Size.FULL, 60954.5, 33.3)
    assert full.antennas == tuple(s.name for s in active_stations())
    assert len(full.antennas) == 96
    assert full.channel_width_hz == pytest.approx(244140.625)
    assert full.window_frequencies_hz.max() == pytest.approx(1498.628e6, abs=1.0)
    assert full.window_frequencies_hz.min() == pytest.approx(1311.372e6, abs=1.0)


def test_every_size_has_two_preferred_reference_antennas_and_only_working_stations() -> None:
    active = {s.name for s in active_stations()}
    for size in Size:
        antennas = set(SimulationSpec.of_size(size, 60954.5, 33.3).antennas)
        assert {"104", "105"} <= antennas <= active


@pytest.mark.parametrize("seed", range(30))
def test_spectral_windows_are_never_in_frequency_order(seed: int) -> None:
    order = window_order(seed)
    assert sorted(order) == list(range(16))
    assert list(order) not in (list(range(16)), list(range(15, -1, -1)))


def test_noise_is_the_radiometer_equation() -> None:
    full = SimulationSpec.of_size(Size.FULL, 60954.5, 33.3)
    assert full.noise_jy == pytest.approx(6000 / np.sqrt(2 * 244140.625 * 12.884902), rel=1e-6)
    assert 1.5e-4 < full.expected_rms_jy < 3e-4  # 0.2 to 0.3 mJy with the real losses


def test_a_description_survives_json() -> None:
    spec = replace(SPEC, rfi=RfiSpec(), dead_antennas=("9",))
    adapter = TypeAdapter(SimulationSpec)
    assert adapter.validate_json(adapter.dump_json(spec)) == spec


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"antennas": ("1", "118")}, "no such station: 118"),
        ({"antennas": ("1", "1")}, "named once"),
        ({"dead_antennas": ("117",)}, "aren't in the array: 117"),
        ({"apparent_declination_deg": -60.0}, "can't be observed"),
        ({"apparent_declination_deg": float("nan")}, "can't be observed"),
        ({"channels_per_window": 0}, "channels"),
        ({"sefd_jy": float("nan")}, "SEFD"),
    ],
)
def test_impossible_observations_are_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        replace(SPEC, **change)


def test_a_start_in_other_units_is_refused() -> None:
    with pytest.raises(InvalidName, match="no observing date"):
        replace(SPEC, start_mjd=60954.5 * 86400)
