"""Claims about the flux scale and about which calibrator crossed the beam."""

import numpy as np
import pytest

from contimg_resources.core.errors import CalibratorNotFound, ConfigurationError
from contimg_resources.observations.calibrators import (
    FLUX_SCALE_SOURCES,
    Calibrator,
    CalibratorList,
    separation_deg,
)
from contimg_resources.observations.flux_model import FluxModel, flux_densities_jy
from contimg_resources.observations.model import ObservedField

CATALOGUE = CalibratorList()


def drift(dec_deg: float, ra_start_deg: float, n: int = 24) -> list[ObservedField]:
    """Give the phase centres of a drift scan, one an integration."""
    return [
        ObservedField(i, f"t{i}", (ra_start_deg + 0.0537 * i) % 360, dec_deg, 61041 + i * 1.5e-4)
        for i in range(n)
    ]


def own(name: str, ra_deg: float, dec_deg: float, flux_jy: float) -> Calibrator:
    model = FluxModel.power_law(flux_jy, 1.4, -0.7, "mine")
    return Calibrator(name, (), ra_deg, dec_deg, model)


@pytest.mark.parametrize(
    ("name", "flux_jy"), [("3C286", 15.057), ("3C48", 16.209), ("3C147", 22.111), ("3C138", 8.547)]
)
def test_the_polynomials_give_the_published_fluxes_at_1405_mhz(name: str, flux_jy: float) -> None:
    assert CATALOGUE.find(name).flux_jy(1.405e9) == pytest.approx(flux_jy, abs=6e-4)


def test_3c286_has_the_flux_that_casa_gives_at_1412_mhz() -> None:
    assert CATALOGUE.find("3C286").flux_jy(1.412665e9) == pytest.approx(15.0159, abs=5e-5)


def test_a_flux_of_many_channels_keeps_their_shape() -> None:
    frequency_hz = np.linspace(1.311e9, 1.499e9, 768).reshape(16, 48)
    flux_jy = CATALOGUE.find("3C48").flux_jy(frequency_hz)
    assert flux_jy.shape == (16, 48)
    assert np.all(np.diff(flux_jy.ravel()) < 0)


def test_the_fluxes_of_many_sources_are_those_of_each() -> None:
    hz = np.array([1.31e9, 1.405e9, 1.49e9])
    models = [
        FluxModel.power_law(2.0, 1.4, -0.7, "mine"),
        CalibratorList().find("3C286").model,
        FluxModel.power_law(0.05, 0.3, 0.4, "mine"),
        FluxModel((0.3, -0.5, 0.1), 1.0, "mine"),
    ]
    for some in (models, models[1:2], []):
        together = flux_densities_jy(some, hz)
        assert together == pytest.approx(np.array([m.flux_jy(hz) for m in some]).reshape(-1, 3))
    with pytest.raises(ValueError, match="holds from"):
        flux_densities_jy(models, np.array([1e15]))


@pytest.mark.parametrize("name", ["3c286", "1331+305", "j1331+3030", " 3C 286 ", "1328+307"])
def test_a_calibrator_is_found_by_any_of_its_names(name: str) -> None:
    assert CATALOGUE.find(name).name == "3C286"


def test_an_unknown_name_gets_its_near_matches() -> None:
    with pytest.raises(CalibratorNotFound, match=r"'3C287'; near matches: 3C286"):
        CATALOGUE.find("3C287")


def test_a_name_like_no_other_gets_all_that_are_known() -> None:
    with pytest.raises(CalibratorNotFound, match="known: 3C286, 3C48, 3C147, 3C138"):
        CATALOGUE.find("zzz")


@pytest.mark.parametrize("name", ["3C454.3", "j2253+1608"])
def test_the_blazar_3c454_3_is_refused_with_the_reason(name: str) -> None:
    with pytest.raises(CalibratorNotFound, match="blazar"):
        CATALOGUE.find(name)


def test_the_blazar_is_refused_under_another_name_too() -> None:
    with pytest.raises(ConfigurationError, match=r"'bright one': 3C454\.3 is a blazar"):
        CalibratorList([own("bright one", 343.4906, 16.1482, 12.0)])


def test_no_flux_is_invented_where_the_model_does_not_hold() -> None:
    with pytest.raises(ValueError, match=r"are these Hz\?"):
        CATALOGUE.find("3C286").flux_jy(1.4)
    with pytest.raises(ValueError, match="finite positive"):
        CATALOGUE.find("3C286").flux_jy([1.4e9, np.nan])


def test_a_drift_over_3c286_sees_it_at_its_transit() -> None:
    (transit,) = CATALOGUE.crossing(drift(30.0, 202.3), 1.0, 1.405e9)
    assert transit.name == "3C286"
    assert transit.separation_deg == pytest.approx(0.5092, abs=2e-3)
    # RA 202.7845 is reached nine integrations after 202.3.
    assert transit.mid_mjd == pytest.approx(61041 + 9 * 1.5e-4)
    assert transit.flux_jy == pytest.approx(15.057, abs=1e-3)
    # The beam of 2.8 deg FWHM has lost about 9 % at 0.51 deg.
    assert 0.88 < transit.apparent_flux_jy / transit.flux_jy < 0.94


def test_no_calibrator_crosses_another_strip() -> None:
    assert CATALOGUE.crossing(drift(54.6, 202.3), 1.0, 1.405e9) == ()
    assert CATALOGUE.crossing([], 1.0, 1.405e9) == ()


def test_the_brightest_apparent_flux_comes_first() -> None:
    catalogue = CalibratorList([own("far", 100.0, 31.9, 5.0), own("near", 100.1, 30.0, 4.0)])
    found = catalogue.crossing(drift(30.0, 99.5), 2.0, 1.4e9)
    assert [t.name for t in found] == ["near", "far"]
    assert found[1].flux_jy > found[0].flux_jy


def test_a_crossing_at_right_ascension_zero_is_seen() -> None:
    catalogue = CalibratorList([own("zero", 0.01, 20.0, 3.0)])
    (transit,) = catalogue.crossing(drift(20.0, 359.4), 1.0, 1.4e9)
    assert transit.separation_deg < 0.03


def test_two_calibrators_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="two calibrators are called '3C 286'"):
        CalibratorList([own("3C 286", 10.0, 10.0, 1.0)])


def test_the_nearest_calibrator_to_a_phase_centre_is_found_or_named() -> None:
    assert CATALOGUE.nearest(202.78, 30.51, 0.1).name == "3C286"
    with pytest.raises(CalibratorNotFound, match=r"nearest is 3C286, 0\.\d+ deg away"):
        CATALOGUE.nearest(202.78, 30.0, 0.1)


def test_positions_are_those_of_the_vla_list() -> None:
    source = FLUX_SCALE_SOURCES[0]
    assert source.ra_deg == pytest.approx(202.784533, abs=1e-6)
    assert source.dec_deg == pytest.approx(30.509156, abs=1e-6)


def test_separations_are_exact_for_tiny_and_for_opposite_directions() -> None:
    assert separation_deg(10.0, 89.9999, 190.0, 89.9999) == pytest.approx(2e-4, rel=1e-6)
    assert separation_deg(0.0, 30.0, 180.0, -30.0) == pytest.approx(180.0)
