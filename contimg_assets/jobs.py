"""Jobs that the sensors and the schedule start, their tags, their queues on several machines."""

import dagster as dg

from contimg_assets.calibration import calibrated_ms, caltable_set
from contimg_assets.imaging import image_5min
from contimg_assets.measurement_sets import measurement_set
from contimg_assets.mosaics import mosaic_60min
from contimg_assets.new_sources import new_sources
from contimg_assets.observations import observation_log
from contimg_assets.photometry import forced_photometry, found_sources, image_photometry
from contimg_assets.staleness import caltables_current

#: A larger number goes first: a calibrator's set lets others start; live data go before old data.
SOLVE_PRIORITY = "20"
LIVE_PRIORITY = "10"

#: Dagster's tag for the priority.
PRIORITY_TAG = "dagster/priority"

#: Integer MJD of the UTC day, to find a day's runs.
DAY_TAG = "contimg/mjd_day"

#: Queues of runs on several machines: solving and converting, imaging, all other work.
QUEUES = ("casa", "imaging", "sky")

# In-process: a step's heavy work is in a CASA process, and one process for each step would cost
# five more seconds a run.
executor = dg.in_process_executor

solve_job = dg.define_asset_job(
    "solve_calibration",
    # The sensor updates the check of stale products.
    selection=dg.AssetSelection.assets(caltable_set) - dg.AssetSelection.checks(caltables_current),
    executor_def=executor,
    description="Solves and registers the caltable set of one calibrator observation.",
)

convert_job = dg.define_asset_job(
    "make_measurement_set",
    selection=dg.AssetSelection.assets(measurement_set),
    executor_def=executor,
    description="Makes the MS of a calibrator observation that arrived as sub-band files.",
)

image_job = dg.define_asset_job(
    "image_observation",
    selection=dg.AssetSelection.assets(
        measurement_set, calibrated_ms, image_5min, image_photometry
    ),
    executor_def=executor,
    description="Calibrates and images one observation, and measures its sources. The MS is made "
    "first if the observation arrived as sub-band files.",
)

#: Assets of `image_job` for an observation whose MS is there.
IMAGE_ASSETS = (calibrated_ms.key, image_5min.key, image_photometry.key)

photometry_job = dg.define_asset_job(
    "measure_image",
    selection=dg.AssetSelection.assets(image_photometry),
    executor_def=executor,
    description="Measures the sources of an image that was made elsewhere.",
)

mosaic_job = dg.define_asset_job(
    "make_mosaic",
    selection=dg.AssetSelection.assets(mosaic_60min, forced_photometry, found_sources, new_sources),
    executor_def=executor,
    description="Mosaics the images of an hour, finds its sources, measures the catalogue's, and "
    "searches for new ones.",
)

log_job = dg.define_asset_job(
    "log_day",
    selection=dg.AssetSelection.assets(observation_log),
    executor_def=executor,
    description="Summarizes one UTC day.",
)

nightly_log = dg.build_schedule_from_partitioned_job(
    log_job,
    name="nightly_log",
    hour_of_day=0,
    minute_of_hour=30,
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Writes the log of the UTC day that ended half an hour ago.",
)


_QUEUES_OF_ASSETS = {
    "casa": {caltable_set.key, measurement_set.key},
    "imaging": {calibrated_ms.key, image_5min.key},
}
_QUEUES_OF_JOBS = {
    solve_job.name: "casa",
    convert_job.name: "casa",
    image_job.name: "imaging",
}


def queue_of(run: dg.DagsterRun) -> str:
    """Return the queue of a run: that of the heaviest asset that it makes.

    A run of `image_job` makes the MS too, where the observation arrived as sub-band files.
    """
    if run.job_name in _QUEUES_OF_JOBS:
        return _QUEUES_OF_JOBS[run.job_name]
    selected = run.asset_selection or frozenset()
    for queue in ("imaging", "casa"):
        if selected & _QUEUES_OF_ASSETS[queue]:
            return queue
    return "sky"
