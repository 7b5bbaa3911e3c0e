"""Daily assets of variability, from light curves to the cards of candidates; their schedule."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import dagster as dg

from contimg_assets.descriptions import Metadata
from contimg_assets.descriptions_of_days import (
    describe_candidates,
    describe_cards,
    describe_cutouts,
    describe_points,
    describe_variability,
)
from contimg_assets.failures import told_to_dagster
from contimg_assets.jobs import executor
from contimg_assets.mosaics import mosaic_60min
from contimg_assets.new_sources import new_sources
from contimg_assets.partitions import utc_day
from contimg_assets.photometry import forced_photometry
from contimg_assets.telling import log_progress
from contimg_resources.core.errors import VariabilityFailed, rejecting
from contimg_resources.core.keys import parse_day_key
from contimg_resources.core.times import utc_day as utc_date
from contimg_resources.steps.candidates import (
    candidates_to_draw,
    find_candidates,
    watched_sources,
)
from contimg_resources.steps.cards import draw_cards
from contimg_resources.steps.cutouts import cut_many
from contimg_resources.steps.resource import uses
from contimg_resources.steps.variability import changed_days, measure_day, update_light_curves
from contimg_resources.steps.workshop import Workshop

#: Days of data for metrics and candidates, in the lineage; the settings may give fewer.
_DAYS_BEFORE = dg.TimeWindowPartitionMapping(
    start_offset=-729, allow_nonexistent_upstream_partitions=True
)
_ALL = dg.AllPartitionMapping()


def _daily_asset(
    deps: list[Any], kind: str, checks: Sequence[dg.AssetCheckSpec] = ()
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    return dg.asset(
        partitions_def=utc_day,
        deps=deps,
        check_specs=checks,
        # A range of days is one run: starting a run takes longer than most days' work.
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name="variability",
        kinds={kind},
        owners=["team:variability"],
        tags={"stage": "variability"},
        code_version="1",
    )


def _days(context: dg.AssetExecutionContext) -> list[tuple[str, int]]:
    """Return the days of a run, each with its integer MJD."""
    return [(key, parse_day_key(key)) for key in context.partition_keys]


def _each_day(context: dg.AssetExecutionContext, work: Callable[[str, int], Metadata]) -> None:
    """Do the work for each day of a run; in a range, a day that fails doesn't stop the others.

    Raises
    ------
    VariabilityFailed
        Naming the days that failed, after all others were materialized.
    """
    days = _days(context)
    told: dict[str, Metadata] = {}
    failed: dict[str, str] = {}
    for key, day in days:
        if len(days) == 1:
            told[key] = work(key, day)
        else:
            with rejecting(failed, key):
                told[key] = work(key, day)
    for key, metadata in told.items():
        if failed:
            # Dagster materializes nothing for a step that fails.
            context.log_event(
                dg.AssetMaterialization(context.asset_key, partition=key, metadata=metadata)
            )
        else:
            context.add_asset_metadata(metadata, partition_key=key)
    if failed:
        raise VariabilityFailed(
            f"{len(failed)} of {len(days)} days failed: "
            + "; ".join(f"{key}: {why}" for key, why in failed.items()),
            failed=failed,
        )


@_daily_asset(
    [dg.AssetDep(asset, partition_mapping=_ALL) for asset in (forced_photometry, new_sources)],
    "parquet",
)
@uses("settings", "products")
def light_curves(context: dg.AssetExecutionContext, workshop: Workshop) -> None:
    """Select one light curve measurement of each source for each transit.

    If several mosaics share the data of a transit, the best one counts. Reads only the measurements
    of the days of the run (a range is one run), and of the days whose mosaics were measured again
    since.
    """
    with told_to_dagster():
        progress, run_id = log_progress(context), context.run.run_id
        asked = dict(_days(context))
        late = [day for day in changed_days(workshop) if day not in asked.values()]
        failed: dict[str, str] = {}
        for number, day in enumerate(late):
            key = str(utc_date(day))
            progress(f"light curves of {key}, measured again", number / (len(asked) + len(late)))
            with rejecting(failed, key):
                context.log_event(
                    dg.AssetMaterialization(
                        asset_key=context.asset_key,
                        partition=key,
                        metadata=describe_points(update_light_curves(workshop, day, run_id=run_id)),
                    )
                )
        for key, why in failed.items():
            # It is still older than its mosaics, so the next run tries again.
            context.log.error(f"light curves of {key} weren't updated: {why}")

        def update(key: str, day: int) -> Metadata:
            progress(f"light curves of {key}", None)
            return describe_points(update_light_curves(workshop, day, run_id=run_id))

        _each_day(context, update)


@_daily_asset([dg.AssetDep(light_curves, partition_mapping=_DAYS_BEFORE)], "parquet")
@uses("settings", "products")
def variability(context: dg.AssetExecutionContext, workshop: Workshop) -> None:
    """Compute the variability metrics of each source up to the end of the day, and flag variables.

    eta, V, debiased modulation index, most significant pair, p-value, with a systematic error floor
    from the reference sources; thresholds from the distribution of the population.
    """
    with told_to_dagster():
        progress, run_id = log_progress(context), context.run.run_id

        def measure(_: str, day: int) -> Metadata:
            return describe_variability(
                measure_day(workshop, day, run_id=run_id, progress=progress)
            )

        _each_day(context, measure)


@_daily_asset(
    [dg.AssetDep(light_curves, partition_mapping=_DAYS_BEFORE), variability],
    "sqlite",
    [
        dg.AssetCheckSpec(
            "threshold_holds",
            asset="ese_candidates",
            partitions_def=utc_day,
            description="The sources' own light curves, flipped and shuffled, don't have "
            "significantly more false alarms than accepted. A warning: the candidates are valid.",
        )
    ],
)
@uses("settings", "products")
def ese_candidates(
    context: dg.AssetExecutionContext, workshop: Workshop
) -> Iterator[dg.MaterializeResult[None]]:
    """Search all light curves up to the end of the day for Extreme Scattering Events.

    Matched templates over epoch of minimum, width and depth; the threshold is measured for a given
    rate of false alarms. Vetting rejects a dip that neighbours share, and one that a damped random
    walk of the source explains as well. Marks by people stay.
    """
    with told_to_dagster():
        warnings: list[str] = []
        rates: list[str] = []

        def find(key: str, day: int) -> Metadata:
            searched = find_candidates(
                workshop, day, run_id=context.run.run_id, progress=log_progress(context)
            )
            context.log.info(f"{key}: {searched.words}")
            warnings.extend(f"{key}: {warning}" for warning in searched.warnings)
            if searched.alarms:
                rates.append(f"{key}: {searched.alarms.words()}")
            return describe_candidates(searched, workshop.products.events.last_marks())

        _each_day(context, find)
        yield dg.MaterializeResult(
            check_results=[
                dg.AssetCheckResult(
                    passed=not warnings,
                    severity=dg.AssetCheckSeverity.WARN,
                    description="; ".join(warnings or rates[-1:]) or "no source was searched",
                )
            ]
        )


@_daily_asset(
    [
        ese_candidates,
        *(dg.AssetDep(asset, partition_mapping=_ALL) for asset in (mosaic_60min, new_sources)),
    ],
    "fits",
)
@uses("settings", "products")
def cutouts(context: dg.AssetExecutionContext, workshop: Workshop) -> None:
    """Make cutouts of every candidate from each mosaic in which it was measured.

    FITS and PNG; use `contimg cutout` for other sources. Cutouts that no candidate or mark needs
    are removed when disk space is low, the oldest first.
    """
    with told_to_dagster():
        watched, days = watched_sources(workshop), _days(context)
        # In a range, the last day includes all others.
        last = max(day for _, day in days)
        cut = cut_many(
            workshop,
            sorted(watched),
            end_mjd=last + 1.0,
            run_id=context.run.run_id,
            progress=log_progress(context),
        )
        for source_id, why in cut.failed.items():
            context.log.warning(f"no cutouts of {source_id}: {why}")
        told = describe_cutouts(cut, workshop.settings.layout.cutouts)
        for key, _ in days:
            context.add_asset_metadata(told, partition_key=key)


@_daily_asset(
    [
        dg.AssetDep(light_curves, partition_mapping=_DAYS_BEFORE),
        ese_candidates,
        dg.AssetDep(new_sources, partition_mapping=_ALL),
        cutouts,
    ],
    "png",
)
@uses("settings", "products")
def candidate_cards(context: dg.AssetExecutionContext, workshop: Workshop) -> None:
    """Draw the card of every candidate: light curve, best template, neighbours and cutouts.

    Cards of current and marked candidates are drawn again every day, with the measurements and
    cutouts made since. Added light curves have no cutouts.
    """
    with told_to_dagster():
        candidates = candidates_to_draw(workshop)
        log_progress(context)(f"drawing {len(candidates)} cards", None)
        drawn = draw_cards(workshop, candidates)
        for name, why in drawn.failed.items():
            context.log.warning(f"no card of {name}: {why}")
        told = describe_cards(drawn, workshop.settings.layout.candidates)
        # In a range, the last day includes all others.
        for key, _ in _days(context):
            context.add_asset_metadata(told, partition_key=key)


daily_job = dg.define_asset_job(
    "daily_variability",
    selection=dg.AssetSelection.assets(
        light_curves, variability, ese_candidates, cutouts, candidate_cards
    ),
    executor_def=executor,
    description="Makes light curves, variability metrics, candidates, cutouts and cards up to the "
    "end of a day.",
)

daily_variability = dg.build_schedule_from_partitioned_job(
    daily_job,
    name="daily_variability",
    hour_of_day=2,
    minute_of_hour=30,
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Runs for the past UTC day, once its last mosaics are made.",
)
