"""Claims about what a MeasurementSet says it is."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from contimg_resources.casa import Casa
from contimg_resources.observations.calibrators import Calibrator, CalibratorList
from contimg_resources.observations.flux_model import FluxModel
from contimg_resources.observations.model import Observation
from contimg_resources.observations.reading import read_observation
from contimg_resources.observations.settling import content_signature
from contimg_resources.settings import ArrivalSettings

START_MJD = 61041.25
INTEGRATION_DAYS = 12.884902 / 86400
Read = Callable[[Path], Observation]


def test_the_mid_mjd_comes_from_time_though_the_file_name_lies(observation: Observation) -> None:
    assert observation.path.name == "2001-01-01T00:00:00.ms"
    assert observation.start_mjd == pytest.approx(START_MJD, abs=1e-9)
    assert observation.end_mjd == pytest.approx(START_MJD + 4 * INTEGRATION_DAYS, abs=1e-9)
    assert observation.mid_mjd == pytest.approx(START_MJD + 2 * INTEGRATION_DAYS, abs=1e-9)
    assert observation.key == "61041.25030"


def test_a_time_in_tai_becomes_utc(read: Read, night: Path) -> None:
    shift_s = (read(night / "in_tai.ms").mid_mjd - START_MJD - 2 * INTEGRATION_DAYS) * 86400
    assert shift_s == pytest.approx(-37.0, abs=1e-3)


def test_a_second_that_comes_twice_moves_the_middle_by_half_of_it(
    read: Read, night: Path, observation: Observation
) -> None:
    found = read(night / "leap_second.ms")
    assert found.n_integrations == observation.n_integrations
    assert found.mid_mjd == pytest.approx(57_754.0 - 0.5 / 86_400, abs=1e-9)
    # Of the day before: midnight itself comes half a second later.
    assert found.key == "57753.99999"


def test_a_drift_scan_has_one_field_per_integration(observation: Observation) -> None:
    assert [f.name for f in observation.fields] == [f"meridian_icrs_t{i}" for i in range(4)]
    assert [f.ra_deg for f in observation.fields] == pytest.approx(
        [202.7, 202.7537, 202.8074, 202.8611], abs=1e-8
    )
    assert observation.declination_deg == pytest.approx(30.6, abs=1e-8)
    assert observation.fields[3].mid_mjd == pytest.approx(START_MJD + 3.5 * INTEGRATION_DAYS)
    assert observation.n_integrations == 4
    assert observation.integration_s == pytest.approx(12.884902)


def test_phase_centres_are_given_in_icrs_whatever_their_frame(
    observation: Observation, read: Read, night: Path
) -> None:
    # CASA wrote the ICRS direction in J2000; the same numbers called ICRS are some 20 mas off.
    (first, *_) = read(night / "called_icrs.ms").fields
    assert observation.fields[0].ra_deg == pytest.approx(202.7, abs=1e-10)
    assert 1e-7 < abs(first.ra_deg - 202.7) < 1e-5
    assert 1e-7 < abs(first.dec_deg - 30.6) < 1e-5


def test_windows_are_sorted_by_frequency_though_scrambled_and_descending(
    observation: Observation,
) -> None:
    low, high = observation.spectral_windows
    assert (low.id, high.id) == (1, 0)
    assert (low.first_hz, low.last_hz) == pytest.approx((1.39825e9, 1.4e9))
    assert (high.first_hz, high.last_hz) == pytest.approx((1.45e9, 1.45175e9))
    assert low.channel_width_hz == pytest.approx(0.25e6)
    assert low.n_channels == 8
    assert 0.5 * sum(observation.band_hz) == pytest.approx(1.425e9)


def test_antennas_go_by_name_and_a_dead_one_is_not_working(observation: Observation) -> None:
    assert [a.name for a in observation.antennas] == ["1", "2", "24", "103", "104", "117"]
    assert [a.name for a in observation.antennas if not a.working] == ["24"]
    assert observation.telescope == "OVRO_MMA"
    assert observation.correlations == ("XX", "YY")


def test_flags_are_counted_over_cross_correlations_of_working_antennas(
    observation: Observation, read: Read, night: Path
) -> None:
    assert observation.flagged_fraction == pytest.approx(1 / 8)
    once = read(night / "works_once.ms")
    # Of the 10 baselines between 5 working antennas 4 hold antenna 117, flagged in 3 of 4 times.
    share = 0.4 * 0.75
    assert once.flagged_fraction == pytest.approx(share + (1 - share) / 8)
    assert once.antennas[5].working
    assert once.antennas[5].flagged_fraction == pytest.approx(0.75 + 0.25 / 8)


@pytest.mark.parametrize("name", ["all_flagged", "all_rows_flagged"])
def test_an_ms_flagged_altogether_is_readable_and_has_no_working_antenna(
    read: Read, night: Path, name: str
) -> None:
    found = read(night / f"{name}.ms")
    assert found.flagged_fraction == 1.0
    assert found.working_antennas == ()
    assert found.antennas[0].flagged_fraction == 1.0


def test_an_ms_full_of_nan_has_no_working_antenna(read: Read, night: Path) -> None:
    assert read(night / "all_nan.ms").working_antennas == ()


def test_3c286_crossed_the_beam_in_the_third_integration(observation: Observation) -> None:
    (transit,) = observation.calibrators
    assert transit.name == "3C286"
    assert transit.mid_mjd == pytest.approx(START_MJD + 2.5 * INTEGRATION_DAYS)
    assert transit.separation_deg == pytest.approx(0.0929, abs=1e-3)
    assert 14.8 < transit.apparent_flux_jy < transit.flux_jy < 15.0


def test_calibrators_fainter_than_asked_are_left_out(casa: Casa, tiny: Path) -> None:
    faint = Calibrator("F", (), 202.7, 30.6, FluxModel.power_law(0.5, 1.4, 0.0, "mine"))
    found = read_observation(
        tiny, casa=casa, calibrators=CalibratorList([faint]), settings=ArrivalSettings()
    )
    assert [t.name for t in found.calibrators] == ["3C286"]


def test_reading_changes_no_byte_and_no_date(read: Read, tiny: Path) -> None:
    def state() -> dict[Path, tuple[int, str]]:
        return {
            p: (p.stat().st_mtime_ns, hashlib.sha256(p.read_bytes()).hexdigest())
            for p in tiny.rglob("*")
            if p.is_file()
        }

    before = state()
    found = read(tiny)
    assert state() == before
    assert found.signature == content_signature(tiny).digest


def test_the_layout_is_what_a_caltable_must_share(observation: Observation) -> None:
    assert observation.layout.antenna_names == ("1", "2", "24", "103", "104", "117")
    assert [n for _, _, n in observation.layout.spectral_windows_hz] == [8, 8]
