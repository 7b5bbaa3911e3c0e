"""Runs that ended before any step began, or in the middle of one: who asks for them again, when."""

import errno
import time
import uuid
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest
from dagster._core.events import EngineEventData
from dagster._core.execution.plan.objects import StepFailureData, StepSuccessData
from dagster_shared.error import SerializableErrorInfo

from contimg_assets import sensors
from contimg_assets.failures import told_to_dagster
from contimg_assets.jobs import DAY_TAG, IMAGE_ASSETS, photometry_job
from contimg_assets.runs import (
    MAX_ATTEMPTS,
    MAX_CUT_OFF,
    PAUSE_S,
    Fate,
    asked_before,
    fate_of,
    keys_in_progress,
    keys_to_ask,
    lost_requests,
)
from contimg_resources.core.errors import (
    CasaCrashed,
    DiskRefused,
    NoValidCaltables,
    RunSuperseded,
)
from contimg_resources.products.model import ObservationState
from contimg_resources.steps.reprocessing import Which, choose_observations
from contimg_resources.steps.starting import open_observations
from tests.assets.parts import parts_of
from tests.steps.conftest import Made, made

__all__ = ["made"]

DEAD = "Caught an unrecoverable error while dequeuing the run. Marking the run as failed"
UNREACHABLE = SerializableErrorInfo(
    "dagster._core.errors.DagsterUserCodeUnreachableError: Could not reach user code server.\n",
    [],
    "DagsterUserCodeUnreachableError",
)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral(
        settings={"run_retries": {"enabled": True, "max_retries": 0}}
    ) as ephemeral:
        yield ephemeral


def submit(
    instance: dg.DagsterInstance, run_key: str, job: str = "image_observation", **tags: str
) -> dg.DagsterRun:
    run = dg.DagsterRun(
        job_name=job,
        run_id=str(uuid.uuid4()),
        status=dg.DagsterRunStatus.STARTING,
        # As the sensor requests the image of an MS that arrived.
        asset_selection=frozenset(IMAGE_ASSETS) if job == "image_observation" else None,
        tags={"dagster/run_key": run_key, **{f"dagster/{k}": v for k, v in tags.items()}},
    )
    instance.add_run(run)
    return run


def lose(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.RunRecord:
    """Do what the daemon does with a run whose code server is dead."""
    instance.report_engine_event(DEAD, run, EngineEventData.engine_error(UNREACHABLE))
    instance.report_run_failed(run)
    record = instance.get_run_record_by_id(run.run_id)
    assert record is not None
    return record


def begin(instance: dg.DagsterInstance, run: dg.DagsterRun, step: str) -> None:
    """Do what a worker does first."""
    report(instance, run, dg.DagsterEventType.PIPELINE_START)
    report(instance, run, dg.DagsterEventType.STEP_START, step)


def report(
    instance: dg.DagsterInstance,
    run: dg.DagsterRun,
    kind: dg.DagsterEventType,
    step: str | None = None,
    data: Any = None,
) -> None:
    """Do what a worker does when it reports an event."""
    event = dg.DagsterEvent(
        event_type_value=kind.value,
        job_name=run.job_name,
        step_key=step,
        event_specific_data=data,
    )
    instance.report_dagster_event(event, run_id=run.run_id)


def test_a_run_that_was_lost_before_it_began_is_asked_for_again_after_growing_pauses(
    instance: dg.DagsterInstance,
) -> None:
    key, keys = "image:61041.00347:aaaa:3C286.v1", []
    for attempt in range(1, MAX_ATTEMPTS + 1):
        (due,) = keys_to_ask(asked_before(instance, [key]), [key], now_s=time.time() + 1e6).values()
        keys.append(due)
        record = lose(instance, submit(instance, due))
        asked = asked_before(instance, [key])[key]
        assert asked.attempt == attempt
        assert asked.due_s - asked.ended_s == PAUSE_S * 2 ** (attempt - 1)
        assert keys_to_ask({key: asked}, [key]) == {}, "not at once"
    assert keys == [key, *(f"{key}#{n}" for n in range(2, MAX_ATTEMPTS + 1))]
    assert fate_of(record) is Fate.OVER
    assert keys_to_ask(asked_before(instance, [key]), [key], now_s=time.time() + 1e6) == {}


def test_what_is_still_to_be_done_is_asked_for_again_although_its_run_is_over(
    instance: dg.DagsterInstance,
) -> None:
    key = "image:61041.00347:aaaa:3C286.v1"

    def due(now_s: float) -> dict[str, str]:
        asked = asked_before(instance, [key])
        assert keys_to_ask(asked, [key], now_s=now_s) == {}
        return keys_to_ask(asked, [key], still_open=[key], now_s=now_s)

    # As when a caltable was damaged: the step failed, and the observation waits.
    run = submit(instance, key)
    begin(instance, run, "calibrated_ms")
    instance.report_run_failed(run)
    assert due(time.time()) == {}, "not at once"
    assert due(time.time() + PAUSE_S + 1.0) == {key: f"{key}#2"}
    assert due(time.time() - 3600.0) == {key: f"{key}#2"}, "the clock was put back"
    instance.report_run_canceled(submit(instance, f"{key}#2"))
    assert due(time.time() + 1e6) == {}, "somebody cancelled it"


def test_a_run_of_which_a_step_failed_or_that_somebody_cancelled_is_not_asked_for_again(
    instance: dg.DagsterInstance,
) -> None:
    failed, cancelled = submit(instance, "solve:a:b"), submit(instance, "solve:c:d")
    begin(instance, failed, "caltable_set")
    instance.report_run_failed(failed)
    instance.report_run_canceled(cancelled)
    wanted = ["solve:a:b", "solve:c:d"]
    asked = asked_before(instance, wanted)
    assert [asked[key].fate for key in wanted] == [Fate.OVER, Fate.OVER]
    assert keys_to_ask(asked, wanted, now_s=time.time() + 1e6) == {}


def test_what_a_sensor_does_not_derive_from_the_stores_is_asked_for_as_it_was(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = submit(instance, "measure:61041.00347:s:7", photometry_job.name, partition="61041.00347")
    instance.add_run_tags(run.run_id, {DAY_TAG: "61041"})
    assert lost_requests(instance, photometry_job.name, [DAY_TAG]) == []
    lose(instance, run)
    now_s = time.time()
    monkeypatch.setattr("contimg_assets.runs.time.time", lambda: now_s + PAUSE_S + 1)
    (request,) = lost_requests(instance, photometry_job.name, [DAY_TAG])
    assert (request.run_key, request.partition_key) == ("measure:61041.00347:s:7#2", "61041.00347")
    assert request.tags[DAY_TAG] == "61041"


def failure(
    instance: dg.DagsterInstance, run: dg.DagsterRun, made: Made
) -> tuple[ObservationState, str, str]:
    """Let the sensor tell a failed run; return what is known of its observation then."""
    stored = instance.get_run_by_id(run.run_id)
    assert stored is not None
    *_, entry = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
    context = dg.build_run_status_sensor_context(
        sensor_name="run_failures",
        dagster_event=entry.get_dagster_event(),
        dagster_instance=instance,
        dagster_run=stored,
        resources=parts_of(made.workshop),
    ).for_run_failure()
    sensors.run_failures(context)
    record = made.workshop.products.get(made.keys[0])
    return record.state, record.step, record.reason


def arrived(made: Made, **tags: str) -> dict[str, str]:
    made.workshop.products.set_state(made.keys[0], ObservationState.ARRIVED, step="arrival")
    return {"partition": made.keys[0], **tags}


def test_an_observation_whose_run_never_began_is_as_far_as_it_was_and_says_why(
    instance: dg.DagsterInstance, made: Made
) -> None:
    run = submit(instance, "image:k:s:v", **arrived(made))
    lose(instance, run)
    assert failure(instance, run, made) == (
        ObservationState.ARRIVED,
        "calibrated_ms",
        "the run never began, because Dagster's code server didn't answer: Could not reach user "
        "code server.; it is started again",
    )


def test_when_it_was_lost_too_often_the_observation_has_failed(
    instance: dg.DagsterInstance, made: Made
) -> None:
    run = submit(instance, f"image:k:s:v#{MAX_ATTEMPTS}", **arrived(made))
    lose(instance, run)
    state, _, reason = failure(instance, run, made)
    assert (state, reason) == (
        ObservationState.FAILED,
        "the run never began, because Dagster's code server didn't answer: Could not reach user "
        "code server.",
    )


@pytest.fixture
def retrying() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral(
        settings={"run_retries": {"enabled": True, "max_retries": 3}}
    ) as ephemeral:
        yield ephemeral


def test_an_interrupted_run_that_is_about_to_start_again_is_no_failure(
    retrying: dg.DagsterInstance, made: Made
) -> None:
    run = submit(retrying, "image:k:s:v", **arrived(made))
    begin(retrying, run, "image_5min")
    retrying.report_engine_event("the worker ended with exit code -9", run)
    retrying.report_run_failed(run)
    retrying.report_engine_event("Retrying the run", run)
    assert failure(retrying, run, made) == (
        ObservationState.INTERRUPTED,
        "image_5min",
        "the worker ended with exit code -9; it is started again",
    )
    key = made.keys[0]
    (open_again,) = open_observations(made.workshop)
    assert (open_again.key, open_again.waits) == (key, False)
    assert key not in {c.key for c in choose_observations(made.workshop, Which.FAILED)}
    assert keys_in_progress(retrying) == {key}
    # Dagster has started it again, and that run is in progress.
    retrying.add_run_tags(run.run_id, {"dagster/auto_retry_run_id": "next"})
    assert keys_in_progress(retrying) == frozenset()
    submit(retrying, "image:k:s:v", partition=key)
    assert keys_in_progress(retrying) == {key}


def test_a_run_that_died_between_two_steps_was_at_the_next(
    retrying: dg.DagsterInstance, made: Made
) -> None:
    run = submit(retrying, "image:k:s:v", **arrived(made))
    made.workshop.products.set_state(made.keys[0], ObservationState.IMAGED, step="image_5min")
    begin(retrying, run, "image_5min")
    done = StepSuccessData(duration_ms=1.0)  # type: ignore[no-untyped-call] # is Dagster's
    report(retrying, run, dg.DagsterEventType.STEP_SUCCESS, "image_5min", done)
    retrying.report_engine_event("the worker ended with exit code -9", run)
    retrying.report_run_failed(run)
    retrying.report_engine_event("Retrying the run", run)
    # The image is made, and the run that is started again doesn't make it anew.
    state, step, _ = failure(retrying, run, made)
    assert (state, step) == (ObservationState.IMAGED, "image_photometry")


def test_a_step_in_which_dagster_s_own_storage_failed_is_asked_for_again(
    instance: dg.DagsterInstance, made: Made
) -> None:
    run = submit(instance, "solve:k:s", "solve_calibration", **arrived(made))
    begin(instance, run, "caltable_set")
    driver = SerializableErrorInfo(
        "sqlite3.OperationalError: disk I/O error\n", [], "OperationalError"
    )
    error = SerializableErrorInfo(
        "sqlalchemy.exc.OperationalError: (sqlite3.OperationalError) disk I/O error\n[SQL: INSERT",
        [],
        "OperationalError",
        cause=driver,
    )
    data = StepFailureData(error, None)  # type: ignore[no-untyped-call] # is Dagster's
    report(instance, run, dg.DagsterEventType.STEP_FAILURE, "caltable_set", data)
    instance.report_run_failed(run)
    assert failure(instance, run, made) == (
        ObservationState.INTERRUPTED,
        "caltable_set",
        "disk I/O error; it is started again",
    )


def test_what_is_in_progress_is_not_made_again(made: Made) -> None:
    first, second, *_ = made.keys
    for key in (first, second):
        made.workshop.products.set_state(
            key, ObservationState.FAILED, step="image_5min", reason="diverged"
        )
    chosen = choose_observations(made.workshop, Which.FAILED, busy={first})
    assert {c.key: c.hindrance for c in chosen} == {
        first: "a run of it is queued or in progress",
        second: "",
    }


def fail_in_step(instance: dg.DagsterInstance, run: dg.DagsterRun, error: Exception) -> None:
    """Do what a worker does whose step raised an error in each of its tries."""

    @dg.op
    def calibrated_ms() -> None:
        with told_to_dagster():
            raise error

    @dg.job
    def job() -> None:
        calibrated_ms()

    with dg.DagsterInstance.ephemeral() as own:
        ended = job.execute_in_process(instance=own, raise_on_error=False)
        (failed,) = own.all_logs(ended.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    begin(instance, run, "calibrated_ms")
    instance.report_dagster_event(failed.get_dagster_event(), run_id=run.run_id)
    instance.report_run_failed(run, "Steps failed: ['calibrated_ms']")


@pytest.mark.parametrize(
    ("error", "most"),
    [
        (DiskRefused("images can't be written to"), MAX_ATTEMPTS),
        (OSError(errno.EROFS, "Read-only file system"), MAX_ATTEMPTS),
        (CasaCrashed("CASA died of SIGSEGV"), MAX_CUT_OFF),
        (NoValidCaltables("no set is valid"), 1),
    ],
)
def test_a_step_that_failed_for_its_surroundings_is_asked_for_again_and_not_for_ever(
    instance: dg.DagsterInstance, made: Made, monkeypatch: pytest.MonkeyPatch, error: Exception,
    most: int,
) -> None:  # fmt: skip
    # Its last try is enough.
    monkeypatch.setattr("contimg_assets.failures.MAX_RETRIES", 0)
    key = "image:k:s:v"
    for attempt in range(1, most + 1):
        run = submit(instance, key if attempt == 1 else f"{key}#{attempt}", **arrived(made))
        fail_in_step(instance, run, error)
        state, step, reason = failure(instance, run, made)
        assert step == "calibrated_ms"
        assert str(getattr(error, "message", error.args[-1])) in reason
        last = attempt == most
        assert state is (ObservationState.FAILED if last else ObservationState.INTERRUPTED)
        asked = asked_before(instance, [key])
        later_s = time.time() + 1e6
        if not last:
            (observation,) = open_observations(made.workshop)
            assert not observation.waits
            assert keys_to_ask(asked, [key], still_open=[key], now_s=later_s) == {
                key: f"{key}#{attempt + 1}"
            }


def test_a_failure_that_is_told_late_takes_nothing_from_what_was_made_since(
    instance: dg.DagsterInstance, made: Made
) -> None:
    run = submit(instance, f"image:k:s:v#{MAX_CUT_OFF}", **arrived(made))
    begin(instance, run, "calibrated_ms")
    instance.report_run_failed(run, "the worker ended with exit code -9")
    made.workshop.products.set_state(
        made.keys[0], ObservationState.IMAGED, step="image_5min", run_id="r2"
    )
    assert failure(instance, run, made)[0] is ObservationState.IMAGED


def test_a_superseded_run_that_comes_back_changes_nothing(
    instance: dg.DagsterInstance, made: Made
) -> None:
    run = submit(instance, "image:k:s:v", **arrived(made))
    begin(instance, run, "calibrated_ms")
    lost = "Detected run worker status FAILED: 'worker w1:7 gave no sign of life for 60 s'. Marking"
    instance.report_run_failed(run, f"{lost} run {run.run_id} as failed.")
    assert failure(instance, run, made)[2].startswith("worker w1:7 gave no sign of life for 60 s")
    products = made.workshop.products
    products.set_state(made.keys[0], ObservationState.IMAGED, step="image_5min", run_id="r2")
    fail_in_step(instance, run, RunSuperseded(f"run {run.run_id} was superseded"))
    assert failure(instance, run, made)[0] is ObservationState.IMAGED
    assert products.history(made.keys[0])[-1].run_id == "r2"


def test_a_calibrator_whose_solve_run_died_waits_for_another_set_and_names_the_cure(
    instance: dg.DagsterInstance, made: Made
) -> None:
    first = submit(instance, "solve:k:s", "solve_calibration", **arrived(made))
    begin(instance, first, "caltable_set")
    instance.report_run_failed(first, "the worker ended with exit code -9")
    assert failure(instance, first, made)[0] is ObservationState.INTERRUPTED, "it is solved again"
    last = f"solve:k:s#{MAX_CUT_OFF}"
    run = submit(instance, last, "solve_calibration", **arrived(made))
    begin(instance, run, "caltable_set")
    instance.report_run_failed(run, "the worker ended with exit code -9")
    state, step, reason = failure(instance, run, made)
    assert (state, step) == (ObservationState.WAITING, "caltable_set")
    key = float(made.keys[0])
    assert reason == (
        "waits for another set: the worker ended with exit code -9; to solve it again: "
        f"`contimg reprocess --step caltable_set --from {key - 1e-5:.5f} --to {key + 1e-5:.5f}`"
    )


def test_a_solve_that_died_before_its_step_or_in_a_backfill_is_a_solve_all_the_same(
    instance: dg.DagsterInstance, made: Made
) -> None:
    for job, selection in (
        ("solve_calibration", None),
        ("__ASSET_JOB", frozenset({dg.AssetKey("caltable_set")})),
    ):
        tags: dict[str, Any] = {"dagster/partition": arrived(made)["partition"]}
        run = dg.DagsterRun(job_name=job, asset_selection=selection, tags=tags)
        instance.add_run(run)
        instance.report_run_failed(run, "the machine is gone")
        assert failure(instance, run, made)[:2] == (ObservationState.WAITING, "caltable_set")
