"""The asset that reprocesses the observations of a day when it is materialized.

Belongs here: the daily asset for Dagster's range picker, and the backfill that it launches.
Doesn't: choosing observations (see `contimg_resources.steps.reprocessing`).
"""

import time

import dagster as dg
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph
from dagster._core.execution.backfill import PartitionBackfill
from dagster._core.utils import make_new_backfill_id

from contimg_assets.calibration import calibrated_ms
from contimg_assets.descriptions import describe_reprocessed
from contimg_assets.failures import told_to_dagster
from contimg_assets.imaging import image_5min
from contimg_assets.partitions import in_chunks, observation_mjd, utc_day
from contimg_assets.retention import keys_in_backfills
from contimg_assets.runs import keys_in_progress
from contimg_resources.core.times import mjd_from_datetime
from contimg_resources.steps.reprocessing import REPROCESS_TAG, Step, Which, choose_observations
from contimg_resources.steps.resource import WorkshopParam


class ReprocessConfig(dg.Config):
    """Selection of observations of the day, and the first step."""

    only: Which = Which.ALL
    step: Step = Step.CALIBRATED_MS


@dg.asset(
    partitions_def=utc_day,
    group_name="reprocessing",
    kinds={"dagster"},
    owners=["team:observing"],
    tags={"stage": "reprocessing"},
    code_version="1",
)
def reprocessed_day(
    context: dg.AssetExecutionContext, config: ReprocessConfig, workshop: WorkshopParam
) -> dg.MaterializeResult[None]:
    """Reprocess the observations of a UTC day: materialize the day, or a range of days.

    Launches one backfill for each day, which the Backfills page shows and can cancel as a whole. By
    default every observation is calibrated and imaged; the config's `only` (ALL, MISSING, FAILED,
    STALE) and `step` (CALIBRATED_MS, IMAGE_5MIN) select others. Observations that can't be made now
    are left out and listed.
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
        backfill_id = _launch(context, config.step, keys, title) if keys else None
        return dg.MaterializeResult(metadata=describe_reprocessed(chosen, backfill_id))


def _launch(context: dg.AssetExecutionContext, step: Step, keys: list[str], title: str) -> str:
    instance = context.instance
    name = observation_mjd.name or ""
    missing = sorted(set(keys) - set(instance.get_dynamic_partitions(name)))
    for some in in_chunks(missing):
        instance.add_dynamic_partitions(name, some)
    steps = list(Step)
    backfill = PartitionBackfill.from_asset_partitions(
        backfill_id=make_new_backfill_id(),
        asset_graph=AssetGraph.from_assets([calibrated_ms, image_5min]),
        partition_names=keys,
        asset_selection=[dg.AssetKey(s.value) for s in steps[steps.index(step) :]],
        backfill_timestamp=time.time(),
        tags={REPROCESS_TAG: title},
        dynamic_partitions_store=instance,
        all_partitions=False,
        title=title,
        description=f"materialized {context.asset_key.to_user_string()} of {context.partition_key}",
        run_config=None,
    )
    instance.add_backfill(backfill)
    context.log.info(f"launched backfill {backfill.backfill_id}: {title}")
    return backfill.backfill_id
