"""``contimg worker`` and ``contimg workers``: take runs from the queues, and list who does.

Belongs here: the commands. Doesn't: Celery's application (`contimg_assets.celery_app`), starting
the control plane (`.up`).
"""

import os
import sys
from dataclasses import asdict
from typing import Annotated, Any

import typer

from contimg_resources.cli.arguments import AsJson, StateDirectory
from contimg_resources.cli.console import print_json, print_table, remark, write_logs
from contimg_resources.cli.given import (
    check_shared,
    dagster_instance,
    environment_of,
    given_settings,
)
from contimg_resources.core.errors import ConfigurationError

#: Memory that a run may need, GB, to suggest a number of runs at once.
_RUN_GB = 8.0


def worker(
    queues: Annotated[
        str,
        typer.Option(
            help="The queues from which it takes runs, separated by commas: casa (solve and "
            "convert), imaging, sky (all other work)."
        ),
    ] = "casa,imaging,sky",
    concurrency: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Maximum number of runs at once, each with one CASA process. Default: one for "
            f"every two cores, and at most one for every {_RUN_GB:.0f} GB of memory.",
        ),
    ] = None,
    state: StateDirectory = None,
) -> None:
    """Take runs of a platform on several machines from its queues, until Ctrl-C.

    `contimg up --cluster` is the control plane. The settings must be those of the control plane,
    and the state directory the same, on a shared file system. Ctrl-C or SIGTERM let runs in
    progress finish and take no more; a second one ends them, and they are started again elsewhere.

    A worker that can't reach the state directory, or that meets stores of a newer contimg, returns
    the run to its queue and ends with exit code 1 when its other runs are finished.

    Example: `contimg worker --queues casa,imaging --concurrency 4`
    """
    settings = given_settings(state=state)
    write_logs(settings.log_format)
    check_shared(settings)
    from contimg_assets.jobs import QUEUES

    from contimg_resources.cli.platform import dagster_environment, dagster_home
    from contimg_resources.steps.workshop import check_host

    chosen = [q.strip() for q in queues.split(",") if q.strip()]
    if unknown := set(chosen) - set(QUEUES):
        raise ConfigurationError(
            f"there is no queue {', '.join(sorted(unknown))}: the queues are {', '.join(QUEUES)}"
        )
    if not chosen:
        raise ConfigurationError(f"--queues names none of {', '.join(QUEUES)}")
    # Reported here, and not by every run. Stores of an earlier contimg are the control plane's to
    # bring up to date.
    check_host(settings)
    os.environ.update(environment_of(settings))
    os.environ.update(dagster_environment(dagster_home(), settings.state, cluster=True))
    _import_definitions_from(str(dagster_home()))
    with dagster_instance(settings):
        pass
    n_runs = concurrency or _suggested_concurrency()
    remark(f"takes runs of {', '.join(chosen)}, at most {n_runs} at once; Ctrl-C stops it")
    # Only now, as it reads the settings.
    from contimg_assets.celery_app import app

    celery: Any = app.Worker(
        hostname=f"contimg-{os.getpid()}@{os.uname().nodename}",
        queues=chosen,
        concurrency=n_runs,
        pool="prefork",
        loglevel="INFO",
        optimization="fair",
        without_gossip=True,
        without_mingle=True,
        quiet=True,
    )
    celery.start()
    if celery.exitcode:
        raise typer.Exit(celery.exitcode)


def _import_definitions_from(home: str) -> None:
    """Let this process and those of its runs import what the control plane's code server does."""
    if home not in sys.path:
        sys.path.insert(0, home)


def _suggested_concurrency() -> int:
    cores = len(os.sched_getaffinity(0))
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return max(1, min(cores // 2, int(memory_gb / _RUN_GB)))


def workers(as_json: AsJson = False) -> None:
    """List the workers of a platform on several machines: hosts, load, runs, last sign of life.

    A worker that ended or was lost is listed for a day. Exit code 1 when none is alive.

    Example: `contimg workers --json`
    """
    settings = given_settings()
    if not settings.cluster.is_set:
        raise ConfigurationError(
            "the settings are those of one machine: there are no workers without "
            "cluster.broker_url (docs/how-to/several-machines.md)"
        )
    check_shared(settings)
    from contimg_assets.signs_of_life import all_signs, connect

    signs, now_s = all_signs(connect())
    runs = _described_runs(settings, [run for sign in signs for run in sign.runs])
    told = [
        {
            **asdict(sign),
            "runs": [runs.get(run, {"run_id": run}) for run in sign.runs],
            "silent_s": round(now_s - sign.at_s, 1),
            "alive": now_s - sign.at_s < settings.cluster.lost_after_s,
        }
        for sign in signs
    ]
    if as_json:
        print_json(told)
    elif told:
        print_table(
            ("worker", "state", "queues", "runs", "cores", "load", "memory", "scratch", "seen"),
            [_cells(one) for one in told],
        )
    else:
        remark("no worker has given a sign of life in the last day")
    if not any(one["alive"] for one in told):
        raise typer.Exit(1)


def _cells(one: dict[str, Any]) -> tuple[object, ...]:
    busy = [f"{r.get('job', r['run_id'])} {r.get('partition', '')}".strip() for r in one["runs"]]
    return (
        f"{one['host']}:{one['pid']}",
        "alive" if one["alive"] else "lost or ended",
        ", ".join(one["queues"]),
        f"{len(busy)} of {one['concurrency']}" + "".join(f"\n{run}" for run in busy),
        one["cores"],
        f"{one['load']:.1f}",
        f"{one['memory_gb']:.0f} GB",
        f"{one['scratch_free_gb']:.0f} GB free",
        f"{one['silent_s']:.0f} s ago",
    )


def _described_runs(settings: Any, run_ids: list[str]) -> dict[str, dict[str, str]]:
    """Return job and partition of runs, by id."""
    if not run_ids:
        return {}
    import dagster as dg
    from contimg_assets.runs import PARTITION_TAG

    with dagster_instance(settings) as instance:
        return {
            run.run_id: {
                "run_id": run.run_id,
                "job": run.job_name,
                "partition": run.tags.get(PARTITION_TAG, ""),
            }
            for run in instance.get_runs(dg.RunsFilter(run_ids=run_ids))
        }
