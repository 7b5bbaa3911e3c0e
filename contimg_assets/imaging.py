"""The asset of imaging: an observation's 5-minute image, and the checks on it."""

from collections.abc import Iterator

import dagster as dg

from contimg_assets.calibration import calibrated_ms
from contimg_assets.descriptions import describe_image
from contimg_assets.failures import stop_at_failed_checks, told_to_dagster
from contimg_assets.partitions import observation_key, observation_mjd
from contimg_assets.telling import (
    check_result,
    checks_on_top,
    content_version,
    dashboard_link,
    dashboard_picture,
    log_progress,
)
from contimg_resources.steps.imaging import image_observation
from contimg_resources.steps.resource import uses
from contimg_resources.steps.workshop import Workshop


def _check(name: str, description: str, *, blocking: bool = True) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(
        name,
        asset="image_5min",
        partitions_def=observation_mjd,
        blocking=blocking,
        description=description,
    )


@dg.asset(
    partitions_def=observation_mjd,
    deps=[calibrated_ms],
    check_specs=[
        _check("image_rms", "The rms agrees with the noise expected from the visibilities."),
        _check("beam_sane", "The synthesized beam is an ellipse that the pixels sample well."),
        _check(
            "known_fluxes",
            "Flux densities after primary-beam correction agree with the reference catalogue.",
        ),
        _check("astrometry", "Positions agree with the reference catalogue."),
        _check(
            "antennas",
            "No antenna is at fault, except those that a person marked as bad.",
            blocking=False,
        ),
    ],
    group_name="imaging",
    kinds={"casa", "fits"},
    owners=["team:imaging"],
    tags={"stage": "imaging"},
    code_version="1",
    pool="imaging",
)
@uses("settings", "products", "casa", "calibrators", "catalogues")
def image_5min(
    context: dg.AssetExecutionContext, workshop: Workshop
) -> Iterator[dg.MaterializeResult[None]]:
    """Image five minutes of drift: w-projection, Briggs weights, CLEAN down to the noise.

    The image is corrected for the time-averaged primary beam and blanked where the beam falls below
    its limit. FITS files (image, PB-corrected, residual, PSF, primary beam) have their whole origin
    in the header. Parts of the band are imaged as well, each with its own primary beam.
    """
    key = observation_key(context)
    with told_to_dagster():
        imaged = image_observation(
            workshop, key, run_id=context.run.run_id, progress=log_progress(context)
        )
        yield dg.MaterializeResult(
            metadata={
                **checks_on_top((*imaged.verdicts, imaged.health)),
                **dashboard_picture(workshop.settings, f"observations/{key}"),
                **describe_image(imaged),
                **dashboard_link(workshop.settings, f"observations/{key}"),
            },
            data_version=content_version(*imaged.checksums),
            check_results=[
                *(check_result(verdict) for verdict in imaged.verdicts),
                check_result(imaged.health, dg.AssetCheckSeverity.WARN),
            ],
        )
        stop_at_failed_checks(imaged.verdicts)
