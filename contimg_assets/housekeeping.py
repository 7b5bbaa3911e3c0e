"""The job that deletes data older than the retention limits.

Belongs here: the order of removals, as a job and a schedule; the command line calls it too.
Doesn't: choosing (see `contimg_assets.retention`, `contimg_resources.steps.retention`).
"""

from dataclasses import dataclass

import dagster as dg

from contimg_assets.alerting import alerts_job
from contimg_assets.exports import export_job
from contimg_assets.failures import told_to_dagster
from contimg_assets.jobs import executor
from contimg_assets.retention import (
    OldKey,
    keys_in_backfills,
    old_keys,
    old_runs,
    prune_keys,
    prune_runs,
)
from contimg_assets.runs import keys_in_progress
from contimg_assets.telling import log_progress
from contimg_resources.casa import Progress, no_progress
from contimg_resources.core.disk_space import free_bytes
from contimg_resources.database import now_mjd
from contimg_resources.steps.disk_space import keep_reserve
from contimg_resources.steps.photometry import sort_measurements
from contimg_resources.steps.resource import uses
from contimg_resources.steps.retention import Removal, choose_removals, remove
from contimg_resources.steps.workshop import Workshop

_MAX_LISTED = 100


@dataclass(frozen=True)
class Swept:
    """Data that housekeeping would remove, or has removed."""

    keys: tuple[OldKey, ...]  #: Partition keys.
    runs: tuple[str, ...]  #: Dagster's runs, by id.
    files: tuple[Removal, ...]  #: Products, and orphaned files of killed steps.

    @property
    def size_bytes(self) -> int:
        """Size of the files, bytes."""
        return sum(r.size_bytes for r in self.files)

    def __str__(self) -> str:
        return (
            f"{len(self.keys)} partition keys, {len(self.runs)} runs, {len(self.files)} files and "
            f"directories of {self.size_bytes / 1e9:.2f} GB"
        )


def old_keys_of(
    workshop: Workshop, instance: dg.DagsterInstance, *, days: float | None = None
) -> tuple[OldKey, ...]:
    """Return the partition keys older than the retention limit, or than `days`."""
    kept_days = workshop.settings.retention.partition_days if days is None else days
    return old_keys(instance, before_mjd=now_mjd() - kept_days)


def choose(workshop: Workshop, instance: dg.DagsterInstance) -> Swept:
    """Return the data that housekeeping would remove now."""
    return Swept(
        keys=old_keys_of(workshop, instance),
        runs=old_runs(
            instance,
            days=workshop.settings.retention.run_days,
            frequent_jobs=(export_job.name, alerts_job.name),
        ),
        # A backfill's runs start one after the other, and need the products of the step before.
        files=choose_removals(
            workshop, busy=keys_in_progress(instance) | keys_in_backfills(instance)
        ),
    )


def sweep(
    workshop: Workshop, instance: dg.DagsterInstance, progress: Progress = no_progress
) -> Swept:
    """Remove old data, and return the list of what was removed.

    Files go first, to free disk space. Measurements of past days are sorted by source last, for
    fast light curves.
    """
    chosen = choose(workshop, instance)
    files = remove(workshop, chosen.files, progress=progress)
    progress(f"removing {len(chosen.keys)} partition keys", None)
    keys = prune_keys(instance, chosen.keys)
    progress(f"removing {len(chosen.runs)} runs", None)
    prune_runs(instance, chosen.runs, workshop.settings.state)
    sort_measurements(workshop, progress)
    keep_reserve(workshop.settings)
    return Swept(keys, chosen.runs, files)


@dg.op(description="Deletes partition keys, runs, logs and files older than the settings allow.")
@uses("settings", "registry", "products")
def remove_what_is_old(context: dg.OpExecutionContext, workshop: Workshop) -> None:
    """Delete data older than the retention limits, or earlier when disk space is low."""
    with told_to_dagster():
        swept = sweep(workshop, context.instance, log_progress(context))
        free_gb = free_bytes(workshop.settings.state) / 1e9
        context.log.info(f"removed {swept}; {free_gb:.1f} GB are free")
        for removal in swept.files[:_MAX_LISTED]:
            context.log.info(f"{removal.path}: {removal.why}")


@dg.job(
    name="housekeeping",
    executor_def=executor,
    description="Deletes old partition keys, runs, logs and files (settings `retention.*`). "
    "`contimg housekeeping --dry-run` lists them.",
)
def housekeeping_job() -> None:
    """Delete old data."""
    remove_what_is_old()


daily_housekeeping = dg.ScheduleDefinition(
    name="daily_housekeeping",
    job=housekeeping_job,
    cron_schedule="15 20 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Once a day, by daylight in California.",
)
