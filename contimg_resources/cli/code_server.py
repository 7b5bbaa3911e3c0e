"""The code server of a platform: the one process that loads the definitions.

Belongs here: its command, its socket, and whether it answers. Doesn't: the definitions, and
restarts (see `contimg_resources.cli.children`).

It evaluates sensors and schedules, and runs are its children. By default, Dagster's daemon and
each webserver start their own code server, and the daemon another one every minute; nobody notices
the death of one for up to a minute. This one is a child of the platform, which supervises it.
"""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import yaml

from contimg_resources.core.errors import ConfigurationError

#: Requests at a time: other requests mustn't wait for the long tick of a sensor.
_N_THREADS = 32
#: Longest path of a socket, bytes, with a margin for its name.
_MAX_SOCKET_PATH = 90
#: Contents of its private directory.
_SOCKET, _WORKSPACE = "code.sock", "workspace.yaml"
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-")


@dataclass(frozen=True)
class CodeServer:
    """A code server that listens on a private socket."""

    home: Path  #: Directory of ``workspace.yaml``, where the server works.
    #: Its private directory, with the socket and a ``workspace.yaml`` that names it.
    directory: Path
    module: str  #: The module with the definitions.
    location: str  #: Name of the code location.

    @classmethod
    def of(cls, home: Path) -> Self:
        """Prepare the server of the definitions that ``workspace.yaml`` of a directory names.

        Raises
        ------
        ConfigurationError
            If it doesn't name exactly one Python module.
        """
        module, location = _module_of(home / _WORKSPACE)
        server = cls(home, _private_directory(), module, location)
        entry = {"grpc_server": {"socket": str(server.socket), "location_name": location}}
        server.workspace.write_text(yaml.safe_dump({"load_from": [entry]}))
        return server

    @property
    def socket(self) -> Path:
        """The socket on which it answers."""
        return self.directory / _SOCKET

    @property
    def workspace(self) -> Path:
        """The ``workspace.yaml`` for Dagster's other processes."""
        return self.directory / _WORKSPACE

    @property
    def arguments(self) -> tuple[str, ...]:
        """Arguments of the module ``dagster`` that start it."""
        return (
            "api", "grpc", "--socket", str(self.socket), "--module-name", self.module,
            "--working-directory", str(self.home), "--location-name", self.location,
            "--max-workers", str(_N_THREADS), "--lazy-load-user-code",
        )  # fmt: skip

    @property
    def executable(self) -> str:
        """The interpreter that runs it."""
        return sys.executable

    def answers(self, timeout_s: float) -> bool:
        """Return whether it answers within a time in seconds."""
        import grpc
        from grpc_health.v1 import health_pb2, health_pb2_grpc

        with grpc.insecure_channel(f"unix:{self.socket}") as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            request = health_pb2.HealthCheckRequest(service="DagsterApi")
            try:
                stub.Check(request, timeout=timeout_s)
            except grpc.RpcError:
                return False
        return True

    def remove(self) -> None:
        """Remove its private directory."""
        remove_sockets(self.directory)


def remove_sockets(directory: Path) -> None:
    """Remove the private directory of a code server, and only its own files in it.

    Raises
    ------
    OSError
        If it holds other files, or doesn't exist.
    """
    for name in (_SOCKET, _WORKSPACE):
        (directory / name).unlink(missing_ok=True)
    directory.rmdir()


def _module_of(workspace: Path) -> tuple[str, str]:
    content: Any = yaml.safe_load(workspace.read_text())
    try:
        (entry,) = content["load_from"]
        told = entry["python_module"]
        module = told if isinstance(told, str) else told["module_name"]
        location = module if isinstance(told, str) else told.get("location_name", module)
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise ConfigurationError(
            f"{workspace} must name one `python_module` under `load_from`"
        ) from error
    return str(module), str(location)


def _private_directory() -> Path:
    """Make a private directory with a path short and plain enough for a socket."""
    usual = tempfile.gettempdir()
    fits = len(usual) < _MAX_SOCKET_PATH and set(usual) <= _PLAIN
    return Path(tempfile.mkdtemp(prefix="contimg-", dir=usual if fits else "/tmp"))
