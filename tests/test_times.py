"""Times: MJD keys are fixed in width, parsed before use, and of this epoch."""

from datetime import UTC, date, datetime

import pytest
from astropy.time import Time
from hypothesis import given
from hypothesis import strategies as st

from contimg_resources.core import times
from contimg_resources.core.errors import InvalidName

observing_mjds = st.floats(times.MJD_MIN_DAYS + 1, times.MJD_MAX_DAYS - 1)


@given(observing_mjds)
def test_a_key_gives_back_its_mjd_within_half_its_resolution(mjd: float) -> None:
    back = times.parse_partition_key(times.partition_key(mjd))
    assert abs(back - mjd) <= 0.5 * times.KEY_RESOLUTION_DAYS * 1.001


@given(observing_mjds, observing_mjds)
def test_keys_sort_as_their_times_do(a: float, b: float) -> None:
    keys = times.partition_key(a), times.partition_key(b)
    assert len(keys[0]) == len(keys[1]) == 11
    if abs(a - b) > times.KEY_RESOLUTION_DAYS:
        assert (keys[0] < keys[1]) == (a < b)


@pytest.mark.parametrize(
    "key",
    [
        "61041.0034",
        "61041.003471",
        " 61041.00347",
        "61041.00347\n",
        "../../61041.00347",
        "\uff161041.00347",
        "00000.00000",
        "nan",
        "",
    ],
)
def test_what_is_no_key_is_refused_by_name(key: str) -> None:
    with pytest.raises(InvalidName) as refusal:
        times.parse_partition_key(key)
    assert refusal.value.exit_code == 2


@pytest.mark.parametrize("mjd", [float("nan"), float("inf"), 0.0, 5.3e9, 97_000.0])
def test_a_time_of_another_epoch_or_unit_is_refused(mjd: float) -> None:
    with pytest.raises(InvalidName, match="no observing date"):
        times.partition_key(mjd)


def test_an_observation_of_1989_is_an_observation() -> None:
    mjd = Time("1989-05-17T03:00:00", scale="utc").mjd
    key = times.partition_key(mjd)
    assert key == "47663.12500"
    assert times.parse_partition_key(key) == pytest.approx(mjd)
    assert times.utc_day(mjd) == date(1989, 5, 17)


@pytest.mark.parametrize("mjd", [61_041.0 / 86_400, 1.76e9 / 86_400, 2_461_041.5, 112_176.0])
def test_days_taken_for_seconds_and_other_epochs_are_refused(mjd: float) -> None:
    # TIME in days, in Unix seconds, in Julian days, and an epoch of 140 years too late.
    with pytest.raises(InvalidName, match=r"between 36934 \(1960\) and 88069 \(2100\)"):
        times.mjd_from_casa_seconds(mjd * 86_400)


def test_conversions_agree_with_astropy() -> None:
    moment = Time("2025-10-06T12:36:09.123", scale="utc")
    assert times.isot_from_mjd(moment.mjd) == "2025-10-06T12:36:09.123"
    assert times.mjd_from_casa_seconds(moment.mjd * 86400) == pytest.approx(moment.mjd, abs=1e-9)
    assert times.mjd_from_datetime(datetime(2025, 10, 6, 12, 36, 9, 123000, tzinfo=UTC)) == (
        pytest.approx(moment.mjd, abs=1e-9)
    )


def test_a_utc_day_is_one_integer_mjd() -> None:
    assert times.mjd_day(60954.99999) == 60954
    assert times.utc_day(60954.99999) == date(2025, 10, 6)
    assert times.utc_day(60955.0) == date(2025, 10, 7)
