"""Runs by run key: earlier requests, how the newest ended, and requests to repeat.

Belongs here: querying Dagster by run keys, and Dagster's tags. Doesn't: making those keys.

Dagster never accepts a run key twice, so a run that ended before any step began would be lost, and
so would a run that ended because of a transient fault. It is requested again with the number of the
attempt appended to its key, after increasing pauses.
"""

import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum, auto

import dagster as dg

from contimg_assets.partitions import in_chunks

#: Dagster's tags of a run: partition key, run key of the sensor's request, whether Dagster will
#: retry it, and the id of that retry.
PARTITION_TAG = "dagster/partition"
RUN_KEY_TAG = "dagster/run_key"
WILL_RETRY_TAG = "dagster/will_retry"
RETRY_ID_TAG = "dagster/auto_retry_run_id"

#: Maximum number of requests of a run that never began; Dagster tries each four times.
MAX_ATTEMPTS = 6
#: The same for a run whose process died in all four tries, or whose CASA process in all three.
MAX_CUT_OFF = 3
#: Pause before the second attempt, seconds; each further one is twice as long.
PAUSE_S = 30.0

_FINISHED = {
    dg.DagsterRunStatus.SUCCESS,
    dg.DagsterRunStatus.FAILURE,
    dg.DagsterRunStatus.CANCELED,
}
#: All others: queued, starting, started, being cancelled, ...
UNFINISHED = [status for status in dg.DagsterRunStatus if status not in _FINISHED]

_ATTEMPT = "#"
#: A run that ended longer ago isn't started again.
_LATELY_DAYS = 1.0


class Fate(Enum):
    """What happens next with a run, or with its request."""

    OPEN = auto()
    """It is queued or in progress."""
    RETRIED = auto()
    """It was interrupted, and Dagster starts it again."""
    ASKED_AGAIN = auto()
    """It ended before any step began, and its sensor requests it again."""
    OVER = auto()
    """It isn't started again automatically."""


@dataclass(frozen=True)
class Asked:
    """The newest request with one run key."""

    fate: Fate  #: What happens next with the run.
    attempt: int  #: Number of the newest attempt, from 1.
    ended_s: float  #: When it ended, Unix time in seconds; 0 while it is open.
    cancelled: bool = False  #: Whether somebody cancelled it.

    @property
    def over(self) -> bool:
        """Whether it isn't started again automatically."""
        return self.fate is Fate.OVER

    @property
    def may_be_tried(self) -> bool:
        """Whether it is over, nobody cancelled it, and it wasn't requested too often."""
        return self.over and not self.cancelled and self.attempt < MAX_ATTEMPTS

    @property
    def due_s(self) -> float:
        """When it may be requested again, Unix time in seconds."""
        return self.ended_s + PAUSE_S * 2.0 ** (self.attempt - 1)


def asked_before(instance: dg.DagsterInstance, run_keys: Iterable[str]) -> dict[str, Asked]:
    """Return the state of the newest request with each run key that was submitted before."""
    newest: dict[str, dg.RunRecord] = {}
    for record in _records(instance, run_keys):
        key, _ = _parted(record.dagster_run.tags[RUN_KEY_TAG])
        if key not in newest or record.storage_id > newest[key].storage_id:
            newest[key] = record
    return {key: _asked(record) for key, record in newest.items()}


def keys_to_ask(
    asked: dict[str, Asked],
    run_keys: Iterable[str],
    *,
    still_open: Collection[str] = (),
    now_s: float | None = None,
) -> dict[str, str]:
    """Return the key of the request to make now, for each run key to request.

    Parameters
    ----------
    asked : dict of str to Asked
        The state of earlier requests (see `asked_before`).
    run_keys : iterable of str
        Run keys of the work to do.
    still_open : collection of str
        Those of them whose work isn't done although the run is over, for example after a caltable
        was damaged and restored: they are requested again too, unless somebody cancelled them.
    now_s : float, optional
        The present, Unix time in seconds; by default from the clock.
    """
    present_s = time.time() if now_s is None else now_s
    found = {}
    for key in run_keys:
        known = asked.get(key)
        if known is None:
            found[key] = key
        # A run that ended in the future ended before the clock was set back.
        elif (known.fate is Fate.ASKED_AGAIN or (key in still_open and known.may_be_tried)) and (
            present_s >= known.due_s or present_s < known.ended_s
        ):
            found[key] = f"{key}{_ATTEMPT}{known.attempt + 1}"
    return found


def fate_of(record: dg.RunRecord) -> Fate:
    """Return what happens next with a run."""
    run = record.dagster_run
    if not run.is_finished:
        return Fate.OPEN
    if run.status is not dg.DagsterRunStatus.FAILURE:
        return Fate.OVER
    if run.is_complete_and_waiting_to_retry:
        return Fate.RETRIED
    key, attempt = _parted(run.tags.get(RUN_KEY_TAG, ""))
    if key and attempt < MAX_ATTEMPTS and not has_begun(record):
        return Fate.ASKED_AGAIN
    return Fate.OVER


def may_be_asked_again(record: dg.RunRecord, most: int) -> bool:
    """Return whether a sensor may request a run again.

    Parameters
    ----------
    record : dagster.RunRecord
        The run; a run that no sensor requested is never requested again.
    most : int
        Maximum number of requests.
    """
    key, attempt = _parted(record.dagster_run.tags.get(RUN_KEY_TAG, ""))
    return bool(key) and attempt < most


def has_begun(record: dg.RunRecord) -> bool:
    """Return whether a run's worker reached its steps.

    Dagster records the end of each run that it ends: without this record, nothing is known.
    """
    return record.start_time is not None or record.end_time is None


def keys_in_progress(instance: dg.DagsterInstance, job_name: str | None = None) -> frozenset[str]:
    """Return the partition keys in progress, of one job or of all.

    These are the keys of runs that are queued, in progress, or about to be started again after an
    interruption.
    """
    unfinished = instance.get_run_records(dg.RunsFilter(job_name=job_name, statuses=UNFINISHED))
    interrupted = instance.get_run_records(
        dg.RunsFilter(
            job_name=job_name,
            statuses=[dg.DagsterRunStatus.FAILURE],
            tags={WILL_RETRY_TAG: "true"},
            updated_after=datetime.now(tz=UTC) - timedelta(days=_LATELY_DAYS),
        )
    )
    waiting = [r for r in interrupted if r.dagster_run.is_complete_and_waiting_to_retry]
    return frozenset(r.dagster_run.tags.get(PARTITION_TAG, "") for r in (*unfinished, *waiting))


def lost_requests(
    instance: dg.DagsterInstance, job_name: str, kept_tags: Collection[str]
) -> list[dg.RunRequest]:
    """Return requests for the runs of a job that were lost recently and are due again.

    For a sensor that doesn't derive its requests from the stores.

    Parameters
    ----------
    instance : dagster.DagsterInstance
        The instance.
    job_name : str
        The job.
    kept_tags : collection of str
        Tags that the new run carries too.
    """
    failed = instance.get_run_records(
        dg.RunsFilter(
            job_name=job_name,
            statuses=[dg.DagsterRunStatus.FAILURE],
            updated_after=datetime.now(tz=UTC) - timedelta(days=_LATELY_DAYS),
        )
    )
    lost = {
        _parted(r.dagster_run.tags[RUN_KEY_TAG])[0]: r.dagster_run
        for r in failed
        if fate_of(r) is Fate.ASKED_AGAIN
    }
    return [
        dg.RunRequest(
            run_key=due,
            partition_key=lost[key].tags.get(PARTITION_TAG),
            tags={name: value for name, value in lost[key].tags.items() if name in kept_tags},
        )
        for key, due in keys_to_ask(asked_before(instance, lost), lost).items()
    ]


def is_in_progress(instance: dg.DagsterInstance, job_name: str) -> bool:
    """Return whether a run of a job is queued or running."""
    unfinished = dg.RunsFilter(job_name=job_name, statuses=UNFINISHED)
    return bool(instance.get_run_records(unfinished, limit=1))


def was_retried(record: dg.RunRecord) -> bool:
    """Return whether Dagster has started a run again."""
    return RETRY_ID_TAG in record.dagster_run.tags


def _records(instance: dg.DagsterInstance, run_keys: Iterable[str]) -> Iterator[dg.RunRecord]:
    wanted = (
        attempt
        for key in run_keys
        for attempt in (key, *(f"{key}{_ATTEMPT}{n}" for n in range(2, MAX_ATTEMPTS + 1)))
    )
    for some in in_chunks(list(wanted)):
        yield from instance.get_run_records(dg.RunsFilter(tags={RUN_KEY_TAG: some}))


def _parted(run_key: str) -> tuple[str, int]:
    """Return a run key without the number of the attempt, and that number."""
    key, mark, number = run_key.rpartition(_ATTEMPT)
    return (key, int(number)) if mark and number.isdecimal() else (run_key, 1)


def _asked(record: dg.RunRecord) -> Asked:
    _, attempt = _parted(record.dagster_run.tags[RUN_KEY_TAG])
    fate = fate_of(record)
    ended_s = 0.0
    if fate is not Fate.OPEN:
        ended_s = record.end_time or record.update_timestamp.timestamp()
    cancelled = record.dagster_run.status is dg.DagsterRunStatus.CANCELED
    return Asked(fate, attempt, ended_s, cancelled)
