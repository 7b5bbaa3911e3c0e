"""Which observations are made again, and why others are left out."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from contimg_resources.cli.main import run
from contimg_resources.products.model import ObservationState
from contimg_resources.steps.reprocessing import Step, Which, choose_observations
from tests.products.conftest import make_observation
from tests.steps.conftest import MJD, Made


def _keys(made: Made, which: Which, **limits: Any) -> list[str]:
    return [c.key for c in choose_observations(made.workshop, which, **limits)]


def test_each_kind_chooses_its_own_and_no_others(made: Made, tmp_path: Path) -> None:
    store, keys = made.workshop.products, made.keys
    assert _keys(made, Which.STALE) == _keys(made, Which.FAILED) == []
    # `made` records no numbers of images.
    assert _keys(made, Which.MISSING) == list(keys)
    store.set_state(keys[1], ObservationState.FAILED, step="image_5min", reason="diverged")
    (failed,) = choose_observations(made.workshop, Which.FAILED)
    assert (failed.key, failed.why, failed.hindrance) == (
        keys[1],
        "image_5min failed: diverged",
        "",
    )
    assert keys[1] not in _keys(made, Which.MISSING)
    made.workshop.registry.register(made.new_set("second", MJD + 1.2, before=0.1, after=0.1))
    assert _keys(made, Which.STALE) == [keys[3]]
    assert _keys(made, Which.ALL) == list(keys)
    assert _keys(made, Which.ALL, start_mjd=MJD + 0.2, end_mjd=MJD + 1.0) == list(keys[1:3])
    # Its MS becomes another observation: there is nothing left of which to make it.
    store.arrive(make_observation(tmp_path / "0.ms", MJD + 0.15, signature="new"))
    assert keys[0] not in _keys(made, Which.ALL)


def test_what_can_not_be_made_is_told_with_its_reason(made: Made) -> None:
    shutil.rmtree(made.workshop.products.get(made.keys[0]).path)
    made.workshop.registry.register(made.new_set("first", MJD, before=0.5, after=1.0))
    hindrances = {c.key: c.hindrance for c in choose_observations(made.workshop, Which.STALE)}
    assert "is gone" in hindrances[made.keys[0]]
    assert hindrances[made.keys[1]] == hindrances[made.keys[2]] == ""
    assert hindrances[made.keys[3]] == "no caltable set is valid for it"


def test_imaging_alone_needs_what_was_calibrated_and_no_set(made: Made) -> None:
    made.workshop.registry.retire("first", "bad")
    shutil.rmtree(made.workshop.settings.state / made.keys[1] / "cal.ms")
    chosen = choose_observations(made.workshop, Which.ALL, step=Step.IMAGE_5MIN)
    assert {c.key: c.hindrance for c in chosen if c.hindrance} == {
        made.keys[1]: "it has no calibrated MS"
    }


def test_the_command_needs_a_platform_only_to_start_something(
    made: Made, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CONTIMG_STATE", str(made.workshop.settings.state))
    assert run(["reprocess", "--only", "stale", "--dry-run"]) == 1
    assert "no observation to make again" in capsys.readouterr().err
    assert run(["reprocess", "--dry-run", "--from", "61042", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [c["key"] for c in told["observations"]] == [made.keys[3]]
    assert told["backfill_id"] is None
    assert run(["reprocess"]) == 1
    assert "no platform runs on" in capsys.readouterr().err
    assert run(["reprocess", "--only", "some"]) == 2
    assert run(["reprocess", "--step", "caltable_set", "--only", "stale"]) == 2
    # None of these is a calibrator's.
    assert run(["reprocess", "--step", "caltable_set", "--dry-run"]) == 1
