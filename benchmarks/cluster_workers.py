"""Throughput of Celery's workers on runs that only wait, beside the ideal.

Belongs here: a platform whose only step waits, its workers, and their throughput. Doesn't: hosts
that fail (see `tests/cluster`).
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.cluster_stores import servers
from contimg_resources.casa import Progress
from contimg_resources.cli.platform import Platform, dagster_home
from contimg_resources.core.errors import BenchFailed
from contimg_resources.steps.workshop import Workshop

#: A job whose step waits and writes when it began and ended.
_DEFINITIONS = """
import json, time
import dagster as dg
from pathlib import Path

@dg.op(config_schema={"seconds": float, "directory": str})
def wait(context):
    began_s = time.time()
    time.sleep(context.op_config["seconds"])
    took = json.dumps([began_s, time.time()])
    (Path(context.op_config["directory"]) / context.run_id).write_text(took)

@dg.job(executor_def=dg.in_process_executor)
def waiting():
    wait()

defs = dg.Definitions(jobs=[waiting])
"""
_LAUNCH = """
mutation Launch($params: ExecutionParams!) {
  launchRun(executionParams: $params) { __typename ... on PythonError { message } }
}
"""
_SELECTOR = {
    "repositoryName": "__repository__",
    "repositoryLocationName": "waiting_definitions",
    "pipelineName": "waiting",
}
_START_S = 300.0
#: Runs for each run at once.
_ROUNDS = 3


@dataclass(frozen=True)
class Throughput:
    """Throughput with a number of runs at once."""

    n_workers: int  #: Number of runs at once.
    n_runs: int  #: Number of runs.
    run_s: float  #: Time that each run waits, seconds.
    took_s: float  #: From the start of the first run to the end of the last, seconds.
    #: From the start of the first run until as many runs have started as can run at once, seconds.
    ramp_s: float
    #: From the end of a run to the beginning of the next one in its place, median, seconds.
    between_s: float
    #: Throughput over that of workers that lose no time, from the end of the ramp to the start of
    #: the last run.
    share: float
    load: float = 0.0  #: Load of the machine at the end, mean of a minute.


def measure_workers(
    directory: Path, numbers: tuple[int, ...], run_s: float, progress: Progress
) -> Iterator[Throughput]:
    """Yield the throughput with each number of runs at once."""
    with servers(directory) as (settings, _):
        stores = Workshop.from_settings(settings)
        stores.products.close()
        stores.registry.close()
        home = directory / "home"
        (home / "cluster").mkdir(parents=True)
        for name in ("dagster.yaml", "cluster/dagster.yaml"):
            shutil.copy(dagster_home() / name, home / name)
        (home / "waiting_definitions.py").write_text(_DEFINITIONS)
        (home / "workspace.yaml").write_text(
            "load_from:\n  - python_module: {module_name: waiting_definitions}\n"
        )
        os.environ["PYTHONPATH"] = f"{dagster_home()}:{home}"
        with Platform(settings.state, home=home, cluster=True) as platform:
            platform.wait_until_ready(_START_S)
            for number in numbers:
                progress(f"{number} runs at once", None)
                times = directory / f"times-{number}"
                times.mkdir()
                yield _measure(platform, number, run_s, times)


def _measure(platform: Platform, number: int, run_s: float, times: Path) -> Throughput:
    n_runs = _ROUNDS * number
    # They wait in Dagster's queue, as there is no worker yet.
    for _ in range(n_runs):
        _launch(platform, run_s, times)
    with _worker(number, times.with_suffix(".log")):
        limit_s = time.monotonic() + _START_S + 3 * _ROUNDS * run_s
        while len(list(times.iterdir())) < n_runs:
            if time.monotonic() > limit_s:
                raise BenchFailed(f"{len(list(times.iterdir()))} of {n_runs} runs ended")
            time.sleep(0.5)
    spans = [json.loads(path.read_text()) for path in times.iterdir()]
    return throughput(spans, number, run_s)


def throughput(spans: list[list[float]], number: int, run_s: float) -> Throughput:
    """Return the throughput of runs with these starts and ends, Unix time in seconds."""
    spans = sorted(spans)
    full_s, last_s = spans[number - 1][0], spans[-1][0]
    busy_s = sum(max(0.0, min(end, last_s) - max(began, full_s)) for began, end in spans)
    return Throughput(
        n_workers=number,
        n_runs=len(spans),
        run_s=run_s,
        took_s=max(end for _, end in spans) - spans[0][0],
        ramp_s=full_s - spans[0][0],
        between_s=median(_gaps(spans)),
        share=busy_s / (number * (last_s - full_s)),
        load=os.getloadavg()[0],
    )


def _gaps(spans: list[list[float]]) -> Iterator[float]:
    """Yield the time between a run and the next one in its place, by beginning."""
    ends = sorted(end for _, end in spans)
    n_first = sum(began < ends[0] for began, _ in spans)
    for end, (began, _) in zip(ends, spans[n_first:], strict=False):
        yield began - end


def _launch(platform: Platform, run_s: float, times: Path) -> None:
    config = {"ops": {"wait": {"config": {"seconds": run_s, "directory": str(times)}}}}
    params: dict[str, Any] = {
        "selector": _SELECTOR,
        "executionMetadata": {"tags": []},
        "runConfigData": config,
        "mode": "default",
    }
    answer = platform.graphql.query(_LAUNCH, {"params": params})["launchRun"]
    if not answer["__typename"].endswith("Success"):
        raise BenchFailed(f"a run can't be started: {answer}")


@contextmanager
def _worker(concurrency: int, log: Path) -> Iterator[None]:
    command = [sys.executable, "-m", "contimg_resources", "worker"]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*command, "--concurrency", str(concurrency)],
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)
