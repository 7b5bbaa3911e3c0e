"""Assets of arrival: the MeasurementSets that arrive, and the log of each day."""

import dagster as dg

from contimg_assets.descriptions_of_days import describe_day
from contimg_assets.failures import told_to_dagster
from contimg_assets.imaging import image_5min
from contimg_assets.measurement_sets import incoming_sub_bands
from contimg_assets.partitions import observation_mjd, utc_day
from contimg_assets.telling import content_version
from contimg_resources.steps.day import day_log
from contimg_resources.steps.resource import uses
from contimg_resources.steps.workshop import Workshop

incoming_ms = dg.AssetSpec(
    "incoming_ms",
    partitions_def=observation_mjd,
    group_name="arrival",
    kinds={"measurementset"},
    owners=["team:observing"],
    tags={"stage": "arrival"},
    description="A MeasurementSet from the correlator: five minutes of drift scan at the "
    "meridian. contimg reads it and never changes it. A sensor reports each MS when it is "
    "complete; its key is the mid-MJD of its TIME column.",
)


@dg.asset(
    partitions_def=utc_day,
    deps=[
        dg.AssetDep(incoming_ms, partition_mapping=dg.AllPartitionMapping()),
        dg.AssetDep(incoming_sub_bands, partition_mapping=dg.AllPartitionMapping()),
        dg.AssetDep(image_5min, partition_mapping=dg.AllPartitionMapping()),
    ],
    group_name="log",
    kinds={"sqlite"},
    owners=["team:observing"],
    tags={"stage": "log"},
    code_version="1",
)
@uses("registry", "products")
def observation_log(
    context: dg.AssetExecutionContext, workshop: Workshop
) -> dg.MaterializeResult[None]:
    """Summarize one UTC day: observations that arrived, were imaged, wait or failed, and why."""
    with told_to_dagster():
        log = day_log(workshop, context.partition_time_window.start.date())
        return dg.MaterializeResult(
            metadata=describe_day(log), data_version=content_version(repr(log))
        )
