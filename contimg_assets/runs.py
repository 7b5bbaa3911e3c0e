"""Which runs were submitted before.

Belongs here: asking Dagster by run keys. Doesn't: making those keys.
"""

from collections.abc import Iterable

import dagster as dg
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES
from dagster._core.storage.tags import RUN_KEY_TAG


def finished_runs(instance: dg.DagsterInstance, run_keys: Iterable[str]) -> dict[str, bool]:
    """Return, for each run key that was submitted before, whether its newest run is over."""
    wanted = list(run_keys)
    if not wanted:
        return {}
    records = instance.get_run_records(dg.RunsFilter(tags={RUN_KEY_TAG: wanted}))
    runs = [record.dagster_run for record in records]
    return {run.tags[RUN_KEY_TAG]: run.is_finished for run in reversed(runs)}


def is_in_progress(instance: dg.DagsterInstance, job_name: str) -> bool:
    """Tell whether a run of a job is queued or running."""
    unfinished = dg.RunsFilter(job_name=job_name, statuses=NOT_FINISHED_STATUSES)
    return bool(instance.get_run_records(unfinished, limit=1))
