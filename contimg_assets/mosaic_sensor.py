"""The sensor that starts mosaics.

Belongs here: requesting their runs. Doesn't: which mosaics to make, and what they wait for (see
`contimg_resources.steps.mosaicking`).
"""

import dagster as dg

from contimg_assets.jobs import DAY_TAG, LIVE_PRIORITY, PRIORITY_TAG, mosaic_job
from contimg_assets.partitions import add_requests, mosaic_mjd
from contimg_assets.runs import asked_before, keys_in_progress, keys_to_ask
from contimg_resources.core.times import mjd_day
from contimg_resources.mosaics.due import OpenMosaic
from contimg_resources.settings import SensorSettings
from contimg_resources.steps.disk_space import shortage, unwritable
from contimg_resources.steps.mosaicking import open_mosaics
from contimg_resources.steps.resource import uses
from contimg_resources.steps.workshop import Workshop

#: Older changes start no run automatically; `contimg mosaic --all` makes those mosaics.
_CHANGED_DAYS = 3.0


def build_mosaic_sensor(pace: SensorSettings) -> dg.SensorDefinition:
    """Return the sensor that starts each mosaic whose images are complete or have changed."""

    @dg.sensor(
        name="mosaic_sensor",
        job=mosaic_job,
        minimum_interval_seconds=pace.interval_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Starts a mosaic once the images of its hour are made and its gaps are proven; "
        "starts it again when a late image arrives or an image is made again.",
    )
    @uses("settings", "products")
    def mosaic_sensor(
        context: dg.SensorEvaluationContext, workshop: Workshop
    ) -> dg.SensorResult | dg.SkipReason:
        if paused := shortage(workshop.settings) or unwritable(workshop.settings):
            return dg.SkipReason(f"paused: {paused}")
        found = open_mosaics(workshop, changed_days=_CHANGED_DAYS)
        wanted = {_run_key(m): m for m in found if not m.waits_for}
        due = keys_to_ask(asked_before(context.instance, wanted), wanted)
        running = keys_in_progress(context.instance, mosaic_job.name) if wanted else frozenset()
        chosen = [
            (due[run_key], mosaic)
            for run_key, mosaic in wanted.items()
            if run_key in due and mosaic.key not in running
        ][: pace.max_runs_per_tick]
        if not chosen:
            waiting = [m for m in found if m.waits_for]
            told = f"; {waiting[0].key} waits for {waiting[0].waits_for}" if waiting else ""
            return dg.SkipReason(f"{len(waiting)} mosaics wait{told}")
        keys = {mosaic.key for _, mosaic in chosen}
        return dg.SensorResult(
            run_requests=[_request(run_key, mosaic) for run_key, mosaic in chosen],
            dynamic_partitions_requests=add_requests(context.instance, mosaic_mjd, keys),
        )

    return mosaic_sensor


def _run_key(mosaic: OpenMosaic) -> str:
    # With the signature of its tiles: a mosaic that failed isn't tried again before they change.
    return f"mosaic:{mosaic.key}:{mosaic.signature}"


def _request(run_key: str, mosaic: OpenMosaic) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=run_key,
        partition_key=mosaic.key,
        tags={DAY_TAG: str(mjd_day(mosaic.planned.mid_mjd)), PRIORITY_TAG: LIVE_PRIORITY},
    )
