"""Dry runs of sensors: they evaluate nothing.

Belongs here: distinguishing a dry run from a tick, and keeping sensors from it. Doesn't: any
sensor.

Dagster's web interface evaluates a sensor when somebody only wants to see the effect of its next
tick. Our sensors read MS with CASA and record arrivals in the stores, which a preview must not do.
"""

import dagster as dg
from dagster._core.definitions.sensor_definition import SensorExecutionData

#: Message of a dry run.
REFUSAL = (
    "a dry run evaluates nothing: a tick of this sensor reads and records arrivals; see the "
    "results of its last ticks"
)


def is_dry_run(context: dg.SensorEvaluationContext) -> bool:
    """Return whether a sensor is evaluated outside a tick of the daemon.

    The daemon puts the number of the tick into the key of the sensor's log; for a dry run Dagster
    generates a key that ends with the time. A sensor that is called by hand has no such key.
    """
    key = context.log_key
    return key is not None and not key[-1].isdecimal()


def refuse_dry_runs() -> None:
    """Make every sensor of this process answer a dry run without being evaluated.

    This patches the one method through which Dagster evaluates sensors: Dagster copies sensors,
    with other jobs, so a change to a single sensor would be lost.
    """
    if _evaluate is dg.SensorDefinition.evaluate_tick:
        dg.SensorDefinition.evaluate_tick = _evaluate_tick  # type: ignore[method-assign, assignment]


_evaluate = dg.SensorDefinition.evaluate_tick


def _evaluate_tick(
    sensor: dg.SensorDefinition, context: dg.SensorEvaluationContext
) -> SensorExecutionData:
    if not is_dry_run(context):
        return _evaluate(sensor, context)
    return SensorExecutionData(skip_message=REFUSAL, cursor=context.cursor)
