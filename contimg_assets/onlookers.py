"""The webserver for onlookers: it shows the state, and evaluates no code of contimg.

Belongs here: the calls to the code server that it allows (``python -m contimg_assets.onlookers``
takes the arguments of ``dagster-webserver``). Doesn't: access to it (``docs/examples``).

With ``--read-only`` Dagster refuses mutations only. Queries also evaluate sensors and schedules,
plan runs, compute the configuration of a partition, and read any notebook, each through a call to
the code server over gRPC. Every channel that gRPC opens in this process refuses each call except
those that load the list of definitions, also calls that a later Dagster may add.
"""

import sys
from collections.abc import Callable
from typing import Any, NoReturn

import grpc
import grpc.aio

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
_ADDRESSES = frozenset({"/grpc.health.v1.Health/Check", *(f"/api.DagsterApi/{c}" for c in ALLOWED)})

#: How gRPC opens a channel, and how a channel makes the function of a call.
_OPENERS = ("insecure_channel", "secure_channel")
_KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")


class NotForOnlookers(grpc.RpcError):  # type: ignore[misc]
    """A call to the code server that is not allowed for onlookers."""

    def code(self) -> grpc.StatusCode:
        """Return the status code that Dagster reports."""
        return grpc.StatusCode.PERMISSION_DENIED


def refuse_evaluation() -> None:
    """Restrict this process to the calls to code servers that onlookers may make.

    Raises
    ------
    RuntimeError
        If that can't be guaranteed: gRPC opens channels in another way, or a loaded module of
        Dagster keeps a function that opens them.
    """
    for module in (grpc, grpc.aio):
        for name in _OPENERS:
            opener = getattr(module, name, None)
            if opener is None:
                raise RuntimeError(
                    f"{module.__name__} has no {name}: this server can't be kept from evaluating "
                    "code, so it doesn't start"
                )
            for holder in _dagster_modules_with(opener):
                raise RuntimeError(
                    f"{holder} opens gRPC channels in a way of its own: this server can't be kept "
                    "from evaluating code, so it doesn't start"
                )
            setattr(module, name, _guarded(opener))


def _dagster_modules_with(held: object) -> list[str]:
    """Return the loaded modules of Dagster that hold an object under any name."""
    return [
        name
        for name, module in list(sys.modules.items())
        if name.partition(".")[0].startswith("dagster")
        and any(value is held for value in list(vars(module).values()))
    ]


def _guarded(opener: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that opens a channel with the allowed calls alone."""

    def open_guarded(*args: Any, **kwargs: Any) -> Any:
        channel = opener(*args, **kwargs)
        for kind in _KINDS:
            setattr(channel, kind, _allowed_only(getattr(channel, kind)))
        return channel

    return open_guarded


def _allowed_only(make: Callable[..., Any]) -> Callable[..., Any]:
    def make_call(address: str, *args: Any, **kwargs: Any) -> Any:
        return make(address, *args, **kwargs) if address in _ADDRESSES else _Refusal(address)

    return make_call


class _Refusal:
    def __init__(self, address: str) -> None:
        self._call = address.rpartition("/")[2]

    def __call__(self, *_: Any, **__: Any) -> NoReturn:
        raise NotForOnlookers(f"a server for onlookers evaluates nothing ({self._call})")


if __name__ == "__main__":
    # Modules that are loaded from here on get the restricted functions.
    refuse_evaluation()

    from dagster_webserver.cli import dagster_webserver

    dagster_webserver(prog_name="dagster-webserver")
