"""The measures see noise and loss, and not what is absent or changes slowly."""

import numpy as np
import pytest

from contimg_resources.calibration.inspection import Solutions
from contimg_resources.calibration.model import TableQuality
from contimg_resources.calibration.quality import judge, measure_quality
from contimg_resources.calibration.tables import CaltableType
from contimg_resources.settings import CalibrationSettings


def bandpass(noise: float, n_antennas: int = 4, n_channels: int = 512) -> Solutions:
    rng = np.random.default_rng(1)
    shape = (2, n_channels, n_antennas)
    trend = 1 + 0.3 * np.sin(np.linspace(0, 3, n_channels))[None, :, None]
    turn = np.exp(2j * np.linspace(0, 3, n_channels))[None, :, None]
    noise_values = rng.normal(size=shape) + 1j * rng.normal(size=shape)
    values = trend * turn * (1 + noise * noise_values)
    return Solutions(
        values,
        np.zeros(shape, bool),
        np.full(shape, 50.0),
        np.arange(n_antennas),
        np.zeros(n_antennas, int),
        np.full(n_antennas, 5e9),
    )


def everything_works(n_antennas: int = 4) -> np.ndarray:
    return np.ones((n_antennas, 2), bool)


def test_the_scatter_is_the_noise_and_not_the_shape() -> None:
    solutions = bandpass(noise=0.02)
    amplitude = measure_quality(solutions, CaltableType.BA, everything_works())
    phase = measure_quality(solutions, CaltableType.BP, everything_works())
    assert amplitude.amplitude_scatter == pytest.approx(0.02, rel=0.1)
    assert phase.phase_scatter_deg == pytest.approx(np.degrees(0.02), rel=0.1)
    assert amplitude.phase_scatter_deg is None
    assert phase.amplitude_scatter is None


def test_the_scatter_of_gains_compares_neighbours_in_time_only() -> None:
    # Two antennas whose gains differ by a factor 5 and change slowly, rows interleaved.
    times = np.repeat(np.arange(20.0), 2)
    antennas = np.tile([0, 1], 20)
    values = np.where(antennas == 0, 1.0, 5.0) * (1 + 0.001 * times)
    cells = np.repeat(values[None, None, :], 2, axis=0).astype(complex)
    solutions = Solutions(
        cells, np.zeros(cells.shape, bool), np.ones(cells.shape), antennas, antennas * 0, times
    )
    quality = measure_quality(solutions, CaltableType.G2, everything_works(2))
    assert quality.amplitude_scatter is not None
    assert quality.amplitude_scatter < 1e-4


def test_a_working_antenna_dropped_by_the_solver_counts_and_an_absent_one_does_not() -> None:
    solutions = bandpass(noise=0.0)
    solutions.flags[:, :, 2:] = True
    working = everything_works()
    working[3] = False
    quality = measure_quality(solutions, CaltableType.BA, working)
    assert quality.flagged_fraction == pytest.approx(1 / 3)
    assert quality.n_dead_antennas == 1


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"flagged_fraction": 0.5}, "flagged"),
        ({"median_snr": 2.0}, "SNR"),
        ({"amplitude_scatter": 0.9}, "amplitudes scatter"),
        ({"phase_scatter_deg": 80.0}, "phases scatter"),
        ({"n_solutions": 0}, "no solutions"),
    ],
)
def test_each_gate_gives_its_reason(change: dict[str, float], word: str) -> None:
    good = {
        "n_solutions": 100,
        "flagged_fraction": 0.0,
        "median_snr": 100.0,
        "amplitude_scatter": 0.01,
        "phase_scatter_deg": 1.0,
        "minimum": 0.9,
        "maximum": 1.1,
        "n_dead_antennas": 0,
    }
    settings = CalibrationSettings()
    assert judge(CaltableType.BA, TableQuality(**good), settings) == ()  # type: ignore[arg-type]
    reasons = judge(CaltableType.BA, TableQuality(**{**good, **change}), settings)  # type: ignore[arg-type]
    assert len(reasons) == 1
    assert word in reasons[0]
    assert reasons[0].startswith("BA: ")
