"""Half a minute of faults that a seed chooses; the platform settles by itself; ``make soak``."""

from pathlib import Path

import pytest

from tests.soak.agent import plan, soak
from tests.soak.faults import FAULTS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


def test_a_platform_under_random_faults_settles_by_itself(tmp_path: Path) -> None:
    said: list[str] = []
    soaked = soak(
        tmp_path / "soak",
        seed=17,
        minutes=0.5,
        n_targets=1,
        faults_per_minute=8,
        settle_minutes=10,
        say=said.append,
    )
    assert [str(finding) for finding in soaked.findings] == [], "\n".join(said)
    assert soaked.injected.total() >= 3
    assert soaked.verdict.endswith(f": {soaked.injected.total()} / 0 / 0 / 0")


def test_a_plan_is_that_of_its_seed_and_hits_no_child_more_often_than_it_is_started_again() -> None:
    first, again, other = (plan(seed, 600, 200, 10) for seed in (7, 7, 8))
    assert first == again != other
    assert sorted(first, key=lambda one: one.at_s) == list(first)
    assert sum(one.fault is None for one in first) == 11
    for child in {f.child for f in FAULTS} - {""}:
        assert sum(one.fault is not None and one.fault.child == child for one in first) <= 4
    assert {one.fault for one in first} - {None} >= {f for f in FAULTS if not f.child}
