"""What lies in a simulated MS, read back through CASA."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from contimg_resources.casa import Casa
from contimg_resources.core.errors import ConfigurationError
from contimg_resources.core.point_sources import direction_cosines
from contimg_resources.instrument.primary_beam import airy_power
from contimg_resources.observations.calibrators import separation_deg
from contimg_resources.simulation.meridian import apparent_direction_deg, sidereal_time_deg
from contimg_resources.simulation.observation import SimulationRequest, simulate_observation
from contimg_resources.simulation.predict import apparent_flux_jy
from contimg_resources.simulation.sky import sources_near
from contimg_resources.simulation.spec import (
    AddedSource,
    DeadStyle,
    GainSpec,
    RfiSpec,
    SimulationSpec,
    Size,
    SkySpec,
)
from contimg_resources.simulation.truth import Truth
from tests.conftest import TinyNight
from tests.simulation import casa_side
from tests.simulation.conftest import Columns, Simulate

SHORT = replace(
    SimulationSpec.of_size(Size.TINY, 60954.35, 33.293),
    antennas=("1", "51", "68", "102", "104", "116"),
    channels_per_window=2,
    n_integrations=3,
)


Night = tuple[Columns, Truth]


@pytest.fixture(scope="module")
def night(tiny_night: TinyNight, columns: Callable[[Path], Columns]) -> Night:
    return columns(tiny_night.calibrator), tiny_night.calibrator_truth


def test_fields_sit_on_the_meridian_one_per_integration(night: Night) -> None:
    stored, truth = night
    assert list(stored["FIELD.NAME"]) == [f"meridian_icrs_t{n}" for n in range(24)]
    times = np.unique(stored["TIME"])
    assert times.size == 24
    ra, dec = np.degrees(stored["FIELD.PHASE_DIR"][:, 0, :])
    for field, seconds in enumerate(times):
        mjd = seconds / 86400
        assert set(stored["FIELD_ID"][stored["TIME"] == seconds]) == {field}
        apparent_ra, apparent_dec = apparent_direction_deg(ra[field], dec[field], mjd)
        away = (apparent_ra - sidereal_time_deg(mjd) + 180) % 360 - 180
        assert away == pytest.approx(0, abs=1e-5)
        assert apparent_dec == pytest.approx(truth.spec.apparent_declination_deg, abs=1e-7)
    spread = (ra.max() - ra.min()) % 360
    assert spread == pytest.approx(23 * 12.884902 * 15.041 / 3600, rel=0.01)


def test_times_are_utc_and_back_to_back(night: Night) -> None:
    stored, truth = night
    assert stored["time_reference"][0] == "UTC"
    np.testing.assert_allclose(np.diff(np.unique(stored["TIME"])), 12.884902, atol=1e-5)
    np.testing.assert_allclose(stored["OBSERVATION.TIME_RANGE"].mean() / 86400, truth.mid_mjd)
    assert set(stored["INTERVAL"]) == {12.884902}


def test_windows_are_in_scrambled_order_and_described_by_the_truth(night: Night) -> None:
    stored, truth = night
    frequencies = stored["SPECTRAL_WINDOW.CHAN_FREQ"].T
    np.testing.assert_allclose(frequencies, truth.record.window_frequencies_hz, atol=1)
    steps = np.diff(frequencies[:, 0])
    assert (steps > 0).any()
    assert (steps < 0).any()
    highest = int(np.argmax(frequencies[:, 0]))
    assert stored["SPECTRAL_WINDOW.NAME"][highest] == "sb00"
    assert np.unique(stored["DATA_DESC_ID"]).size == 16


def test_antennas_are_named_by_station_and_the_telescope_is_known_to_casa(night: Night) -> None:
    stored, truth = night
    assert tuple(stored["ANTENNA.NAME"]) == truth.antenna_names == truth.spec.antennas
    assert set(stored["ANTENNA.DISH_DIAMETER"]) == {4.65}
    assert list(stored["OBSERVATION.TELESCOPE_NAME"]) == ["OVRO_MMA"]
    assert list(stored["POLARIZATION.CORR_TYPE"][:, 0]) == [9, 12]
    assert not {"MODEL_DATA", "CORRECTED_DATA"} & set(stored["columns"])


def test_a_dead_antenna_holds_no_data(night: Night) -> None:
    stored, truth = night
    dead = truth.antenna_id(truth.spec.dead_antennas[0])
    its = (stored["ANTENNA1"] == dead) | (stored["ANTENNA2"] == dead)
    assert not stored["DATA"][:, :, its].any()
    assert (stored["DATA"][:, :, ~its] != 0).all()
    assert not stored["FLAG"].any()


def test_data_minus_the_corrupted_truth_is_noise_of_the_sefd(night: Night) -> None:
    stored, truth = night
    spec = truth.spec
    fields = np.array([truth.record.field_ra_deg, truth.record.field_dec_deg])
    sources = sources_near(spec.sky, spec.seed, *fields)
    time, window = 7, 5
    rows = (stored["FIELD_ID"] == time) & (stored["DATA_DESC_ID"] == window)
    first, second = stored["ANTENNA1"][rows], stored["ANTENNA2"][rows]
    frequencies = stored["SPECTRAL_WINDOW.CHAN_FREQ"][:, window]
    ra, dec = np.array([(s.ra_deg, s.dec_deg) for s in sources]).T
    ra0, dec0 = fields[:, time]
    cosines = np.stack(direction_cosines(ra, dec, ra0, dec0))
    apparent = apparent_flux_jy(sources, ra0, dec0, frequencies)
    path_s = stored["UVW"][:, rows].T @ cosines / 299_792_458.0
    phase = 2 * np.pi * frequencies[:, None, None] * path_s
    true = np.sum(apparent[:, None, :] * np.exp(1j * phase), axis=-1)
    g = truth.total_gain(range(len(spec.antennas)), frequencies, truth.record.field_mjd[time])
    expected = true[None] * np.transpose(g[first] * g[second].conj(), (1, 2, 0))
    dead = truth.antenna_id(spec.dead_antennas[0])
    alive = (first != dead) & (second != dead)
    left = (stored["DATA"][:, :, rows] - expected)[:, :, alive]
    assert left.real.std() == pytest.approx(spec.noise_jy, rel=0.05)
    assert left.imag.std() == pytest.approx(spec.noise_jy, rel=0.05)
    assert abs(left.mean()) < 4 * spec.noise_jy / np.sqrt(left.size)
    assert stored["SIGMA"] == pytest.approx(spec.noise_jy, rel=1e-6)
    assert stored["WEIGHT"] == pytest.approx(spec.noise_jy**-2, rel=1e-6)


def test_uvw_are_baselines_on_the_meridian(night: Night) -> None:
    stored, _ = night
    rows = (stored["FIELD_ID"] == 11) & (stored["DATA_DESC_ID"] == 0)
    position = stored["ANTENNA.POSITION"].T
    baseline = position[stored["ANTENNA1"][rows]] - position[stored["ANTENNA2"][rows]]
    longitude = np.radians(-118.2830000)
    east = baseline @ [-np.sin(longitude), np.cos(longitude), 0.0]
    # On the meridian u is the eastward part; of date and of J2000 north differ by 0.2 deg.
    assert (
        np.abs(stored["UVW"][0, rows] - east).max() < 0.004 * np.linalg.norm(baseline, axis=1).max()
    )
    lengths = np.linalg.norm(stored["UVW"][:, rows], axis=0)
    np.testing.assert_allclose(lengths, np.linalg.norm(baseline, axis=1), rtol=3e-4)


def test_the_same_seed_gives_the_same_visibilities(
    simulate: Simulate, columns: Callable[[Path], Columns]
) -> None:
    spec = replace(SHORT, rfi=RfiSpec())
    first, second = columns(simulate(spec).ms), columns(simulate(spec).ms)
    other = columns(simulate(replace(spec, seed=2)).ms)
    np.testing.assert_array_equal(first["DATA"], second["DATA"])
    assert not np.array_equal(first["DATA"], other["DATA"])


def test_casas_own_simulator_predicts_the_same(
    simulate: Simulate, casa: Casa, casa_afresh: Casa
) -> None:
    """Signs, w-term and beam against an independent implementation."""
    ra, dec = 22.3, 33.15
    added = (
        AddedSource("a", ra, dec, 1.0),
        AddedSource("b", ra + 1.1, dec + 0.2, 4.0),
        AddedSource("c", ra - 0.4, dec - 0.9, 2.0),
    )
    sky = SkySpec(catalogue=False, calibrators=False, added=added)
    spec = replace(SHORT, sky=sky, gains=GainSpec.perfect(), sefd_jy=0.0)
    made = simulate(spec)
    request = casa_side.PredictRequest(
        made.ms,
        tuple(casa_side.Component(s.ra_deg, s.dec_deg, s.flux_jy) for s in added),
        1.405e9,
    )
    with np.load(casa.run(casa_side.dump, made.ms, label="dump")) as stored:
        ours = stored["DATA"]
    # CASA's voltage patterns stay in its process.
    with np.load(casa_afresh.run(casa_side.predict, request, label="predict")) as stored:
        theirs = stored["DATA"]
    assert np.abs(theirs).max() > 3
    # CASA looks its beam up in a table, 2 % off the Airy pattern at a degree.
    assert np.abs(ours - theirs).max() < 0.03 * np.abs(theirs).max()
    field = Truth.load(made.ms).record
    away = separation_deg(ra, dec, field.field_ra_deg[1], field.field_dec_deg[1])
    assert airy_power(np.radians(away), 1.405e9) > 0.5


def test_flagged_dead_antennas_are_flagged_and_interference_is_loud(
    simulate: Simulate, columns: Callable[[Path], Columns]
) -> None:
    spec = replace(
        SHORT, dead_antennas=("51",), dead_style=DeadStyle.FLAGGED, rfi=RfiSpec(line_jy=5000.0)
    )
    stored = columns(simulate(spec).ms)
    its = (stored["ANTENNA1"] == 1) | (stored["ANTENNA2"] == 1)
    assert stored["FLAG"][:, :, its].all()
    assert not stored["FLAG"][:, :, ~its].any()
    top = int(np.argmax(stored["SPECTRAL_WINDOW.CHAN_FREQ"][0]))
    quiet = int(np.argmin(stored["SPECTRAL_WINDOW.CHAN_FREQ"][0]))
    amplitude = np.abs(stored["DATA"])[:, :, ~its]
    window = stored["DATA_DESC_ID"][~its]
    assert np.median(amplitude[..., window == top]) > 10 * np.median(
        amplitude[..., window == quiet]
    )


def test_autocorrelations_hold_the_system_noise_power(
    simulate: Simulate, columns: Callable[[Path], Columns]
) -> None:
    stored = columns(simulate(replace(SHORT, autocorrelations=True)).ms)
    auto = stored["ANTENNA1"] == stored["ANTENNA2"]
    assert auto.sum() == 6 * 16 * 3
    assert stored["DATA"][..., auto].real.min() > 1000
    assert not stored["DATA"][..., auto].imag.any()


def test_an_ms_that_is_there_is_not_replaced_unasked(simulate: Simulate, casa: Casa) -> None:
    made = simulate(SHORT)
    before = made.truth.stat().st_mtime_ns
    request = SimulationRequest(SHORT, made.ms.parent, done_marker=True)
    with pytest.raises(ConfigurationError, match="already there"):
        casa.run(simulate_observation, request, label="again")
    assert made.truth.stat().st_mtime_ns == before
    casa.run(simulate_observation, replace(request, overwrite=True), label="again")
    names = sorted(p.name for p in made.ms.parent.iterdir())
    stem = made.ms.name.removesuffix(".ms")
    assert names == sorted(
        [f"{stem}.ms", f"{stem}.ms.done", f"{stem}.truth.json", f"{stem}.gains.npz"]
    )
