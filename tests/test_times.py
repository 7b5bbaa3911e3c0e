"""Times are of this epoch and in days."""

from datetime import UTC, date, datetime

import pytest
from astropy.time import Time

from contimg_resources.core import times
from contimg_resources.core.errors import InvalidName


@pytest.mark.parametrize("mjd", [float("nan"), float("inf"), 0.0, 5.3e9, 97_000.0])
def test_a_time_of_another_epoch_or_unit_is_refused(mjd: float) -> None:
    with pytest.raises(InvalidName, match="no observing date"):
        times.check_mjd(mjd)


def test_an_observation_of_1989_is_an_observation() -> None:
    mjd = Time("1989-05-17T03:00:00", scale="utc").mjd
    assert times.check_mjd(mjd) == mjd
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
