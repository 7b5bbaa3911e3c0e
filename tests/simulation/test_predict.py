import numpy as np
import pytest
from scipy.constants import speed_of_light

from contimg_resources.core.point_sources import direction_cosines
from contimg_resources.instrument.primary_beam import airy_power
from contimg_resources.simulation.gains import draw_gains
from contimg_resources.simulation.predict import (
    Baselines,
    corrupted_visibilities,
    noise,
    true_visibilities,
)
from contimg_resources.simulation.sky import Source, sources_near
from contimg_resources.simulation.spec import AddedSource, GainSpec, SkySpec

BAND = np.array([1.32e9, 1.40e9, 1.49e9])
RNG = np.random.default_rng(5)
UVW = RNG.normal(0, 700, (8, 3))


def sky(*added: AddedSource) -> tuple[Source, ...]:
    spec = SkySpec(catalogue=False, calibrators=False, added=added)
    return sources_near(spec, 1, np.array([24.0]), np.array([33.0]))


def test_a_source_at_the_centre_looks_the_same_on_every_baseline() -> None:
    seen = true_visibilities(sky(AddedSource("x", 24.0, 33.0, 3.0)), 24.0, 33.0, UVW, BAND)
    assert seen == pytest.approx(3.0, abs=1e-5)


def test_a_source_one_degree_off_the_centre_is_attenuated_as_airy_says() -> None:
    seen = true_visibilities(sky(AddedSource("x", 24.0, 34.0, 3.0)), 24.0, 33.0, UVW, BAND)
    expected = 3.0 * airy_power(np.radians(1.0), BAND)
    everywhere = np.broadcast_to(expected[:, None, None], seen.shape)
    np.testing.assert_allclose(np.abs(seen), everywhere, rtol=1e-4)
    assert 0.6 < expected[1] / 3.0 < 0.75


def test_a_spectral_index_shows_in_the_visibilities() -> None:
    seen = true_visibilities(sky(AddedSource("x", 24.0, 33.0, 1.0, -2.0)), 24.0, 33.0, UVW, BAND)
    assert np.abs(seen[:, 0, 1]) == pytest.approx((BAND / 1.405e9) ** -2.0, rel=1e-5)


def test_visibilities_are_the_measurement_equation_term_by_term() -> None:
    sources = sky(*(AddedSource(str(i), 23.2 + 0.3 * i, 32.1 + 0.4 * i, 0.5 + i) for i in range(5)))
    seen = true_visibilities(sources, 24.0, 33.0, UVW, BAND)
    ra, dec = np.array([(s.ra_deg, s.dec_deg) for s in sources]).T
    east, north, depth = direction_cosines(ra, dec, 24.0, 33.0)
    away = np.arccos(1.0 + depth)
    for i, j in ((0, 1), (3, 7), (6, 2)):
        u, v, w = UVW[i] - UVW[j]
        for k, frequency in enumerate(BAND):
            flux = [s.model.flux_jy(frequency) for s in sources] * airy_power(away, frequency)
            turns = (u * east + v * north + w * depth) * frequency / speed_of_light
            expected = np.sum(flux * np.exp(2j * np.pi * turns))
            assert seen[k, i, j] == pytest.approx(expected, abs=2e-4)


def test_direction_cosines_are_a_unit_vector() -> None:
    east, north, depth = direction_cosines(np.array([25.5, 24.0]), np.array([34, 33.0]), 24.0, 33.0)
    assert east**2 + north**2 + (1 + depth) ** 2 == pytest.approx(1)
    assert (east[1], north[1], depth[1]) == pytest.approx((0, 0, 0), abs=1e-15)


def test_gains_corrupt_each_receptor_by_the_product_of_its_antennas() -> None:
    gains = draw_gains(GainSpec(), 1, tuple(str(n) for n in range(1, 9)))
    pairs = Baselines.of(8, False)
    true = true_visibilities(sky(AddedSource("x", 24.3, 33.5, 3.0)), 24.0, 33.0, UVW, BAND)
    seen = corrupted_visibilities(true, pairs, gains, BAND, 60954.4, None)
    g = gains.total(BAND, 60954.4)
    perfect = true[:, pairs.first, pairs.second].T[:, None]
    expected = g[pairs.first] * g[pairs.second].conj() * perfect
    np.testing.assert_allclose(seen, expected.swapaxes(1, 2), rtol=1e-4)


def test_an_empty_sky_is_dark() -> None:
    assert not true_visibilities(sky(), 24.0, 33.0, UVW, BAND).any()


def test_noise_has_its_sigma_in_both_parts() -> None:
    drawn = noise(np.random.default_rng(1), (300, 100, 2), 2.5)
    assert drawn.real.std() == pytest.approx(2.5, rel=0.01)
    assert drawn.imag.std() == pytest.approx(2.5, rel=0.01)
    assert abs(np.mean(drawn.real * drawn.imag)) < 0.1


def test_autocorrelations_are_rows_only_when_asked_for() -> None:
    assert Baselines.of(96, False).first.size == 4560
    assert Baselines.of(96, True).first.size == 4656
