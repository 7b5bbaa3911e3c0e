"""Dry runs of sensors: they evaluate nothing.

Belongs here: distinguishing a dry run from a tick, and keeping sensors from it. Doesn't: any
sensor.

Dagster's web interface evaluates a sensor when somebody only wants to see the effect of its next
tick. Our sensors read MS with CASA and record arrivals in the stores, which a preview must not do.
"""

from typing import Any

import dagster as dg

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

    This replaces the one method through which Dagster evaluates sensors: Dagster copies sensors,
    with other jobs, so a change to a single sensor would be lost.

    Raises
    ------
    RuntimeError
        If this Dagster evaluates sensors in another way: then the definitions must not be served.
    """
    for owner, name in (
        (dg.SensorDefinition, "evaluate_tick"),
        (dg.SensorEvaluationContext, "log_key"),
    ):
        if not hasattr(owner, name):
            raise RuntimeError(
                f"Dagster {dg.__version__} has no {owner.__name__}.{name}: dry runs of sensors "
                "can't be refused, so contimg's definitions aren't loaded"
            )
    evaluate = dg.SensorDefinition.evaluate_tick
    if getattr(evaluate, _MARK, False):
        return

    def evaluate_tick(sensor: dg.SensorDefinition, context: dg.SensorEvaluationContext) -> Any:
        return evaluate(_QUIET if is_dry_run(context) else sensor, context)

    setattr(evaluate_tick, _MARK, True)
    dg.SensorDefinition.evaluate_tick = evaluate_tick  # type: ignore[method-assign, assignment]


#: Marks the method that refuses dry runs.
_MARK = "refuses_dry_runs"

#: Evaluated in the place of each sensor; it starts nothing.
_QUIET = dg.SensorDefinition(name="dry_run", evaluation_fn=lambda _: dg.SkipReason(REFUSAL))
