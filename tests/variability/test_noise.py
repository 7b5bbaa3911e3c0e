"""The noise of light curves: the recursions against the covariance itself, and what they tell."""

import numpy as np
import pytest
from scipy.linalg import cholesky, solve_triangular
from scipy.stats import multivariate_normal

from contimg_resources.variability.ese import change_of
from contimg_resources.variability.ese_loops import (
    MID,
    SCORE,
    SHAPE,
    WIDTH,
    amplitudes,
    best_matches,
    likelihoods,
    smoothed,
    walks,
    whitened,
)
from contimg_resources.variability.noise import (
    LogCurves,
    Noises,
    drawn,
    fitted_noises,
    log_curves,
    noise_grid,
)
from contimg_resources.variability.templates import bank

RANDOM = np.random.default_rng(4)
MJD = np.sort(RANDOM.uniform(60_676.0, 61_041.0, 240))
ERROR = 0.05 * RANDOM.uniform(0.7, 1.4, MJD.size)
OFFSETS = np.array([0, MJD.size])
SHAPE_1 = bank(("fiedler",))[1]
DIP = change_of(SHAPE_1, (MJD - 60_850.0) / 30.0)
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


@pytest.mark.parametrize("noise", NOISES)
def test_the_recursions_are_the_covariances_own(noise: np.ndarray) -> None:
    values = np.asarray(multivariate_normal(cov=covariance(noise)).rvs(random_state=3)) + 0.7
    columns = np.array([values, np.ones(MJD.size), DIP])
    root = cholesky(covariance(noise), lower=True)
    left, log_determinant = whitened(MJD, np.hypot(ERROR, noise[2]), columns, *noise[:2])
    exact = solve_triangular(root, columns.T, lower=True).T
    np.testing.assert_allclose(left, exact, rtol=1e-7, atol=1e-10)
    assert log_determinant == pytest.approx(2 * np.log(np.diag(root)).sum())
    ones = np.linalg.inv(covariance(noise)).sum()
    chi2 = values @ projected(noise) @ values
    (found,) = likelihoods(OFFSETS, MJD, values, ERROR, noise[None])[0]
    assert found == pytest.approx(-0.5 * (log_determinant + chi2 + np.log(ones)))
    every = np.ones((1, 1), np.bool_)
    found = amplitudes(OFFSETS, MJD, values, ERROR, noise[None], every, DIP[:, None].copy())[
        0, 0, 0
    ]
    own = DIP @ projected(noise) @ DIP
    assert found == pytest.approx([DIP @ projected(noise) @ values / own, 1 / own])


@pytest.mark.parametrize("noise", NOISES)
def test_a_match_has_the_score_of_its_template(noise: np.ndarray) -> None:
    values = np.asarray(multivariate_normal(cov=covariance(noise)).rvs(random_state=5))
    shapes = bank(("fiedler",))
    u = np.linspace(-4.0, 4.0, 1601)
    tables = np.array([change_of(s, u) for s in shapes]).T.copy()
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
    steady = walks(np.array([0, 3]), mjd[:3], np.zeros(3), np.ones(3), np.ones(3))
    assert steady.tolist() == [0, 0, 0]


def test_the_distribution_of_noises_is_found_from_many_sources() -> None:
    n = 60
    offsets = np.arange(n + 1) * MJD.size
    curves = LogCurves(offsets, np.tile(MJD, n), np.empty(0), np.tile(ERROR, n))
    walking = np.arange(n) % 2 == 0
    noise = np.where(walking[:, None], (0.14, 54.8, 0.0), (0.0, 3.0, 0.0))
    noises, log_posterior = fitted_noises(drawn(curves, noise, np.random.default_rng(2)))
    assert np.exp(noises.log_share).sum() == pytest.approx(1)
    best = noises.grid[log_posterior.argmax(axis=1)]
    assert np.mean((best[:, 0] > 0) == walking) > 0.9
    assert np.median(best[walking, 0]) == pytest.approx(0.14, rel=0.6)
    share = np.exp(noises.log_share)[noises.grid[:, 0] == 0].sum()
    assert share == pytest.approx(0.5, abs=0.12)


def test_the_logarithm_has_no_bias_where_the_flux_density_is_noise() -> None:
    days = np.arange(4_000.0)
    flux = 1.0 + 0.35 * np.random.default_rng(3).standard_normal(len(days))
    assert flux.min() < 0
    curves = log_curves(np.array([0, len(days)]), days, flux, np.full(len(days), 0.35), 1.0)
    assert np.average(curves.values, weights=curves.error**-2.0) == pytest.approx(0, abs=0.03)
    assert curves.error.mean() == pytest.approx(0.35, rel=0.05)
    deep = smoothed(np.array([0, 9]), days[:9], np.full(9, -5.0), np.full(9, 0.1))
    assert (deep > 0).all()


def uniform() -> Noises:
    grid = noise_grid()
    return Noises(grid, np.full(len(grid), -np.log(len(grid))))


def evidence_for(values: np.ndarray, column: np.ndarray = DIP) -> float:
    curves, noises = LogCurves(OFFSETS, MJD, values, ERROR), uniform()
    found, _, _ = noises.evidence(curves, noises.log_posterior(curves), column[:, None].copy(), 0.1)
    return float(found[0, 0])


def test_evidence_is_for_a_dip_and_neither_for_a_rise_nor_for_nothing() -> None:
    noise = ERROR * RANDOM.standard_normal(MJD.size)
    assert evidence_for(noise + 0.4 * DIP) > 40
    assert evidence_for(noise - 0.4 * DIP) == 0
    assert evidence_for(noise) < 5
    assert evidence_for(noise, np.zeros(MJD.size)) == 0


def test_an_event_does_not_train_its_own_noise() -> None:
    noise = ERROR * RANDOM.standard_normal(MJD.size)
    curves, noises = LogCurves(OFFSETS, MJD, noise + 0.6 * DIP, ERROR), uniform()
    log_posterior = noises.log_posterior(curves)
    _, with_dip, _ = noises.evidence(curves, log_posterior, DIP[:, None].copy(), 0.1)
    assert noises.grid[log_posterior[0].argmax(), 0] > 0.05
    assert noises.grid[with_dip[0, 0], 0] < 0.03
