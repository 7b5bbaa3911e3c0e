import numpy as np
import pytest

from contimg_resources.observations.calibrators import CalibratorList, separation_deg
from contimg_resources.simulation.sky import sources_near
from contimg_resources.simulation.spec import AddedSource, SkySpec

RA, DEC = np.array([24.0, 24.6]), np.array([33.2, 33.2])


def test_the_calibrator_has_its_perley_butler_flux() -> None:
    brightest = sources_near(SkySpec(), 1, RA, DEC)[0]
    assert brightest.name == "3C48"
    assert brightest.calibrator
    assert brightest.model.flux_jy(1.405e9) == pytest.approx(16.209, abs=5e-4)


def test_neighbouring_observations_see_the_same_sources() -> None:
    here = sources_near(SkySpec(), 1, RA, DEC)
    later = sources_near(SkySpec(), 1, RA + 1.3, DEC)
    inside = {
        s
        for s in here
        if separation_deg(s.ra_deg, s.dec_deg, RA + 1.3, DEC).min() <= SkySpec().radius_deg
    }
    assert len(inside) > 100
    assert inside <= set(later)


def test_the_sky_does_not_tear_at_the_first_hour_of_right_ascension() -> None:
    sources = sources_near(SkySpec(), 1, np.array([359.9, 0.1]), np.array([33.0, 33.0]))
    ra = np.array([s.ra_deg for s in sources])
    assert np.sum(ra < 4) > 50
    assert np.sum(ra > 356) > 50


def test_another_seed_is_another_sky() -> None:
    first = sources_near(SkySpec(calibrators=False), 1, RA, DEC)
    second = sources_near(SkySpec(calibrators=False), 2, RA, DEC)
    assert not set(first) & set(second)
    assert first == sources_near(SkySpec(calibrators=False), 1, RA, DEC)


def test_counts_are_those_of_the_real_sky() -> None:
    sky = SkySpec(calibrators=False, separation_deg=0.0, maximum_jy=9.0, radius_deg=6.0)
    around = np.arange(5.0, 360.0, 30.0)
    sources = sources_near(sky, 3, around, np.full(around.size, 20.0))
    flux = np.array([s.model.flux_jy(1.405e9) for s in sources])
    area_deg2 = around.size * 2 * np.pi * (1 - np.cos(np.radians(6.0))) * np.degrees(1) ** 2
    for limit, per_deg2 in ((0.03, 6.2), (0.1, 1.7), (0.3, 0.41)):
        assert np.sum(flux > limit) / area_deg2 == pytest.approx(per_deg2, rel=0.1)


def test_catalogue_sources_can_be_measured_one_by_one() -> None:
    sources = sources_near(SkySpec(), 1, RA, DEC)
    ra, dec = np.array([(s.ra_deg, s.dec_deg) for s in sources]).T
    for i in range(len(sources)):
        away = separation_deg(ra[i], dec[i], np.delete(ra, i), np.delete(dec, i))
        assert away.min() >= SkySpec().separation_deg


def test_added_sources_are_on_the_sky_and_far_ones_are_not() -> None:
    near = AddedSource("near", 24.3, 33.0, 2.0, -0.7)
    far = AddedSource("far", 124.3, 33.0, 2.0)
    sky = SkySpec(catalogue=False, calibrators=False, added=(near, far))
    (source,) = sources_near(sky, 1, RA, DEC)
    assert source.name == "near"
    assert source.model.flux_jy(1.405e9) == pytest.approx(2.0)
    assert source.model.flux_jy(2.81e9) == pytest.approx(2.0 * 2**-0.7)


def test_a_sky_without_calibrators_holds_none() -> None:
    names = {s.name for s in sources_near(SkySpec(calibrators=False), 1, RA, DEC)}
    assert not names & {c.name for c in CalibratorList().calibrators}
