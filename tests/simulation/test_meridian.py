import pytest

from contimg_resources.casa import Casa
from contimg_resources.observations.calibrators import FLUX_SCALE_SOURCES, Calibrator
from contimg_resources.simulation.meridian import (
    apparent_direction_deg,
    meridian_direction_deg,
    next_transit_mjd,
    sidereal_time_deg,
)
from tests.simulation import casa_side

MJD = 60954.525104


def test_sidereal_time_is_casas(casa: Casa) -> None:
    last_deg, ut1_minus_utc_s = casa.run(casa_side.sidereal_angle, MJD, label="lst")
    assert abs(ut1_minus_utc_s) < 0.9
    ours = sidereal_time_deg(MJD) + ut1_minus_utc_s * 15.041 / 3600
    assert ours == pytest.approx(last_deg, abs=0.3 / 3600)


@pytest.mark.parametrize("declination", [-20.0, 16.3, 33.0, 54.6, 89.0])
def test_a_direction_on_the_meridian_has_the_sidereal_time_as_right_ascension(
    declination: float,
) -> None:
    ra, dec = meridian_direction_deg(declination, MJD)
    apparent_ra, apparent_dec = apparent_direction_deg(ra, dec, MJD)
    away = (apparent_ra - sidereal_time_deg(MJD) + 180) % 360 - 180
    assert away == pytest.approx(0, abs=1e-7)
    assert apparent_dec == pytest.approx(declination, abs=1e-8)


def test_an_apparent_declination_wobbles_in_icrs_over_a_day() -> None:
    declinations = [meridian_direction_deg(33.0, MJD + t / 24)[1] for t in range(24)]
    assert 0.2 < max(declinations) - min(declinations) < 0.35  # +-0.15 deg


@pytest.mark.parametrize("calibrator", FLUX_SCALE_SOURCES, ids=lambda c: c.name)
def test_a_calibrator_transits_when_the_meridian_reaches_it(calibrator: Calibrator) -> None:
    mjd = next_transit_mjd(calibrator.ra_deg, calibrator.dec_deg, 60954.0)
    assert 60954.0 <= mjd < 60955.0
    _, declination = apparent_direction_deg(calibrator.ra_deg, calibrator.dec_deg, mjd)
    ra, dec = meridian_direction_deg(declination, mjd)
    assert ra == pytest.approx(calibrator.ra_deg, abs=1e-6)
    assert dec == pytest.approx(calibrator.dec_deg, abs=1e-6)
