"""Assets of photometry: found sources, and forced photometry of catalogue sources."""

from collections.abc import Callable, Iterator

import dagster as dg

from contimg_assets.descriptions import describe_found, describe_measured
from contimg_assets.failures import told_to_dagster
from contimg_assets.imaging import image_5min
from contimg_assets.mosaics import mosaic_60min
from contimg_assets.partitions import (
    mosaic_key_of,
    mosaic_mjd,
    observation_key,
    observation_mjd,
)
from contimg_assets.telling import check_result, checks_on_top, content_version, log_progress
from contimg_resources.imaging.acceptance import Verdict
from contimg_resources.steps.finding import find_in_mosaic
from contimg_resources.steps.photometry import Measured, Unmeasured, measure_image, measure_mosaic
from contimg_resources.steps.resource import uses
from contimg_resources.steps.sub_bands import MeasuredSpectra, measure_sub_bands
from contimg_resources.steps.workshop import Workshop

_INDICES = "spectral_indices"

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
    of_sub_bands: Callable[..., MeasuredSpectra | Unmeasured] | None = None,
) -> Iterator[Told]:
    with told_to_dagster():
        run_id, progress = context.run.run_id, log_progress(context)
        measured = step(workshop, key, run_id=run_id, progress=progress)
        if isinstance(measured, Unmeasured):
            context.log.warning(f"nothing to measure: {measured.reason}")
            for name in ("flux_scale", "positions", *([_INDICES] if of_sub_bands else [])):
                yield check_result(_not_evaluated(name, measured.reason))
            return
        spectra = of_sub_bands and of_sub_bands(workshop, key, run_id=run_id, progress=progress)
        verdicts = [*measured.verdicts]
        if isinstance(spectra, Unmeasured):
            verdicts.append(_not_evaluated(_INDICES, spectra.reason))
            spectra = None
        elif spectra:
            verdicts.append(spectra.verdict)
        yield dg.MaterializeResult(
            metadata={**checks_on_top(verdicts), **describe_measured(measured, spectra)},
            data_version=content_version(measured.record.checksum),
            check_results=[check_result(verdict) for verdict in verdicts],
        )


def _not_evaluated(name: str, reason: str) -> Verdict:
    return Verdict(name, True, f"not evaluated: {reason}", evaluated=False)


@dg.asset(
    partitions_def=mosaic_mjd,
    deps=[
        mosaic_60min,
        dg.AssetDep(image_5min, partition_mapping=dg.AllPartitionMapping()),
    ],
    check_specs=[
        *_checks("forced_photometry", mosaic_mjd),
        dg.AssetCheckSpec(
            _INDICES,
            asset="forced_photometry",
            partitions_def=mosaic_mjd,
            description="Spectral indices agree with the catalogue's, and the flux scales of the "
            "sub-bands with each other.",
        ),
    ],
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
    weren't detected are kept with their errors. Likewise in each sub-band of the mosaic's images,
    with the spectral index and curvature of each source.
    """
    yield from _measure(
        context, workshop, mosaic_key_of(context), measure_mosaic, measure_sub_bands
    )


@dg.asset(
    partitions_def=mosaic_mjd,
    deps=[mosaic_60min],
    check_specs=[
        dg.AssetCheckSpec(
            "found_sources",
            asset="found_sources",
            partitions_def=mosaic_mjd,
            description="Their number agrees with source counts, negative peaks are few, and the "
            "catalogue's bright sources are among them.",
        )
    ],
    group_name="photometry",
    kinds={"parquet"},
    owners=["team:variability"],
    tags={"stage": "photometry"},
    code_version="1",
    pool="mosaics",
)
@uses("settings", "products", "catalogues")
def found_sources(
    context: dg.AssetExecutionContext, workshop: Workshop
) -> Iterator[dg.MaterializeResult[None]]:
    """Find the sources of a mosaic without a catalogue.

    Positions, peak and integrated flux densities, sizes, position angles, blends; completeness from
    sources injected into the mosaic's own noise, reliability from its negative peaks. One Parquet
    file for each mosaic, and the same as VOTable.
    """
    with told_to_dagster():
        found = find_in_mosaic(
            workshop,
            mosaic_key_of(context),
            run_id=context.run.run_id,
            progress=log_progress(context),
        )
        yield dg.MaterializeResult(
            metadata=describe_found(found),
            data_version=content_version(found.product.checksum),
            check_results=[check_result(found.verdict)],
        )


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
