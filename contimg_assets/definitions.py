"""All definitions, as Dagster loads them.

Belongs here: the list of definitions, and the one function that binds them to resources.
Doesn't: the definitions themselves.
"""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from contimg_assets.alerting import alert_sensor, alerts_job
from contimg_assets.calibration import calibrated_ms, caltable_set
from contimg_assets.dry_runs import refuse_dry_runs
from contimg_assets.exports import build_export_schedule, dashboard_export, export_job
from contimg_assets.housekeeping import daily_housekeeping, housekeeping_job
from contimg_assets.image_sensor import build_image_sensor
from contimg_assets.imaging import image_5min
from contimg_assets.jobs import (
    convert_job,
    executor,
    image_job,
    log_job,
    mosaic_job,
    nightly_log,
    photometry_job,
    solve_job,
)
from contimg_assets.measurement_sets import incoming_sub_bands, measurement_set
from contimg_assets.mosaic_sensor import build_mosaic_sensor
from contimg_assets.mosaics import mosaic_60min
from contimg_assets.observations import incoming_ms, observation_log
from contimg_assets.photometry import forced_photometry, image_photometry
from contimg_assets.reprocessing import reprocessed_day
from contimg_assets.sensors import (
    build_observation_sensor,
    build_waiting_sensor,
    run_cancellations,
    run_failures,
)
from contimg_assets.staleness import build_staleness_sensor, caltables_current
from contimg_assets.variability import (
    candidate_cards,
    cutouts,
    daily_job,
    daily_variability,
    ese_candidates,
    light_curves,
    variability,
)
from contimg_resources.settings import Settings, load_settings
from contimg_resources.steps.resource import RESOURCES


def build_defs(
    resource_overrides: Mapping[str, Any] | None = None, settings: Settings | None = None
) -> dg.Definitions:
    """Return the definitions, with some of the resources replaced for a test.

    Parameters
    ----------
    resource_overrides : mapping of str to object, optional
        Replaces resources of the same name: ``{"products": a_store}``.
    settings : Settings, optional
        Sets the intervals of the sensors; by default the settings of this process.
    """
    known = settings or load_settings()
    pace = known.sensors
    return dg.Definitions(
        assets=[
            incoming_ms,
            incoming_sub_bands,
            measurement_set,
            caltable_set,
            calibrated_ms,
            image_5min,
            image_photometry,
            mosaic_60min,
            forced_photometry,
            observation_log,
            light_curves,
            variability,
            ese_candidates,
            cutouts,
            candidate_cards,
            dashboard_export,
            reprocessed_day,
        ],
        asset_checks=[caltables_current],
        jobs=[
            convert_job,
            solve_job,
            image_job,
            photometry_job,
            mosaic_job,
            log_job,
            housekeeping_job,
            alerts_job,
            daily_job,
            export_job,
        ],
        schedules=[
            nightly_log,
            daily_housekeeping,
            daily_variability,
            build_export_schedule(known.export),
        ],
        sensors=[
            build_observation_sensor(pace),
            build_waiting_sensor(pace),
            build_image_sensor(pace),
            build_mosaic_sensor(pace),
            build_staleness_sensor(pace),
            alert_sensor,
            run_failures,
            run_cancellations,
        ],
        resources={**RESOURCES, **(resource_overrides or {})},
        executor=executor,
    )


refuse_dry_runs()
defs = build_defs()
