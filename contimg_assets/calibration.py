"""Assets of calibration: solved caltable sets and calibrated observations."""

from collections.abc import Iterator

import dagster as dg

from contimg_assets.descriptions import describe_calibrated, describe_set
from contimg_assets.failures import told_to_dagster
from contimg_assets.partitions import calibration_mjd, observation_key, observation_mjd
from contimg_assets.telling import content_version, dashboard_link, log_progress
from contimg_resources.core.errors import CalibrationFailed
from contimg_resources.steps.calibrating import calibrate_observation
from contimg_resources.steps.resource import uses
from contimg_resources.steps.solving import solve_observation
from contimg_resources.steps.workshop import Workshop


@dg.asset(
    partitions_def=calibration_mjd,
    deps=[
        dg.AssetDep("incoming_ms", partition_mapping=dg.AllPartitionMapping()),
        dg.AssetDep("measurement_set", partition_mapping=dg.AllPartitionMapping()),
    ],
    check_specs=[
        dg.AssetCheckSpec(
            "solve_quality",
            asset="caltable_set",
            partitions_def=calibration_mjd,
            blocking=True,
            description="Each table's SNR, flagged fraction and scatter are within their limits.",
        )
    ],
    group_name="calibration",
    kinds={"casa", "sqlite"},
    owners=["team:calibration"],
    tags={"stage": "calibration"},
    code_version="1",
    pool="casa",
)
@uses("settings", "registry", "products", "casa", "calibrators", "catalogues")
def caltable_set(
    context: dg.AssetExecutionContext, workshop: Workshop
) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
    """Solve K, BA, BP, GA, GP, 2G (and FLUX where possible) from one calibrator transit.

    The set is registered as a whole, with its validity window; a bad solve is registered as
    failed, with the reasons, and never applied. The registry, not this asset's partitions, decides
    which set applies to an observation.
    """
    key = observation_key(context)
    with told_to_dagster():
        try:
            solved = solve_observation(
                workshop, key, run_id=context.run.run_id, progress=log_progress(context)
            )
        except CalibrationFailed as failure:
            yield dg.AssetCheckResult(
                check_name="solve_quality", passed=False, description=failure.message
            )
            raise
        yield dg.MaterializeResult(
            metadata={
                **describe_set(solved),
                **dashboard_link(
                    workshop.settings, f"calibration/{solved.set.name}%2F{solved.set.version}"
                ),
            },
            data_version=content_version(*(table.checksum for table in solved.set.tables)),
            check_results=[
                dg.AssetCheckResult(
                    check_name="solve_quality",
                    passed=True,
                    description=f"{len(solved.set.tables)} tables are within their limits",
                )
            ],
        )


@dg.asset(
    partitions_def=observation_mjd,
    deps=[
        "incoming_ms",
        "measurement_set",
        dg.AssetDep(caltable_set, partition_mapping=dg.AllPartitionMapping()),
    ],
    group_name="calibration",
    kinds={"casa"},
    owners=["team:calibration"],
    tags={"stage": "calibration"},
    code_version="1",
    pool="casa",
)
@uses("settings", "registry", "products", "casa")
def calibrated_ms(
    context: dg.AssetExecutionContext, workshop: Workshop
) -> dg.MaterializeResult[None]:
    """Apply the caltables that are valid at the observation's mid-MJD, and write a new MS.

    The incoming MS isn't changed. All fields are shifted to one phase centre, and RFI is flagged in
    the calibrated data. The metadata list the set, its version and the tables' checksums.
    """
    key = observation_key(context)
    with told_to_dagster():
        calibrated = calibrate_observation(
            workshop, key, run_id=context.run.run_id, progress=log_progress(context)
        )
        return dg.MaterializeResult(
            metadata=describe_calibrated(calibrated),
            data_version=content_version(
                calibrated.observation.signature,
                *(table.checksum for table in calibrated.active.set.tables),
            ),
        )
