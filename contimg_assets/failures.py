"""How contimg's errors become Dagster's failures, and a failed run becomes words again.

Belongs here: the one place where an exception is translated, and the one that reads it back.
Doesn't: deciding what is transient (see `contimg_resources.errors`), nor any message.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from itertools import takewhile
from typing import Any

import dagster as dg
from dagster_shared.error import SerializableErrorInfo

from contimg_resources.disk_space import FULL, REFUSED
from contimg_resources.errors import ContimgError

#: The steps of the jobs of observations, in their order.
_STEPS_OF_JOBS = {
    "solve_calibration": ("caltable_set",),
    "image_observation": ("calibrated_ms", "image_5min", "image_photometry"),
    "measure_image": ("image_photometry",),
}

#: What Dagster writes when it takes a run from the queue and can't start it, or when it marks one.
_UNREACHABLE = "failed to reach the user code server"
_DEQUEUING = "unrecoverable error while dequeuing"
_MARKED = "has been marked as failed"

_CAUSE = "cause"


class Cause(StrEnum):
    """What a step failed for: it says how often its run is asked for again."""

    ITS_OWN = "its own"
    """The same happens another time."""
    CUT_OFF = "cut off"
    """Its process died, in each of its tries: the data may be to blame."""
    SURROUNDINGS = "surroundings"
    """The disk, a store or scratch, in each of its tries: the data aren't to blame."""


@dataclass(frozen=True)
class FailedStep:
    """A step that failed.

    Parameters
    ----------
    step, reason : str
        Its name, and why it failed.
    cause : Cause
        What it failed for.
    """

    step: str
    reason: str
    cause: Cause


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
        cause = Cause.CUT_OFF if error.transient else Cause.ITS_OWN
        if error.of_surroundings:
            cause = Cause.SURROUNDINGS
        failure = dg.Failure(
            description=error.message,
            metadata={
                "error": type(error).__name__,
                # Dagster stores no enumeration of ours.
                _CAUSE: cause.value,
                **_metadata(error.details),
            },
            allow_retries=error.transient,
        )
        failure.__cause__ = error
        if error.transient:
            raise dg.RetryRequested(MAX_RETRIES, RETRY_DELAY_S) from failure
        raise failure from error
    except Exception as error:
        # A disk that is full or lets nobody write may do so a minute later; nothing else may.
        transient = isinstance(error, OSError) and error.errno in (*FULL, *REFUSED)
        failure = dg.Failure(
            description=f"{type(error).__name__}: {error}",
            metadata={
                "error": type(error).__name__,
                _CAUSE: (Cause.SURROUNDINGS if transient else Cause.ITS_OWN).value,
            },
            allow_retries=transient,
        )
        failure.__cause__ = error
        if transient:
            raise dg.RetryRequested(MAX_RETRIES, RETRY_DELAY_S) from failure
        raise failure from error


def failed_steps(context: dg.RunFailureSensorContext) -> list[FailedStep]:
    """Return each failed step of a run; where it was when no step failed.

    A run without a failed step is one whose process died, was ended for its time or never started.
    """
    checks = _failed_checks(context)
    found = []
    for event in context.get_step_failure_events():
        step = event.step_key or "run"
        reason = checks.get(step) or _reason(event)
        found.append(FailedStep(step, reason, _cause(event)))
    return found or [FailedStep(interrupted_step(context), _reason_of_run(context), Cause.CUT_OFF)]


def interrupted_step(context: dg.RunStatusSensorContext) -> str:
    """Return the step that a run was at; its first asset when it was at none yet."""
    at = _last_step(context, dg.DagsterEventType.STEP_FAILURE) or _last_step(
        context, dg.DagsterEventType.STEP_START
    )
    return at or first_step(context.dagster_run)


def first_step(run: dg.DagsterRun) -> str:
    """Return the asset that a run begins with: that of its job, or of what was selected."""
    selected = {key.to_user_string() for key in run.asset_selection or ()}
    for steps in _STEPS_OF_JOBS.values():
        if chosen := [step for step in steps if step in selected]:
            return chosen[0]
    return _STEPS_OF_JOBS.get(run.job_name, ("run",))[0]


def _last_step(context: dg.RunStatusSensorContext, what: dg.DagsterEventType) -> str:
    entries = context.instance.all_logs(context.dagster_run.run_id, of_type=what)
    return next((e.get_dagster_event().step_key or "" for e in reversed(list(entries))), "")


def _reason_of_run(context: dg.RunFailureSensorContext) -> str:
    """Say why a run ended of which no step failed.

    Dagster's own message is mostly that it was marked as failed; an earlier event has the reason.
    """
    message = (context.failure_event.message or "").strip()
    if message and _MARKED not in message:
        return _line(message)
    kinds = {dg.DagsterEventType.ENGINE_EVENT, dg.DagsterEventType.RUN_FAILURE}
    entries = context.instance.all_logs(context.dagster_run.run_id, of_type=kinds)
    # What comes after the failure is how Dagster starts it again.
    told = list(
        takewhile(
            lambda event: not event.is_run_failure,
            (entry.get_dagster_event() for entry in entries),
        )
    )
    for event in reversed(told):
        if error := event.engine_event_data.error:
            return _line(f"{_plain(event.message or '')}: {_innermost(error)}")
    last = _line(told[-1].message or "") if told else ""
    return last or "the run ended, and nothing says why"


def _innermost(error: SerializableErrorInfo) -> str:
    """Return the message of an error that a code server raised, without the names of classes."""
    while error.cause is not None:
        error = error.cause
    words = error.message.strip()
    name, colon, rest = words.partition(": ")
    return rest if colon and " " not in name else words


def _line(text: str) -> str:
    return " ".join(text.split())


def _plain(message: str) -> str:
    """Return a message of Dagster's in our words."""
    if _UNREACHABLE in message or _DEQUEUING in message:
        return "the run never began, because Dagster's code server didn't answer"
    return message


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
    if data.error and data.error.cls_name == dg.DagsterExecutionInterruptedError.__name__:
        return "interrupted: the platform stopped, or was stopped, while the step ran"
    return data.error.message.strip() if data.error else "no reason was recorded"


def _cause(event: dg.DagsterEvent) -> Cause:
    data = event.step_failure_data
    if data.user_failure_data and (told := data.user_failure_data.metadata.get(_CAUSE)):
        return Cause(str(told.value))
    interrupted = dg.DagsterExecutionInterruptedError.__name__
    return Cause.CUT_OFF if data.error and data.error.cls_name == interrupted else Cause.ITS_OWN


def _metadata(details: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value if isinstance(value, str | int | float) else dg.MetadataValue.json(value)
        for name, value in details.items()
        if value is not None
    }
