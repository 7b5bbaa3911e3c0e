from pathlib import Path

import numpy as np
import pytest

from contimg_resources.core.errors import UnreadableObservation
from contimg_resources.instrument.primary_beam import airy_power
from contimg_resources.observations.calibrators import separation_deg
from contimg_resources.simulation.truth import Truth
from tests.conftest import TinyNight


def test_the_calibrator_is_the_brightest_and_transits_the_middle_of_the_beam(
    tiny_night: TinyNight,
) -> None:
    brightest = tiny_night.calibrator_truth.sources[0]
    assert brightest.name == "3C48"
    assert brightest.calibrator
    assert brightest.flux_jy == pytest.approx(16.209, abs=1e-3)
    assert 0.95 < brightest.mean_beam < 0.98
    assert brightest.spectral_index == pytest.approx(-0.81, abs=0.01)


def test_apparent_fluxes_are_the_drift_averaged_beam_times_the_flux(tiny_night: TinyNight) -> None:
    truth = tiny_night.target_truths[0]
    for source in truth.sources[:20]:
        away = separation_deg(
            source.ra_deg, source.dec_deg, truth.record.field_ra_deg, truth.record.field_dec_deg
        )
        beam = airy_power(np.radians(away), 1.405e9).mean()
        assert source.mean_beam == pytest.approx(beam, rel=1e-6)
        assert source.apparent_flux_jy == pytest.approx(source.flux_jy * beam, rel=0.05)


def test_targets_hold_sources_worth_finding_but_not_the_calibrator(tiny_night: TinyNight) -> None:
    for truth in tiny_night.target_truths:
        limit = 10 * truth.record.expected_rms_jy
        bright = [s for s in truth.sources if s.apparent_flux_jy > limit and s.mean_beam > 0.2]
        assert len(bright) >= 8
        assert not any(s.calibrator for s in truth.sources)


def test_one_instrument_sees_the_whole_night(tiny_night: TinyNight) -> None:
    calibrator, target = tiny_night.calibrator_truth, tiny_night.target_truths[0]
    mjd = target.mid_mjd
    np.testing.assert_array_equal(
        calibrator.total_gain([0, 5], [1.4e9, 1.35e9], mjd),
        target.total_gain([0, 5], [1.4e9, 1.35e9], mjd),
    )


def test_truth_loads_by_ms_or_by_json(tiny_night: TinyNight) -> None:
    ms = tiny_night.calibrator
    json = ms.with_name(ms.name.removesuffix(".ms") + ".truth.json")
    assert Truth.load(ms).record == Truth.load(json).record


@pytest.mark.parametrize("content", [None, "", "{}", "[1, 2"])
def test_a_missing_or_broken_truth_is_named(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "x.truth.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UnreadableObservation, match=r"x\.truth\.json"):
        Truth.load(tmp_path / "x.ms")
