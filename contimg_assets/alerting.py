"""The job that sends alerts, and the sensor that starts it.

Belongs here: when Dagster runs it. Doesn't: the alerts, their recipients and retries (see
`contimg_resources.steps.alerting`).
"""

import hashlib
from datetime import UTC, datetime

import dagster as dg

from contimg_assets.failures import told_to_dagster
from contimg_assets.jobs import PRIORITY_TAG, SOLVE_PRIORITY, executor
from contimg_assets.runs import asked_before, is_in_progress
from contimg_assets.telling import log_progress
from contimg_resources.steps.alerting import tell_alerts, untold
from contimg_resources.steps.resource import uses
from contimg_resources.steps.workshop import Workshop

_INTERVAL_S = 60


@dg.op(description="Records new messages and delivers due ones, each once.")
@uses("settings", "registry", "products")
def tell_people(context: dg.OpExecutionContext, workshop: Workshop) -> None:
    """Send new messages; a later run tries again to deliver a message that failed."""
    with told_to_dagster():
        told = tell_alerts(workshop, progress=log_progress(context))
        for alert in told.failed:
            context.log.error(f"{alert.key} wasn't delivered: {alert.error}")
        for alert in told.sent:
            context.log.info(f"{alert.key} was delivered{alert.error and f' ({alert.error})'}")
        context.log.info(
            f"{len(told.new)} messages are new, {len(told.sent)} were delivered, "
            f"{len(told.failed)} failed"
        )


@dg.job(
    name="send_alerts",
    executor_def=executor,
    description="Sends messages about candidates, calibration, failures and image quality "
    "(settings `alerts.*`). `contimg alerts` lists them.",
)
def alerts_job() -> None:
    """Send new messages."""
    tell_people()


@dg.sensor(
    name="alert_sensor",
    job=alerts_job,
    minimum_interval_seconds=_INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Starts `send_alerts` when there is a new message, or when a message that "
    "couldn't be delivered is due again.",
)
@uses("settings", "registry", "products")
def alert_sensor(
    context: dg.SensorEvaluationContext, workshop: Workshop
) -> dg.RunRequest | dg.SkipReason:
    """Request a run when there is a message to send and no run is sending it."""
    found = untold(workshop, seen=context.cursor or "")
    context.update_cursor(found.seen)
    if not found.new and not found.due:
        return dg.SkipReason("no new messages")
    words = f"{len(found.new)} messages are new, {len(found.due)} are due"
    run_key = _run_key(found.signature)
    if is_in_progress(context.instance, alerts_job.name) or run_key in asked_before(
        context.instance, [run_key]
    ):
        return dg.SkipReason(f"{words}; a run was started")
    return dg.RunRequest(run_key=run_key, tags={PRIORITY_TAG: SOLVE_PRIORITY})


def _run_key(signature: str) -> str:
    # With a part of the hour: a run that died before it sent anything is requested again.
    now = datetime.now(tz=UTC)
    digest = hashlib.sha256(signature.encode()).hexdigest()[:16]
    return f"alerts:{digest}:{now:%Y-%m-%dT%H}:{now.minute // 10}"
