from pathlib import Path

import numpy as np
import pytest

from contimg_resources.simulation.gains import GainModel, draw_gains
from contimg_resources.simulation.spec import GainSpec

NAMES = tuple(str(n) for n in range(1, 10))
BAND = np.linspace(1.3114e9, 1.4986e9, 768)
NIGHT = 60954.3 + np.arange(0, 3600, 12.88) / 86400


def test_perfect_antennas_have_a_gain_of_one() -> None:
    assert draw_gains(GainSpec.perfect(), 1, NAMES).total(BAND, 60954.3) == pytest.approx(1)


def test_a_station_keeps_its_gains_whatever_the_array() -> None:
    whole, part = draw_gains(GainSpec(), 1, NAMES), draw_gains(GainSpec(), 1, ("7", "3"))
    np.testing.assert_array_equal(part.total(BAND, 60954.3), whole.total(BAND, 60954.3)[[6, 2]])


def test_gains_drift_continuously_over_a_night() -> None:
    gain = draw_gains(GainSpec(), 1, NAMES).gain(NIGHT)
    step = np.abs(np.diff(np.angle(gain[..., 1:] / gain[..., :-1]), axis=-1))
    assert 0 < np.degrees(np.abs(np.angle(gain[..., 1:] / gain[..., :-1])).max()) < 3
    assert np.degrees(step.max()) < 1
    late = np.degrees(np.angle(gain[..., -1] / gain[..., 0]))
    assert 1 < late.std() < 15


def test_the_spread_is_what_was_asked_for() -> None:
    many = tuple(str(n) for n in range(1, 118))
    spec = GainSpec()
    model = draw_gains(spec, 1, many)
    assert model.delay_s.std() == pytest.approx(spec.delay_ns * 1e-9, rel=0.2)
    log_bandpass = np.log(np.abs(model.bandpass(BAND)))
    assert log_bandpass.std() == pytest.approx(spec.bandpass_amplitude, rel=0.2)
    hours = np.linspace(60954, 60964, 4000)
    phase = np.angle(model.gain(hours) / np.exp(1j * model.phase_rad)[..., None])
    expected = np.hypot(spec.drift_phase_deg, spec.wander_phase_deg)
    assert np.degrees(phase.std()) == pytest.approx(expected, rel=0.2)


def test_the_bandpass_is_smooth() -> None:
    bandpass = draw_gains(GainSpec(), 1, NAMES).bandpass(BAND)
    assert np.abs(np.diff(bandpass, axis=-1)).max() < 0.01


def test_a_saved_model_comes_back_and_shows_its_terms(tmp_path: Path) -> None:
    model = draw_gains(GainSpec(), 1, NAMES)
    model.save(tmp_path / "x.gains.npz", BAND, NIGHT)
    back = GainModel.load(tmp_path / "x.gains.npz")
    assert back.antenna_names == NAMES
    np.testing.assert_array_equal(back.total(BAND, NIGHT[5]), model.total(BAND, NIGHT[5]))
    with np.load(tmp_path / "x.gains.npz") as stored:
        delay = np.exp(2j * np.pi * stored["delay_ns"][..., None] * 1e-9 * (BAND - 1.405e9))
        product = delay * stored["bandpass"] * stored["gain"][..., 5:6]
        np.testing.assert_allclose(product, model.total(BAND, NIGHT[5]), rtol=1e-9)
