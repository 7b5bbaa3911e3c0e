"""Dagster's daemon and webserver as children that never outlive whoever started them.

Belongs here: starting both on a state directory, waiting until they are ready, turning the
sensors on, what runs there are, stopping everything. ``contimg up``, ``contimg demo`` and the
end-to-end tests use this one class.
Doesn't: what Dagster runs (`contimg_assets`).
"""

import fcntl
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from contimg_resources.cli.graphql import GraphQL
from contimg_resources.cli.processes import SupervisedGroup
from contimg_resources.errors import ConfigurationError, PlatformError

_POLL_S = 0.25
#: How long a group may take to end by itself before it's killed: run workers record in that time
#: that their runs were interrupted.
_GRACE_S = 15.0

#: A tick that is cut off forgets what it saw, and an MS that CASA can't be got to read within its
#: own limit (300 s) would be met anew, and cut off again, at every look.
_TICK_LIMIT_S = 400

_READY = """
query Ready {
  workspaceOrError {
    ... on Workspace {
      locationEntries {
        name loadStatus
        locationOrLoadError { __typename ... on PythonError { message } }
      }
    }
    ... on PythonError { message }
  }
  instance {
    daemonHealth {
      allDaemonStatuses { daemonType required healthy lastHeartbeatErrors { message } }
    }
  }
}
"""

_SENSORS = """
query Sensors {
  repositoriesOrError {
    ... on RepositoryConnection {
      nodes { name location { name } sensors { name sensorState { status } } }
    }
    ... on PythonError { message }
  }
}
"""

_START_SENSOR = """
mutation StartSensor($selector: SensorSelector!) {
  startSensor(sensorSelector: $selector) {
    __typename
    ... on PythonError { message }
    ... on UnauthorizedError { message }
  }
}
"""

_RUNS = """
query Runs($filter: RunsFilter, $limit: Int) {
  runsOrError(filter: $filter, limit: $limit) {
    ... on Runs {
      results { runId jobName status startTime endTime tags { key value } assetSelection { path } }
    }
    ... on InvalidPipelineRunsFilterError { message }
    ... on PythonError { message }
  }
}
"""


@dataclass(frozen=True)
class DagsterRun:
    """One run, as Dagster tells it.

    Parameters
    ----------
    run_id : str
        Its id.
    job : str
        Name of its job.
    status : str
        Such as ``QUEUED``, ``STARTED``, ``SUCCESS``, ``FAILURE``, ``CANCELED``.
    partition : str
        Its partition key; empty when it has none.
    assets : tuple of str
        The assets it was asked for; empty for all of its job.
    duration_s : float or None
        From start to end, seconds; None while it isn't over.
    """

    run_id: str
    job: str
    status: str
    partition: str
    assets: tuple[str, ...]
    duration_s: float | None

    @property
    def over(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.status in {"SUCCESS", "FAILURE", "CANCELED"}


def checkout_root() -> Path:
    """Return the directory of ``dagster.yaml`` and ``workspace.yaml``.

    Raises
    ------
    ConfigurationError
        When contimg wasn't installed from a checkout.
    """
    root = Path(__file__).parents[2]
    missing = [n for n in ("dagster.yaml", "workspace.yaml") if not (root / n).is_file()]
    if missing:
        raise ConfigurationError(
            f"{' and '.join(missing)} not found in {root}: the platform runs from a checkout, "
            "installed with `make env` (pip install -e)"
        )
    return root


def free_port() -> int:
    """Return a TCP port of the loopback interface that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Platform:
    """Dagster's daemon and webserver on one state directory, as a context manager.

    Parameters
    ----------
    state : Path
        The state directory (``CONTIMG_STATE``); made if it isn't there. One platform at a time.
    port : int, optional
        Port of the webserver on 127.0.0.1; any free one by default.
    environment : mapping, optional
        Settings and other variables for both processes, over those of this one.
    home : Path, optional
        Directory of ``dagster.yaml`` and ``workspace.yaml``; the checkout by default.
    read_only : bool
        Serve without mutations; `start_sensors` is refused then.
    onlookers_port : int, optional
        Port of a second webserver, which refuses mutations; None: there is none.

    Attributes
    ----------
    address : str
        Where the webserver answers.
    graphql : GraphQL
        A client of it.
    """

    def __init__(
        self,
        state: Path,
        *,
        port: int | None = None,
        environment: Mapping[str, str] | None = None,
        home: Path | None = None,
        read_only: bool = False,
        onlookers_port: int | None = None,
    ) -> None:
        self.state = state.absolute()
        self.port = free_port() if port is None else port
        self.home = checkout_root() if home is None else home
        self.read_only = read_only
        self.onlookers_port = onlookers_port
        self.address = f"http://127.0.0.1:{self.port}"
        self.graphql = GraphQL(self.address)
        self._environment = dict(environment or {})
        self._children: list[SupervisedGroup] = []
        self._lock: IO[str] | None = None

    @property
    def logs(self) -> Path:
        """Directory of ``dagster-daemon.log`` and ``dagster-webserver.log``."""
        return self.state / "logs"

    @property
    def _note(self) -> Path:
        return self.state / "platform.json"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start daemon and webserver; `wait_until_ready` tells when they can be used.

        Raises
        ------
        PlatformError
            When another platform runs on this state directory, or the port is taken.
        """
        self.logs.mkdir(parents=True, exist_ok=True)
        self._take_lock()
        try:
            common = ("-w", str(self.home / "workspace.yaml"))
            servers = {"dagster-webserver": (self.port, self.read_only)}
            if self.onlookers_port is not None:
                servers["dagster-onlookers"] = (self.onlookers_port, True)
            for port, _ in servers.values():
                _refuse_taken_port(port)
            self._prepare_storage()
            self._spawn("dagster-daemon", "dagster._daemon", ("run", *common))
            for name, (port, read_only) in servers.items():
                serve = ["-h", "127.0.0.1", "-p", str(port), *common]
                self._spawn(
                    name, "dagster_webserver", [*serve, "--read-only"] if read_only else serve
                )
            note = {"address": self.address, "pid": os.getpid()}
            if ms_dir := self._child_environment().get("CONTIMG_MS_DIR"):
                note["ms_dir"] = ms_dir
            self._note.write_text(json.dumps(note))
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End everything that was started; safe to call twice."""
        for child in self._children:
            child.ask_to_end()
        deadline = time.monotonic() + _GRACE_S
        for child in self._children:
            child.end(deadline)
        self._children.clear()
        if self._lock is not None:
            self._note.unlink(missing_ok=True)
            self._lock.close()
            self._lock = None

    def check_alive(self) -> None:
        """Raise PlatformError, with the end of its log, when daemon or webserver has died."""
        for child in self._children:
            child.check_alive()

    def wait_until_ready(self, timeout_s: float = 120.0) -> None:
        """Wait until the definitions are loaded and every needed daemon is healthy.

        Raises
        ------
        PlatformError
            When a process dies, the definitions can't be loaded, or the time is over.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            self.check_alive()
            try:
                waiting_for = _not_ready(self.graphql.query(_READY))
            except PlatformError as error:
                if not isinstance(error.__cause__, OSError):
                    raise
                waiting_for = "the webserver"
            if not waiting_for:
                return
            if time.monotonic() > deadline:
                raise PlatformError(
                    f"Dagster isn't ready after {timeout_s:.0f} s, still waiting for "
                    f"{waiting_for}; logs in {self.logs}"
                )
            time.sleep(_POLL_S)

    def start_sensors(self, names: Sequence[str] | None = None) -> tuple[str, ...]:
        """Turn sensors on.

        Parameters
        ----------
        names : sequence of str, optional
            Which; all by default.

        Returns
        -------
        tuple of str
            The sensors that are on now, sorted.

        Raises
        ------
        PlatformError
            When one of `names` doesn't exist or can't be started.
        """
        answer = self.graphql.query(_SENSORS)["repositoriesOrError"]
        if "nodes" not in answer:
            raise PlatformError(f"no sensors: {answer.get('message')}")
        wanted = None if names is None else set(names)
        started = []
        for repository in answer["nodes"]:
            for sensor in repository["sensors"]:
                if wanted is not None and sensor["name"] not in wanted:
                    continue
                if sensor["sensorState"]["status"] != "RUNNING":
                    self._start_sensor(repository, sensor["name"])
                started.append(sensor["name"])
        if wanted is not None and (missing := wanted - set(started)):
            raise PlatformError(f"no sensor named {', '.join(sorted(missing))} is defined")
        return tuple(sorted(started))

    def runs(self, limit: int = 1000) -> tuple[DagsterRun, ...]:
        """Return the runs, newest first."""
        answer = self.graphql.query(_RUNS, {"limit": limit})["runsOrError"]
        if "results" not in answer:
            raise PlatformError(f"runs can't be listed: {answer.get('message')}")
        return tuple(_run(record) for record in answer["results"])

    def _start_sensor(self, repository: dict[str, Any], name: str) -> None:
        selector = {
            "repositoryName": repository["name"],
            "repositoryLocationName": repository["location"]["name"],
            "sensorName": name,
        }
        result = self.graphql.query(_START_SENSOR, {"selector": selector})["startSensor"]
        if result["__typename"] != "Sensor":
            raise PlatformError(
                f"sensor {name} can't be started: {result.get('message') or result['__typename']}"
            )

    def _child_environment(self) -> dict[str, str]:
        return {
            **os.environ,
            **self._environment,
            "DAGSTER_HOME": str(self.home),
            "CONTIMG_STATE": str(self.state),
            "DAGSTER_DISABLE_TELEMETRY": "yes",
            "DAGSTER_SENSOR_GRPC_TIMEOUT_SECONDS": str(_TICK_LIMIT_S),
            "PYTHONUNBUFFERED": "1",
        }

    def _take_lock(self) -> None:
        lock = (self.state / "platform.lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise PlatformError(
                f"a platform is running on {self.state} already, "
                f"{running_address(self.state) or 'just starting'}"
            ) from None
        self._lock = lock

    def _prepare_storage(self) -> None:
        """Make Dagster's storage; in one that is there, end what a killed platform left."""
        # Two processes that make Dagster's SQLite files at the same time leave them broken
        # ("more than one head present"), so one makes them before there are two.
        command = (sys.executable, "-m", "contimg_assets.leftovers")
        result = subprocess.run(
            command,
            cwd=self.home,
            env=self._child_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode:
            last = (result.stderr.strip() or result.stdout.strip()).splitlines()[-1:]
            raise PlatformError(
                f"Dagster's storage in {self.state} can't be made or read: {' '.join(last)}"
            )

    def _spawn(self, name: str, module: str, arguments: Sequence[str]) -> None:
        command = (sys.executable, "-m", module, *arguments)
        environment = self._child_environment()
        self._children.append(
            SupervisedGroup(name, command, self.home, environment, self.logs / f"{name}.log")
        )


def _refuse_taken_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise PlatformError(
                f"port {port} of 127.0.0.1 can't be used ({error.strerror}); choose "
                "another (--port, --onlookers)"
            ) from error


def running_address(state: Path) -> str | None:
    """Return the address of the platform that runs on a state directory, None without one."""
    return _running_note(state).get("address")


def watched_directory(state: Path) -> Path | None:
    """Return where the platform that runs on a state directory looks for MS, if it was told."""
    told = _running_note(state).get("ms_dir")
    return None if told is None else Path(told)


def _running_note(state: Path) -> dict[str, str]:
    """Return what the platform that runs on a state directory wrote down; empty without one."""
    try:
        with (state / "platform.lock").open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                note = json.loads((state / "platform.json").read_text())
                return {str(k): str(v) for k, v in note.items()}
    except (OSError, ValueError, AttributeError):
        return {}
    return {}


def _not_ready(answer: dict[str, Any]) -> str:
    """Name what a platform still waits for; raise PlatformError for what will never come."""
    workspace = answer["workspaceOrError"]
    if "locationEntries" not in workspace:
        raise PlatformError(f"the workspace can't be loaded: {workspace.get('message')}")
    for entry in workspace["locationEntries"]:
        loaded = entry["locationOrLoadError"] or {}
        if loaded.get("__typename") == "PythonError":
            raise PlatformError(
                f"the definitions of {entry['name']} can't be loaded: {loaded['message'].strip()}"
            )
        if entry["loadStatus"] != "LOADED":
            return f"the definitions of {entry['name']}"
    if not workspace["locationEntries"]:
        return "the definitions"
    unwell = [
        daemon["daemonType"]
        for daemon in answer["instance"]["daemonHealth"]["allDaemonStatuses"]
        if daemon["required"] and not daemon["healthy"]
    ]
    return f"the daemons {', '.join(unwell)}" if unwell else ""


def _run(record: dict[str, Any]) -> DagsterRun:
    tags = {t["key"]: t["value"] for t in record["tags"]}
    start, end = record["startTime"], record["endTime"]
    return DagsterRun(
        run_id=record["runId"],
        job=record["jobName"],
        status=record["status"],
        partition=tags.get("dagster/partition", ""),
        assets=tuple("/".join(a["path"]) for a in record["assetSelection"] or ()),
        duration_s=None if start is None or end is None else end - start,
    )
