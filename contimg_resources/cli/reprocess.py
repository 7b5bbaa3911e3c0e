"""``contimg reprocess``: make the observations of some dates again, as one backfill.

Belongs here: arguments and output. Doesn't: choosing observations, GraphQL.
"""

from collections.abc import Sequence
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from contimg_resources.cli.arguments import AsJson, DryRun, Since, Until
from contimg_resources.cli.console import print_json, print_lines, print_table, progress, remark
from contimg_resources.cli.given import dagster_instance, given_settings, opened_workshop
from contimg_resources.cli.platform import running_address
from contimg_resources.core.errors import PlatformError

if TYPE_CHECKING:
    from contimg_resources.dashboard.reprocessing import Launcher
    from contimg_resources.settings import Settings
    from contimg_resources.steps.reprocessing import Chosen
    from contimg_resources.steps.workshop import Workshop

_CALTABLE_SET = "caltable_set"


def reprocess(
    since: Since = None,
    until: Until = None,
    only: Annotated[
        str,
        typer.Option(metavar="all|missing|failed|stale", help="Observations to make again."),
    ] = "all",
    step: Annotated[
        str,
        typer.Option(
            metavar="caltable_set|measurement_set|calibrated_ms|image_5min",
            help="First step to repeat; all later steps follow.",
        ),
    ] = "calibrated_ms",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Calibrate and image observations again: one backfill, which the web interface shows.

    To make one observation again, give its time: `--from 61041.003 --to 61041.004`.
    Needs a running platform (`contimg up`), except with `--dry-run`. Observations that can't be
    made now, because no caltable set is valid, the MS is missing or a run is queued or in progress,
    are listed and left out. Exit code 1 when no observation is left.

    With `--step caltable_set` the calibrator observations of the span are solved again. Then a
    second backfill calibrates and images every observation whose products became stale.

    Example: `contimg reprocess --from 2026-01-01 --to 2026-01-02 --only stale`
    """
    from contimg_resources.core.times import parse_span
    from contimg_resources.steps.reprocessing import (
        Step,
        Which,
        choose_calibrators,
        choose_observations,
    )

    if only not in list(Which):
        raise typer.BadParameter(f"{only!r} is none of {', '.join(Which)}", param_hint="--only")
    if step not in (_CALTABLE_SET, *Step):
        raise typer.BadParameter(
            f"{step!r} is none of {', '.join((_CALTABLE_SET, *Step))}", param_hint="--step"
        )
    solving = step == _CALTABLE_SET
    if solving and only != Which.ALL:
        raise typer.BadParameter("can't be combined with --only", param_hint="--step caltable_set")
    start_mjd, end_mjd = parse_span(since, until)
    settings = given_settings()
    workshop = opened_workshop(settings)
    busy = _busy_keys(settings)
    chosen = (
        choose_calibrators(workshop, start_mjd=start_mjd, end_mjd=end_mjd, busy=busy)
        if solving
        else choose_observations(
            workshop,
            Which(only),
            step=Step(step),
            start_mjd=start_mjd,
            end_mjd=end_mjd,
            busy=busy,
        )
    )
    told: dict[str, Any] = {"observations": chosen, "backfill_id": None, "address": None}
    span = (f" from {since}" if since else "") + (f" to {until}" if until else "")
    keys = _keys(chosen)
    if keys and not dry_run:
        told["address"] = _address(settings)
        told["backfill_id"] = _launch(
            told["address"], _assets(step, chosen), keys, f"{'solve' if solving else only}{span}"
        )
    if not as_json:
        _tell(chosen, told)
    if solving and told["backfill_id"] is not None:
        told |= _solved(told["address"], told["backfill_id"], workshop)
        if not as_json:
            _tell(told["stale"], {**told, "backfill_id": told["second_backfill_id"]})
    if as_json:
        print_json(told)
    if not keys:
        remark(f"no observation to make again ({only})")
        raise typer.Exit(1)


def day_launcher(settings: "Settings") -> "Launcher":
    """Return the means by which the dashboard reprocesses a day: the asset `reprocessed_day`."""
    from contimg_resources.dashboard.reprocessing import Launcher
    from contimg_resources.steps.first_day import first_day
    from contimg_resources.steps.reprocessing import Step, Which

    def address() -> str | None:
        return running_address(settings.state) or settings.dashboard.dagster_url

    def launch(day: date, only: str, step: str) -> str:
        from contimg_resources.cli.graphql import GraphQL
        from contimg_resources.cli.launching import launch_job

        if (place := address()) is None:
            raise PlatformError(f"no platform runs on {settings.state}: start one (contimg up)")
        place = place.rstrip("/")
        asset = "reprocessed_day"
        chosen = {"only": Which(only).name, "step": Step(step).name}
        run_id = launch_job(
            GraphQL(place),
            "__ASSET_JOB",
            partition=day.isoformat(),
            assets=[asset],
            config={"ops": {asset: {"config": chosen}}},
        )
        return f"{place}/runs/{run_id}"

    return Launcher(
        partial(first_day, settings),
        tuple(Which),
        tuple(Step),
        lambda: address() is not None,
        launch,
    )


def _solved(address: str, backfill_id: str, workshop: "Workshop") -> dict[str, Any]:
    """Wait for the solves, then launch a backfill of the stale observations."""
    from contimg_resources.cli.graphql import GraphQL
    from contimg_resources.cli.launching import wait_for_backfill
    from contimg_resources.steps.reprocessing import Which, choose_observations

    remark("waiting for the solves; Ctrl-C leaves the rest to `contimg reprocess --only stale`")
    with progress("reprocess") as say:
        say("solving", None)
        status = wait_for_backfill(GraphQL(address), backfill_id)
    remark(f"the solves are over: {status.lower().replace('_', ' ')}")
    stale = choose_observations(workshop, Which.STALE, busy=_busy_keys(workshop.settings))
    keys = _keys(stale)
    return {
        "stale": stale,
        "second_backfill_id": _launch(
            address, _assets("calibrated_ms", stale), keys, f"stale after {backfill_id}"
        )
        if keys
        else None,
    }


def _keys(chosen: Sequence["Chosen"]) -> tuple[str, ...]:
    return tuple(c.key for c in chosen if not c.hindrance)


def _busy_keys(settings: "Settings") -> frozenset[str]:
    """Return the keys of runs and backfills that are queued or in progress."""
    from contimg_assets.retention import keys_in_backfills
    from contimg_assets.runs import keys_in_progress

    # Without a platform nothing is in progress, and Dagster's databases may not exist.
    if running_address(settings.state) is None:
        return frozenset()
    with dagster_instance(settings) as instance:
        return keys_in_progress(instance) | keys_in_backfills(instance)


def _address(settings: "Settings") -> str:
    address = running_address(settings.state)
    if address is None:
        raise PlatformError(
            f"no platform runs on {settings.state}: start one (contimg up), or use --dry-run"
        )
    return address


def _assets(step: str, chosen: Sequence["Chosen"]) -> tuple[str, ...]:
    from contimg_resources.steps.reprocessing import Step, steps_from

    return (_CALTABLE_SET,) if step == _CALTABLE_SET else steps_from(Step(step), chosen)


def _launch(address: str, assets: tuple[str, ...], keys: tuple[str, ...], what: str) -> str:
    from contimg_resources.cli.graphql import GraphQL
    from contimg_resources.cli.launching import Backfill, launch_backfill

    return launch_backfill(
        GraphQL(address),
        Backfill(
            assets,
            "calibration_mjd" if assets == (_CALTABLE_SET,) else "observation_mjd",
            keys,
            title=f"{what}, observations: {len(keys)}",
            description=f"contimg reprocess --step {assets[0]}: {what}",
        ),
    )


def _tell(chosen: Sequence["Chosen"], told: dict[str, Any]) -> None:
    print_table(
        ("observation", "reason", "left out"),
        [(c.key, c.why, c.hindrance or None) for c in chosen],
        title=f"{len(_keys(chosen))} of {len(chosen)} observations are made again",
    )
    if told["backfill_id"] is not None:
        print_lines([f"{told['address']}/runs/b/{told['backfill_id']}"])
