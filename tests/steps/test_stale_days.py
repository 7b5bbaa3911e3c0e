"""The stale observations of a long history: only days that a change may affect are queried."""

from dataclasses import replace

import pytest

from contimg_resources.products.model import ObservationState
from contimg_resources.steps import stale_days
from contimg_resources.steps.stale_days import StaleDays, StaleFound, changed_since, check_days
from contimg_resources.steps.staleness import stale_observations
from tests.steps.conftest import MJD, Made

DAY = 61041


class Check:
    """A check that is repeated, and the days that it asked for."""

    def __init__(self, made: Made, patch: pytest.MonkeyPatch) -> None:
        self.made, self.days = made, StaleDays()
        self.asked: list[tuple[float, float]] = []
        real = stale_observations

        def listen(*workshop: object, start_mjd: float, end_mjd: float) -> object:
            self.asked.append((start_mjd, end_mjd))
            return real(made.workshop, start_mjd=start_mjd, end_mjd=end_mjd)

        patch.setattr(stale_days, "stale_observations", listen)

    def __call__(self, *, n_listed: int = 10, budget_s: float = 10.0) -> StaleFound:
        self.asked.clear()
        before = StaleDays.from_record({**self.days.to_record()})
        days = changed_since(self.made.workshop, before)
        found = check_days(self.made.workshop, days, n_listed=n_listed, budget_s=budget_s)
        self.days = found.days
        # What a caller that remembers nothing finds.
        everything = changed_since(self.made.workshop, StaleDays())
        whole = check_days(self.made.workshop, everything, n_listed=n_listed)
        if not found.days.left:
            assert (found.n, found.listed, found.last) == (whole.n, whole.listed, whole.last)
        return found


def remake(made: Made, key: str) -> None:
    """Make products of an observation again, in a run."""
    made.remake(key)
    state = ObservationState.IMAGED
    made.workshop.products.set_state(key, state, step="image_5min", run_id="r2")


@pytest.fixture
def check(made: Made, monkeypatch: pytest.MonkeyPatch) -> Check:
    assert int(MJD) == DAY
    return Check(made, monkeypatch)


def test_a_set_changes_the_days_of_its_window_and_a_product_its_own(check: Check) -> None:
    made = check.made
    assert check().n == 0
    asked = changed_since(made.workshop, check.days)
    assert (asked, asked.left) == (check.days, ())
    made.workshop.registry.register(made.new_set("second", MJD + 1.2, before=0.1, after=0.1))
    assert changed_since(made.workshop, check.days).left == (DAY + 1,)
    found = check()
    assert (found.n, found.last) == (1, made.keys[3])
    assert [one.key for one in found.listed] == [made.keys[3]]
    assert found.days.stale == {DAY + 1: 1}
    # The rest of the list is still known when another day changes.
    remake(made, made.keys[0])
    assert changed_since(made.workshop, check.days).left == (DAY,)
    assert check().n == 1
    remake(made, made.keys[3])
    assert check().n == 0
    assert check.days.stale == {}


def test_a_retired_set_is_listed_as_far_as_asked_and_counted_whole(check: Check) -> None:
    made = check.made
    check()
    made.workshop.registry.retire("first", "antenna 104 was pointed elsewhere")
    found = check(n_listed=2)
    assert (found.n, found.last) == (len(made.keys), made.keys[-1])
    assert [one.key for one in found.listed] == list(made.keys[:2])


def test_a_check_without_time_goes_on_the_next_time(check: Check) -> None:
    # 0: the check that remembers nothing, which has all the time.
    found = check(budget_s=-1.0)
    assert (found.n, found.days.left) == (0, (DAY, DAY + 1))
    assert check.asked == [(DAY, DAY + 2)]
    assert check().days.left == ()


def test_other_settings_and_a_restored_store_let_everything_be_checked(check: Check) -> None:
    check()
    workshop = check.made.workshop
    calibration = workshop.settings.calibration.model_copy(update={"strip_tolerance_deg": 0.1})
    settings = workshop.settings.model_copy(update={"calibration": calibration})
    assert changed_since(replace(workshop, settings=settings), check.days).left
    assert changed_since(workshop, replace(check.days, product_event=10_000)).left
    assert StaleDays.from_record({"left": "x"}) == StaleDays.from_record(None) == StaleDays()
