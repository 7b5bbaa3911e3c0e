"""Sensors: what starts by itself, and what is told when a run fails.

Belongs here: asking Dagster to run something. Doesn't: deciding whether an MS is complete, what it
is, or which caltables serve it (see `contimg_resources.steps`).

Every look derives what there is to start from the stores and from Dagster's runs, so a request
that was lost with a tick comes again at the next, and one that was submitted doesn't.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import dagster as dg
from dagster._core.storage.tags import PARTITION_NAME_TAG

from contimg_assets.descriptions import describe_arrival
from contimg_assets.failures import failed_steps, interrupted_step
from contimg_assets.housekeeping import housekeeping_job
from contimg_assets.jobs import (
    DAY_TAG,
    LIVE_PRIORITY,
    PRIORITY_TAG,
    SOLVE_PRIORITY,
    image_job,
    log_job,
    mosaic_job,
    solve_job,
)
from contimg_assets.partitions import (
    add_requests,
    calibration_mjd,
    keys_in_progress,
    observation_mjd,
)
from contimg_assets.runs import finished_runs
from contimg_resources.errors import ContimgError
from contimg_resources.settings import SensorSettings
from contimg_resources.steps.resource import WorkshopParam
from contimg_resources.steps.room import shortage
from contimg_resources.steps.starting import (
    Open,
    open_observations,
    record_cancellation,
    record_failure,
)
from contimg_resources.steps.watching import Memory, look
from contimg_resources.times import is_partition_key

#: Reading an MS takes seconds; a tick must end well within a minute.
LOOK_BUDGET_S = 20.0

#: So soon a run that ended badly is in its observation's history.
_TELLING_INTERVAL_S = 10


def build_observation_sensor(pace: SensorSettings) -> dg.SensorDefinition:
    """Return the sensor that registers what arrives and starts what can start."""

    @dg.sensor(
        name="observation_sensor",
        jobs=[solve_job, image_job, housekeeping_job],
        minimum_interval_seconds=pace.interval_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Registers complete MeasurementSets. Solves calibrators first; images what "
        "has valid caltables; the rest waits.",
    )
    def observation_sensor(
        context: dg.SensorEvaluationContext, workshop: WorkshopParam
    ) -> dg.SensorResult | dg.SkipReason:
        seen = look(workshop, Memory.from_text(context.cursor), budget_s=LOOK_BUDGET_S)
        for aside in seen.set_aside:
            context.log.error(aside.reason)
        undone = open_observations(workshop)
        paused = shortage(workshop.settings)
        requests = (
            _make_room(context.instance)
            if paused
            else (
                *_solve_requests(context.instance, undone),
                *_image_requests(context.instance, [o for o in undone if not o.waits]),
            )[: pace.max_runs_per_tick]
        )
        context.update_cursor(seen.memory.to_text())
        without = sum(o.caltables is None for o in undone)
        words = f"{seen.words}; {without} wait for calibration"
        skip = dg.SkipReason(f"paused: {paused}; {words}" if paused else words)
        if not requests and not seen.arrivals:
            return skip
        arrived = [a.observation.key for a in seen.arrivals]
        return dg.SensorResult(
            run_requests=requests or None,
            skip_reason=None if requests else skip,
            dynamic_partitions_requests=_partitions(context.instance, arrived, requests),
            asset_events=[
                dg.AssetMaterialization(
                    "incoming_ms", partition=a.observation.key, metadata=describe_arrival(a)
                )
                for a in seen.arrivals
            ],
        )

    return observation_sensor


def build_waiting_sensor(pace: SensorSettings) -> dg.SensorDefinition:
    """Return the sensor that starts observations once a caltable set is valid for them."""

    @dg.sensor(
        name="waiting_sensor",
        job=image_job,
        minimum_interval_seconds=pace.interval_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Starts the observations that waited, once a caltable set is valid for them.",
    )
    def waiting_sensor(
        context: dg.SensorEvaluationContext, workshop: WorkshopParam
    ) -> dg.SensorResult | dg.SkipReason:
        if paused := shortage(workshop.settings):
            return dg.SkipReason(f"paused: {paused}")
        waiting = [o for o in open_observations(workshop) if o.waits]
        requests = _image_requests(context.instance, waiting)[: pace.max_runs_per_tick]
        if not requests:
            without = sum(o.caltables is None for o in waiting)
            return dg.SkipReason(
                f"{len(waiting)} observations wait, {without} of them without valid caltables"
            )
        return dg.SensorResult(
            run_requests=requests,
            dynamic_partitions_requests=_partitions(context.instance, [], requests),
        )

    return waiting_sensor


@dg.run_failure_sensor(
    name="run_failures",
    minimum_interval_seconds=_TELLING_INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Writes into an observation's history which step of it failed, and why.",
)
def run_failures(context: dg.RunFailureSensorContext, workshop: WorkshopParam) -> None:
    """Tell the products store what failed: also when the run's process could not do so itself."""
    key = _observation_of(context)
    if key is None:
        return
    for step, reason in failed_steps(context):
        context.log.error(f"{key}: {step} failed: {reason}")
        with _untold_if_unknown(context):
            record_failure(
                workshop, key, step=step, reason=reason, run_id=context.dagster_run.run_id
            )


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.CANCELED,
    name="run_cancellations",
    minimum_interval_seconds=_TELLING_INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Writes into an observation's history that somebody cancelled a run of it.",
)
def run_cancellations(context: dg.RunStatusSensorContext, workshop: WorkshopParam) -> None:
    """Tell the products store what was cancelled: it isn't started again by itself."""
    key = _observation_of(context)
    if key is None:
        return
    step = interrupted_step(context)
    context.log.warning(f"{key}: {step} was cancelled by hand")
    with _untold_if_unknown(context):
        record_cancellation(workshop, key, step=step, run_id=context.dagster_run.run_id)


def _observation_of(context: dg.RunStatusSensorContext) -> str | None:
    run = context.dagster_run
    others = (log_job.name, mosaic_job.name)
    key = None if run.job_name in others else run.tags.get(PARTITION_NAME_TAG)
    return key if key is None or is_partition_key(key) else None


@contextmanager
def _untold_if_unknown(context: dg.RunStatusSensorContext) -> Iterator[None]:
    try:
        yield
    except ContimgError as error:
        # A key that somebody typed: there is no observation to tell it of.
        context.log.error(error.message)


def _solve_key(observation: Open) -> str:
    return f"solve:{observation.key}:{observation.signature}"


def _image_key(observation: Open) -> str:
    # With the set in it: an observation that met no valid set, although one was valid when it was
    # started, starts again with the next.
    return f"image:{observation.key}:{observation.signature}:{observation.caltables}"


def _solve_requests(
    instance: dg.DagsterInstance, undone: Iterable[Open]
) -> tuple[dg.RunRequest, ...]:
    wanted = {_solve_key(o): o for o in undone if o.is_calibrator}
    known = finished_runs(instance, wanted)
    return tuple(
        _request(solve_job.name, run_key, observation, SOLVE_PRIORITY)
        for run_key, observation in wanted.items()
        if run_key not in known
    )


def _image_requests(
    instance: dg.DagsterInstance, undone: Iterable[Open]
) -> tuple[dg.RunRequest, ...]:
    candidates = [o for o in undone if o.caltables is not None]
    solved = finished_runs(instance, [_solve_key(o) for o in candidates if o.is_calibrator])
    # A calibrator observation waits for its own set, which is the nearest that there can be.
    wanted = {
        _image_key(o): o for o in candidates if not o.is_calibrator or solved.get(_solve_key(o))
    }
    known = finished_runs(instance, wanted)
    running = keys_in_progress(instance, image_job.name) if wanted else frozenset()
    return tuple(
        _request(image_job.name, run_key, observation, LIVE_PRIORITY)
        for run_key, observation in wanted.items()
        if run_key not in known and observation.key not in running
    )


def _make_room(instance: dg.DagsterInstance) -> tuple[dg.RunRequest, ...]:
    """Ask for housekeeping, at most once an hour."""
    run_key = f"room:{datetime.now(tz=UTC):%Y-%m-%dT%H}"
    if run_key in finished_runs(instance, [run_key]):
        return ()
    return (
        dg.RunRequest(
            run_key=run_key, job_name=housekeeping_job.name, tags={PRIORITY_TAG: SOLVE_PRIORITY}
        ),
    )


def _request(job_name: str, run_key: str, observation: Open, priority: str) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=run_key,
        job_name=job_name,
        partition_key=observation.key,
        tags={DAY_TAG: str(observation.day), PRIORITY_TAG: priority},
    )


def _partitions(
    instance: dg.DagsterInstance, arrived: Iterable[str], requests: Iterable[dg.RunRequest]
) -> list[dg.AddDynamicPartitionsRequest]:
    """Return the keys that Dagster must have before it can run the requests."""
    added = []
    for definition, keys in (
        (
            observation_mjd,
            {*arrived, *(str(r.partition_key) for r in requests if r.job_name == image_job.name)},
        ),
        (
            calibration_mjd,
            {str(r.partition_key) for r in requests if r.job_name == solve_job.name},
        ),
    ):
        there = set(instance.get_dynamic_partitions(definition.name or "")) if keys else set()
        added.extend(add_requests(definition, sorted(keys - there)))
    return added
