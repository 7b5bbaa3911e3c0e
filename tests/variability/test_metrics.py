"""Measures of variability against plain loops, and what they say of known populations."""

import itertools

import numpy as np
import pytest
from scipy.stats import chi2, kstest

from contimg_resources.settings import VariabilitySettings
from contimg_resources.variability.ese_loops import most_significant_pairs
from contimg_resources.variability.measuring import (
    errors_with_floor,
    measure_floor,
    measure_variability,
    medians_of,
    population_thresholds,
    scatter_of,
)
from tests.variability.curves import light_curves

SETTINGS = VariabilitySettings()


def test_measures_equal_the_formulas_term_by_term() -> None:
    random = np.random.default_rng(1)
    fluxes = [list(random.uniform(0.1, 0.3, n)) for n in (2, 3, 17)]
    errors = [list(random.uniform(0.01, 0.05, n)) for n in (2, 3, 17)]
    curves = light_curves(fluxes, errors)
    told = scatter_of(curves, curves.error_jy)
    for i, (s, e) in enumerate(zip(fluxes, errors, strict=True)):
        flux, error, n = np.array(s), np.array(e), len(s)
        w = 1 / error**2
        # Swinbank et al. 2015, as printed.
        eta = n / (n - 1) * (np.mean(w * flux**2) - np.mean(w * flux) ** 2 / np.mean(w))
        assert told.eta[i] == pytest.approx(eta, rel=1e-9)
        assert told.v[i] == pytest.approx(np.std(flux, ddof=1) / flux.mean())
        excess = (np.sum((flux - flux.mean()) ** 2) - np.sum(error**2)) / n
        expected = np.sign(excess) * np.sqrt(abs(excess)) / flux.mean()
        assert told.modulation_index[i] == pytest.approx(expected)
        assert told.p_value[i] == pytest.approx(chi2.sf(eta * (n - 1), n - 1))
        assert told.mean_jy[i] == pytest.approx(np.average(flux, weights=w))


def test_what_one_epoch_or_no_flux_cannot_tell_is_not_a_number() -> None:
    told = scatter_of(c := light_curves([[0.1], [-0.2, 0.1]]), c.error_jy)
    assert np.isnan([told.eta[0], told.v[0], told.modulation_index[0], told.p_value[0]]).all()
    assert np.isnan([told.v[1], told.modulation_index[1]]).all()
    assert told.eta[1] > 0


def test_eta_of_a_bright_source_keeps_its_digits() -> None:
    random = np.random.default_rng(2)
    curves = light_curves([1e4 + 1e-3 * random.standard_normal(400)], 1e-3)
    assert scatter_of(curves, curves.error_jy).eta[0] == pytest.approx(1.0, abs=0.2)


def test_the_most_significant_pair_is_that_of_all_pairs() -> None:
    random = np.random.default_rng(3)
    flux, error = random.uniform(0.1, 1, 40), random.uniform(0.01, 0.2, 40)
    ((a, b),) = most_significant_pairs(np.array([0, 40]), flux, error)
    best = max(
        itertools.combinations(range(40), 2),
        key=lambda p: abs(flux[p[0]] - flux[p[1]]) / np.hypot(error[p[0]], error[p[1]]),
    )
    assert (a, b) == best
    assert (most_significant_pairs(np.array([0, 1]), flux, error) == -1).all()


def test_a_pair_counts_only_when_both_numbers_are_large_in_the_same_pair() -> None:
    steady = [0.1] * 12
    # Significant but small; large but insignificant; both.
    small, faint, both = [*steady[:-1], 0.12], [0.1] * 12, [*steady[:-1], 0.2]
    errors = [[1e-4] * 12, [0.05] * 12, [1e-2] * 12]
    faint[3] = 0.2
    table = measure_variability(light_curves([small, faint, both], errors), SETTINGS, 61_012)
    assert table.is_pair_variable.tolist() == [False, False, True]
    assert table.pair_m[2] == pytest.approx(2 * (0.1 - 0.2) / 0.3)
    assert table.pair_second_mjd[2] == pytest.approx(61_011.3)


def test_p_values_of_steady_sources_are_uniform() -> None:
    random = np.random.default_rng(4)
    curves = light_curves(1 + 0.05 * random.standard_normal((800, 30)), 0.05)
    assert kstest(scatter_of(curves, curves.error_jy).p_value, "uniform").pvalue > 1e-3


@pytest.mark.parametrize("floor", [0.0, 0.02, 0.1])
def test_the_floor_that_was_put_in_is_found(floor: float) -> None:
    random = np.random.default_rng(5)
    level = 10 ** random.uniform(-1, 0, 200)[:, None]
    error = np.broadcast_to(0.01 * level, (200, 60))
    flux = level * (1 + np.hypot(0.01, floor) * random.standard_normal((200, 60)))
    flux[:15] *= 1 + 0.3 * np.sin(np.arange(60) / 9)
    told = measure_floor(light_curves(flux, error, reference=range(200)), 10)
    assert told.share == pytest.approx(floor, abs=0.003)
    assert told.low <= told.share <= told.high
    assert told.n_references == 200


def test_too_few_references_tell_no_floor_and_none_is_made_up() -> None:
    told = measure_floor(light_curves(np.ones((4, 20)), reference=range(4)), 10)
    assert np.isnan(told.share)
    assert told.applied == 0.0


def test_a_floor_keeps_bright_steady_sources_from_standing_out() -> None:
    random = np.random.default_rng(6)
    level = 10 ** random.uniform(-2, 0.5, 600)[:, None]
    error = np.broadcast_to(np.hypot(1e-3, 0.002 * level), (600, 50))
    flux = level * (1 + 0.02 * random.standard_normal((600, 50)))
    flux = flux + error * random.standard_normal((600, 50))
    curves = light_curves(flux, error, reference=np.flatnonzero(level[:, 0] > 0.1))
    plain = scatter_of(curves, curves.error_jy)
    bright = level[:, 0] > 1
    assert np.median(plain.eta[bright]) > 30
    table = measure_variability(curves, SETTINGS, 61_050)
    assert np.median(table.eta[bright]) == pytest.approx(1.0, abs=0.2)
    with_floor = errors_with_floor(curves, 0.02, medians_of(curves.flux_jy, curves))
    assert np.all(with_floor >= curves.error_jy)


def test_variables_stand_out_at_every_brightness_and_steady_sources_do_not() -> None:
    random = np.random.default_rng(7)
    level = 10 ** random.uniform(-2, 0, 1500)[:, None]
    error = np.broadcast_to(np.hypot(1e-3, 0.02 * level), (1500, 100))
    modulated = np.zeros(1500, bool)
    modulated[::50] = True
    swing = 0.4 * np.sin(np.arange(100) / 7) * modulated[:, None]
    flux = level * (1 + swing) + error * random.standard_normal((1500, 100))
    table = measure_variability(light_curves(flux, error, reference=range(0)), SETTINGS, 61_100)
    assert table.is_variable[modulated].all()
    assert table.is_variable[~modulated].mean() < 0.01


def test_a_handful_of_sources_over_a_wide_range_is_a_population_too() -> None:
    random = np.random.default_rng(8)
    level = 10 ** random.uniform(-2, 0, 40)[:, None]
    error = np.full((40, 100), 1e-3)
    flux = level + error * random.standard_normal((40, 100))
    flux[5] *= 1 + 0.3 * np.sin(np.arange(100) / 7)
    table = measure_variability(light_curves(flux, error), SETTINGS, 61_100)
    assert table.is_variable[5]
    assert table.is_variable.sum() <= 3, "chance is larger in a small population"


def test_nine_sources_are_no_population() -> None:
    ones = np.ones(9)
    assert len(population_thresholds(ones, ones, ones, 3.0, 2.0).snr) == 0


def test_no_light_curve_has_no_measure() -> None:
    random = np.random.default_rng(9)
    full = light_curves(random.uniform(0.9, 1.1, (3, 5)))
    table = measure_variability(full.only(np.zeros(3, bool)), SETTINGS, 61_100)
    assert len(table) == 0
    few = measure_variability(full, SETTINGS, 61_100)
    assert not few.is_variable.any(), "five epochs judge nobody"
