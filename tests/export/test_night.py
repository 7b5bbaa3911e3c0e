"""Observations, calibration, mosaics and the night's summary."""

from dataclasses import replace

import numpy as np
import pytest

from contimg_resources.export.model import Calibration, Mosaics, Observations
from contimg_resources.export.nights import (
    calibration_document,
    find_gaps,
    meridian_ra_deg,
    mosaics_document,
    observations_document,
)
from contimg_resources.export.pages import Paged, split
from contimg_resources.export.status import night_status
from contimg_resources.products.events import CandidateState
from contimg_resources.products.model import AppliedSet, ObservationState
from contimg_resources.simulation.meridian import meridian_direction_deg
from tests.export.made_up import (
    ACTIVE,
    MJD,
    candidate,
    light_curves,
    observation,
    platform_state,
)


def only_page(paged: Paged) -> bytes:
    (page,) = split(paged)
    return page.data


def test_right_ascensions_on_the_meridian_are_those_of_the_exact_theory() -> None:
    mjd = MJD + np.array([0.01, 0.5, 0.99, 123.4])
    dec_deg = np.array([-20.0, 16.3, 54.6, 80.0])
    exact = np.array([meridian_direction_deg(d, m)[0] for d, m in zip(dec_deg, mjd, strict=True)])
    away_deg = (meridian_ra_deg(dec_deg, mjd) - exact + 180) % 360 - 180
    assert np.abs(away_deg * np.cos(np.radians(dec_deg))).max() < 1 / 3600
    assert len(meridian_ra_deg(np.empty(0), np.empty(0))) == 0


def test_an_observation_says_which_set_its_products_carry() -> None:
    state = platform_state()
    second = state.observations[1]
    carried = AppliedSet(second.key, second.mid_mjd, 16.3, "cal", 3, True, ("image",))
    state = replace(state, applied={second.key: carried}, missing_sub_bands={second.key: (3, 7)})
    page = only_page(observations_document(state))
    found = Observations.model_validate_json(page).observations
    assert [o.key for o in found] == [o.key for o in state.observations]
    assert [(o.set_name, o.set_version, o.borrowed, o.stale) for o in found[:2]] == [
        (None, None, False, False),
        ("cal", 3, True, True),
    ]
    assert [o.missing_sub_bands for o in found[:2]] == [(), (3, 7)]
    assert [o.state for o in found[2:]] == ["imaged", "failed", "waiting"]


def test_very_long_reasons_are_cut() -> None:
    state = platform_state(
        observations=(observation(0, ObservationState.FAILED, "é" * 5000),), answers=(None,)
    )
    page = only_page(observations_document(state))
    assert Observations.model_validate_json(page).observations[0].reason == "é" * 1000


def test_holes_are_observed_time_without_a_valid_set() -> None:
    days = (0.0, 0.0036, 0.0072, 0.0108, 0.5, 0.5036)
    observations = [observation(d) for d in days]
    gaps = find_gaps(observations, [None, None, ACTIVE, None, None, None])
    # A valid set ends one, and so does time that wasn't observed.
    assert [(h.start_mjd, h.end_mjd, h.n_observations) for h in gaps] == [
        (MJD - 0.0018, MJD + 0.0054, 2),
        (MJD + 0.009, MJD + 0.0126, 1),
        (MJD + 0.4982, MJD + 0.5054, 2),
    ]
    assert find_gaps([], []) == []
    assert find_gaps(observations, [ACTIVE] * 6) == []


def test_sets_are_told_by_time_with_the_reasons_against_them() -> None:
    found = Calibration.model_validate_json(only_page(calibration_document(platform_state())))
    assert [s.name for s in found.sets] == ["first", "second"]
    assert (found.sets[0].reason, found.sets[0].flag_fraction) == ("a storm; rain", 0.125)
    assert [h.n_observations for h in found.gaps] == [1, 1]


def test_a_mosaic_is_told_with_its_photometry() -> None:
    page = only_page(mosaics_document(platform_state()))
    measured, failed = Mosaics.model_validate_json(page).mosaics
    assert (measured.n_measured, measured.flux_scale, measured.epoch_ok) == (18, 1.02, False)
    assert (measured.rms_mjy, measured.n_tiles) == (1.5, 2)
    assert (failed.state, failed.reason, failed.epoch_ok) == ("failed", "seams of 12%", None)


def test_the_night_is_the_day_before_the_last_observation() -> None:
    status = night_status(platform_state())
    assert status.end_mjd == MJD + 0.0018
    assert {c.state: c.n for c in status.counts if c.n} == {"imaged": 2, "failed": 1, "waiting": 1}
    assert status.observed_h == pytest.approx(4 * 0.0036 * 24, abs=1e-3)
    assert (status.n_images, status.n_mosaics, status.n_failed, status.n_waiting) == (2, 1, 1, 1)
    assert status.last_observation == f"{MJD:.5f}"
    assert status.last_image_mjd == MJD - 0.1
    assert (status.median_rms_mjy, status.median_rms_ratio) == (2.5, 5.0)
    assert (status.n_stale, status.n_candidates_in_progress, status.n_variables) == (1, 1, 1)
    assert status.active_set is None


def test_the_set_that_is_valid_at_the_end_is_told() -> None:
    status = night_status(platform_state(answers=(ACTIVE,) * 5))
    assert (status.active_set, status.active_set_until_mjd) == ("first", MJD + 1)
    assert not any(p.startswith("no caltable set") for p in status.problems)


def test_problems_are_told_in_words_once_a_kind() -> None:
    failed = [
        observation(-i / 100, ObservationState.FAILED, f"{i}.5 Jy is too much") for i in range(3)
    ]
    failed.append(observation(-0.2, ObservationState.FAILED, "no data " + "at all " * 99))
    points = light_curves(3, 3)
    state = platform_state(
        points,
        observations=tuple(reversed(failed)),
        answers=(ACTIVE,) * 4,
        shortage="only 1 GB is free",
        candidates=(candidate(points, 0, score=float("nan"), state=CandidateState.WITHDRAWN),),
    )
    status = night_status(state)
    assert status.problems == (
        "3 observations failed (the last 61041.00000): image_5min: 0.5 Jy is too much",
        # Cut after a word, 300 characters at most.
        "1 observation failed (61040.80000): image_5min: no data " + "at all " * 40 + "…",
        "1 mosaic failed (61041.00000+16.3): seams of 12%",
        "1 epoch of photometry not published (61040.90000+16.3): too few references",
        "1 observation with stale products (list them with `contimg status --stale`, make them "
        "anew with `contimg reprocess`)",
        "only 1 GB is free",
        "candidate ese-0 isn't shown: its time or score is missing",
    )
    assert status.n_candidates_in_progress == 0


def test_many_kinds_of_problems_are_summed_up() -> None:
    kinds = "abcdefghijkl"
    failed = [observation(-i / 100, ObservationState.FAILED, kinds[i]) for i in range(len(kinds))]
    state = platform_state(observations=tuple(reversed(failed)), answers=(ACTIVE,) * len(kinds))
    told = [
        p
        for p in night_status(state).problems
        if p.endswith("observations failed for other reasons")
    ]
    assert told == ["4 observations failed for other reasons"]
