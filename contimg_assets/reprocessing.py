"""The asset that reprocesses the observations of a day when it is materialized.

Belongs here: the daily asset for Dagster's range picker, and the backfill that it launches.
Doesn't: choosing observations (see `contimg_resources.steps.reprocessing`).
"""

import json
import subprocess
import sys
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory

import dagster as dg
from pydantic import Field

from contimg_assets.descriptions import describe_reprocessed
from contimg_assets.failures import told_to_dagster
from contimg_assets.partitions import in_chunks, observation_mjd, utc_day
from contimg_assets.retention import keys_in_backfills
from contimg_assets.runs import keys_in_progress
from contimg_resources.core.errors import PlatformError
from contimg_resources.core.times import mjd_from_datetime
from contimg_resources.steps.reprocessing import Step, Which, choose_observations, steps_from
from contimg_resources.steps.resource import uses
from contimg_resources.steps.workshop import Workshop

#: Loading the definitions takes seconds.
_TIMEOUT_S = 300.0


def _choices(what: str, names: type[StrEnum]) -> str:
    """Return a description for the Launchpad, with the names that the configuration accepts."""
    return f"{what}: {', '.join(name.name for name in names)}."


class ReprocessConfig(dg.Config):
    """Selection of observations of the day, and the first step."""

    only: Which = Field(Which.ALL, description=_choices("Observations to reprocess", Which))
    step: Step = Field(
        Step.CALIBRATED_MS,
        description=_choices("First step to repeat; all later steps follow", Step),
    )


@dg.asset(
    partitions_def=utc_day,
    group_name="reprocessing",
    kinds={"dagster"},
    owners=["team:observing"],
    tags={"stage": "reprocessing"},
    code_version="1",
)
@uses("settings", "registry", "products")
def reprocessed_day(
    context: dg.AssetExecutionContext, config: ReprocessConfig, workshop: Workshop
) -> dg.MaterializeResult[None]:
    """Reprocess the observations of a UTC day: materialize the day, or a range of days.

    Launches one backfill for each day, which the Backfills page shows and can cancel as a whole. By
    default every observation is calibrated and imaged; *Launchpad* and *Scaffold all default
    config* give a form with `only` (ALL, MISSING, FAILED, STALE) and `step` (MEASUREMENT_SET,
    CALIBRATED_MS, IMAGE_5MIN), and the dashboard has one in its list of observations. Observations
    that can't be made now are left out and listed.
    """
    with told_to_dagster():
        day = context.partition_key
        start_mjd = mjd_from_datetime(context.partition_time_window.start)
        chosen = choose_observations(
            workshop,
            config.only,
            step=config.step,
            start_mjd=start_mjd,
            end_mjd=start_mjd + 1.0,
            busy=keys_in_progress(context.instance) | keys_in_backfills(context.instance),
        )
        keys = [c.key for c in chosen if not c.hindrance]
        title = f"{config.only} of {day}, observations: {len(keys)}"
        assets = steps_from(config.step, chosen)
        backfill_id = _launch(context, assets, keys, title) if keys else None
        return dg.MaterializeResult(metadata=describe_reprocessed(chosen, backfill_id))


def _launch(
    context: dg.AssetExecutionContext, assets: tuple[str, ...], keys: list[str], title: str
) -> str:
    """Launch a backfill with Dagster's own command, which needs no webserver; return its id."""
    from contimg_resources.cli.launching import LAUNCH, Backfill, id_of_launched, parameters_of

    instance = context.instance
    name = observation_mjd.name or ""
    missing = sorted(set(keys) - set(instance.get_dynamic_partitions(name)))
    for some in in_chunks(missing):
        instance.add_dynamic_partitions(name, some)
    backfill = Backfill(
        assets,
        name,
        tuple(keys),
        title=title,
        description=f"materialized {context.asset_key.to_user_string()} of {context.partition_key}",
    )
    with TemporaryDirectory() as directory:
        answer = Path(directory) / "answer.json"
        command = [
            *(sys.executable, "-c", "from dagster_graphql.cli import main; main()"),
            *("-m", "contimg_assets.definitions", "-t", LAUNCH, "-o", str(answer)),
            *("-v", json.dumps({"params": parameters_of(backfill)})),
        ]
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                check=False,
                timeout=_TIMEOUT_S,
            )
        except subprocess.TimeoutExpired as error:
            raise PlatformError(
                f"the backfill wasn't launched within {_TIMEOUT_S:.0f} s"
            ) from error
        if done.returncode or not answer.is_file():
            raise PlatformError(f"the backfill wasn't launched: {done.stderr.strip()[-500:]}")
        told = json.loads(answer.read_text())
    if told.get("errors"):
        raise PlatformError(f"the backfill was refused: {json.dumps(told['errors'])[:500]}")
    backfill_id = id_of_launched(told["data"])
    if instance.get_backfill(backfill_id) is None:
        raise PlatformError(
            "the backfill was launched in another Dagster instance than this run's, because "
            "DAGSTER_HOME isn't the directory of this instance"
        )
    context.log.info(f"launched backfill {backfill_id}: {title}")
    return backfill_id
