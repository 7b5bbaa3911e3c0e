"""The webserver for onlookers: it shows what is there, and has no code of ours evaluated.

Belongs here: what such a server may ask the code server for (``python -m contimg_assets.onlookers``
takes the arguments of ``dagster-webserver``). Doesn't: who may reach it (``docs/examples``).

With ``--read-only`` Dagster refuses mutations only. Queries evaluate sensors and schedules too,
plan runs, compute the configuration of a partition, and read any notebook; each of them by a call
of the code server. Here every call is refused but those that load the list of definitions.
"""

from typing import Any, NoReturn

import dagster._grpc.client
import grpc
from dagster._grpc.__generated__.dagster_api_pb2_grpc import DagsterApiStub
from dagster_webserver.cli import dagster_webserver

#: The calls that load the definitions, or tell whether the code server is there.
ALLOWED = frozenset(
    {
        "Ping",
        "StreamingPing",
        "Heartbeat",
        "GetServerId",
        "GetCurrentImage",
        "ListRepositories",
        "ExternalRepository",
        "StreamingExternalRepository",
        "ExternalJob",
    }
)


class NotForOnlookers(grpc.RpcError):  # type: ignore[misc]
    """A call of the code server that onlookers may not cause."""

    def code(self) -> grpc.StatusCode:
        """Return the code with which Dagster tells of it."""
        return grpc.StatusCode.PERMISSION_DENIED


class LookingStub(DagsterApiStub):
    """What a webserver asks a code server with, without the calls that evaluate anything.

    Parameters
    ----------
    channel : grpc.Channel
        The connection.
    """

    def __init__(self, channel: grpc.Channel) -> None:
        super().__init__(channel)  # type: ignore[no-untyped-call]
        for call in set(vars(self)) - ALLOWED:
            vars(self)[call] = _Refusal(call)


class _Refusal:
    def __init__(self, call: str) -> None:
        self._call = call

    def __call__(self, *_: Any, **__: Any) -> NoReturn:
        raise NotForOnlookers(f"a server for onlookers evaluates nothing ({self._call})")


def refuse_evaluation() -> None:
    """Let this process ask code servers for what may be shown only."""
    vars(dagster._grpc.client)["DagsterApiStub"] = LookingStub


if __name__ == "__main__":
    refuse_evaluation()
    dagster_webserver(prog_name="dagster-webserver")
