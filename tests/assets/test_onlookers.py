"""The calls to a code server that a webserver for onlookers may make."""

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

import grpc
import grpc.aio
import pytest

from contimg_assets.onlookers import ALLOWED, NotForOnlookers, refuse_evaluation


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
    # In a thread of its own: a browser that another test left open keeps a loop in this one.
    with ThreadPoolExecutor(1) as elsewhere:
        elsewhere.submit(asyncio.run, check_asynchronous()).result()


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
