"""``contimg housekeeping``, ``partitions``, ``backup``, ``restore``, ``migrate``: keeping data.

Belongs here: arguments and output. Doesn't: choosing, copying.
"""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from contimg_resources.cli.arguments import AsJson, DryRun
from contimg_resources.cli.console import (
    print_json,
    print_lines,
    print_table,
    progress,
    remark,
    removed,
)
from contimg_resources.cli.given import dagster_instance, given_settings, opened_workshop
from contimg_resources.core.errors import ConfigurationError

partitions = typer.Typer(help="Dagster's list of observations.")

_SHOWN = 20


def housekeeping(dry_run: DryRun = False, as_json: AsJson = False) -> None:
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

    settings = given_settings()
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

    settings = given_settings()
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


def backup(
    directory: Annotated[Path, typer.Argument(help="Directory for the copies.")],
    keep: Annotated[
        int,
        typer.Option(
            min=1, help="Number of backups to keep, including this one; the others in `earlier/`."
        ),
    ] = 3,
    replace_fuller: Annotated[
        bool,
        typer.Option("--replace-fuller", help="Replace a backup that holds more than the store."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Copy both stores, the caltables, added light curves and settings.

    The platform may run meanwhile. Each copy is as of one moment, and is checked; the previous
    backup is moved to `earlier/` when the new one is complete. A backup that holds more than the
    store isn't replaced. Never copy the files of the stores directly while the platform runs: the
    latest changes are in files beside them.

    Example: `contimg backup /backup/contimg --keep 7`
    """
    from contimg_resources.steps.backing_up import back_up

    workshop = opened_workshop(given_settings())
    with progress("backup") as say:
        made = back_up(workshop, directory, keep=keep, replace_fuller=replace_fuller, progress=say)
    if as_json:
        print_json(made)
        return
    for path in (made.products, made.registry, *made.added_light_curves):
        remark(f"{path}: {path.stat().st_size} bytes")
    remark(f"{made.registry.with_name('caltables')}: {len(made.caltables)} caltable sets")
    remark(f"{made.settings}: settings that differ from the defaults")
    for path in made.outside:
        remark(f"not copied, since it is outside the state directory: {path}")
    for path in made.earlier:
        remark(f"earlier: {path}")


def restore(
    directory: Annotated[
        Path | None,
        typer.Argument(
            help="A backup: its directory, or one of the directories in its `earlier/`."
        ),
    ] = None,
    dagster: Annotated[
        bool,
        typer.Option(
            "--dagster", help="Move Dagster's databases away; the next `contimg up` makes new ones."
        ),
    ] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Restore damaged stores from a backup, while no platform runs.

    The copies are checked first. The existing stores are moved to `damaged/` in the state
    directory; nothing is removed. Existing caltables, lists of light curves and settings stay. With
    another `--state` the command starts a new state directory, whose images are made again. The
    platform finds observations that arrived since the backup, as long as their MS exist.

    Example: `contimg restore /backup/contimg`
    """
    from contimg_resources.cli.platform import without_platform
    from contimg_resources.steps import backing_up

    if directory is None and not dagster:
        raise ConfigurationError("give the directory of a backup, --dagster, or both")
    settings = given_settings()
    with without_platform(settings.state), progress("restore") as say:
        aside = backing_up.put_dagster_aside(settings, dry_run=dry_run) if dagster else None
        found = (
            None
            if directory is None
            else backing_up.restore(settings, directory, dry_run=dry_run, progress=say)
        )
    if as_json:
        print_json({"dagster_aside": aside, "stores": found})
        return
    if dagster:
        remark(f"Dagster's databases: {aside or 'there were none'}")
    if found is not None:
        for path in found.restored:
            remark(f"{'would restore' if dry_run else 'restored'} {path}")
        if found.aside is not None:
            remark(f"the earlier stores {'would be' if dry_run else 'are'} in {found.aside}")
        remark("`contimg verify` compares products and caltables with the stores")


def migrate(
    to: Annotated[
        str,
        typer.Option(help="Address of the database, such as `postgresql://contimg@db/contimg`."),
    ],
    as_json: AsJson = False,
) -> None:
    """Copy the stores to a Postgres database, while no platform runs.

    Every row is compared. The stores in the state directory aren't changed; the platform uses the
    new ones when the settings `registry_url` and `products_url` name them. Give a password by
    `PGPASSWORD` or `~/.pgpass`. Dagster's history stays behind: the stores record which work is
    done, so nothing is made twice.

    Example: `contimg migrate --to postgresql://contimg@db/contimg --state /data/contimg`
    """
    from contimg_resources.cli.platform import without_platform
    from contimg_resources.steps.migrating import migrate as migrate_stores

    settings = given_settings()
    with without_platform(settings.state), progress("migrate") as say:
        done = migrate_stores(settings, to, progress=say)
    if as_json:
        print_json(done)
        return
    for name, tables in done.n_rows.items():
        remark(f"{done.source[name]}: {sum(tables.values())} rows copied and compared")
    remark(f'export CONTIMG_REGISTRY_URL="{done.address}" CONTIMG_PRODUCTS_URL="{done.address}"')
