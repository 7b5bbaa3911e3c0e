"""Dry runs of sensors: they evaluate nothing.

Belongs here: telling a dry run from a tick, and keeping sensors from it. Doesn't: any sensor.

Dagster's web interface evaluates a sensor when somebody only wants to see what its next tick would
do. Ours read MS with CASA and write what arrived into the stores, which is no business of a look.
"""

import dagster as dg
from dagster._core.definitions.sensor_definition import SensorExecutionData

#: What a dry run says.
REFUSAL = (
    "a dry run evaluates nothing: a tick of this sensor reads and records what arrived; its last "
    "ticks tell what it did"
)


def is_dry_run(context: dg.SensorEvaluationContext) -> bool:
    """Tell whether a sensor is evaluated without a tick of the daemon's.

    The daemon names the tick, by its number, in the key of the sensor's log; for a dry run Dagster
    makes up a key that ends with the time. A sensor that is called by hand has no such key.
    """
    key = context.log_key
    return key is not None and not key[-1].isdecimal()


def refuse_dry_runs() -> None:
    """Let every sensor of this process answer a dry run without being evaluated.

    In the one method through which Dagster evaluates sensors: it copies them, with other jobs, so
    that nothing done to one of them would last.
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
