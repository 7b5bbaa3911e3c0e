"""Sensors that start runs automatically and record failed runs.

Belongs here: requesting runs from Dagster. Doesn't: deciding whether an MS is complete, what it
holds, or which caltables apply to it (see `contimg_resources.steps`).

Every tick derives the runs to start from the stores and from Dagster's runs, so the next tick
repeats a request that was lost with a tick, and doesn't repeat one that was submitted.
"""

import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import dagster as dg

from contimg_assets.arrivals import ASSETS, sub_band_cursor, untold_arrivals, with_last
from contimg_assets.descriptions import describe_arrival
from contimg_assets.failures import Cause, failed_steps, interrupted_step
from contimg_assets.housekeeping import housekeeping_job
from contimg_assets.jobs import (
    DAY_TAG,
    IMAGE_ASSETS,
    LIVE_PRIORITY,
    PRIORITY_TAG,
    SOLVE_PRIORITY,
    convert_job,
    image_job,
    log_job,
    mosaic_job,
    solve_job,
)
from contimg_assets.partitions import add_requests, calibration_mjd, observation_mjd
from contimg_assets.runs import (
    MAX_ATTEMPTS,
    MAX_CUT_OFF,
    PARTITION_TAG,
    Fate,
    asked_before,
    fate_of,
    has_begun,
    keys_in_progress,
    keys_to_ask,
    may_be_asked_again,
    was_retried,
)
from contimg_resources.core.errors import ConfigurationError, ContimgError
from contimg_resources.core.keys import is_partition_key
from contimg_resources.core.times import mjd_from_datetime
from contimg_resources.settings import SensorSettings
from contimg_resources.steps.disk_space import shortage, unwritable
from contimg_resources.steps.photometry import IMAGE_STEP
from contimg_resources.steps.resource import uses
from contimg_resources.steps.starting import (
    Open,
    open_observations,
    record_cancellation,
    record_failure,
    record_interruption,
    tell_waiting,
)
from contimg_resources.steps.watching import ScanCursor, scan_directory
from contimg_resources.steps.watching_sub_bands import SubBandScanResult, scan_uvh5_directory
from contimg_resources.steps.workshop import Workshop

#: Reading an MS takes seconds; a tick must end well within a minute.
LOOK_BUDGET_S = 20.0

#: Maximum number of requests of a run that failed for this cause.
_MOST_ATTEMPTS = {Cause.SURROUNDINGS: MAX_ATTEMPTS, Cause.CUT_OFF: MAX_CUT_OFF, Cause.ITS_OWN: 0}

#: Maximum delay until a failed run is in its observation's history, seconds.
_TELLING_INTERVAL_S = 10


def build_observation_sensor(pace: SensorSettings) -> dg.SensorDefinition:
    """Return the sensor that registers arrivals and starts the runs that can start."""

    @dg.sensor(
        name="observation_sensor",
        jobs=[convert_job, solve_job, image_job, housekeeping_job],
        minimum_interval_seconds=pace.interval_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Registers complete MeasurementSets, and sub-band files that form an "
        "observation. Solves calibrators first, and images observations with valid caltables; the "
        "others wait.",
    )
    @uses("settings", "registry", "products", "casa", "calibrators")
    def observation_sensor(
        context: dg.SensorEvaluationContext, workshop: Workshop
    ) -> dg.SensorResult | dg.SkipReason:
        seen = scan_directory(
            workshop, ScanCursor.from_text(context.cursor), budget_s=LOOK_BUDGET_S
        )
        sub_bands = _scan_sub_bands(context, workshop)
        for aside in (*seen.rejected, *sub_bands.rejected):
            context.log.error(aside.reason)
        arrivals = (*seen.arrivals, *sub_bands.arrivals)
        for arrived in arrivals:
            if not arrived.usable:
                context.log.error(f"{arrived.observation.key}: {arrived.reason}")
        undone = open_observations(workshop)
        tell_waiting(workshop, undone, solving=True)
        short = shortage(workshop.settings)
        paused = short or unwritable(workshop.settings)
        requests = (
            (_free_disk_space(context.instance) if short else ())
            if paused
            else (
                *_convert_requests(context.instance, undone),
                *_solve_requests(context.instance, undone),
                *_image_requests(context.instance, [o for o in undone if _is_fresh(o)]),
            )[: pace.max_runs_per_tick]
        )
        untold = untold_arrivals(workshop, context.instance, context.cursor, arrivals)
        for error in untold.errors:
            context.log.error(error)
        context.update_cursor(with_last(seen.memory.to_text(), untold, sub_bands.memory))
        without = sum(o.caltables is None for o in undone)
        words = "; ".join(
            words
            for words in (
                seen.words,
                sub_bands.words,
                f"{without} wait for calibration",
                *seen.not_taken,
                *sub_bands.not_taken,
            )
            if words
        )
        skip = dg.SkipReason(f"paused: {paused}; {words}" if paused else words)
        if not requests and not untold.arrivals:
            return skip
        keys = [a.observation.key for a in untold.arrivals]
        return dg.SensorResult(
            run_requests=requests or None,
            skip_reason=None if requests else skip,
            dynamic_partitions_requests=_partitions(context.instance, keys, requests),
            asset_events=[
                dg.AssetMaterialization(
                    ASSETS[a.observation.origin],
                    partition=a.observation.key,
                    metadata=describe_arrival(a),
                )
                for a in untold.arrivals
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
        description="Images calibrator observations once they are solved, and waiting observations "
        "once a caltable set is valid for them.",
    )
    @uses("settings", "registry", "products")
    def waiting_sensor(
        context: dg.SensorEvaluationContext, workshop: Workshop
    ) -> dg.SensorResult | dg.SkipReason:
        if paused := shortage(workshop.settings) or unwritable(workshop.settings):
            return dg.SkipReason(f"paused: {paused}")
        waiting = [o for o in open_observations(workshop) if not _is_fresh(o)]
        requests = _image_requests(context.instance, waiting)[: pace.max_runs_per_tick]
        if not requests:
            waits = [o for o in waiting if o.waits]
            without = sum(o.caltables is None for o in waits)
            return dg.SkipReason(
                f"{len(waits)} observations wait, {without} of them without valid caltables"
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
    description="Records in an observation's history which step failed, and why.",
)
@uses("products")
def run_failures(context: dg.RunFailureSensorContext, workshop: Workshop) -> None:
    """Record the failed step in the products store, also when the run's process could not."""
    key = _observation_of(context)
    if key is None:
        return
    run_id = context.dagster_run.run_id
    record = context.instance.get_run_record_by_id(run_id)
    fate = Fate.OVER if record is None else fate_of(record)
    ended_s = (record and record.end_time) or time.time()
    ended_mjd = mjd_from_datetime(datetime.fromtimestamp(ended_s, tz=UTC))
    for failed in failed_steps(context):
        step, reason = failed.step, failed.reason
        # An observation with an image isn't open any more: no sensor requests its photometry.
        most = 0 if step == IMAGE_STEP else _MOST_ATTEMPTS[failed.cause]
        again = record is not None and (was_retried(record) or may_be_asked_again(record, most))
        with _untold_if_unknown(context):
            if fate is Fate.OVER and not again:
                context.log.error(f"{key}: {step} failed: {reason}")
                record_failure(
                    workshop,
                    key,
                    step=step,
                    reason=reason,
                    run_id=run_id,
                    ended_mjd=ended_mjd,
                    died=not context.get_step_failure_events(),
                )
            else:
                context.log.warning(f"{key}: {step} is started again: {reason}")
                record_interruption(
                    workshop,
                    key,
                    step=step,
                    reason=reason,
                    run_id=run_id,
                    begun=record is None or has_begun(record),
                    ended_mjd=ended_mjd,
                )


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.CANCELED,
    name="run_cancellations",
    minimum_interval_seconds=_TELLING_INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Records in an observation's history that somebody cancelled its run.",
)
@uses("products")
def run_cancellations(context: dg.RunStatusSensorContext, workshop: Workshop) -> None:
    """Record a cancelled run in the products store: it isn't started again automatically."""
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
    key = None if run.job_name in others else run.tags.get(PARTITION_TAG)
    return key if key is None or is_partition_key(key) else None


@contextmanager
def _untold_if_unknown(context: dg.RunStatusSensorContext) -> Iterator[None]:
    try:
        yield
    except ContimgError as error:
        # A key that somebody typed: there is no observation to record it for.
        context.log.error(error.message)


def _scan_sub_bands(context: dg.SensorEvaluationContext, workshop: Workshop) -> SubBandScanResult:
    """Scan for sub-band files; MS arrive also while that directory can't be listed."""
    memory = sub_band_cursor(context.cursor)
    try:
        return scan_uvh5_directory(
            workshop,
            memory,
            budget_s=LOOK_BUDGET_S,
            busy=lambda: keys_in_progress(context.instance),
        )
    except ConfigurationError as error:
        context.log.error(error.message)
        return SubBandScanResult(memory=memory)


def _is_fresh(observation: Open) -> bool:
    """Return whether `observation_sensor` starts its image, rather than `waiting_sensor`.

    One of them alone does: both evaluate at the same time, and neither sees yet what the other has
    just requested. A calibrator observation changes its state while its solve ends, so that
    `waiting_sensor` always starts its image.
    """
    return not observation.waits and not observation.is_calibrator


def _convert_key(observation: Open) -> str:
    return f"convert:{observation.key}:{observation.signature}"


def _solve_key(observation: Open) -> str:
    return f"solve:{observation.key}:{observation.signature}"


def _image_key(observation: Open) -> str:
    # With the set in it: an observation that found no valid set, although one was valid when it was
    # started, starts again with the next set.
    return f"image:{observation.key}:{observation.signature}:{observation.caltables}"


def _convert_requests(
    instance: dg.DagsterInstance, undone: Iterable[Open]
) -> tuple[dg.RunRequest, ...]:
    """Request the MS of calibrator observations; that of others is made in the run of the image."""
    wanted = {
        _convert_key(o): o
        for o in undone
        if o.is_calibrator and o.needs_ms and not o.waits and not o.is_solved
    }
    return _due_requests(instance, convert_job.name, wanted, wanted, SOLVE_PRIORITY)


def _solve_requests(
    instance: dg.DagsterInstance, undone: Iterable[Open]
) -> tuple[dg.RunRequest, ...]:
    wanted = {_solve_key(o): o for o in undone if o.is_calibrator and not o.needs_ms}
    # A solved observation may be interrupted later, when it is calibrated or imaged.
    unsolved = {run_key for run_key, o in wanted.items() if not o.waits and not o.is_solved}
    return _due_requests(instance, solve_job.name, wanted, unsolved, SOLVE_PRIORITY)


def _image_requests(
    instance: dg.DagsterInstance, undone: Iterable[Open]
) -> tuple[dg.RunRequest, ...]:
    candidates = [o for o in undone if o.caltables is not None]
    solves = asked_before(instance, [_solve_key(o) for o in candidates if o.is_calibrator])
    solved = {key for key, solve in solves.items() if solve.over}
    # A calibrator observation waits for its own set, which is the nearest possible.
    wanted = {
        _image_key(o): o for o in candidates if not o.is_calibrator or _solve_key(o) in solved
    }
    # No image and no failure: a caltable was restored, or nobody recorded the end.
    running = keys_in_progress(instance, image_job.name) if wanted else frozenset()
    free = {run_key: o for run_key, o in wanted.items() if o.key not in running}
    return _due_requests(instance, image_job.name, free, free, LIVE_PRIORITY)


def _due_requests(
    instance: dg.DagsterInstance,
    job_name: str,
    wanted: dict[str, Open],
    still_open: Collection[str],
    priority: str,
) -> tuple[dg.RunRequest, ...]:
    due = keys_to_ask(asked_before(instance, wanted), wanted, still_open=still_open)
    return tuple(_request(job_name, due[k], o, priority) for k, o in wanted.items() if k in due)


def _free_disk_space(instance: dg.DagsterInstance) -> tuple[dg.RunRequest, ...]:
    """Request housekeeping, at most once an hour."""
    run_key = f"room:{datetime.now(tz=UTC):%Y-%m-%dT%H}"
    due = keys_to_ask(asked_before(instance, [run_key]), [run_key])
    return tuple(
        dg.RunRequest(
            run_key=key, job_name=housekeeping_job.name, tags={PRIORITY_TAG: SOLVE_PRIORITY}
        )
        for key in due.values()
    )


def _request(job_name: str, run_key: str, observation: Open, priority: str) -> dg.RunRequest:
    without_ms = job_name == image_job.name and not observation.needs_ms
    return dg.RunRequest(
        run_key=run_key,
        job_name=job_name,
        partition_key=observation.key,
        asset_selection=IMAGE_ASSETS if without_ms else None,
        tags={DAY_TAG: str(observation.day), PRIORITY_TAG: priority},
    )


def _partitions(
    instance: dg.DagsterInstance, arrived: Iterable[str], requests: Collection[dg.RunRequest]
) -> list[dg.AddDynamicPartitionsRequest]:
    """Return the keys that Dagster must have before it can run the requests."""

    def keys_of(*jobs: str) -> set[str]:
        return {str(r.partition_key) for r in requests if r.job_name in jobs}

    observed = {*arrived, *keys_of(convert_job.name, image_job.name)}
    return [
        *add_requests(instance, observation_mjd, observed),
        *add_requests(instance, calibration_mjd, keys_of(solve_job.name)),
    ]
