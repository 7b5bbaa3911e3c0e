"""The sensor that reports images made elsewhere to Dagster.

Belongs here: their partitions and materializations, requesting their photometry. Doesn't: adding
images (``contimg images add``).
"""

import dagster as dg

from contimg_assets.descriptions import describe_added
from contimg_assets.jobs import DAY_TAG, LIVE_PRIORITY, PRIORITY_TAG, photometry_job
from contimg_assets.partitions import add_requests, observation_mjd
from contimg_assets.runs import lost_requests
from contimg_assets.telling import content_version
from contimg_resources.core.times import mjd_day
from contimg_resources.products.model import ObservationRecord, ObservationState
from contimg_resources.settings import SensorSettings, Settings
from contimg_resources.steps.resource import uses
from contimg_resources.steps.workshop import Workshop

#: Dagster's tag of a data version.
_DATA_VERSION_TAG = "dagster/data_version"
#: Longest decimal number that is always a row id of SQLite (63 bits).
_MAX_DIGITS = 18


def build_image_sensor(pace: SensorSettings) -> dg.SensorDefinition:
    """Return the sensor that reports images made elsewhere and starts their photometry."""

    @dg.sensor(
        name="image_sensor",
        job=photometry_job,
        minimum_interval_seconds=pace.interval_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Reports images that were made elsewhere (`contimg images add`) as "
        "materialized, and starts their photometry.",
    )
    @uses("settings", "products")
    def image_sensor(
        context: dg.SensorEvaluationContext, workshop: Workshop
    ) -> dg.SensorResult | dg.SkipReason:
        seen = _seen(context.cursor)
        added, last = workshop.products.images_made_elsewhere.added_after(
            seen, pace.max_runs_per_tick
        )
        again = lost_requests(context.instance, photometry_job.name, (DAY_TAG, PRIORITY_TAG))
        if not added and not again:
            context.update_cursor(str(last))
            return dg.SkipReason("no image was added")
        wanted = _is_measured(workshop.settings)
        return dg.SensorResult(
            asset_events=[_materialized(workshop, record) for record in added],
            run_requests=[
                *again,
                *(
                    _request(record, last)
                    for record in added
                    if wanted and record.state is ObservationState.IMAGED
                ),
            ],
            dynamic_partitions_requests=add_requests(
                context.instance, observation_mjd, {r.key for r in added}
            ),
            cursor=str(last),
        )

    return image_sensor


def _seen(cursor: str | None) -> int:
    """Return the id of the last event that was reported; 0 for an invalid cursor."""
    text = cursor or ""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS else 0


def _is_measured(settings: Settings) -> bool:
    return settings.photometry.images and settings.catalogue.reference is not None


def _materialized(workshop: Workshop, record: ObservationRecord) -> dg.AssetMaterialization:
    checksums = [a.checksum for a in workshop.products.artefacts(record.key)]
    return dg.AssetMaterialization(
        "image_5min",
        partition=record.key,
        description=f"made elsewhere: {record.path}",
        metadata=describe_added(
            record,
            workshop.products.image(record.key),
            workshop.settings.layout.image_dir(record.key),
        ),
        tags={_DATA_VERSION_TAG: content_version(*checksums).value},
    )


def _request(record: ObservationRecord, last: int) -> dg.RunRequest:
    return dg.RunRequest(
        # With the event: a new version of an image is measured again.
        run_key=f"measure:{record.key}:{record.signature}:{last}",
        partition_key=record.key,
        tags={DAY_TAG: str(mjd_day(record.mid_mjd)), PRIORITY_TAG: LIVE_PRIORITY},
    )
