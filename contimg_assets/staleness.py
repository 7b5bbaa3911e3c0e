"""The check for stale products.

Belongs here: the check that lists them, and the sensor that keeps it up to date without any run.
Doesn't: deciding which products are stale (see `contimg_resources.steps.staleness`).

The check belongs to `caltable_set`, since changes of sets make products stale. As a check of an
asset of observations it would run over all observations in every observation's run.
"""

from collections.abc import Sequence

import dagster as dg

from contimg_assets.calibration import caltable_set
from contimg_assets.descriptions import describe_stale
from contimg_assets.failures import told_to_dagster
from contimg_resources.settings import SensorSettings
from contimg_resources.steps.resource import uses
from contimg_resources.steps.staleness import Stale, stale_observations
from contimg_resources.steps.workshop import Workshop

_NAME = "caltables_current"


@dg.asset_check(
    asset=caltable_set,
    name=_NAME,
    description="Every product was made with the caltable set that is valid for its observation "
    "now. A set that is added, replaced or retired makes products stale; this lists them.",
)
@uses("settings", "registry", "products")
def caltables_current(workshop: Workshop) -> dg.AssetCheckResult:
    """Look up the valid set of every imaged observation again."""
    with told_to_dagster():
        stale = stale_observations(workshop)
    return dg.AssetCheckResult(
        passed=not stale,
        severity=dg.AssetCheckSeverity.WARN,
        description=_in_words(stale),
        metadata=describe_stale(stale),
    )


def build_staleness_sensor(pace: SensorSettings) -> dg.SensorDefinition:
    """Return the sensor that updates the check when its result changes."""

    @dg.sensor(
        name="staleness_sensor",
        # Dagster requires the targets of a sensor; this one starts nothing.
        asset_selection=[caltable_set],
        minimum_interval_seconds=pace.interval_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Lists the stale products in the check `caltables_current` whenever "
        "caltable sets or products change. Starts nothing: `contimg reprocess --only stale` does.",
    )
    @uses("settings", "registry", "products")
    def staleness_sensor(
        context: dg.SensorEvaluationContext, workshop: Workshop
    ) -> dg.SensorResult | dg.SkipReason:
        # Dagster shows the result of a check only until the next materialization.
        shown = context.instance.get_latest_materialization_event(caltable_set.key)
        now = ":".join(
            str(last)
            for last in (
                workshop.registry.last_event_id(),
                workshop.products.last_event_id(),
                shown.timestamp if shown else "",
            )
        )
        if now == context.cursor:
            return dg.SkipReason("no caltable set and no product has changed")
        stale = stale_observations(workshop)
        context.update_cursor(now)
        return dg.SensorResult(
            skip_reason=_in_words(stale),
            asset_events=[
                dg.AssetCheckEvaluation(
                    asset_key=caltable_set.key,
                    check_name=_NAME,
                    passed=not stale,
                    severity=dg.AssetCheckSeverity.WARN,
                    description=_in_words(stale),
                    metadata=describe_stale(stale),
                )
            ],
        )

    return staleness_sensor


def _in_words(stale: Sequence[Stale]) -> str:
    if not stale:
        return "every product was made with the caltable set that is valid now"
    first, last = stale[0].key, stale[-1].key
    n = len({s.key for s in stale})
    return (
        f"{n} observations have stale products"
        + (f", from {first} to {last}" if n > 1 else f": {first}")
        + "; `contimg reprocess --only stale` reprocesses them"
    )
