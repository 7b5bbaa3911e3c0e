"""All definitions, as Dagster loads them.

Belongs here: the list of modules, and the one function that binds what they define to resources.
Doesn't: the definitions themselves.
"""

import gc
from collections.abc import Mapping
from typing import Any

import dagster as dg

from contimg_assets import (
    alerting,
    calibration,
    exports,
    housekeeping,
    imaging,
    jobs,
    measurement_sets,
    mosaics,
    observations,
    photometry,
    reprocessing,
    sensors,
    staleness,
    variability,
)
from contimg_assets.dry_runs import refuse_dry_runs
from contimg_assets.exports import build_export_schedule
from contimg_assets.image_sensor import build_image_sensor
from contimg_assets.mosaic_sensor import build_mosaic_sensor
from contimg_resources.settings import Settings, load_settings
from contimg_resources.steps.resource import RESOURCES

#: Their assets, checks, jobs, schedules and sensors are loaded.
_MODULES = (
    *(observations, measurement_sets, calibration, imaging, mosaics, photometry),
    *(variability, exports, reprocessing, jobs, sensors, staleness, alerting, housekeeping),
)


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
    return dg.Definitions.merge(
        dg.load_definitions_from_modules(
            _MODULES,
            resources={**RESOURCES, **(resource_overrides or {})},
            executor=jobs.executor,
        ),
        dg.Definitions(
            schedules=[build_export_schedule(known.export)],
            sensors=[
                sensors.build_observation_sensor(pace),
                sensors.build_waiting_sensor(pace),
                build_image_sensor(pace),
                build_mosaic_sensor(pace),
                staleness.build_staleness_sensor(pace),
            ],
        ),
    )


refuse_dry_runs()
defs = build_defs()
# Definitions and the modules that they need stay, too: scanning their objects again and again would
# be a sixth of a run's own CPU time.
gc.freeze()
