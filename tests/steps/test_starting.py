"""Which observations may start, asked of real stores."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from contimg_resources.core.errors import NoValidCaltables
from contimg_resources.instrument.caltables import ArrayLayout
from contimg_resources.observations.model import (
    Antenna,
    CalibratorTransit,
    Observation,
    SpectralWindow,
)
from contimg_resources.products.model import ObservationState
from contimg_resources.products.store import ProductsStore
from contimg_resources.settings import Settings
from contimg_resources.steps.arriving import arrive
from contimg_resources.steps.starting import (
    open_observations,
    record_cancellation,
    record_failure,
    tell_waiting,
)

MJD = 61_041.00347


class Registry:
    """Answers look-ups as a registry with one set would."""

    def __init__(self) -> None:
        self.valid = False
        self.layout: ArrayLayout | None = None
        self.n_asked = 0

    def active_for_all(self, wanted: Iterable[Any], **_: Any) -> list[Any]:
        self.n_asked += 1
        return [self.valid or None for _ in wanted]

    def active(self, mjd: float, *, layout: ArrayLayout | None = None, **_: Any) -> Any:
        self.n_asked += 1
        if not self.valid or (layout is not None and layout != self.layout):
            raise NoValidCaltables(f"none at {mjd}")
        return SimpleNamespace(set=SimpleNamespace(name="3C48_61041.00000", version=2))


def observation(mid_mjd: float = MJD, *, calibrator: bool = False) -> Observation:
    transit = CalibratorTransit("3C48", 24.4, 33.2, 0.1, mid_mjd, 16.0, 15.0)
    return Observation(
        path=Path(f"/in/{mid_mjd:.5f}.ms"),
        telescope="DSA-110",
        start_mjd=mid_mjd - 0.00179,
        end_mjd=mid_mjd + 0.00179,
        mid_mjd=mid_mjd,
        fields=(),
        declination_deg=33.2,
        antennas=(Antenna(0, "1", True, 0.0), Antenna(1, "104", True, 0.0)),
        spectral_windows=(SpectralWindow(0, 1.31e9, 1.32e9, 2.4e5, 48),),
        correlations=("XX", "YY"),
        integration_s=12.884902,
        n_integrations=24,
        n_rows=24,
        flagged_fraction=0.0,
        calibrators=(transit,) if calibrator else (),
        signature=f"signature of {mid_mjd:.5f}",
    )


@pytest.fixture
def workshop(tmp_path: Path) -> Any:
    return SimpleNamespace(
        settings=Settings(state=tmp_path),
        products=ProductsStore(f"sqlite:///{tmp_path / 'products.sqlite3'}"),
        registry=Registry(),
    )


def test_those_that_wait_are_looked_up_together(workshop: Any) -> None:
    """After a night without a calibrator a tick costs as much as before."""
    some = [observation(MJD + 0.01 * n) for n in range(4)]
    for one in some:
        workshop.products.arrive(one)
        workshop.products.set_state(one.key, ObservationState.WAITING, step="x", reason="no set")
    assert {(o.waits, o.caltables) for o in open_observations(workshop)} == {(True, None)}
    assert workshop.registry.n_asked == 1
    workshop.registry.valid, workshop.registry.layout = True, some[0].layout
    assert {o.caltables for o in open_observations(workshop)} == {"3C48_61041.00000.v2"}


def test_an_observation_is_open_until_it_is_imaged_or_failed(workshop: Any) -> None:
    store = workshop.products
    keys = [observation(MJD + 0.01 * n).key for n in range(5)]
    for n in range(5):
        store.arrive(observation(MJD + 0.01 * n))
    store.set_state(keys[1], ObservationState.WAITING, step="arrival", reason="no set")
    store.set_state(keys[2], ObservationState.CALIBRATED, step="calibrated_ms")
    store.set_state(keys[3], ObservationState.IMAGED, step="image_5min")
    store.set_state(keys[4], ObservationState.FAILED, step="image_5min", reason="why")
    assert [(o.key, o.waits) for o in open_observations(workshop)] == [
        (keys[0], False),
        (keys[1], True),
        # Interrupted after its first step, its image is still to come.
        (keys[2], True),
    ]


def test_it_names_the_set_that_each_would_get_now(workshop: Any) -> None:
    workshop.products.arrive(observation())
    (before,) = open_observations(workshop)
    assert (before.caltables, before.is_calibrator, before.day) == (None, False, 61041)
    assert before.signature == f"signature of {MJD:.5f}"
    workshop.registry.valid = True
    workshop.registry.layout = observation().layout
    assert open_observations(workshop)[0].caltables == "3C48_61041.00000.v2"


def test_a_set_of_another_array_does_not_start_it(workshop: Any) -> None:
    workshop.products.arrive(observation())
    workshop.registry.valid = True
    workshop.registry.layout = replace(observation().layout, antenna_names=("1", "2"))
    assert open_observations(workshop)[0].caltables is None


def test_a_solved_calibrator_observation_still_has_its_image_to_come(workshop: Any) -> None:
    workshop.products.arrive(observation(calibrator=True))
    key = observation().key
    workshop.products.set_state(key, ObservationState.SOLVED, step="caltable_set")
    (solved,) = open_observations(workshop)
    assert (solved.is_calibrator, solved.waits) == (True, True)


def test_a_failed_step_is_told_once_and_a_wait_is_no_failure(workshop: Any) -> None:
    workshop.products.arrive(observation())
    key = observation().key
    for _ in range(2):
        record_failure(workshop, key, step="image_5min", reason="the run died", run_id="r1")
    assert workshop.products.get(key).state is ObservationState.FAILED
    assert [e.message for e in workshop.products.history(key)][1:] == ["the run died"]
    workshop.products.set_state(
        key, ObservationState.WAITING, step="calibrated_ms", reason="none", run_id="r2"
    )
    record_failure(workshop, key, step="calibrated_ms", reason="none valid", run_id="r2")
    assert workshop.products.get(key).state is ObservationState.WAITING


def test_a_run_that_fails_again_or_dies_after_a_wait_gives_the_newest_reason(
    workshop: Any,
) -> None:
    workshop.products.arrive(observation())
    key = observation().key
    workshop.products.set_state(key, ObservationState.WAITING, step="arrival", reason="no set")
    for run_id, reason in (
        ("r1", "the run died"),
        ("r2", "the disk is full"),
        # The command line has no runs.
        ("", "it was interrupted"),
        ("", "the MS is gone"),
    ):
        record_failure(workshop, key, step="calibrated_ms", reason=reason, run_id=run_id)
        record = workshop.products.get(key)
        assert (record.state, record.reason) == (ObservationState.FAILED, reason)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (ObservationState.WAITING, ObservationState.FAILED),
        (ObservationState.CALIBRATED, ObservationState.FAILED),
        # Its image stands as it was, and so does the reason of what failed.
        (ObservationState.IMAGED, ObservationState.IMAGED),
        (ObservationState.FAILED, ObservationState.FAILED),
    ],
)
def test_a_cancelled_run_is_told_of_what_was_still_to_come_only(
    workshop: Any, before: ObservationState, after: ObservationState
) -> None:
    workshop.products.arrive(observation())
    key = observation().key
    workshop.products.set_state(key, before, step="earlier", reason="as it was", run_id="r1")
    record_cancellation(workshop, key, step="image_5min", run_id="r2")
    record = workshop.products.get(key)
    assert record.state is after
    assert record.reason == (
        "as it was" if before is after else "cancelled by hand; materialize it to start it again"
    )
    assert key not in {o.key for o in open_observations(workshop)}


@pytest.mark.parametrize("made", [ObservationState.CALIBRATED, ObservationState.IMAGED])
def test_a_cancelled_solve_is_told_also_when_another_set_was_used_before(
    workshop: Any, made: ObservationState
) -> None:
    workshop.products.arrive(observation(calibrator=True))
    key = observation().key
    workshop.products.set_state(key, made, step="earlier", run_id="r2")
    record_cancellation(workshop, key, step="caltable_set", run_id="r1")
    record = workshop.products.get(key)
    assert record.state is made
    assert record.reason == "not solved: cancelled by hand; materialize it to start it again"


def test_a_calibrator_observation_whose_solve_failed_waits_for_another_set(workshop: Any) -> None:
    workshop.products.arrive(observation(calibrator=True))
    key = observation().key
    record_failure(workshop, key, step="caltable_set", reason="SNR 2", run_id="r1")
    record = workshop.products.get(key)
    assert record.state is ObservationState.WAITING
    assert record.reason == "waits for another set: SNR 2"
    assert [o.key for o in open_observations(workshop)] == [key]


def _arrive(workshop: Any, found: Observation) -> Any:
    workshop.read = lambda _: found
    workshop.active_caltables = lambda o: workshop.registry.active(o.mid_mjd, layout=o.layout)
    return arrive(workshop, found.path)


@pytest.mark.parametrize("calibrator", [True, False])
def test_an_observation_of_which_nothing_can_be_made_has_failed_with_the_reason(
    workshop: Any, calibrator: bool
) -> None:
    useless = replace(observation(calibrator=calibrator), unusable="all its data are flagged")
    arrived = _arrive(workshop, useless)
    assert (arrived.usable, arrived.is_calibrator, arrived.ready) == (False, False, False)
    record = workshop.products.get(useless.key)
    assert (record.state, record.step) == (ObservationState.FAILED, "arrival")
    assert record.reason == f"nothing can be made of {useless.path}: all its data are flagged"
    assert open_observations(workshop) == ()
    # Delivered again in full it is an observation like others.
    good = replace(useless, unusable="", signature="other")
    assert _arrive(workshop, good).usable
    assert workshop.products.get(good.key).state is not ObservationState.FAILED


def test_what_was_odd_in_an_ms_stands_in_its_history(workshop: Any) -> None:
    odd = replace(observation(), notes=("168 of 336 rows occur twice",), n_repeated_rows=168)
    _arrive(workshop, odd)
    (first, *_) = workshop.products.history(odd.key)
    assert first.message == f"arrived as {odd.path}; 168 of 336 rows occur twice"
    assert workshop.products.observation(odd.key) == odd


def test_a_calibrator_observation_that_nothing_solves_waits_with_the_reason(
    workshop: Any,
) -> None:
    key = observation().key
    _arrive(workshop, observation(calibrator=True))
    tell_waiting(workshop, open_observations(workshop), solving=True)
    assert workshop.products.get(key).state is ObservationState.ARRIVED
    tell_waiting(workshop, open_observations(workshop), solving=False, hint="; not solved")
    record = workshop.products.get(key)
    assert (record.state, record.reason) == (
        ObservationState.WAITING,
        f"none at {MJD}; not solved",
    )
    # It is still there to be solved later.
    (still,) = open_observations(workshop)
    assert still.is_calibrator


def test_one_whose_set_was_retired_says_that_there_is_none(workshop: Any) -> None:
    _arrive(workshop, observation(calibrator=True))
    key = observation().key
    workshop.products.set_state(
        key, ObservationState.SOLVED, step="caltable_set", reason="registered"
    )
    tell_waiting(workshop, open_observations(workshop), solving=True)
    assert workshop.products.get(key).reason == f"none at {MJD}"
