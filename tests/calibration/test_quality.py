"""The measures see noise and loss, and not what is absent or changes slowly."""

import numpy as np
import pytest

from contimg_resources.calibration.quality import check_quality, measure_quality
from contimg_resources.calibration.solutions import Solutions
from contimg_resources.instrument.caltables import CaltableType, TableQuality
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
    return np.ones(n_antennas, bool)


def test_the_scatter_is_the_noise_and_not_the_shape() -> None:
    solutions = bandpass(noise=0.02)
    both = measure_quality(solutions, "B Jones", everything_works())
    assert both.amplitude_scatter == pytest.approx(0.02, rel=0.1)
    assert both.phase_scatter_deg == pytest.approx(np.degrees(0.02), rel=0.1)
    gain = solutions.values
    solutions.values = np.abs(gain) + 0j
    amplitude = measure_quality(solutions, "B Jones", everything_works())
    assert amplitude.amplitude_scatter == pytest.approx(both.amplitude_scatter)
    assert amplitude.phase_scatter_deg is None
    solutions.values = (gain / np.abs(gain)).astype(np.complex64)
    phase = measure_quality(solutions, "B Jones", everything_works())
    assert phase.phase_scatter_deg == pytest.approx(both.phase_scatter_deg, rel=1e-4)
    assert phase.amplitude_scatter is None
    assert (both.holds_amplitude, phase.holds_amplitude) == (True, False)


def test_the_scatter_of_gains_compares_neighbours_in_time_only() -> None:
    # Two antennas whose gains differ by a factor 5 and change slowly, rows interleaved.
    times = np.repeat(np.arange(20.0), 2)
    antennas = np.tile([0, 1], 20)
    values = np.where(antennas == 0, 1.0, 5.0) * (1 + 0.001 * times)
    cells = np.repeat(values[None, None, :], 2, axis=0).astype(complex)
    solutions = Solutions(
        cells, np.zeros(cells.shape, bool), np.ones(cells.shape), antennas, antennas * 0, times
    )
    quality = measure_quality(solutions, "G Jones", everything_works(2))
    assert quality.amplitude_scatter is not None
    assert quality.amplitude_scatter < 1e-4


def test_a_working_antenna_dropped_by_the_solver_counts_and_an_absent_one_does_not() -> None:
    solutions = bandpass(noise=0.0)
    solutions.flags[:, :, 2:] = True
    working = everything_works()
    working[3] = False
    quality = measure_quality(solutions, "B Jones", working)
    assert quality.flagged_fraction == pytest.approx(1 / 3)
    assert quality.n_dead_antennas == 1


def test_a_receptor_that_is_dead_on_every_antenna_is_half_of_the_table() -> None:
    solutions = bandpass(noise=0.0)
    solutions.flags[1] = True
    quality = measure_quality(solutions, "B Jones", everything_works())
    assert quality.flagged_fraction == 0.5
    assert quality.flagged_by_receptor == (0.0, 1.0)
    assert check_quality(CaltableType.BP, quality, CalibrationSettings()) == (
        "BP: 50% of the solutions of working antennas are flagged, 0% and 100% by receptor "
        "(at most 30%)",
    )


def test_a_receptor_has_its_own_limit() -> None:
    solutions = bandpass(noise=0.0)
    solutions.flags[1, :, :2] = True
    quality = measure_quality(solutions, "B Jones", everything_works())
    assert quality.flagged_fraction == 0.25
    assert len(check_quality(CaltableType.BP, quality, CalibrationSettings())) == 1


@pytest.mark.parametrize(("gone", "good"), [(21, True), (95, False)])
def test_absent_antennas_are_normal_until_too_few_are_left(gone: int, good: bool) -> None:
    solutions = bandpass(noise=0.0, n_antennas=117, n_channels=8)
    solutions.flags[:, :, 117 - gone :] = True
    working = everything_works(117)
    working[117 - gone :] = False
    quality = measure_quality(solutions, "B Jones", working)
    assert (quality.flagged_fraction, quality.n_dead_antennas) == (0.0, 0)
    reasons = check_quality(CaltableType.BP, quality, CalibrationSettings())
    assert reasons == (
        () if good else ("BP: only 22 of 117 antennas have solutions (at least 36)",)
    )


def test_rows_that_only_fill_up_the_antenna_table_are_no_antennas() -> None:
    solutions = bandpass(noise=0.0, n_antennas=40)
    solutions.flags[:, :, 10:] = True
    named = np.arange(40) < 12
    quality = measure_quality(solutions, "B Jones", np.arange(40) < 10, named)
    assert (quality.n_antennas_solved, quality.n_antennas) == (10, 12)


def noisy_bandpass(snr: float) -> Solutions:
    """A bandpass whose solutions have the error that an SNR per channel means."""
    solutions = bandpass(noise=1 / snr / np.sqrt(2), n_antennas=20)
    solutions.snr[:] = snr
    return solutions


def test_a_good_bandpass_of_a_weak_calibrator_passes_and_pure_noise_does_not() -> None:
    settings = CalibrationSettings()
    good = measure_quality(noisy_bandpass(9.5), "B Jones", everything_works(20))
    assert good.phase_scatter_deg == pytest.approx(4.3, rel=0.1)
    assert check_quality(CaltableType.BP, good, settings) == ()
    assert check_quality(CaltableType.GP, good, settings) == ("GP: median SNR 9.5 (at least 10)",)
    noise = measure_quality(noisy_bandpass(0.05), "B Jones", everything_works(20))
    assert noise.phase_scatter_deg == pytest.approx(95, rel=0.1)
    snr, *scatters = check_quality(CaltableType.BP, noise, settings)
    assert snr == "BP: median SNR per channel 0.1 (at least 3)"
    assert any("phases scatter" in reason for reason in scatters)


def test_one_solution_for_both_polarisations_is_measured_like_two() -> None:
    solutions = bandpass(noise=0.0)
    one = Solutions(
        solutions.values[:1],
        solutions.flags[:1],
        solutions.snr[:1],
        solutions.antennas,
        solutions.windows,
        solutions.times_s,
    )
    quality = measure_quality(one, "T Jones", everything_works())
    assert (quality.n_solutions, quality.flagged_by_receptor) == (4 * 512, (0.0,))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"flagged_fraction": 0.5}, "flagged"),
        ({"flagged_by_receptor": (0.0, 0.4)}, "0% and 40% by receptor"),
        ({"n_antennas_solved": 3}, "only 3 of 20 antennas"),
        ({"median_snr": 2.0}, "SNR"),
        ({"median_snr": float("nan")}, "SNR"),
        ({"amplitude_scatter": 0.9}, "amplitudes scatter"),
        ({"phase_scatter_deg": 80.0}, "phases scatter"),
        ({"n_solutions": 0}, "no solutions"),
    ],
)
def test_each_gate_gives_its_reason(change: dict[str, object], word: str) -> None:
    good: dict[str, object] = {
        "n_solutions": 100,
        "flagged_fraction": 0.0,
        "flagged_by_receptor": (0.0, 0.0),
        "median_snr": 100.0,
        "amplitude_scatter": 0.01,
        "phase_scatter_deg": 1.0,
        "holds_amplitude": True,
        "minimum": 0.9,
        "maximum": 1.1,
        "n_dead_antennas": 0,
        "n_antennas_solved": 20,
        "n_antennas": 20,
    }
    settings = CalibrationSettings()
    assert check_quality(CaltableType.BA, TableQuality(**good), settings) == ()  # type: ignore[arg-type]
    reasons = check_quality(CaltableType.BA, TableQuality(**{**good, **change}), settings)  # type: ignore[arg-type]
    assert len(reasons) == 1
    assert word in reasons[0]
    assert reasons[0].startswith("BA: ")
