"""What a killed platform left behind, or a clock that was put back: runs, and times to come.

Belongs here: what ``contimg up`` does (``python -m contimg_assets.leftovers``) before the daemon
starts, and when the clock was put back meanwhile. Doesn't: runs that end while a platform is
there; Dagster notices those itself.

Without it, such a run would hold its slots until `max_runtime_seconds` were over: Dagster's
launcher for local processes can't tell whether the worker of a run lives.
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


def end_leftovers(instance: dg.DagsterInstance, before_s: float = math.inf) -> int:
    """Mark the runs as failed whose workers ended with the platform before; return how many.

    Dagster's daemon then starts each again, as any run whose worker died, for which it needs a code
    server.

    Parameters
    ----------
    instance : dagster.DagsterInstance
        The instance.
    before_s : float
        Runs that went on after this time, Unix time in seconds, are not left over. While a platform
        runs on the instance: when its code server died.
    """

    def left_over(*statuses: dg.DagsterRunStatus) -> list[dg.DagsterRun]:
        records = instance.get_run_records(dg.RunsFilter(statuses=list(statuses)))
        return [r.dagster_run for r in records if r.update_timestamp.timestamp() < before_s]

    left = left_over(*_WITH_WORKER)
    for run in left:
        instance.report_run_failed(
            run, "interrupted: the platform ended while this run was in progress"
        )
    # To be cancelled is what somebody wanted: that isn't started again.
    cancelled = left_over(dg.DagsterRunStatus.CANCELING)
    for run in cancelled:
        instance.report_run_canceled(run)
    return len(left) + len(cancelled)


def forget_times_to_come(instance: dg.DagsterInstance, now_s: float) -> int:
    """Let the sensors tick whose last tick is in the future; return how many.

    When the clock was put back by hours, Dagster would let none of them tick for as many hours.

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
    """Return the cursor of a sensor; where it names a time to come, as for runs, the present."""
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
    end_leftovers(opened, *map(float, sys.argv[1:]))
