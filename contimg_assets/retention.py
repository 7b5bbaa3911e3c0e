"""Retention in Dagster: partition keys of a rolling window, and the runs worth keeping.

Belongs here: choosing and removing keys and runs. Doesn't: files of products (see
`contimg_resources.steps.retention`); no row of any store is touched here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import dagster as dg

from contimg_assets.partitions import calibration_mjd, mosaic_mjd, observation_mjd
from contimg_assets.runs import keys_in_progress
from contimg_resources.core.errors import InvalidName
from contimg_resources.core.keys import epoch_mjd
from contimg_resources.core.trees import remove_tree

_FINISHED = [
    dg.DagsterRunStatus.SUCCESS,
    dg.DagsterRunStatus.FAILURE,
    dg.DagsterRunStatus.CANCELED,
]
#: States of a backfill that is over, by name; any other may still start or cancel runs.
_FINISHED_BACKFILLS = frozenset(
    {"COMPLETED", "COMPLETED_SUCCESS", "COMPLETED_FAILED", "FAILED", "CANCELED"}
)
_PAGE = 500
#: Time for which runs of jobs that run every few minutes are kept, days.
_FREQUENT_DAYS = 1.0


@dataclass(frozen=True)
class OldKey:
    """A partition key that leaves Dagster's list."""

    definition: str  #: Name of its dynamic partitions.
    key: str  #: The key.


def backfill_in_progress(instance: dg.DagsterInstance) -> bool:
    """Return whether a backfill may still start or cancel runs."""
    return next(_unfinished_backfills(instance), None) is not None


def keys_in_backfills(instance: dg.DagsterInstance) -> frozenset[str]:
    """Return the partition keys of backfills in progress, including those not yet started."""
    found: set[str] = set()
    for backfill in _unfinished_backfills(instance):
        found.update(backfill.partition_names or ())
        if backfill.asset_backfill_data is not None:
            target = backfill.asset_backfill_data.target_subset
            for subset in target.partitions_subsets_by_asset_key.values():
                found.update(subset.get_partition_keys())
    return frozenset(found)


def _unfinished_backfills(instance: dg.DagsterInstance) -> Iterator[Any]:
    """Yield the backfills that are in progress.

    Dagster finds them by state, but only keeps the list of states in a private module: any backfill
    leads to it.
    """
    for some in instance.get_backfills(limit=1):
        for state in type(some.status):
            if state.name not in _FINISHED_BACKFILLS:
                yield from instance.get_backfills(status=state)


def old_keys(instance: dg.DagsterInstance, *, before_mjd: float) -> tuple[OldKey, ...]:
    """Return the partition keys before a time that no run uses.

    None while a backfill is in progress: the keys that it has yet to start aren't known for sure.

    Parameters
    ----------
    instance : dagster.DagsterInstance
        The instance.
    before_mjd : float
        Only observations before then, MJD in days.
    """
    if backfill_in_progress(instance):
        return ()
    used = keys_in_progress(instance)
    return tuple(
        OldKey(name, key)
        for name in (d.name or "" for d in (observation_mjd, calibration_mjd, mosaic_mjd))
        for key in instance.get_dynamic_partitions(name)
        if key not in used and _is_before(key, before_mjd)
    )


def prune_keys(instance: dg.DagsterInstance, keys: tuple[OldKey, ...]) -> tuple[OldKey, ...]:
    """Remove partition keys; return those that stay removed.

    A key is added again if a run was launched for it meanwhile.
    """
    for old in keys:
        instance.delete_dynamic_partition(old.definition, old.key)
    used = keys_in_progress(instance)
    for old in keys:
        if old.key in used:
            instance.add_dynamic_partitions(old.definition, [old.key])
    return tuple(old for old in keys if old.key not in used)


def old_runs(
    instance: dg.DagsterInstance, *, days: float, frequent_jobs: Sequence[str] = ()
) -> tuple[str, ...]:
    """Return the finished runs older than `days`, except the last to materialize a partition.

    Parameters
    ----------
    instance : dagster.DagsterInstance
        The instance.
    days : float
        Age, days.
    frequent_jobs : sequence of str
        Names of jobs that run every few minutes: their runs are kept for a day.
    """
    now = datetime.now(tz=UTC)
    filters = [dg.RunsFilter(statuses=_FINISHED, created_before=now - timedelta(days=days))]
    filters += [
        dg.RunsFilter(
            job_name=job,
            statuses=_FINISHED,
            created_before=now - timedelta(days=min(days, _FREQUENT_DAYS)),
        )
        for job in frequent_jobs
    ]
    old = dict.fromkeys(r.dagster_run.run_id for f in filters for r in _pages(instance, f))
    if not old:
        return ()
    kept = _last_materializing_runs(instance)
    return tuple(run_id for run_id in old if run_id not in kept)


def prune_runs(instance: dg.DagsterInstance, run_ids: tuple[str, ...], state: Path) -> None:
    """Remove runs with their events, logs and files.

    Parameters
    ----------
    instance : dagster.DagsterInstance
        The instance.
    run_ids : tuple of str
        Result of `old_runs`.
    state : Path
        The state directory, in which SQLite keeps a database for each run.
    """
    for run_id in run_ids:
        try:
            # The id becomes part of a path: anything else is refused.
            UUID(run_id)
        except ValueError:
            continue
        instance.delete_run(run_id)
        # Dagster leaves the files of a run that it has deleted.
        for file in (state / "history" / "runs").glob(f"{run_id}.db*"):
            file.unlink(missing_ok=True)
        for directory in ("storage", "compute_logs"):
            remove_tree(state / directory / run_id, ignore_errors=True)


def _pages(instance: dg.DagsterInstance, filters: dg.RunsFilter) -> Iterator[dg.RunRecord]:
    cursor = None
    while page := instance.get_run_records(filters, limit=_PAGE, cursor=cursor):
        yield from page
        cursor = page[-1].dagster_run.run_id


def _last_materializing_runs(instance: dg.DagsterInstance) -> frozenset[str]:
    """Return the runs that last materialized a partition of an asset."""
    found: set[str] = set()
    for asset_key in instance.all_asset_keys():
        last = instance.get_latest_materialization_event(asset_key)
        if last is not None:
            # The only record for an asset without partitions.
            found.add(last.run_id)
        latest = instance.event_log_storage.get_latest_storage_id_by_partition(
            asset_key, dg.DagsterEventType.ASSET_MATERIALIZATION
        )
        storage_ids = list(latest.values())
        for start in range(0, len(storage_ids), _PAGE):
            some = storage_ids[start : start + _PAGE]
            result = instance.fetch_materializations(
                dg.AssetRecordsFilter(asset_key=asset_key, storage_ids=some), limit=len(some)
            )
            found.update(record.run_id for record in result.records)
    return frozenset(found)


def _is_before(key: str, mjd: float) -> bool:
    try:
        return epoch_mjd(key) < mjd
    except InvalidName:
        # Somebody typed it: no observation has it.
        return True
