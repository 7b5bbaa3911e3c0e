"""Sensors: what starts by itself, and what is told when a run fails.

Belongs here: asking Dagster to run something. Doesn't: deciding whether an MS is complete, what it
is, or which caltables serve it (see `contimg_resources.steps`).
"""

import dagster as dg

from contimg_assets.jobs import image_job, solve_job
from contimg_resources.settings import SensorSettings
from contimg_resources.steps.resource import WorkshopParam


def build_observation_sensor(pace: SensorSettings) -> dg.SensorDefinition:
    @dg.sensor(
        name="observation_sensor",
        jobs=[solve_job, image_job],
        minimum_interval_seconds=pace.interval_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def observation_sensor(
        context: dg.SensorEvaluationContext, workshop: WorkshopParam
    ) -> dg.SkipReason:
        return dg.SkipReason("no MS")

    return observation_sensor


def build_waiting_sensor(pace: SensorSettings) -> dg.SensorDefinition:
    @dg.sensor(
        name="waiting_sensor",
        job=image_job,
        minimum_interval_seconds=pace.interval_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def waiting_sensor(
        context: dg.SensorEvaluationContext, workshop: WorkshopParam
    ) -> dg.SkipReason:
        return dg.SkipReason("nothing waits")

    return waiting_sensor


@dg.run_failure_sensor(
    name="run_failures",
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def run_failures(context: dg.RunFailureSensorContext, workshop: WorkshopParam) -> None:
    pass
