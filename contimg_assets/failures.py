"""How contimg's errors become Dagster's failures, and a failed run becomes words again.

Belongs here: the one place where an exception is translated, and the one that reads it back.
Doesn't: deciding what is transient (see `contimg_resources.errors`), nor any message.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg
from dagster._core import errors as dg_errors

from contimg_resources.errors import ContimgError

#: How often, and after how many seconds, a step is tried again after a transient error.
MAX_RETRIES = 2
RETRY_DELAY_S = 10


@contextmanager
def told_to_dagster() -> Iterator[None]:
    """Turn an exception into a `dagster.Failure`; only a transient error is tried again.

    Assets have no retry policy: Dagster would apply it to every exception, so that an observation
    without valid caltables would fail three times, and to interrupts, so that a step that a user
    ended would start again.

    Raises
    ------
    dagster.Failure
        With the error's own sentence as description and its details as metadata.
    dagster.RetryRequested
        From such a failure, when the error is transient.
    """
    try:
        yield
    except (dg.Failure, dg.RetryRequested):
        raise
    except ContimgError as error:
        failure = dg.Failure(
            description=error.message,
            metadata={"error": type(error).__name__, **_metadata(error.details)},
            allow_retries=error.transient,
        )
        failure.__cause__ = error
        if error.transient:
            raise dg.RetryRequested(MAX_RETRIES, RETRY_DELAY_S) from failure
        raise failure from error
    except Exception as error:
        raise dg.Failure(
            description=f"{type(error).__name__}: {error}",
            metadata={"error": type(error).__name__},
            allow_retries=False,
        ) from error


def failed_steps(context: dg.RunFailureSensorContext) -> list[tuple[str, str]]:
    """Return each failed step of a run with its reason; the run itself when no step failed.

    A run without a failed step is one whose process died, was ended for its time or never started.
    """
    checks = _failed_checks(context)
    found = []
    for event in context.get_step_failure_events():
        step = event.step_key or "run"
        reason = checks.get(step) or _reason(event)
        found.append((step, reason))
    return found or [("run", context.failure_event.message or "the run failed without a message")]


def interrupted_step(context: dg.RunStatusSensorContext) -> str:
    """Return the step that a cancelled run was at; its first asset when it was at none yet."""
    for entry in context.instance.all_logs(
        context.dagster_run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE
    ):
        if step := entry.get_dagster_event().step_key:
            return step
    planned = sorted(key.to_user_string() for key in context.dagster_run.asset_selection or ())
    return planned[0] if planned else "run"


def _failed_checks(context: dg.RunFailureSensorContext) -> dict[str, str]:
    """Return what the failed blocking checks of each step said."""
    said: dict[str, list[str]] = {}
    for entry in context.instance.all_logs(
        context.dagster_run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION
    ):
        event = entry.get_dagster_event()
        evaluation = event.asset_check_evaluation_data
        if evaluation.blocking and not evaluation.passed:
            said.setdefault(event.step_key or "run", []).append(
                f"check {evaluation.check_name}: {evaluation.description}"
            )
    return {step: "; ".join(words) for step, words in said.items()}


def _reason(event: dg.DagsterEvent) -> str:
    data = event.step_failure_data
    if data.user_failure_data and data.user_failure_data.description:
        return data.user_failure_data.description
    if data.error and data.error.cls_name == dg_errors.DagsterExecutionInterruptedError.__name__:
        return "interrupted: the platform stopped, or was stopped, while the step ran"
    return data.error.message.strip() if data.error else "no reason was recorded"


def _metadata(details: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value if isinstance(value, str | int | float) else dg.MetadataValue.json(value)
        for name, value in details.items()
        if value is not None
    }
