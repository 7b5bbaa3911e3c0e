"""Daily assets of variability: light curves, measures, candidates, cutouts."""

from collections.abc import Iterator

import dagster as dg

from contimg_assets.descriptions_of_days import (
    describe_candidates,
    describe_cutouts,
    describe_points,
    describe_variability,
)
from contimg_assets.failures import told_to_dagster
from contimg_assets.mosaics import mosaic_60min
from contimg_assets.partitions import utc_day
from contimg_assets.photometry import forced_photometry
from contimg_assets.telling import content_version, log_progress
from contimg_resources.steps.candidates import find_candidates, redraw_candidates, watched_sources
from contimg_resources.steps.cutouts import cut_many
from contimg_resources.steps.resource import WorkshopParam
from contimg_resources.steps.variability import measure_day, update_light_curves
from contimg_resources.times import mjd_day, mjd_from_datetime

Result = dg.MaterializeResult[None]

#: Days that measures and candidates are of, in the lineage; the settings may say fewer.
_DAYS_BEFORE = dg.TimeWindowPartitionMapping(
    start_offset=-729, allow_nonexistent_upstream_partitions=True
)
_ALL = dg.AllPartitionMapping()


def _days(context: dg.AssetExecutionContext) -> list[tuple[str, int]]:
    """Return the days of a run, each with its integer MJD."""
    return [
        (key, mjd_day(mjd_from_datetime(utc_day.time_window_for_partition_key(key).start)))
        for key in context.partition_keys
    ]


@dg.asset(
    partitions_def=utc_day,
    deps=[dg.AssetDep(forced_photometry, partition_mapping=_ALL)],
    backfill_policy=dg.BackfillPolicy.single_run(),
    group_name="variability",
    kinds={"parquet"},
    owners=["team:variability"],
    tags={"stage": "variability"},
    code_version="1",
)
def light_curves(context: dg.AssetExecutionContext, workshop: WorkshopParam) -> None:
    """Choose one point of each source's light curve for its passage over the meridian.

    Of the mosaics that share a passage's data the best counts. Touches the measurements of the day
    alone; a range of days is one run.
    """
    with told_to_dagster():
        progress = log_progress(context)
        days = _days(context)
        for number, (key, day) in enumerate(days):
            progress(f"light curves of {key}", number / len(days))
            points = update_light_curves(workshop, day)
            context.log_event(
                dg.AssetMaterialization(
                    asset_key=context.asset_key,
                    partition=key,
                    metadata=describe_points(points),
                    tags={dg.DATA_VERSION_TAG: points.checksum} if points.checksum else None,
                )
            )


@dg.asset(
    partitions_def=utc_day,
    deps=[dg.AssetDep(light_curves, partition_mapping=_DAYS_BEFORE)],
    group_name="variability",
    kinds={"parquet"},
    owners=["team:variability"],
    tags={"stage": "variability"},
    code_version="1",
)
def variability(context: dg.AssetExecutionContext, workshop: WorkshopParam) -> Iterator[Result]:
    """Measure how much each source varies, up to the end of the day, and say who stands out.

    eta, V, debiased modulation index, most significant pair, p-value, with a systematic floor from
    the reference sources; thresholds from the population's own distribution.
    """
    with told_to_dagster():
        ((_, day),) = _days(context)
        measured = measure_day(workshop, day, progress=log_progress(context))
        yield dg.MaterializeResult(
            metadata=describe_variability(measured),
            data_version=content_version(measured.checksum),
        )


@dg.asset(
    partitions_def=utc_day,
    deps=[dg.AssetDep(light_curves, partition_mapping=_DAYS_BEFORE), variability],
    group_name="variability",
    kinds={"sqlite"},
    owners=["team:variability"],
    tags={"stage": "variability"},
    code_version="1",
)
def ese_candidates(context: dg.AssetExecutionContext, workshop: WorkshopParam) -> Iterator[Result]:
    """Search all light curves up to the end of the day for Extreme Scattering Events.

    Matched templates over middle, width and depth; the threshold is measured for a stated rate of
    false alarms. What neighbours share is no event. Marks that people made stay.
    """
    with told_to_dagster():
        ((_, day),) = _days(context)
        searched = find_candidates(
            workshop, day, run_id=context.run.run_id, progress=log_progress(context)
        )
        context.log.info(searched.words)
        yield dg.MaterializeResult(
            metadata=describe_candidates(searched, workshop.products.events.last_marks())
        )


@dg.asset(
    partitions_def=utc_day,
    deps=[ese_candidates, dg.AssetDep(mosaic_60min, partition_mapping=_ALL)],
    group_name="variability",
    kinds={"fits"},
    owners=["team:variability"],
    tags={"stage": "variability"},
    code_version="1",
)
def cutouts(context: dg.AssetExecutionContext, workshop: WorkshopParam) -> Iterator[Result]:
    """Cut the surroundings of every candidate out of each mosaic in which it was measured.

    FITS and PNG; of other sources by `contimg cutout`. What no candidate or mark needs is removed
    for want of room, the oldest first.
    """
    with told_to_dagster():
        ((_, day),) = _days(context)
        watched = watched_sources(workshop)
        cut = cut_many(workshop, sorted(watched), end_mjd=day + 1.0, progress=log_progress(context))
        for source_id, why in cut.failed.items():
            context.log.warning(f"no cutouts of {source_id}: {why}")
        candidates = workshop.products.events.list_candidates()
        redraw_candidates(workshop, tuple(c for c in candidates if c.source_id in watched))
        yield dg.MaterializeResult(metadata=describe_cutouts(cut, workshop.settings.layout.cutouts))
