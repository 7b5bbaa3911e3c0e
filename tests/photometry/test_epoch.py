"""The flux scale of an epoch is that which was put in, and no source corrects itself."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from contimg_resources.photometry.epoch import check_epoch, corrected
from contimg_resources.photometry.gradient import fit_gradient
from contimg_resources.photometry.measuring import RawMeasurements
from contimg_resources.photometry.model import Flag, SourceHistory, SourceList
from contimg_resources.settings import PhotometrySettings

LIMITS = PhotometrySettings()
ERROR_JY = 1.5e-3


def catalogue(n: int, seed: int = 0, least_jy: float = 0.05, ra_deg: float = 180.0) -> SourceList:
    rng = np.random.default_rng([seed, 1])
    flux = np.minimum(least_jy * rng.random(n) ** (-1 / 1.5), 2.0)
    ra = (ra_deg + rng.uniform(-1.5, 1.5, n) / np.cos(np.radians(54.0))) % 360
    return SourceList.of([f"s{i:04d}" for i in range(n)], ra, 54 + rng.uniform(-1.5, 1.5, n), flux)


def east_north(sources: SourceList, ra_deg: float = 180.0) -> tuple[Any, Any]:
    east = ((sources.ra_deg - ra_deg + 180) % 360 - 180) * np.cos(np.radians(54.0))
    return east, sources.dec_deg - 54.0


def observed(
    sources: SourceList, factor: Any = 1.0, seed: int = 0, **changed: Any
) -> RawMeasurements:
    """Return measurements of flux densities `factor` times those of the list, with noise."""
    n = len(sources)
    rng = np.random.default_rng([seed, 2])
    zeros: NDArray[np.float64] = np.zeros(n)
    raw = RawMeasurements(
        flux_jy=sources.flux_jy * factor + ERROR_JY * rng.standard_normal(n),
        error_jy=np.full(n, ERROR_JY),
        background_jy=zeros,
        rms_jy=np.full(n, 1e-3),
        chi2=zeros + 200,
        dof=np.full(n, 200),
        flags=np.zeros(n, np.int64),
        primary_beam=np.ones(n),
        east_arcsec=1.5 + 0.3 * rng.standard_normal(n),
        north_arcsec=-0.5 + 0.2 * rng.standard_normal(n),
        east_error_arcsec=zeros + 0.3,
        north_error_arcsec=zeros + 0.2,
        in_image=np.ones(n, bool),
    )
    return replace(raw, **changed)


@pytest.mark.parametrize("scale", [0.85, 1.0, 1.13])
def test_a_scale_is_found(scale: float) -> None:
    sources = catalogue(80)
    told = check_epoch(observed(sources, scale), sources, LIMITS)
    assert told.ok
    assert told.reason == ""
    assert told.scale == pytest.approx(scale, abs=4 * told.error)
    assert 0 < told.error < 0.01
    assert told.n_references == told.is_reference.sum() == 80
    assert told.gradient == (0.0, 0.0)
    assert told.east_arcsec == pytest.approx(1.5, abs=0.2)
    assert told.north_arcsec == pytest.approx(-0.5, abs=0.2)
    assert told.offset_scatter_arcsec == pytest.approx(0.3, abs=0.1)
    assert told.n_positions == 80


def test_the_scales_uncertainty_is_true() -> None:
    """References that scatter by 5 % beside their noise, as those of a catalogue do."""
    pulls, flux_pulls = [], []
    for seed in range(300):
        sources = catalogue(40, seed)
        rng = np.random.default_rng([seed, 3])
        told = check_epoch(observed(sources, 0.9 * rng.normal(1, 0.05, 40), seed), sources, LIMITS)
        pulls.append((told.scale - 0.9) / told.error)
        # A source that is no reference, brought to the scale.
        one = observed(sources, 0.9, seed + 1000)
        flux, error = corrected(one, told)
        flux_pulls.append((flux[0] - sources.flux_jy[0]) / error[0])
    assert abs(np.mean(pulls)) < 0.2
    assert np.std(pulls) == pytest.approx(1.0, abs=0.2)
    assert abs(np.mean(flux_pulls)) < 0.2
    assert np.std(flux_pulls) == pytest.approx(1.0, abs=0.2)


def test_errors_carry_that_of_the_scale() -> None:
    sources = catalogue(60)
    raw = observed(sources, np.random.default_rng(0).normal(0.9, 0.05, 60))
    told = check_epoch(raw, sources, LIMITS)
    flux, error = corrected(raw, told)
    relative = np.hypot(raw.error_jy / raw.flux_jy, told.error_at_source / told.at_source)
    np.testing.assert_allclose(error, flux * relative)
    np.testing.assert_allclose(flux, raw.flux_jy / told.at_source)
    assert (error > raw.error_jy).all()


@pytest.mark.parametrize("ra_deg", [180.0, 0.3])
def test_a_gradient_is_found(ra_deg: float) -> None:
    sources = catalogue(150, ra_deg=ra_deg)
    east, north = east_north(sources, ra_deg)
    truth = 0.95 * np.exp(0.06 * east - 0.03 * north)
    told = check_epoch(observed(sources, truth), sources, LIMITS)
    assert told.gradient == pytest.approx((0.06, -0.03), abs=0.004)
    assert told.scale == pytest.approx(0.95, abs=0.01)
    np.testing.assert_allclose(told.at_source, truth, rtol=0.01)
    # The scatter is that of the references around the gradient.
    assert told.scatter < 0.03
    assert told.ok


def test_what_is_corrected_for_a_gradient_pulls_normally() -> None:
    pulls = []
    for seed in range(60):
        sources = catalogue(45, seed)
        east, north = east_north(sources)
        truth = np.exp(0.05 * east + 0.05 * north)
        scatter = np.random.default_rng([seed, 3]).normal(1, 0.03, 45)
        told = check_epoch(observed(sources, truth * scatter, seed), sources, LIMITS)
        flux, error = corrected(observed(sources, truth, seed + 500), told)
        pulls.append((flux - sources.flux_jy) / error)
    pull = np.concatenate(pulls)
    assert abs(pull.mean()) < 0.1
    assert pull.std() == pytest.approx(1.0, abs=0.15)


def test_chance_is_no_gradient() -> None:
    found = 0
    for seed in range(200):
        sources = catalogue(60, seed)
        factor = np.random.default_rng([seed, 3]).normal(1, 0.05, 60)
        found += any(check_epoch(observed(sources, factor, seed), sources, LIMITS).gradient)
    assert found <= 3


def test_one_bright_source_that_varies_is_no_gradient() -> None:
    for seed in range(40):
        sources = catalogue(45, seed)
        factor = np.ones(45)
        factor[int(np.argmax(sources.flux_jy))] = 1.04
        assert check_epoch(observed(sources, factor, seed), sources, LIMITS).gradient == (0, 0)


@pytest.mark.parametrize("steep", [0.0, 0.08])
def test_a_source_never_corrects_itself(steep: float) -> None:
    """Its scale is the same whatever it does, and that which the others tell without it."""
    sources = catalogue(45, seed=1)
    east, north = east_north(sources)
    factor = np.exp(steep * east)
    varying = int(np.argmax(sources.flux_jy * (np.hypot(east, north) > 1.2)))
    scales = []
    for change in (1.0, 0.97, 1.04):
        truth = factor.copy()
        truth[varying] *= change
        told = check_epoch(observed(sources, truth), sources, LIMITS)
        assert told.is_reference[varying]
        assert any(told.gradient) == (steep > 0)
        scales.append(told.at_source[varying])
    np.testing.assert_allclose(scales, scales[0], rtol=1e-3)
    # Without it in the list the others say the same of its place.
    raw = observed(sources, factor)
    left_out = np.arange(len(sources)) == varying
    unknown = replace(sources, flux_jy=np.where(left_out, np.nan, sources.flux_jy))
    without = check_epoch(raw, unknown, LIMITS)
    assert not without.is_reference[varying]
    assert without.at_source[varying] == pytest.approx(scales[0], rel=1e-3)


def test_a_fit_without_one_is_that_of_the_others() -> None:
    rng = np.random.default_rng(0)
    terms = np.stack([np.ones(50), rng.normal(size=50), rng.normal(size=50)], axis=1)
    logs = terms @ [0.1, 0.2, -0.1] + 0.05 * rng.standard_normal(50)
    weight, chosen = rng.uniform(1, 3, 50), np.ones(50, bool)
    whole = fit_gradient(logs, weight, terms, chosen)
    for i in (0, 17, int(np.argmax(whole.leverage))):
        others = np.arange(50) != i
        root = np.sqrt(weight[others])
        again = np.linalg.lstsq(terms[others] * root[:, None], logs[others] * root, rcond=None)[0]
        np.testing.assert_allclose(whole.without(i).coefficients, again)


def test_too_few_references_are_told() -> None:
    sources = catalogue(9)
    told = check_epoch(observed(sources), sources, LIMITS)
    assert not told.ok
    assert told.reason == "9 reference sources, at least 10 are needed"
    assert np.isfinite(told.scale)


def test_scatter_is_told() -> None:
    sources = catalogue(60)
    factor = np.random.default_rng(1).normal(1, 0.2, 60)
    told = check_epoch(observed(sources, factor), sources, LIMITS)
    assert not told.ok
    assert "scatter by 0." in told.reason
    assert "the limit is 0.1" in told.reason


def test_an_offset_is_told() -> None:
    sources = catalogue(60)
    told = check_epoch(observed(sources, 0.7), sources, LIMITS)
    assert not told.ok
    assert "scale of 60 reference sources is 0.70" in told.reason


@pytest.mark.parametrize("n", [0, 20])
def test_without_references_fluxes_stay_as_measured(n: int) -> None:
    sources = catalogue(n)
    raw = observed(sources, flags=np.full(n, int(Flag.BLEND)))
    told = check_epoch(raw, sources, LIMITS)
    assert not told.ok
    assert told.reason.startswith("0 reference sources")
    assert np.isnan(told.scale)
    flux, error = corrected(raw, told)
    np.testing.assert_array_equal(flux, raw.flux_jy)
    np.testing.assert_array_equal(error, raw.error_jy)


def test_a_single_reference_keeps_its_own_flux() -> None:
    sources = catalogue(3)
    raw = observed(sources, 0.9, flags=np.array([0, int(Flag.BLEND), int(Flag.BLEND)]))
    told = check_epoch(raw, sources, LIMITS)
    assert told.n_references == 1
    flux, error = corrected(raw, told)
    assert (flux[0], error[0]) == (raw.flux_jy[0], raw.error_jy[0])
    assert np.isfinite(flux).all()
    assert np.isfinite(error).all()


def test_who_is_a_reference() -> None:
    sources = catalogue(40)
    flags, response = np.zeros(40, np.int64), np.ones(40)
    flags[:3] = [Flag.BLEND, Flag.POOR_FIT, Flag.NAN]
    response[3] = 0.3
    compact = np.ones(40, bool)
    compact[4] = False
    expected = sources.flux_jy.copy()
    expected[5] = np.nan
    expected[6] = 14 * ERROR_JY
    flux = np.where(np.arange(40) == 2, np.nan, sources.flux_jy)
    sources = replace(sources, compact=compact, flux_jy=expected)
    eta = np.full(40, np.nan)
    eta[7:9] = 3.5, 2.5
    history = SourceHistory(np.full(40, np.nan), np.zeros(40, np.int64), eta)
    raw = observed(sources, flux_jy=flux, flags=flags, primary_beam=response)
    told = check_epoch(raw, sources, LIMITS, history)
    assert np.flatnonzero(~told.is_reference).tolist() == [0, 1, 2, 3, 4, 5, 6, 7]


def test_references_are_compared_with_their_own_history() -> None:
    sources = catalogue(40)
    # The catalogue is wrong by 30 % for all; earlier epochs know better, where there are enough.
    raw = observed(sources, 1.3 * 0.95)
    history = SourceHistory(1.3 * sources.flux_jy, np.full(40, 5), np.full(40, 1.0))
    assert check_epoch(raw, sources, LIMITS, history).scale == pytest.approx(0.95, abs=0.01)
    young = replace(history, n_epochs=np.full(40, 4))
    assert check_epoch(raw, sources, LIMITS, young).scale == pytest.approx(1.235, abs=0.01)


def test_a_few_wild_sources_change_little() -> None:
    sources = catalogue(60)
    factor = np.ones(60)
    factor[::10] = 5.0
    told = check_epoch(observed(sources, factor), sources, LIMITS)
    assert told.ok
    assert told.scale == pytest.approx(1.0, abs=0.01)
