"""The check for stale products.

Belongs here: the check that lists them, and the sensor that keeps it up to date without any run.
Doesn't: deciding which products are stale (see `contimg_resources.steps.staleness`).

The check belongs to `caltable_set`, since changes of sets make products stale. As a check of an
asset of observations it would run over all observations in every observation's run.
"""

import json
from typing import Any

import dagster as dg

from contimg_assets.calibration import caltable_set
from contimg_assets.descriptions import MOST_STALE, describe_stale
from contimg_assets.failures import told_to_dagster
from contimg_resources.settings import SensorSettings
from contimg_resources.steps.resource import uses
from contimg_resources.steps.stale_days import StaleDays, StaleFound, changed_since, check_days
from contimg_resources.steps.workshop import Workshop

_NAME = "caltables_current"
#: A tick spends no more on checking days, seconds, since all sensors share a process; the next one
#: continues.
_BUDGET_S = 2.0
#: Message of a tick that had nothing to check.
UNCHANGED = "no caltable set and no product has changed"


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
        days = changed_since(workshop, StaleDays())
        stale = check_days(workshop, days, n_listed=MOST_STALE)
    return dg.AssetCheckResult(
        passed=not stale.n,
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
        shown_s = shown.timestamp if shown else None
        before, before_s = _read(context.cursor)
        days = changed_since(workshop, before)
        if (days, shown_s) == (before, before_s) and not days.left:
            return dg.SkipReason(UNCHANGED)
        stale = check_days(workshop, days, n_listed=MOST_STALE, budget_s=_BUDGET_S)
        context.update_cursor(json.dumps({"shown": shown_s, "days": stale.days.to_record()}))
        return dg.SensorResult(
            skip_reason=_in_words(stale),
            asset_events=[
                dg.AssetCheckEvaluation(
                    asset_key=caltable_set.key,
                    check_name=_NAME,
                    passed=not stale.n,
                    severity=dg.AssetCheckSeverity.WARN,
                    description=_in_words(stale),
                    metadata=describe_stale(stale),
                )
            ],
        )

    return staleness_sensor


def _read(cursor: str | None) -> tuple[StaleDays, Any]:
    """Return the days and the shown materialization of a cursor; nothing for any other text."""
    try:
        record = json.loads(cursor or "{}")
        return StaleDays.from_record(record.get("days")), record.get("shown")
    except (ValueError, AttributeError, RecursionError):
        return StaleDays(), None


def _in_words(stale: StaleFound) -> str:
    n_left = len(stale.days.left)
    rest = f"; {n_left} earlier days are still to be checked" if n_left else ""
    if not stale.n:
        return f"every product was made with the caltable set that is valid now{rest}"
    first = stale.listed[0].key
    return (
        f"{stale.n} observations have stale products"
        + (f", from {first} to {stale.last}" if stale.n > 1 else f": {first}")
        + f"; `contimg reprocess --only stale` reprocesses them{rest}"
    )
