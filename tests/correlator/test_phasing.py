"""The orientation of the Earth is the one that astropy reads from the same tables."""

import numpy as np
import pytest
from astropy.time import Time
from astropy.utils import iers

from contimg_resources.correlator.phasing import Sky
from contimg_resources.instrument.dsa110 import HEIGHT_M, LATITUDE_DEG, LONGITUDE_DEG


@pytest.fixture(scope="module")
def table() -> iers.IERS_Auto:
    with iers.conf.set_temp("auto_download", False):
        return iers.IERS_Auto.open()


@pytest.mark.parametrize(
    "when",
    [
        "in 1992",
        "across a leap second",
        "where Bulletin B ends",
        "where both end",
        "predictions",
        "before them",
        "beyond them",
    ],
)
def test_ut1_and_the_pole_are_those_of_astropy(when: str, table: iers.IERS_Auto) -> None:
    days = table["MJD"].value
    in_both = np.isfinite(table["UT1_UTC_B"].value)
    middle = {
        "in 1992": 48_900.5,
        "across a leap second": 57_754.0,
        "where Bulletin B ends": days[in_both][-1] + 0.5,
        "where both end": iers.IERS_B.open()["MJD"].value[-1] + 0.5,
        "predictions": table.meta["predictive_mjd"] + 30.0,
        "before them": days[0],
        "beyond them": days[-1],
    }[when]
    times = Time(middle + np.linspace(-2.0, 2.0, 9), format="mjd", scale="utc")

    sky = Sky.at(times.jd, (LONGITUDE_DEG, LATITUDE_DEG, HEIGHT_M))

    with iers.conf.set_temp("auto_download", False), iers.conf.set_temp("auto_max_age", None):
        ut1, status = table.ut1_utc(times, return_status=True)
        x, y, _ = table.pm_xy(times, return_status=True)
    np.testing.assert_allclose(sky.ut1_minus_utc_s, ut1.to_value("s"), rtol=0, atol=1e-9)
    np.testing.assert_allclose(sky.pole_rad, [x.to_value("rad"), y.to_value("rad")], rtol=1e-12)
    assert sky.predicted == bool((status < 0).any()) == (when in ("before them", "beyond them"))
