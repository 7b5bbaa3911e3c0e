"""Orphaned runs of a killed platform, and ticks in the future after the clock was set back.

Belongs here: the clean-up that ``contimg up`` runs (``python -m contimg_assets.orphans``) before
the daemon starts, and when the clock was set back meanwhile. Doesn't: runs that end while a
platform runs; Dagster notices those itself.

Without it, an orphaned run would hold its slots for `max_runtime_seconds`: Dagster's launcher for
local processes can't check whether the worker of a run is alive.
"""

import json
import math
import sys
import time
from datetime import UTC, datetime
from typing import Any

import dagster as dg

#: The states in which a run has a worker, or is about to get one.
_WITH_WORKER = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]

#: Clocks differ by some seconds.
_TOLERANCE_S = 60.0


def end_orphaned_runs(instance: dg.DagsterInstance, before_s: float = math.inf) -> int:
    """Mark orphaned runs as failed, whose workers ended with the platform; return their number.

    Dagster's daemon then starts each again, like any run whose worker died; this needs a code
    server.

    Parameters
    ----------
    instance : dagster.DagsterInstance
        The instance.
    before_s : float
        Runs that were updated after this time, Unix time in seconds, are not orphaned. While a
        platform runs on the instance: when its code server died.
    """
    if instance.run_launcher.supports_check_run_worker_health:
        # On other hosts they go on; Dagster itself asks for each whether its worker lives.
        return 0

    def left_over(*statuses: dg.DagsterRunStatus) -> list[dg.DagsterRun]:
        records = instance.get_run_records(dg.RunsFilter(statuses=list(statuses)))
        return [r.dagster_run for r in records if r.update_timestamp.timestamp() < before_s]

    left = left_over(*_WITH_WORKER)
    for run in left:
        instance.report_run_failed(
            run, "interrupted: the platform ended while this run was in progress"
        )
    # Somebody cancelled these: they aren't started again.
    cancelled = left_over(dg.DagsterRunStatus.CANCELING)
    for run in cancelled:
        instance.report_run_canceled(run)
    return len(left) + len(cancelled)


def forget_times_to_come(instance: dg.DagsterInstance, now_s: float) -> int:
    """Reset sensors whose last tick is in the future; return their number.

    When the clock was set back by hours, Dagster would start no tick of them for as many hours.

    Parameters
    ----------
    instance : dagster.DagsterInstance
        The instance.
    now_s : float
        The present, Unix time in seconds.
    """
    n_found = 0
    for state in instance.all_instigator_state():
        data = state.instigator_data
        times = {
            name: getattr(data, name, None)
            for name in (
                "last_tick_timestamp",
                "last_tick_start_timestamp",
                "last_tick_success_timestamp",
            )
        }
        if data is None or max(t or 0.0 for t in times.values()) < now_s + _TOLERANCE_S:
            continue
        cursor = _cursor_of(getattr(data, "cursor", None), now_s)
        changed: dict[str, Any] = {**dict.fromkeys(times), "cursor": cursor}
        instance.update_instigator_state(state.with_data(data._replace(**changed)))
        n_found += 1
    return n_found


def _cursor_of(cursor: str | None, now_s: float) -> str | None:
    """Return the cursor of a sensor; a time in it that is in the future becomes the present."""
    now = datetime.fromtimestamp(now_s, tz=UTC)
    try:
        told = json.loads(cursor or "")
        at = datetime.fromisoformat(told["update_timestamp"])
    except (ValueError, TypeError, KeyError):
        return cursor
    if at.replace(tzinfo=at.tzinfo or UTC) <= now:
        return cursor
    return json.dumps({**told, "update_timestamp": now.isoformat()})


if __name__ == "__main__":
    opened = dg.DagsterInstance.get()
    forget_times_to_come(opened, time.time())
    end_orphaned_runs(opened, *map(float, sys.argv[1:]))
