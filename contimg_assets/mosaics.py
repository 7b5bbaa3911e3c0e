"""The asset of mosaics: an hour of images on one piece of sky, and the checks on it."""

from collections.abc import Iterator

import dagster as dg

from contimg_assets.descriptions import describe_mosaic
from contimg_assets.failures import stop_at_failed_checks, told_to_dagster
from contimg_assets.imaging import image_5min
from contimg_assets.partitions import mosaic_key_of, mosaic_mjd
from contimg_assets.telling import (
    check_result,
    checks_on_top,
    content_version,
    dashboard_link,
    dashboard_picture,
    log_progress,
)
from contimg_resources.steps.mosaicking import mosaic_observations
from contimg_resources.steps.resource import uses
from contimg_resources.steps.workshop import Workshop


def _check(name: str, description: str) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(
        name,
        asset="mosaic_60min",
        partitions_def=mosaic_mjd,
        blocking=True,
        description=description,
    )


@dg.asset(
    partitions_def=mosaic_mjd,
    deps=[dg.AssetDep(image_5min, partition_mapping=dg.AllPartitionMapping())],
    check_specs=[
        _check("mosaic_noise", "The rms agrees with the noise expected from the images."),
        _check("mosaic_seams", "No image leaves a step at its edge."),
    ],
    group_name="mosaics",
    kinds={"fits"},
    owners=["team:imaging"],
    tags={"stage": "mosaics"},
    code_version="1",
    pool="mosaics",
)
@uses("settings", "products")
def mosaic_60min(
    context: dg.AssetExecutionContext, workshop: Workshop
) -> Iterator[dg.MaterializeResult[None]]:
    """Mosaic the images of an hour: one restoring beam, weights from primary beam and noise.

    Windows advance by half an hour on a fixed grid of observing time, in whatever order images
    arrive; a late image is added to the running sums. FITS files: mosaic, expected noise, number of
    images.
    """
    key = mosaic_key_of(context)
    with told_to_dagster():
        made = mosaic_observations(
            workshop, key, run_id=context.run.run_id, progress=log_progress(context)
        )
        yield dg.MaterializeResult(
            metadata={
                **checks_on_top(made.verdicts),
                **dashboard_picture(workshop.settings, f"mosaics/{key}"),
                **describe_mosaic(made),
                **dashboard_link(workshop.settings, f"mosaics/{key}"),
            },
            data_version=content_version(made.record.checksum),
            check_results=[check_result(verdict) for verdict in made.verdicts],
        )
        stop_at_failed_checks(made.verdicts)
