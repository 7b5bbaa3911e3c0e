"""A platform's queries to Dagster's webserver: readiness, daemon's heartbeat, sensors, runs.

Belongs here: these queries and reading their answers. Doesn't: sending them (see
`contimg_resources.cli.graphql`), and acting on them.
"""

import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from contimg_resources.cli.graphql import GraphQL
from contimg_resources.core.errors import PlatformError

#: The daemon writes a heartbeat every 30 s; without one for this long it hangs, seconds.
_NO_BEAT_S = 150.0
#: Interval between requests, seconds.
_ASK_S = 15.0

#: Interval between requests for the definitions, seconds, and number of failures before a restart.
#: So a code server is started again less often than would end the platform.
_ASK_DEFINITIONS_S, _FAILED_LOADS = 60.0, 2

#: Errors of loading the definitions while the code server starts.
_UNREACHABLE = ("DagsterUserCodeUnreachableError", "DagsterUserCodeProcessUnreachableError")

READY = """
query Ready {
  workspaceOrError {
    ... on Workspace {
      locationEntries {
        name loadStatus
        locationOrLoadError { __typename ... on PythonError { message className } }
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

_BEATS = """
query Beats { instance { daemonHealth { allDaemonStatuses { lastHeartbeatTime } } } }
"""


def not_ready(answer: dict[str, Any]) -> str:
    """Return what a platform still waits for; raise PlatformError if it will never be ready."""
    workspace = answer["workspaceOrError"]
    if "locationEntries" not in workspace:
        raise PlatformError(f"the workspace can't be loaded: {workspace.get('message')}")
    for entry in workspace["locationEntries"]:
        loaded = entry["locationOrLoadError"] or {}
        if loaded.get("className") in _UNREACHABLE:
            return "the code server"
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


class Heartbeat:
    """The heartbeat of the daemon.

    Only a change of its times counts, not their age: the clock may be set forward. While the
    webserver doesn't answer, the state of the daemon is unknown.
    """

    def __init__(self, graphql: GraphQL) -> None:
        self._graphql = GraphQL(graphql.address, timeout_s=5.0)
        self._beat: float | None = None
        self._changed_s = self._asked_s = time.monotonic()

    def goes_on(self) -> bool:
        """Return whether there was a recent heartbeat."""
        now_s = time.monotonic()
        if now_s - self._asked_s >= _ASK_S:
            self._asked_s = now_s
            try:
                health = self._graphql.query(_BEATS)["instance"]["daemonHealth"]
            except PlatformError:
                self._changed_s = now_s
                return True
            beat = max(s["lastHeartbeatTime"] or 0.0 for s in health["allDaemonStatuses"])
            if beat != self._beat:
                self._beat, self._changed_s = beat, now_s
        return now_s - self._changed_s < _NO_BEAT_S

    def restart(self) -> None:
        """Start again with a new daemon."""
        self._changed_s = time.monotonic()


class Definitions:
    """State of the definitions according to the webserver.

    A code server that could not load them, for example because the disk was full, keeps answering
    with that error. While the webserver doesn't answer, their state is unknown.
    """

    def __init__(self, graphql: GraphQL) -> None:
        self._graphql = GraphQL(graphql.address, timeout_s=5.0)
        self._asked_s = time.monotonic()
        self._n_failed = 0

    def are_loaded(self) -> bool:
        """Return whether they are loaded; False only after two requests have failed."""
        now_s = time.monotonic()
        if now_s - self._asked_s >= _ASK_DEFINITIONS_S:
            self._asked_s = now_s
            try:
                not_ready(self._graphql.query(READY))
            except PlatformError as error:
                of_webserver = isinstance(error.__cause__, OSError)
                self._n_failed += not of_webserver
            else:
                self._n_failed = 0
        return self._n_failed < _FAILED_LOADS

    def restart(self) -> None:
        """Start again with a new code server."""
        self._asked_s, self._n_failed = time.monotonic(), 0


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
    """A run, as Dagster reports it."""

    run_id: str  #: Id of the run.
    job: str  #: Name of its job.
    status: str  #: Status, such as ``QUEUED``, ``STARTED``, ``SUCCESS``, ``FAILURE``, ``CANCELED``.
    partition: str  #: Its partition key; empty when it has none.
    assets: tuple[str, ...]  #: The requested assets; empty for all assets of its job.
    duration_s: float | None  #: From start to end, seconds; None while it isn't over.

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.status in {"SUCCESS", "FAILURE", "CANCELED"}


def is_serving(port: int, timeout_s: float = 3.0) -> bool:
    """Return whether a webserver on this machine answers within a time, with any answer."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout_s) as connection:
            connection.settimeout(timeout_s)
            connection.sendall(b"GET /server_info HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
            return bool(connection.recv(1))
    except OSError:
        return False


def start_sensors(graphql: GraphQL, names: Sequence[str] | None = None) -> tuple[str, ...]:
    """Turn sensors on; see `contimg_resources.cli.platform.Platform.start_sensors`."""
    answer = graphql.query(_SENSORS)["repositoriesOrError"]
    if "nodes" not in answer:
        raise PlatformError(f"no sensors: {answer.get('message')}")
    wanted = None if names is None else set(names)
    started = []
    for repository in answer["nodes"]:
        for sensor in repository["sensors"]:
            if wanted is not None and sensor["name"] not in wanted:
                continue
            if sensor["sensorState"]["status"] != "RUNNING":
                _start_sensor(graphql, repository, sensor["name"])
            started.append(sensor["name"])
    if wanted is not None and (missing := wanted - set(started)):
        raise PlatformError(f"no sensor named {', '.join(sorted(missing))} is defined")
    return tuple(sorted(started))


def _start_sensor(graphql: GraphQL, repository: dict[str, Any], name: str) -> None:
    selector = {
        "repositoryName": repository["name"],
        "repositoryLocationName": repository["location"]["name"],
        "sensorName": name,
    }
    result = graphql.query(_START_SENSOR, {"selector": selector})["startSensor"]
    if result["__typename"] != "Sensor":
        raise PlatformError(
            f"sensor {name} can't be started: {result.get('message') or result['__typename']}"
        )


def list_runs(graphql: GraphQL, limit: int) -> tuple[DagsterRun, ...]:
    """Return the runs, newest first.

    Raises
    ------
    PlatformError
        When they can't be listed.
    """
    answer = graphql.query(_RUNS, {"limit": limit})["runsOrError"]
    if "results" not in answer:
        raise PlatformError(f"runs can't be listed: {answer.get('message')}")
    return tuple(_run(record) for record in answer["results"])


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
