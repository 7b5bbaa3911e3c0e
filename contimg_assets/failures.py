"""Conversion of contimg's errors to Dagster's failures, and of failed runs to reasons.

Belongs here: the one place where an exception is converted, and the one that reads it back.
Doesn't: deciding what is transient (see `contimg_resources.core.errors`), nor any message.
"""

import errno
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from itertools import takewhile
from types import MappingProxyType
from typing import Any, NoReturn

import dagster as dg
from dagster_shared.error import SerializableErrorInfo

from contimg_resources.core.disk_space import FULL, REFUSED
from contimg_resources.core.errors import ContimgError, RunSuperseded
from contimg_resources.imaging.acceptance import Verdict

#: The steps of the jobs of observations, in their order.
_STEPS_OF_JOBS = {
    "solve_calibration": ("caltable_set",),
    "make_measurement_set": ("measurement_set",),
    "image_observation": ("measurement_set", "calibrated_ms", "image_5min", "image_photometry"),
    "measure_image": ("image_photometry",),
}

#: Dagster's messages when it can't start a run from the queue, or marks a run as failed.
_UNREACHABLE = "failed to reach the user code server"
_DEQUEUING = "unrecoverable error while dequeuing"
_MARKED = "has been marked as failed"
#: Dagster's message about a worker that is lost, around ours.
_LOST = re.compile(r"Detected run worker status .*?'(.+)'\. Marking run")

#: SQLAlchemy's and each driver's name for an error of the database rather than of the caller.
_OF_DATABASE = "OperationalError"
_STATEMENT = "\n[SQL:"
#: The system's messages about a disk, in a failure that didn't come through our errors.
_OF_DISK = tuple(os.strerror(number) for number in (*FULL, *REFUSED))
#: Those about a file system that is away for a while, whatever the error that quotes them.
_AWAY = tuple(os.strerror(number) for number in (errno.EIO, errno.ESTALE, errno.ENOTCONN))

_CAUSE, _ERROR = "cause", "error"


class Cause(StrEnum):
    """Cause of a step's failure: it decides how often the run is requested again."""

    ITS_OWN = "its own"
    """The step would fail again in the same way."""
    CUT_OFF = "cut off"
    """Its process died, in each of its tries: the data may be to blame."""
    SURROUNDINGS = "surroundings"
    """The disk, a store or scratch failed in each of its tries: the data aren't to blame."""


@dataclass(frozen=True)
class FailedStep:
    """A step that failed."""

    #: `step`, `reason`: Its name, and the reason of the failure.
    step: str
    reason: str
    cause: Cause  #: Cause of the failure.


#: How often, and after how many seconds, a step is tried again after a transient error.
MAX_RETRIES = 2
RETRY_DELAY_S = 10


@contextmanager
def told_to_dagster() -> Iterator[None]:
    """Convert an exception into a `dagster.Failure`; only a transient error is tried again.

    Assets have no retry policy: Dagster would apply it to every exception, so that an observation
    without valid caltables would fail three times, and to interrupts, so that a step that a user
    ended would start again.

    Raises
    ------
    dagster.Failure
        With the error's message as description and its details as metadata.
    dagster.RetryRequested
        From such a failure, when the error is transient.
    """
    try:
        yield
    except (dg.Failure, dg.RetryRequested):
        raise
    except ContimgError as error:
        away = any(words in error.message for words in _AWAY)
        cause = Cause.CUT_OFF if error.transient else Cause.ITS_OWN
        if error.of_surroundings or away:
            cause = Cause.SURROUNDINGS
        transient = error.transient or away
        _fail(error, error.message, cause, transient=transient, details=error.details)
    except Exception as error:
        # A disk that is full or not writable may be writable a minute later, and so may Dagster's
        # storage on it; nothing else may.
        full = isinstance(error, OSError) and error.errno in (*FULL, *REFUSED)
        transient = full or type(error).__name__ == _OF_DATABASE
        cause = Cause.SURROUNDINGS if transient else Cause.ITS_OWN
        # SQLAlchemy adds the statement, with all values that should have been stored.
        words = f"{type(error).__name__}: {str(error).partition(_STATEMENT)[0]}"
        _fail(error, words, cause, transient=transient)


def _fail(
    error: Exception,
    words: str,
    cause: Cause,
    *,
    transient: bool,
    details: Mapping[str, Any] = MappingProxyType({}),
) -> NoReturn:
    failure = dg.Failure(
        description=words,
        # Dagster can't store our enumerations.
        metadata={_ERROR: type(error).__name__, _CAUSE: cause.value, **_metadata(details)},
        allow_retries=transient,
    )
    failure.__cause__ = error
    if transient:
        raise dg.RetryRequested(MAX_RETRIES, RETRY_DELAY_S) from failure
    raise failure from error


def stop_at_failed_checks(verdicts: Iterable[Verdict]) -> None:
    """Fail the step whose product failed a blocking check, with the check's figure and limit.

    Dagster's own failure names the check alone.

    Raises
    ------
    dagster.Failure
        If a check failed.
    """
    failed = [verdict for verdict in verdicts if not verdict.passed]
    if failed:
        raise dg.Failure(
            description="; ".join(f"check {v.name} failed: {v.words}" for v in failed),
            metadata={_ERROR: "CheckFailed", _CAUSE: Cause.ITS_OWN.value},
            allow_retries=False,
        )


def failed_steps(context: dg.RunFailureSensorContext) -> list[FailedStep]:
    """Return each failed step of a run, or the interrupted step when none failed.

    In a run without a failed step the process died, timed out or never started. A run that was
    given up and came back has none: its end was told before, and another run does its work.
    """
    checks = _failed_checks(context)
    found = []
    events = context.get_step_failure_events()
    if any(_name_of_error(event) == RunSuperseded.__name__ for event in events):
        return []
    for event in events:
        step = event.step_key or "run"
        reason = checks.get(step) or _reason(event)
        found.append(FailedStep(step, reason, _cause(event)))
    return found or [FailedStep(interrupted_step(context), _reason_of_run(context), Cause.CUT_OFF)]


def interrupted_step(context: dg.RunStatusSensorContext) -> str:
    """Return the step that a run was in; between two steps, the next one."""
    kinds = dg.DagsterEventType
    if failed := _last_step(context, kinds.STEP_FAILURE):
        return failed
    begun, done = (_last_step(context, kind) for kind in (kinds.STEP_START, kinds.STEP_SUCCESS))
    if not begun:
        return first_step(context.dagster_run)
    steps = _steps(context.dagster_run)
    follows = steps[steps.index(done) + 1 :] if done in steps else ()
    return follows[0] if begun == done and follows else begun


def first_step(run: dg.DagsterRun) -> str:
    """Return the first asset of a run: of its job, or of its selection."""
    return _steps(run)[0]


def _steps(run: dg.DagsterRun) -> tuple[str, ...]:
    selected = {key.to_user_string() for key in run.asset_selection or ()}
    for steps in _STEPS_OF_JOBS.values():
        if chosen := tuple(step for step in steps if step in selected):
            return chosen
    return _STEPS_OF_JOBS.get(run.job_name, ("run",))


def _last_step(context: dg.RunStatusSensorContext, what: dg.DagsterEventType) -> str:
    entries = context.instance.all_logs(context.dagster_run.run_id, of_type=what)
    return next((e.get_dagster_event().step_key or "" for e in reversed(list(entries))), "")


def _reason_of_run(context: dg.RunFailureSensorContext) -> str:
    """Return why a run ended in which no step failed.

    Dagster's message mostly states that the run was marked as failed; an earlier event has the
    reason.
    """
    message = (context.failure_event.message or "").strip()
    if lost := _LOST.match(message):
        return _line(lost[1])
    if message and _MARKED not in message:
        return _line(message)
    kinds = {dg.DagsterEventType.ENGINE_EVENT, dg.DagsterEventType.RUN_FAILURE}
    entries = context.instance.all_logs(context.dagster_run.run_id, of_type=kinds)
    # The events after the failure describe how Dagster starts the run again.
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
    return last or "the run ended, and Dagster recorded no reason"


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
    """Return a message of Dagster in plain words."""
    if _UNREACHABLE in message or _DEQUEUING in message:
        return "the run never began, because Dagster's code server didn't answer"
    return message


def _failed_checks(context: dg.RunFailureSensorContext) -> dict[str, str]:
    """Return the reasons of the failed blocking checks of each step."""
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
    if data.error is None:
        return "no reason was recorded"
    met = _met(data.error)
    return data.error.message.strip() if met is None else _line(_innermost(met))


def _name_of_error(event: dg.DagsterEvent) -> str:
    failure = event.step_failure_data.user_failure_data
    told = failure.metadata.get(_ERROR) if failure else None
    return "" if told is None else str(told.value)


def _cause(event: dg.DagsterEvent) -> Cause:
    data = event.step_failure_data
    if data.user_failure_data and (told := data.user_failure_data.metadata.get(_CAUSE)):
        return Cause(str(told.value))
    if data.error is None:
        return Cause.ITS_OWN
    if data.error.cls_name == dg.DagsterExecutionInterruptedError.__name__:
        return Cause.CUT_OFF
    return Cause.ITS_OWN if _met(data.error) is None else Cause.SURROUNDINGS


def _met(error: SerializableErrorInfo) -> SerializableErrorInfo | None:
    """Return the disk or database error that Dagster met in a step, if there was one."""
    at: SerializableErrorInfo | None = error
    while at is not None:
        if at.cls_name == _OF_DATABASE or any(words in at.message for words in _OF_DISK):
            return at
        at = at.cause
    return None


def _metadata(details: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value if isinstance(value, str | int | float) else dg.MetadataValue.json(value)
        for name, value in details.items()
        if value is not None
    }
