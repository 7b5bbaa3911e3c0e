"""The code server of a real platform: killed with runs in the queue, and asked by onlookers."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import grpc
import grpc.aio
import pytest

from contimg_assets.onlookers import ALLOWED, NotForOnlookers, refuse_evaluation
from contimg_resources.cli.graphql import GraphQL
from contimg_resources.cli.platform import Platform, free_port
from tests.cli.small_platform import make_home

DEFINITIONS = """
import os
import dagster as dg

N_RUNS = 6

def tell(what):
    with open(os.environ["CONTIMG_STATE"] + "/evaluated", "a") as told:
        told.write(what + "\\n")

@dg.op
def work():
    pass

@dg.job
def job():
    work()

@dg.static_partitioned_config(partition_keys=["a"])
def of_partition(key):
    tell("partition")
    return {}

@dg.job(config=of_partition)
def partitioned():
    work()

@dg.sensor(job=job, minimum_interval_seconds=2)
def starter():
    for number in range(N_RUNS):
        yield dg.RunRequest(run_key=str(number))

@dg.sensor(
    job=job, minimum_interval_seconds=3600, default_status=dg.DefaultSensorStatus.RUNNING
)
def looked_at():
    tell("sensor")
    yield dg.SkipReason("nothing")

@dg.schedule(job=job, cron_schedule="0 0 * * *")
def daily():
    tell("schedule")
    return {}

defs = dg.Definitions(
    jobs=[job, partitioned], sensors=[starter, looked_at], schedules=[daily]
)
"""


@dataclass
class Served:
    """A platform at work, and its two servers."""

    platform: Platform
    onlookers: GraphQL
    evaluated: Path

    def wait_for(self, what: str, condition: Callable[[], bool], timeout_s: float) -> list[str]:
        """Wait as `contimg up` does, and return what was started again."""
        restarts = []
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, f"{what}: {self.platform.runs()}"
            restarts += [r.name for r in self.platform.keep_alive()]
            time.sleep(0.5)
        return restarts


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    root = tmp_path_factory.mktemp("served")
    home = make_home(root / "home")
    (home / "made_up_definitions.py").write_text(DEFINITIONS)
    port = free_port()
    with Platform(root / "state", home=home, onlookers_port=port) as platform:
        platform.wait_until_ready()
        served = Served(platform, GraphQL(f"http://127.0.0.1:{port}"), root / "state" / "evaluated")
        served.wait_for("the server for onlookers", lambda: _loaded(served.onlookers), 60)
        # A sensor has a next tick once it had a first one.
        served.wait_for("a tick", lambda: _has_next_tick(platform.graphql), 90)
        yield served


def _loaded(server: GraphQL) -> bool:
    query = "{ repositoriesOrError { ... on RepositoryConnection { nodes { name } } } }"
    try:
        return bool(server.query(query)["repositoriesOrError"].get("nodes"))
    except Exception:
        return False


def _has_next_tick(server: GraphQL) -> bool:
    selector = f'sensorSelector: {{{_REPOSITORY}, sensorName: "looked_at"}}'
    query = f"{{ sensorOrError({selector}) {{ ... on Sensor {{ nextTick {{ timestamp }} }} }} }}"
    return bool(server.query(query)["sensorOrError"].get("nextTick"))


_REPOSITORY = 'repositoryLocationName: "made_up_definitions", repositoryName: "__repository__"'

#: Every kind of query by which a webserver asks the code server to evaluate something.
QUERIES = {
    "sensor": """
      sensorOrError(sensorSelector: {%s, sensorName: "looked_at"}) { ... on Sensor {
        nextTick { evaluationResult { skipReason error { message } } } } }""",
    "schedule": """
      scheduleOrError(scheduleSelector: {%s, scheduleName: "daily"}) { ... on Schedule {
        futureTicks(limit: 1) { results { evaluationResult { error { message } } } } } }""",
    "one of a schedule": """
      scheduleOrError(scheduleSelector: {%s, scheduleName: "daily"}) { ... on Schedule {
        futureTick(tickTimestamp: 1767225600) { evaluationResult { error { message } } } } }""",
    "partition": """
      partitionSetsOrError(repositorySelector: {%s}, pipelineName: "partitioned") {
        ... on PartitionSets { results { partitionsOrError { ... on Partitions { results {
          runConfigOrError { ... on PythonError { message } } } } } } } }""",
    "tags of a partition": """
      partitionSetsOrError(repositorySelector: {%s}, pipelineName: "partitioned") {
        ... on PartitionSets { results { partitionsOrError { ... on Partitions { results {
          tagsOrError { ... on PythonError { message } } } } } } } }""",
    "plan": """
      executionPlanOrError(
        mode: "default", runConfigData: {},
        pipeline: {%s, pipelineName: "job"}
      ) { ... on PythonError { message } }""",
    "part of a job": """
      pipelineOrError(params: {%s, pipelineName: "job", solidSelection: ["work"]}) {
        ... on Error { message } ... on Pipeline { name } }""",
}


@pytest.mark.parametrize("what", QUERIES)
def test_no_query_of_an_onlooker_has_anything_evaluated(served: Served, what: str) -> None:
    served.evaluated.unlink(missing_ok=True)
    query = f"{{ {QUERIES[what] % _REPOSITORY} }}"
    assert "PERMISSION_DENIED" in _said(served.onlookers, query)
    assert not served.evaluated.exists()
    # It is a query that has something evaluated.
    assert "PERMISSION_DENIED" not in _said(served.platform.graphql, query)
    if what in ("sensor", "schedule", "partition"):
        assert served.evaluated.read_text() == f"{what}\n"


def _said(server: GraphQL, query: str) -> str:
    try:
        return str(server.query(query))
    except Exception as error:
        return str(error)


def test_a_server_for_onlookers_may_only_load_the_definitions() -> None:
    from dagster._grpc.__generated__.dagster_api_pb2_grpc import DagsterApiServicer

    calls = {name for name in vars(DagsterApiServicer) if name[0].isupper()}
    assert calls >= ALLOWED
    assert calls - ALLOWED == {
        "CanCancelExecution",
        "CancelExecution",
        "ExecutionPlanSnapshot",
        "ExternalNotebookData",
        "ExternalPartitionConfig",
        "ExternalPartitionNames",
        "ExternalPartitionSetExecutionParams",
        "ExternalPartitionTags",
        "ExternalPipelineSubsetSnapshot",
        "ExternalScheduleExecution",
        "ExternalSensorExecution",
        "GetCurrentRuns",
        "RefreshComponentState",
        "ReloadCode",
        "ReloadCodeWithState",
        "ShutdownServer",
        "StartRun",
        "SyncExternalScheduleExecution",
        "SyncExternalSensorExecution",
    }


@pytest.fixture
def grpc_of_onlookers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restrict this process, for the time of a test."""
    for module in (grpc, grpc.aio):
        for name in ("insecure_channel", "secure_channel"):
            # Put back afterwards.
            monkeypatch.setattr(module, name, getattr(module, name))
    refuse_evaluation()


@pytest.mark.usefixtures("grpc_of_onlookers")
def test_whoever_opens_a_channel_it_has_the_allowed_calls_alone() -> None:
    """Also calls that a later Dagster adds, and other services."""
    refused = ("/api.DagsterApi/StartRun", "/api.DagsterApi/Evaluate", "/other.Api/Ping")
    kinds = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")

    def check(channel: Any) -> None:
        for kind in kinds:
            for address in refused:
                with pytest.raises(NotForOnlookers, match=address.rpartition("/")[2]):
                    getattr(channel, kind)(address)(b"")
            for address in ("/api.DagsterApi/Ping", "/grpc.health.v1.Health/Check"):
                assert "Callable" in type(getattr(channel, kind)(address)).__name__

    async def check_asynchronous() -> None:
        async with grpc.aio.insecure_channel("unix:/nothing") as channel:
            check(channel)

    with grpc.insecure_channel("unix:/nothing") as channel:
        check(channel)
    with grpc.secure_channel("localhost:1", grpc.ssl_channel_credentials()) as channel:
        check(channel)
    asyncio.run(check_asynchronous())


def test_a_server_for_onlookers_that_can_t_be_restricted_doesn_t_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as without:
        for module in (grpc, grpc.aio):
            for name in ("insecure_channel", "secure_channel"):
                without.setattr(module, name, getattr(module, name))
        another = ModuleType("dagster_of_tomorrow")
        vars(another)["open"] = grpc.insecure_channel
        without.setitem(sys.modules, another.__name__, another)
        with pytest.raises(RuntimeError, match=r"dagster_of_tomorrow .* it doesn't start"):
            refuse_evaluation()
    monkeypatch.delattr(grpc, "secure_channel")
    monkeypatch.setattr(grpc, "insecure_channel", grpc.insecure_channel)
    with pytest.raises(RuntimeError, match="grpc has no secure_channel"):
        refuse_evaluation()


def _main_process(platform: Platform) -> int:
    """Return the code server itself, below the process that watches it."""
    found: list[int] = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().split(b"\0")
            state = f"CONTIMG_STATE={platform.state}".encode()
            mine = state in (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if mine and command[1:5] == [b"-m", b"dagster", b"api", b"grpc"]:
            found.append(int(entry.name))
    (pid,) = found
    return pid


def test_runs_in_the_queue_outlive_the_code_server(served: Served) -> None:
    platform = served.platform
    platform.start_sensors(["starter"])
    served.wait_for("the runs", lambda: len(platform.runs()) > 5, 60)
    os.kill(_main_process(platform), signal.SIGKILL)
    # One that was just being launched may die with the code server; those in the queue don't.
    queued = {r.run_id for r in platform.runs() if r.status == "QUEUED"}
    assert len(queued) > 1

    def succeeded() -> bool:
        runs: tuple[Any, ...] = platform.runs()
        done = {r.run_id for r in runs if r.status == "SUCCESS"}
        return queued <= done and all(r.over for r in runs)

    restarts = served.wait_for("the end of the runs", succeeded, 300)
    assert restarts == ["dagster-code-server"]


def test_a_code_server_that_hangs_is_replaced(served: Served) -> None:
    hanging = _main_process(served.platform)
    os.kill(hanging, signal.SIGSTOP)
    restarts = served.wait_for("its successor", lambda: not Path(f"/proc/{hanging}").exists(), 60)
    assert restarts == ["dagster-code-server"]
    served.wait_for(
        "its answer",
        lambda: (
            "nothing" in _said(served.platform.graphql, f"{{ {QUERIES['sensor'] % _REPOSITORY} }}")
        ),
        60,
    )
