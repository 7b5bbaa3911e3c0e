"""The assets of the dashboard: its documents, the maps of the sky; their schedule."""

from collections.abc import Iterator

import dagster as dg

from contimg_assets.descriptions_of_days import describe_export, describe_sky
from contimg_assets.failures import told_to_dagster
from contimg_assets.jobs import executor
from contimg_assets.mosaics import mosaic_60min
from contimg_assets.new_sources import new_sources
from contimg_assets.telling import dashboard_link, log_progress
from contimg_assets.variability import candidate_cards, cutouts, ese_candidates, variability
from contimg_resources.settings import ExportSettings
from contimg_resources.steps.exporting import export_dashboard
from contimg_resources.steps.mapping_sky import map_sky
from contimg_resources.steps.resource import uses
from contimg_resources.steps.workshop import Workshop

_ALL = dg.AllPartitionMapping()


@dg.asset(
    deps=[
        dg.AssetDep(variability, partition_mapping=_ALL),
        dg.AssetDep(ese_candidates, partition_mapping=_ALL),
        dg.AssetDep(cutouts, partition_mapping=_ALL),
        dg.AssetDep(candidate_cards, partition_mapping=_ALL),
        dg.AssetDep(new_sources, partition_mapping=_ALL),
    ],
    group_name="export",
    kinds={"json"},
    owners=["team:observing"],
    tags={"stage": "export"},
    code_version="1",
)
@uses("settings", "registry", "products")
def dashboard_export(
    context: dg.AssetExecutionContext, workshop: Workshop
) -> Iterator[dg.MaterializeResult[None]]:
    """Write the dashboard's JSON documents, with published schemas, and tables for download.

    Status of the night, observations, calibration, image quality, mosaics, sources, light curves,
    variables, candidates. `contimg dashboard` serves them.
    """
    with told_to_dagster():
        exported = export_dashboard(
            workshop, run_id=context.run.run_id, progress=log_progress(context)
        )
        yield dg.MaterializeResult(metadata=describe_export(exported))


@dg.asset(
    deps=[dg.AssetDep(mosaic_60min, partition_mapping=_ALL)],
    group_name="export",
    kinds={"fits"},
    owners=["team:imaging"],
    tags={"stage": "export"},
    # After the documents, for which people wait.
    op_tags={"dagster/priority": "-1"},
    code_version="1",
)
@uses("settings", "products")
def sky_map(
    context: dg.AssetExecutionContext, workshop: Workshop
) -> Iterator[dg.MaterializeResult[None]]:
    """Map the sky of all mosaics and of the last nights as HiPS, with a MOC of its coverage.

    Only tiles whose mosaics changed are made again. The dashboard shows the maps; Aladin and other
    programs open them by their addresses.
    """
    with told_to_dagster():
        mapped = map_sky(workshop, run_id=context.run.run_id, progress=log_progress(context))
        yield dg.MaterializeResult(
            metadata={**describe_sky(mapped), **dashboard_link(workshop.settings, "map")}
        )


export_job = dg.define_asset_job(
    "export_dashboard",
    selection=dg.AssetSelection.assets(dashboard_export, sky_map),
    executor_def=executor,
    description="Writes the dashboard's documents, and updates the maps of the sky.",
)


def build_export_schedule(pace: ExportSettings) -> dg.ScheduleDefinition:
    """Return the schedule that updates the documents."""
    return dg.ScheduleDefinition(
        name="dashboard_schedule",
        job=export_job,
        cron_schedule=f"*/{pace.interval_min} * * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Every {pace.interval_min} minutes (setting `export.interval_min`).",
    )
