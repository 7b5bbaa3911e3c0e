"""Runs that a killed platform left behind: they are told as failed, so that they start again.

Belongs here: what ``contimg up`` does (``python -m contimg_assets.leftovers``) before the daemon
starts. Doesn't: runs that end while a platform is there; Dagster notices those itself.

Without it, such a run would hold its slots until `max_runtime_seconds` were over: Dagster's
launcher for local processes can't tell whether the worker of a run lives.
"""

import dagster as dg

#: The states in which a run has a worker, or is about to get one.
_WITH_WORKER = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]


def end_leftovers(instance: dg.DagsterInstance) -> int:
    """Mark the runs as failed whose workers ended with the platform before; return how many.

    Only to be called while no platform runs on the instance. Dagster's daemon then starts each
    again, as any run whose worker died.

    Parameters
    ----------
    instance : dagster.DagsterInstance
        The instance.
    """
    left = instance.get_run_records(dg.RunsFilter(statuses=_WITH_WORKER))
    for record in left:
        instance.report_run_failed(
            record.dagster_run, "interrupted: the platform ended while this run was in progress"
        )
    # To be cancelled is what somebody wanted: that isn't started again.
    cancelled = instance.get_run_records(dg.RunsFilter(statuses=[dg.DagsterRunStatus.CANCELING]))
    for record in cancelled:
        instance.report_run_canceled(record.dagster_run)
    return len(left) + len(cancelled)


if __name__ == "__main__":
    end_leftovers(dg.DagsterInstance.get())
