"""Assets of photometry: forced photometry of catalogue sources on mosaics and single images."""

from collections.abc import Callable, Iterator

import dagster as dg

from contimg_assets.descriptions import describe_measured
from contimg_assets.failures import told_to_dagster
from contimg_assets.imaging import image_5min
from contimg_assets.mosaics import mosaic_60min
from contimg_assets.partitions import (
    mosaic_key_of,
    mosaic_mjd,
    observation_key,
    observation_mjd,
)
from contimg_assets.telling import check_result, content_version, log_progress
from contimg_resources.imaging.acceptance import Verdict
from contimg_resources.steps.photometry import Measured, Unmeasured, measure_image, measure_mosaic
from contimg_resources.steps.resource import uses
from contimg_resources.steps.workshop import Workshop

#: Results that an asset of photometry yields.
Told = dg.MaterializeResult[None] | dg.AssetCheckResult


def _checks(asset: str, partitions: dg.PartitionsDefinition[str]) -> list[dg.AssetCheckSpec]:
    # Not blocking: a bad epoch is kept and marked, for inspection.
    return [
        dg.AssetCheckSpec(
            "flux_scale",
            asset=asset,
            partitions_def=partitions,
            description="Enough reference sources agree on a flux scale near 1; otherwise the "
            "epoch is marked and not published.",
        ),
        dg.AssetCheckSpec(
            "positions",
            asset=asset,
            partitions_def=partitions,
            description="Positions of bright sources agree with the catalogue to a small fraction "
            "of the beam.",
        ),
    ]


def _measure(
    context: dg.AssetExecutionContext,
    workshop: Workshop,
    key: str,
    step: Callable[..., Measured | Unmeasured],
) -> Iterator[Told]:
    with told_to_dagster():
        measured = step(workshop, key, run_id=context.run.run_id, progress=log_progress(context))
        if isinstance(measured, Unmeasured):
            context.log.warning(f"nothing to measure: {measured.reason}")
            for name in ("flux_scale", "positions"):
                words = f"not evaluated: {measured.reason}"
                yield check_result(Verdict(name, True, words, evaluated=False))
            return
        yield dg.MaterializeResult(
            metadata=describe_measured(measured),
            data_version=content_version(measured.record.checksum),
            check_results=[check_result(verdict) for verdict in measured.verdicts],
        )


@dg.asset(
    partitions_def=mosaic_mjd,
    deps=[mosaic_60min],
    check_specs=_checks("forced_photometry", mosaic_mjd),
    output_required=False,
    group_name="photometry",
    kinds={"parquet"},
    owners=["team:variability"],
    tags={"stage": "photometry"},
    code_version="1",
    pool="mosaics",
)
@uses("settings", "products", "catalogues")
def forced_photometry(context: dg.AssetExecutionContext, workshop: Workshop) -> Iterator[Told]:
    """Measure the flux density at every catalogue position of a mosaic.

    Matched filter with the local beam, joint solution for neighbours, errors from the correlation
    of the noise, flux scale from reference sources. One Parquet file for each mosaic; sources that
    weren't detected are kept with their errors.
    """
    yield from _measure(context, workshop, mosaic_key_of(context), measure_mosaic)


@dg.asset(
    partitions_def=observation_mjd,
    deps=[image_5min],
    check_specs=_checks("image_photometry", observation_mjd),
    output_required=False,
    group_name="photometry",
    kinds={"parquet"},
    owners=["team:variability"],
    tags={"stage": "photometry"},
    code_version="1",
    pool="imaging",
)
@uses("settings", "products", "catalogues")
def image_photometry(context: dg.AssetExecutionContext, workshop: Workshop) -> Iterator[Told]:
    """Measure the flux density at every catalogue position of a single 5-minute image.

    As `forced_photometry`, with the noise and primary beam of the image: for variability within an
    hour.
    """
    yield from _measure(context, workshop, observation_key(context), measure_image)
