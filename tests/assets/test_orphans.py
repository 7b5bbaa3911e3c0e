"""Runs that were in progress when the platform was killed."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import (
    InProcessCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    SensorInstigatorData,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from contimg_assets.orphans import end_orphaned_runs, forget_times_to_come


@dg.job
def nothing() -> None:
    """A job without a step."""


def status_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRunStatus:
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    return found.status


@pytest.mark.parametrize(
    ("found", "becomes"),
    [
        (dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.FAILURE),
        (dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.FAILURE),
        (dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.CANCELED),
    ],
)
def test_a_run_that_lost_its_worker_holds_its_slot_no_longer(
    found: dg.DagsterRunStatus, becomes: dg.DagsterRunStatus
) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        run = instance.create_run_for_job(nothing, status=found)
        assert end_orphaned_runs(instance) == 1
        assert status_of(instance, run) is becomes
        assert end_orphaned_runs(instance) == 0


def test_runs_that_are_over_or_have_yet_to_start_stay_as_they_are() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        statuses = [
            dg.DagsterRunStatus.NOT_STARTED,
            dg.DagsterRunStatus.SUCCESS,
            dg.DagsterRunStatus.FAILURE,
        ]
        runs = [instance.create_run_for_job(nothing, status=s) for s in statuses]
        assert end_orphaned_runs(instance) == 0
        assert [status_of(instance, r) for r in runs] == statuses


@pytest.mark.parametrize("found", [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING])
def test_runs_of_the_next_code_server_are_not_left_over(found: dg.DagsterRunStatus) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        run = instance.create_run_for_job(nothing, status=found)
        record = instance.get_run_record_by_id(run.run_id)
        assert record is not None
        began_s = record.update_timestamp.timestamp()
        assert end_orphaned_runs(instance, began_s) == 0
        assert status_of(instance, run) is found
        assert end_orphaned_runs(instance, began_s + 1) == 1


def sensor_state(name: str, ticked_s: float, cursor: str) -> InstigatorState:
    location = InProcessCodeLocationOrigin(LoadableTargetOrigin(module_name="m"))
    return InstigatorState(
        RemoteInstigatorOrigin(RemoteRepositoryOrigin(location, "r"), name),
        InstigatorType.SENSOR,
        InstigatorStatus.RUNNING,
        SensorInstigatorData(
            last_tick_timestamp=ticked_s,
            min_interval=3,
            cursor=cursor,
            last_tick_start_timestamp=ticked_s,
        ),
    )


def test_when_the_clock_was_put_back_sensors_tick_on_and_see_what_happens_now(
    tmp_path: Path,
) -> None:
    now_s = time.time()
    ahead_s = now_s + 26 * 3600
    of_runs = json.dumps(
        {"record_id": 7, "update_timestamp": datetime.fromtimestamp(ahead_s, UTC).isoformat()}
    )
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        for name, ticked_s, cursor in (
            ("arrivals", ahead_s, '{"checked": "a.ms"}'),
            ("run_failures", ahead_s, of_runs),
            ("mosaics", now_s - 3, "7"),
        ):
            instance.add_instigator_state(sensor_state(name, ticked_s, cursor))
        assert forget_times_to_come(instance, now_s) == 2
        found = {
            s.instigator_name: s.instigator_data
            for s in instance.all_instigator_state()
            if isinstance(s.instigator_data, SensorInstigatorData)
        }
        assert found["arrivals"].last_tick_timestamp is None
        assert found["arrivals"].last_tick_start_timestamp is None
        assert found["arrivals"].min_interval == 3
        assert found["arrivals"].cursor == '{"checked": "a.ms"}'
        told = json.loads(found["run_failures"].cursor or "")
        assert told["record_id"] == 7
        assert datetime.fromisoformat(told["update_timestamp"]).timestamp() == pytest.approx(now_s)
        assert found["mosaics"].last_tick_timestamp == now_s - 3
        assert forget_times_to_come(instance, now_s) == 0
