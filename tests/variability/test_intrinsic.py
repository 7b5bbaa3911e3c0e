"""Intrinsic variability of sources, judged by random walks that celerite2 draws."""

import shutil
from dataclasses import replace
from pathlib import Path

import celerite2
import numpy as np
import pyarrow.parquet as pq
import pytest

from contimg_resources.settings import VariabilitySettings
from contimg_resources.variability.intrinsic import structure_of, with_intrinsic
from contimg_resources.variability.measuring import measure_variability
from contimg_resources.variability.model import INTRINSIC, LightCurves, Structure, Variability
from contimg_resources.variability.noise import LogCurves
from contimg_resources.variability.tables import (
    read_structure,
    read_variability,
    structure_path,
    write_variability,
)
from tests.variability.curves import light_curves

N, DAYS, ERROR, JITTER, SHORT_TAU = 90, 365, 0.05, 0.03, 6.0
RANDOM = np.random.default_rng(7)
SIGMA = np.exp(RANDOM.uniform(np.log(0.04), np.log(0.4), N))
TAU_DAYS = np.exp(RANDOM.uniform(np.log(SHORT_TAU), np.log(250.0), N))
#: The last sources are steady.
STEADY = np.arange(N) >= 75
MEASURED = tuple[Variability, Structure]


def walk(sigma: float, tau_days: float, days: np.ndarray) -> np.ndarray:
    process = celerite2.GaussianProcess(celerite2.terms.RealTerm(a=sigma**2, c=1.0 / tau_days))
    process.compute(days, diag=np.full(len(days), 1e-12))
    return np.asarray(process.dot_tril(RANDOM.standard_normal(len(days))))


@pytest.fixture(scope="module")
def curves() -> LightCurves:
    days = np.arange(float(DAYS))
    walks = [
        0 * days if steady else walk(sigma, tau_days, days)
        for sigma, tau_days, steady in zip(SIGMA, TAU_DAYS, STEADY, strict=True)
    ]
    level = np.exp(walks) * np.exp(JITTER * RANDOM.standard_normal((N, DAYS)))
    return light_curves(level * (1 + ERROR * RANDOM.standard_normal((N, DAYS))), ERROR * level)


@pytest.fixture(scope="module")
def measured(curves: LightCurves) -> MEASURED:
    return with_intrinsic(measure_variability(curves, VariabilitySettings(), 61_364), curves, 10)


def test_sigma_and_tau_are_the_true_ones_within_their_errors(measured: MEASURED) -> None:
    table, _ = measured
    varies = ~STEADY
    assert (table.intrinsic_probability[varies] > 0.5).mean() > 0.95
    pulls = ((table.intrinsic_sigma - SIGMA) / table.intrinsic_sigma_error)[varies]
    assert np.std(pulls) == pytest.approx(1.0, abs=0.3)
    assert abs(np.mean(pulls)) < 0.45
    inside = (table.intrinsic_sigma_low <= SIGMA) & (table.intrinsic_sigma_high >= SIGMA)
    assert inside[varies].mean() == pytest.approx(0.9, abs=0.08)
    known = varies & np.isfinite(table.intrinsic_tau_days)
    ratio = table.intrinsic_tau_error_days / table.intrinsic_tau_days
    pulls = (np.log(table.intrinsic_tau_days / TAU_DAYS) / ratio)[known]
    assert np.std(pulls) == pytest.approx(1.0, abs=0.3)
    assert abs(np.mean(pulls)) < 0.45
    low = np.nan_to_num(table.intrinsic_tau_low_days, nan=0.0)
    high = np.nan_to_num(table.intrinsic_tau_high_days, nan=np.inf)
    assert ((low <= TAU_DAYS) & (high >= TAU_DAYS))[known].mean() == pytest.approx(0.9, abs=0.08)
    assert np.median(table.intrinsic_jitter[varies]) == pytest.approx(JITTER, abs=0.01)


def test_a_steady_source_has_no_tau_and_an_upper_limit_of_sigma(measured: MEASURED) -> None:
    table, structure = measured
    steady = STEADY & (table.intrinsic_probability < 0.5)
    assert steady.sum() >= 0.8 * STEADY.sum()
    assert np.isnan(table.intrinsic_tau_days[steady]).all()
    assert (table.intrinsic_sigma_low[steady] == 0).all()
    assert (table.intrinsic_sigma_high[steady] < 0.06).all()
    assert not np.isin(table.source_id[steady], structure.source_id).any()


def test_a_time_scale_longer_than_the_light_curve_has_only_a_lower_limit(
    measured: MEASURED,
) -> None:
    table, _ = measured
    high = table.intrinsic_tau_high_days
    assert not (high > DAYS).any()
    long, short = ~STEADY & (TAU_DAYS > 150), ~STEADY & (TAU_DAYS < 20) & (SIGMA > 0.1)
    assert np.isnan(high[long]).mean() > 0.5
    assert np.isfinite(high[short]).all()


def test_the_structure_function_is_that_of_the_walk(measured: MEASURED) -> None:
    table, structure = measured
    source = np.searchsorted(table.source_id, structure.source_id)
    true = 2 * SIGMA[source] ** 2 * (1 - np.exp(-structure.lag_days / TAU_DAYS[source]))
    pulls = (structure.structure - true - 2 * JITTER**2) / structure.structure_error
    assert np.subtract(*np.percentile(pulls, [84, 16])) / 2 == pytest.approx(1.0, abs=0.25)
    # The longest lags of a walk have few independent pairs.
    assert (structure.lag_days <= DAYS / 2 * 1.3).all()
    own = structure.source_id == structure.source_id[0]
    assert structure.n_pairs[own][0] > structure.n_pairs[own][-1] >= 10


def test_a_structure_function_by_hand() -> None:
    days = np.arange(30.0)
    curve = LogCurves(np.array([0, 30]), days, 0.1 * days, np.full(30, 0.01))
    found = structure_of("a", curve, np.array([0.2, 10.0, 0.02]))
    assert found.lag_days[:3].tolist() == [1.0, 2.0, 3.0]
    expected = np.square(0.1 * found.lag_days) - 2 * 0.01**2
    # Farther lags are means of several.
    assert found.structure[:4] == pytest.approx(expected[:4])
    model = 2 * 0.2**2 * (1 - np.exp(-found.lag_days / 10)) + 2 * 0.02**2
    assert found.model == pytest.approx(model)


def test_what_can_not_be_fitted_has_no_numbers_and_stops_nothing(curves: LightCurves) -> None:
    flux, error = curves.flux_jy.copy(), curves.error_jy.copy()
    flux[curves.of(0)], flux[curves.of(1)] = 0.3, -1.0
    error[curves.of(2).start] = np.nan
    few = replace(curves, flux_jy=flux, error_jy=error).only(np.arange(N) < 5)
    table = measure_variability(few, VariabilitySettings(), 61_364)
    found, _ = with_intrinsic(table, few, 10)
    for name in INTRINSIC:
        assert np.isnan(getattr(found, name)[:3]).all(), name
    assert np.isfinite(found.intrinsic_sigma[3:]).all()
    for name in ("eta", "v"):
        np.testing.assert_array_equal(getattr(found, name), getattr(table, name))
    none, structure = with_intrinsic(table, few, 1000)
    assert np.isnan(none.intrinsic_probability).all()
    assert len(structure.lag_days) == 0


def test_they_are_stored_and_files_of_the_release_before_are_read(
    measured: MEASURED, tmp_path: Path
) -> None:
    path = tmp_path / "61364.parquet"
    beside = write_variability(path, *measured)
    assert beside == structure_path(path)
    for name in INTRINSIC:
        np.testing.assert_array_equal(
            getattr(read_variability(path), name), getattr(measured[0], name)
        )
    for told, kept in zip(measured[1], read_structure(path), strict=True):
        np.testing.assert_array_equal(told, kept)
    shutil.rmtree(beside.parent)
    old = pq.read_table(path).drop_columns(list(INTRINSIC))
    facts = old.schema.metadata[b"contimg"].replace(b'"schema_version": 2', b'"schema_version": 1')
    pq.write_table(old.replace_schema_metadata({b"contimg": facts}), path)
    again = read_variability(path)
    np.testing.assert_array_equal(again.eta, measured[0].eta)
    assert np.isnan(again.intrinsic_sigma).all()
    assert len(read_structure(path).lag_days) == 0
