"""Assets of the correlator's sub-band files, and of the MS made of them."""

from collections.abc import Iterator

import dagster as dg

from contimg_assets.descriptions import describe_measurement_set
from contimg_assets.failures import stop_at_failed_checks, told_to_dagster
from contimg_assets.partitions import observation_key, observation_mjd
from contimg_assets.telling import check_result, checks_on_top, content_version, log_progress
from contimg_resources.core.errors import UnreadableObservation
from contimg_resources.steps.converting import make_measurement_set
from contimg_resources.steps.resource import uses
from contimg_resources.steps.workshop import Workshop

incoming_sub_bands = dg.AssetSpec(
    "incoming_sub_bands",
    partitions_def=observation_mjd,
    group_name="arrival",
    kinds={"hdf5"},
    owners=["team:observing"],
    tags={"stage": "arrival"},
    description="The sub-band files (UVH5) of an observation, as the correlator wrote them. "
    "contimg reads them and never changes them. A sensor groups them by the times that they hold "
    "and reports each observation when it is complete; its key is its mid-MJD.",
)


@dg.asset(
    partitions_def=observation_mjd,
    deps=[incoming_sub_bands],
    check_specs=[
        dg.AssetCheckSpec(
            "matches_headers",
            asset="measurement_set",
            partitions_def=observation_mjd,
            blocking=True,
            description="Rows, times, bands and UVW of the MS agree with the headers.",
        )
    ],
    group_name="arrival",
    kinds={"casa", "measurementset"},
    owners=["team:observing"],
    tags={"stage": "arrival"},
    code_version="1",
    pool="casa",
)
@uses("settings", "registry", "products", "casa", "calibrators")
def measurement_set(
    context: dg.AssetExecutionContext, workshop: Workshop
) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
    """Make the MS of an observation that arrived as sub-band files.

    Each integration gets its own phase centre on the meridian. The windows of missing sub-bands are
    flagged; sub-bands that come later have the MS made again. Nothing is made for an observation
    that arrived as an MS, nor, without `uvh5.keep_ms`, for one whose caltable set is known and that
    is no calibrator's: its sub-bands are calibrated directly.
    """
    key = observation_key(context)
    with told_to_dagster():
        try:
            made = make_measurement_set(
                workshop, key, run_id=context.run.run_id, progress=log_progress(context)
            )
        except UnreadableObservation as error:
            if "check" in error.details:
                yield dg.AssetCheckResult(
                    check_name="matches_headers", passed=False, description=error.message
                )
            raise
        for note in made.observation.notes:
            context.log.warning(note)
        yield dg.MaterializeResult(
            metadata={**checks_on_top([made.verdict]), **describe_measurement_set(made)},
            data_version=content_version(made.observation.signature),
            check_results=[check_result(made.verdict)],
        )
        stop_at_failed_checks([made.verdict])
