"""The check of the threshold: false alarms on the sources' own light curves."""

from dataclasses import replace

import numpy as np
import pytest

from contimg_resources.core.arrays import Bools
from contimg_resources.settings import EseSettings
from contimg_resources.simulation.light_curves import Watch, steady_light_curves
from contimg_resources.variability.alarms import (
    Alarms,
    OwnAlarms,
    flipped,
    measure_alarms,
    shuffled,
)
from contimg_resources.variability.candidates import search_candidates
from contimg_resources.variability.model import LightCurves
from contimg_resources.variability.noise import (
    LogCurves,
    Noises,
    drawn,
    flux_of,
    log_curves,
    relative,
)

NOISE = (0.09, 30.0, 0.03)
#: The noises of the sources are known: so little has to be fitted.
KNOWN = Noises(np.zeros(1), np.array([NOISE]))
WATCH = Watch(n_days=700, cadence_days=5.0)
THRESHOLD = 12.0


def walks(n: int, seed: int) -> tuple[LightCurves, LogCurves]:
    """Return light curves with one noise, and their logarithms."""
    random = np.random.default_rng(seed)
    curves = steady_light_curves(n, WATCH, random)
    errors = LogCurves(curves.offsets, curves.mid_mjd, curves.mid_mjd, curves.mid_mjd * 0 + 0.05)
    flux, error = flux_of(drawn(errors, np.tile(NOISE, (n, 1)), random))
    curves = replace(curves, flux_jy=flux, error_jy=error)
    return curves, log_curves(curves.offsets, curves.mid_mjd, *relative(curves)[1:])


def checked(curves: LightCurves, logs: LogCurves) -> OwnAlarms:
    """Check the threshold with the search itself."""

    def scores_in(made: LightCurves) -> list[float]:
        found = search_candidates(made, EseSettings(), 64_000, threshold=THRESHOLD, noises=KNOWN)
        return [candidate.score for candidate in found.candidates]

    nothing = np.zeros(len(curves), np.bool_)
    return measure_alarms(
        curves,
        logs,
        KNOWN,
        np.zeros((len(curves), 1)),
        without=nothing,
        flaring=nothing,
        threshold=THRESHOLD,
        accepted=5.0,
        search=scores_in,
    )


def test_shuffled_curves_keep_their_innovations_and_their_covariance() -> None:
    n = 40
    _, logs = walks(n, 1)
    noise = np.tile(NOISE, (n, 1))
    made = shuffled(logs, noise, np.random.default_rng(1))
    t = logs.mjd[: logs.offsets[1]]
    covariance = NOISE[0] ** 2 * np.exp(-np.abs(t[:, None] - t) / NOISE[1])
    of_points = (logs.error**2 + NOISE[2] ** 2).reshape(n, -1)
    moved = 0
    for i, errors in enumerate(of_points):
        own = slice(logs.offsets[i], logs.offsets[i + 1])
        factor = np.linalg.cholesky(covariance + np.diag(errors))
        ones = np.linalg.solve(factor, np.ones(len(t)))
        before = np.linalg.solve(factor, logs.values[own])
        before -= (ones @ before) / (ones @ ones) * ones
        after = np.linalg.solve(factor, made.values[own])
        assert np.sort(after) == pytest.approx(np.sort(before), abs=1e-8)
        moved += int(np.sum(np.abs(after - before) > 1e-8))
    assert moved > 0.8 * len(logs.mjd)


def test_flux_densities_have_the_logarithms_that_they_are_made_of() -> None:
    _, logs = walks(10, 2)
    made = flipped(logs)
    again = log_curves(made.offsets, made.mjd, *flux_of(made))
    assert again.values == pytest.approx(-logs.values, abs=0.05)
    assert np.std(again.values + logs.values) < 0.002


def test_curves_of_known_noise_have_no_more_false_alarms_than_accepted() -> None:
    told = checked(*walks(60, 3))
    # 0.6 are expected in 115 source-years.
    assert told.flipped.source_years == told.shuffled.source_years == pytest.approx(115, abs=5)
    assert told.flipped.n <= 4
    assert told.shuffled.n <= 4
    assert told.warning() == ""
    assert told.threshold == THRESHOLD
    assert "flipped" in told.words()


def test_long_maxima_are_told_and_raise_no_threshold() -> None:
    curves, _ = walks(20, 4)
    mid = curves.mid_mjd.min() + np.repeat(np.linspace(150, 550, 20), np.diff(curves.offsets))
    maxima = np.exp(0.8 * np.exp(-0.5 * np.square((curves.mid_mjd - mid) / 15.0)))
    curves = replace(curves, flux_jy=curves.flux_jy * maxima, error_jy=curves.error_jy * maxima)
    told = checked(curves, log_curves(curves.offsets, curves.mid_mjd, *relative(curves)[1:]))
    assert told.flipped.n > 8
    assert told.flipped.is_more
    assert "flipped" in told.warning()
    assert told.shuffled.n < 0.2 * told.flipped.n


def test_more_false_alarms_in_shuffled_curves_raise_the_threshold_to_the_accepted_rate() -> None:
    curves, logs = walks(60, 5)
    flaring = np.arange(60) < 20
    scores = THRESHOLD + np.random.default_rng(5).exponential(3.0, 12)

    def check(flaring: Bools) -> OwnAlarms:
        return measure_alarms(
            curves,
            logs,
            KNOWN,
            np.zeros((60, 1)),
            without=np.zeros(60, np.bool_),
            flaring=flaring,
            threshold=THRESHOLD,
            accepted=5.0,
            search=lambda made: scores[: len(made)].tolist(),
        )

    told = check(flaring)
    assert told.n_flaring == 20
    assert told.flipped.source_years == told.shuffled.source_years > 0
    expected = 12 / (5e-3 * told.shuffled.source_years)
    assert told.threshold - THRESHOLD == pytest.approx(
        np.mean(scores - THRESHOLD) * np.log(expected)
    )
    assert f"raised from 12.0 to {told.threshold:.1f}" in told.warning()
    # Shuffled flares aren't noise, and flipped ones are dips.
    none = check(np.ones(60, np.bool_))
    assert (none.flipped, none.threshold) == (none.shuffled, THRESHOLD)
    assert none.shuffled.source_years == 0
    assert "unknown" in none.words()


def test_the_interval_of_a_rate_is_that_of_a_poisson_process() -> None:
    # Garwood's limits of 3 at 90 %: 0.818 and 7.754.
    assert Alarms(3, 1000.0, 5.0).interval == pytest.approx((0.8177, 7.7537), abs=1e-3)
    assert Alarms(0, 100.0, 5.0).interval == pytest.approx((0.0, 29.957), abs=1e-2)
    # Of 5 expected ones, 13 or more have a probability of 0.002, 14 or more of 0.0007.
    assert not Alarms(13, 1000.0, 5.0).is_more
    assert Alarms(14, 1000.0, 5.0).is_more
