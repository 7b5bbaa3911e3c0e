"""The webserver for onlookers: it shows the state, and evaluates no code of contimg.

Belongs here: the calls to the code server that it allows (``python -m contimg_assets.onlookers``
takes the arguments of ``dagster-webserver``). Doesn't: access to it (``docs/examples``).

With ``--read-only`` Dagster refuses mutations only. Queries also evaluate sensors and schedules,
plan runs, compute the configuration of a partition, and read any notebook, each through a call to
the code server. This server refuses every call except those that load the list of definitions.
"""

from typing import Any, NoReturn

import dagster._grpc.client
import grpc
from dagster._grpc.__generated__.dagster_api_pb2_grpc import DagsterApiStub
from dagster_webserver.cli import dagster_webserver

#: The calls that load the definitions, or check whether the code server answers.
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
    """A call to the code server that is not allowed for onlookers."""

    def code(self) -> grpc.StatusCode:
        """Return the status code that Dagster reports."""
        return grpc.StatusCode.PERMISSION_DENIED


class LookingStub(DagsterApiStub):
    """A webserver's client of a code server, without the calls that evaluate anything.

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
    """Restrict this process to the calls to code servers that onlookers may make."""
    vars(dagster._grpc.client)["DagsterApiStub"] = LookingStub


if __name__ == "__main__":
    refuse_evaluation()
    dagster_webserver(prog_name="dagster-webserver")
