"""``contimg housekeeping`` and ``contimg partitions``: listing and deleting old data.

Belongs here: arguments and output. Doesn't: choosing.
"""

from dataclasses import replace
from typing import Annotated

import typer

from contimg_resources.cli.arguments import AsJson, DryRun, StateDirectory
from contimg_resources.cli.console import (
    print_json,
    print_lines,
    print_table,
    progress,
    remark,
    removed,
)
from contimg_resources.cli.given import dagster_instance, given_settings, opened_workshop

partitions = typer.Typer(no_args_is_help=True, help="Dagster's list of observations.")

_SHOWN = 20


def housekeeping(
    state: StateDirectory = None, dry_run: DryRun = False, as_json: AsJson = False
) -> None:
    """Delete data older than the retention limits, or earlier when disk space is low.

    The limits are the settings `retention.*`. They apply to Dagster's partition keys and runs,
    calibrated MS, companions of images, logs, and orphaned files of killed steps. The correlator's
    sub-band files are removed only if `uvh5.retention_days` is set. The platform does the same once
    a day, and when its disk is nearly full.

    On a full disk, where no store can be opened, orphaned files go first, then the reserve
    (`retention.reserve_mb`), which is restored when there is disk space again.

    Example: `contimg housekeeping --dry-run`
    """
    from contimg_assets.housekeeping import choose, sweep

    from contimg_resources.steps.retention import free_without_stores

    settings = given_settings(state=state)
    freed = () if dry_run else free_without_stores(settings)
    for removal in freed:
        remark(f"removed {removal.path}: {removal.size_bytes / 1e6:.1f} MB, {removal.why}")
    workshop = opened_workshop(settings)
    with dagster_instance(settings) as instance:
        if dry_run:
            found = choose(workshop, instance)
        else:
            with progress("housekeeping") as say:
                found = sweep(workshop, instance, say)
                found = replace(found, files=(*freed, *found.files))
    if as_json:
        print_json(found)
        return
    if found.files:
        print_table(
            ("path", "MB", "reason"),
            [(r.path, f"{r.size_bytes / 1e6:.1f}", r.why) for r in found.files],
        )
    print_lines([f"{removed(dry_run)} {found}"])


@partitions.command("prune")
def prune(
    state: StateDirectory = None,
    days: Annotated[
        float | None,
        typer.Option(min=0, help="Number of days to keep. Default: `retention.partition_days`."),
    ] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Remove old observations from Dagster's list of partitions; the stores keep all of them.

    Keys of queued or running runs stay; all keys stay while a backfill is in progress.
    `contimg reprocess` adds the keys of the observations that it makes again.

    Example: `contimg partitions prune --dry-run`
    """
    from contimg_assets.housekeeping import old_keys_of
    from contimg_assets.retention import backfill_in_progress, prune_keys

    settings = given_settings(state=state)
    workshop = opened_workshop(settings)
    with dagster_instance(settings) as instance:
        if backfill_in_progress(instance):
            remark("a backfill is in progress: no key is removed before it ends")
        keys = old_keys_of(workshop, instance, days=days)
        if not dry_run:
            keys = prune_keys(instance, keys)
    if as_json:
        print_json(keys)
        return
    if keys:
        print_table(
            ("partitions", "key"),
            [(k.definition, k.key) for k in keys[:_SHOWN]],
            title=f"The first {min(_SHOWN, len(keys))} of {len(keys)}",
        )
    remark(f"{removed(dry_run)} {len(keys)} partition keys")
