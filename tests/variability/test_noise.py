"""The noise of light curves: the recursions against the covariance itself, and what they tell."""

import celerite2
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from contimg_resources.variability.ese import change_of
from contimg_resources.variability.ese_loops import (
    MID,
    SCORE,
    SHAPE,
    WIDTH,
    best_matches,
    fit_columns,
    smoothed,
)
from contimg_resources.variability.noise import (
    AGN,
    LogCurves,
    Noises,
    drawn,
    evidence_for,
    log_curves,
    noise_grid,
    population,
    usual_noises,
)
from contimg_resources.variability.templates import bank

RANDOM = np.random.default_rng(4)
MJD = np.sort(RANDOM.uniform(60_676.0, 61_041.0, 240))
ERROR = 0.05 * RANDOM.uniform(0.7, 1.4, MJD.size)
OFFSETS = np.array([0, MJD.size])
DIP = change_of(bank(("fiedler",))[1], (MJD - 60_850.0) / 30.0)
NOISES = np.array([(0.0, 3.0, 0.02), (0.1, 20.0, 0.0), (0.4, 300.0, 0.05)])


def covariance(noise: np.ndarray) -> np.ndarray:
    sigma, tau, jitter = noise
    apart = np.abs(MJD[:, None] - MJD[None, :])
    return np.asarray(sigma**2 * np.exp(-apart / tau) + np.diag(ERROR**2 + jitter**2))


def projected(noise: np.ndarray) -> np.ndarray:
    """Return the inverse of the covariance with the level projected out."""
    inverse = np.linalg.inv(covariance(noise))
    ones = inverse.sum(axis=1)
    return np.asarray(inverse - np.outer(ones, ones) / ones.sum())


def drawn_from(noise: np.ndarray, seed: int) -> np.ndarray:
    return np.asarray(multivariate_normal(cov=covariance(noise)).rvs(random_state=seed))


def test_the_recursions_are_the_covariances_own() -> None:
    values = drawn_from(NOISES[1], 3) + 0.7
    found = fit_columns(OFFSETS, MJD, values, ERROR, NOISES, DIP[:, None].copy())
    for number, noise in enumerate(NOISES):
        inverse, net = np.linalg.inv(covariance(noise)), projected(noise)
        ones = inverse.sum()
        ln_det = np.linalg.slogdet(covariance(noise))[1]
        likelihood, amplitude, variance = found[0][0, number], found[2][0, 0], found[3][0, 0]
        assert likelihood == pytest.approx(-0.5 * (ln_det + values @ net @ values + np.log(ones)))
        level = inverse.sum(axis=0) @ values / ones
        assert found[1][0, number] == pytest.approx([level, 1 / ones])
        own = DIP @ net @ DIP
        assert amplitude[number] == pytest.approx(DIP @ net @ values / own)
        assert variance[number] == pytest.approx(1 / own)


@pytest.mark.parametrize("noise", NOISES[1:])
def test_celerite2_gives_the_same_likelihood_and_amplitude(noise: np.ndarray) -> None:
    sigma, tau, jitter = noise
    process = celerite2.GaussianProcess(celerite2.terms.RealTerm(a=sigma**2, c=1.0 / tau))
    process.compute(MJD, diag=ERROR**2 + jitter**2)
    values = drawn_from(noise, 8) + DIP
    of_values, of_dip, of_level = process.apply_inverse(
        np.stack([values, DIP, np.ones_like(MJD)], axis=1)
    ).T
    found = fit_columns(OFFSETS, MJD, values, ERROR, noise[None], DIP[:, None].copy())
    # What a level with no prior knowledge adds and takes.
    added = 0.5 * (of_values.sum() ** 2 / of_level.sum() - np.log(of_level.sum()))
    constant = 0.5 * MJD.size * np.log(2.0 * np.pi)
    assert found[0][0, 0] == pytest.approx(process.log_likelihood(values) + constant + added)
    own = DIP @ of_dip - of_dip.sum() ** 2 / of_level.sum()
    amplitude = (DIP @ of_values - of_dip.sum() * of_values.sum() / of_level.sum()) / own
    assert found[2][0, 0, 0] == pytest.approx(amplitude)
    assert found[3][0, 0, 0] == pytest.approx(1.0 / own)


@pytest.mark.parametrize("noise", NOISES)
def test_a_match_has_the_score_of_its_template(noise: np.ndarray) -> None:
    values = drawn_from(noise, 5)
    u = np.linspace(-4.0, 4.0, 1601)
    tables = np.array([change_of(s, u) for s in bank(("fiedler",))]).T.copy()
    widths = np.array([10.0, 20.0, 40.0])
    (found,) = best_matches(OFFSETS, MJD, values, ERROR, noise[None], tables, 4.0, widths, 0.35, 3)
    assert (np.diff(found[:, SCORE]) <= 0).all()
    for match in found:
        of = (MJD - match[MID]) / match[WIDTH]
        cell = np.rint((np.clip(of, -4, 4) + 4) * 200).astype(int)
        dip = np.where(np.abs(of) <= 4, tables[cell, int(match[SHAPE])], 0.0)
        inverse = projected(noise)
        exact = (dip @ inverse @ values) ** 2 / (dip @ inverse @ dip)
        assert match[SCORE] == pytest.approx(exact, rel=2e-3)


def test_draws_have_the_noise_that_was_asked_for() -> None:
    mjd = np.arange(20_000.0)
    noise = np.array([[0.2, 30.0, 0.1]])
    curves = LogCurves(np.array([0, len(mjd)]), mjd, mjd, np.full(len(mjd), 0.05))
    values = drawn(curves, noise, np.random.default_rng(1)).values
    assert np.std(values) == pytest.approx(np.sqrt(0.2**2 + 0.1**2 + 0.05**2), rel=0.05)
    assert np.mean(values[30:] * values[:-30]) == pytest.approx(0.04 * np.exp(-1), rel=0.2)


def test_the_fixed_population_has_the_noises_of_its_agn_and_steady_sources() -> None:
    grid, share = noise_grid(), population()
    assert share.sum() == pytest.approx(1)
    walks = grid[:, 0] > 0
    assert 0.75 < share[~walks].sum() < 0.9
    ln_sigma = np.average(np.log(grid[walks, 0]), weights=share[walks])
    assert ln_sigma == pytest.approx(np.mean(np.log([sigma for sigma, _, _ in AGN])), abs=0.3)


def test_many_sources_outvote_the_fixed_population_and_one_does_not() -> None:
    n = 200
    walking = np.arange(n) % 2 == 0
    noise = np.where(walking[:, None], (0.14, 54.8, 0.0), (0.0, 3.0, 0.0))
    curves = LogCurves(np.arange(n + 1) * MJD.size, np.tile(MJD, n), np.empty(0), np.tile(ERROR, n))
    curves = drawn(curves, noise, np.random.default_rng(2))
    usual = usual_noises()
    log_posterior = usual.fit(curves).log_posterior
    noises, log_posterior = usual.refitted(log_posterior)
    best = noises.grid[log_posterior.argmax(axis=1)]
    assert np.mean((best[:, 0] > 0) == walking) > 0.9
    assert np.median(best[walking, 0]) == pytest.approx(0.14, rel=0.6)
    share = np.exp(noises.log_share)[noises.grid[:, 0] == 0].sum()
    assert share == pytest.approx(0.5, abs=0.1)
    alone, _ = usual.refitted(usual.fit(curves.chosen(np.array([0]))).log_posterior)
    assert np.abs(np.exp(alone.log_share) - population()).sum() < 0.1


def test_the_logarithm_has_no_bias_where_the_flux_density_is_noise() -> None:
    days = np.arange(4_000.0)
    flux = 1.0 + 0.35 * np.random.default_rng(3).standard_normal(len(days))
    assert flux.min() < 0
    curves = log_curves(np.array([0, len(days)]), days, flux, np.full(len(days), 0.35))
    assert np.average(curves.values, weights=curves.error**-2.0) == pytest.approx(0, abs=0.03)
    assert curves.error.mean() == pytest.approx(0.35, rel=0.05)
    deep = smoothed(np.array([0, 9]), days[:9], np.full(9, -5.0), np.full(9, 0.1))
    assert (deep > 0).all()


def uniform() -> Noises:
    grid = noise_grid()
    return Noises(np.full(len(grid), -np.log(len(grid))), grid)


def evidence(values: np.ndarray, column: np.ndarray = DIP) -> float:
    fits = uniform().fit(LogCurves(OFFSETS, MJD, values, ERROR), column[:, None])
    return float(evidence_for(fits.log_posterior, fits.gains(0.1))[0, 0])


def test_evidence_is_for_a_dip_and_neither_for_a_rise_nor_for_nothing() -> None:
    noise = ERROR * RANDOM.standard_normal(MJD.size)
    assert evidence(noise + 0.4 * DIP) > 40
    assert evidence(noise - 0.4 * DIP) < 0
    assert evidence(noise) < 5
    assert evidence(noise, np.zeros(MJD.size)) == -np.inf


def test_an_event_does_not_train_its_own_noise() -> None:
    noise = ERROR * RANDOM.standard_normal(MJD.size)
    fits = uniform().fit(LogCurves(OFFSETS, MJD, noise + 0.6 * DIP, ERROR), DIP[:, None])
    grid = noise_grid()
    assert grid[fits.log_posterior[0].argmax(), 0] > 0.05
    with_dip = fits.log_posterior[0] + fits.gains(0.1)[0, 0]
    assert grid[with_dip.argmax(), 0] < 0.03
