"""A source's own wandering beside an event: the recursion, and what it tells apart."""

import numpy as np
import pytest
from scipy.linalg import cholesky, solve_triangular

from contimg_resources.settings import EseSettings
from contimg_resources.simulation.light_curves import flare_curve, walk_curve
from contimg_resources.simulation.season_spec import FlareSpec, WalkSpec
from contimg_resources.variability.ese_loops import whitened
from contimg_resources.variability.red_noise import evidence_for
from contimg_resources.variability.templates import bank, fine_bank

LEAST = EseSettings().min_over_walk
RANDOM = np.random.default_rng(4)
MJD = np.sort(RANDOM.uniform(60_676.0, 61_041.0, 240))
ERROR = 0.05 * RANDOM.uniform(0.7, 1.4, MJD.size)
SHAPE = bank(("fiedler",))[1]
EVENT = 0.3 * SHAPE.at((MJD - 60_850.0) / 30.0)


def with_noise(flux: np.ndarray) -> np.ndarray:
    return flux + ERROR * RANDOM.standard_normal(MJD.size)


@pytest.mark.parametrize(("scatter", "memory_days"), [(0.0, 1.0), (0.1, 20.0), (2.0, 300.0)])
def test_the_recursion_is_the_covariances_own_root(scatter: float, memory_days: float) -> None:
    columns = np.array([with_noise(np.ones(MJD.size)), np.ones(MJD.size), EVENT])
    apart = np.abs(MJD[:, None] - MJD[None, :])
    root = cholesky(scatter**2 * np.exp(-apart / memory_days) + np.diag(ERROR**2), lower=True)
    left, log_determinant = whitened(MJD, ERROR, columns, scatter, memory_days)
    exact = solve_triangular(root, columns.T, lower=True).T
    np.testing.assert_allclose(left, exact, rtol=1e-7, atol=1e-10)
    assert log_determinant == pytest.approx(2 * np.log(np.diag(root)).sum())


def test_an_event_of_a_steady_source_is_more_than_a_walk() -> None:
    found = evidence_for(EVENT, MJD, with_noise(1 + EVENT), ERROR)
    assert found.whole > 50
    assert found.without_maxima > 20
    assert found.reaches(LEAST)
    nothing = evidence_for(EVENT, MJD, with_noise(np.ones(MJD.size)), ERROR)
    assert nothing.whole < 10
    assert not nothing.reaches(LEAST)


def test_a_hump_where_the_dip_should_be_is_no_evidence() -> None:
    dip = np.minimum(EVENT, 0.0)
    assert evidence_for(dip, MJD, with_noise(1 + dip), ERROR).whole > 50
    assert evidence_for(dip, MJD, with_noise(1 - dip), ERROR) == (0.0, 0.0)


def test_a_valley_of_a_walk_is_no_more_than_the_walk() -> None:
    enough = 0
    for _ in range(60):
        walk = WalkSpec(scatter=RANDOM.uniform(0.05, 0.2), memory_days=RANDOM.uniform(20, 200))
        flux = with_noise(walk_curve(MJD, walk, RANDOM))
        # The dip that suits it best, anywhere: what the search would come with.
        best = max(
            (
                evidence_for(SHAPE.at((MJD - middle) / 40.0), MJD, flux, ERROR)
                for middle in np.arange(60_720.0, 61_000.0, 20.0)
            ),
            key=lambda e: e.whole,
        )
        enough += best.reaches(LEAST)
    assert enough <= 2


def test_the_decay_of_a_flare_is_no_dip_after_a_maximum() -> None:
    lens = next(s for s in fine_bank() if s.name == "Clegg, strength 3, source 0.5")
    flare = FlareSpec(peak_share=0.6, amplitude=1.0, rise_days=0.05, decay_days=15.0)
    flux = with_noise(flare_curve(MJD, 60_900.0, flare))
    for width_days in (30.0, 60.0, 100.0):
        # Its first maximum where the flare is.
        event = lens.at((MJD - 60_900.0) / width_days - 0.6)
        assert not evidence_for(event, MJD, flux, ERROR).reaches(LEAST)


def test_levels_of_nothing_and_hardly_any_points_do_no_harm() -> None:
    few = slice(0, 2)
    for flux in (np.zeros(MJD.size), -np.ones(MJD.size)):
        assert not evidence_for(EVENT, MJD, flux, ERROR).reaches(LEAST)
        assert not evidence_for(EVENT[few], MJD[few], flux[few], ERROR[few]).reaches(LEAST)
    assert evidence_for(np.zeros(MJD.size), MJD, np.ones(MJD.size), ERROR).whole == 0
    # All of it in a maximum: no point tells of the dip.
    assert not evidence_for(np.ones(MJD.size), MJD, np.ones(MJD.size), ERROR).reaches(LEAST)
