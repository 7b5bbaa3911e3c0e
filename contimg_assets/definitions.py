"""All definitions, as Dagster loads them.

Belongs here: the list of modules, and the one function that binds what they define to resources.
Doesn't: the definitions themselves.
"""

import gc
from collections.abc import Callable, Mapping
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
    new_sources,
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
    *(observations, measurement_sets, calibration, imaging, mosaics, photometry, new_sources),
    *(variability, exports, reprocessing, jobs, sensors, staleness, alerting, housekeeping),
)


#: Pages of the documentation, and views of the dashboard, by group of assets.
_PAGES = {
    "arrival": ("concepts", "observations"),
    "calibration": ("registry", "calibration"),
    "imaging": ("concepts", "quality"),
    "mosaics": ("photometry", "mosaics"),
    "photometry": ("photometry", "sources"),
    "variability": ("variability", "candidates"),
    "export": ("dashboard", "tonight"),
    "log": ("operations", "tonight"),
    "reprocessing": ("operations", "observations"),
}


def _linking(settings: Settings) -> Callable[[dg.AssetSpec], dg.AssetSpec]:
    """Return a function that adds links to the documentation and the dashboard to a description."""
    docs, dashboard = settings.docs_url, settings.alerts.dashboard_url

    def linked(spec: dg.AssetSpec) -> dg.AssetSpec:
        page, view = _PAGES[spec.group_name or ""]
        links = [f"Documentation: [{page}]({docs}{page}/)" if docs else f"Documentation: `{page}`"]
        links += [f"dashboard: [{view}]({dashboard}#/{view})"] if dashboard else []
        return spec.replace_attributes(description=f"{spec.description}\n\n{'; '.join(links)}.")

    return linked


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
    found = dg.load_definitions_from_modules(_MODULES)
    assets = [a for a in found.assets or () if isinstance(a, dg.AssetsDefinition | dg.AssetSpec)]
    return dg.Definitions.merge(
        dg.Definitions(
            assets=dg.map_asset_specs(_linking(known), assets),
            asset_checks=found.asset_checks,
            jobs=found.jobs,
            schedules=found.schedules,
            sensors=found.sensors,
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
