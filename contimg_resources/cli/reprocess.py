"""``contimg reprocess``: make the observations of some dates again, as one backfill.

Belongs here: arguments and output. Doesn't: choosing them, or Dagster's language.
"""

from typing import Annotated

import typer

from contimg_resources.cli.arguments import AsJson, Since, StateDirectory, Until
from contimg_resources.cli.console import print_json, print_lines, print_table, remark
from contimg_resources.cli.given import given_settings, opened_workshop
from contimg_resources.errors import PlatformError

_PARTITIONS = "observation_mjd"


def reprocess(
    state: StateDirectory = None,
    since: Since = None,
    until: Until = None,
    only: Annotated[
        str,
        typer.Option(metavar="all|missing|failed|stale", help="Which observations."),
    ] = "all",
    step: Annotated[
        str,
        typer.Option(
            metavar="calibrated_ms|image_5min",
            help="The step from which on everything is made again.",
        ),
    ] = "calibrated_ms",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only list what would be made again, and why.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Calibrate and image observations again: one backfill, which the web interface shows.

    One observation is made again with its time: `--from 61041.003 --to 61041.004`.
    Needs a running platform (`contimg up`), but for `--dry-run`. What can't be made now, because
    no caltable set is valid or the MS is gone, is listed and left out. Exit code 1 when nothing is
    left.

    Example: `contimg reprocess --from 2026-01-01 --to 2026-01-02 --only stale`
    """
    from contimg_resources.cli.backfills import Backfill, launch_backfill
    from contimg_resources.cli.graphql import GraphQL
    from contimg_resources.cli.platform import running_address
    from contimg_resources.steps.reprocessing import Step, Which, choose_observations
    from contimg_resources.times import parse_span

    if only not in list(Which):
        raise typer.BadParameter(f"{only!r} is none of {', '.join(Which)}", param_hint="--only")
    if step not in list(Step):
        raise typer.BadParameter(f"{step!r} is none of {', '.join(Step)}", param_hint="--step")
    start_mjd, end_mjd = parse_span(since, until)
    settings = given_settings(state=state)
    chosen = choose_observations(
        opened_workshop(settings),
        Which(only),
        step=Step(step),
        start_mjd=start_mjd,
        end_mjd=end_mjd,
    )
    keys = tuple(c.key for c in chosen if not c.hindrance)
    backfill_id = address = None
    if keys and not dry_run:
        address = running_address(settings.state)
        if address is None:
            raise PlatformError(
                f"no platform runs on {settings.state}: start one (contimg up), or ask with "
                "--dry-run"
            )
        span = f" from {since}" if since else ""
        span += f" to {until}" if until else ""
        backfill_id = launch_backfill(
            GraphQL(address),
            Backfill(
                tuple(Step)[list(Step).index(Step(step)) :],
                _PARTITIONS,
                keys,
                title=f"{only}{span}, observations: {len(keys)}",
                description=f"contimg reprocess --only {only}{span}",
            ),
        )
    if as_json:
        print_json({"observations": chosen, "backfill_id": backfill_id, "address": address})
    else:
        print_table(
            ("observation", "why", "left out"),
            [(c.key, c.why, c.hindrance or None) for c in chosen],
            title=f"{len(keys)} of {len(chosen)} observations are made again",
        )
        if backfill_id is not None:
            print_lines([f"{address}/runs/b/{backfill_id}"])
    if not keys:
        remark(f"nothing to make again ({only})")
        raise typer.Exit(1)
