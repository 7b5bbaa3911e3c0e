"""Dagster's processes as children that never outlive the process that started them.

Belongs here: starting code server, daemon and webservers on a state directory, waiting until they
are ready, turning the sensors on, listing runs, stopping everything. ``contimg up``,
``contimg demo`` and the end-to-end tests use this class.
Doesn't: the code that Dagster runs (`contimg_assets`).
"""

import fcntl
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO, Self

from contimg_resources.cli.children import Child, Processes, Restart
from contimg_resources.cli.code_server import CodeServer, remove_sockets
from contimg_resources.cli.dagster_storage import storage_trouble
from contimg_resources.cli.graphql import GraphQL
from contimg_resources.cli.processes import SupervisedGroup
from contimg_resources.cli.webserver import (
    READY,
    DagsterRun,
    Definitions,
    Heartbeat,
    is_serving,
    list_runs,
    not_ready,
    start_sensors,
)
from contimg_resources.core.disk_space import fullness
from contimg_resources.core.errors import ConfigurationError, PlatformError
from contimg_resources.core.json_lines import JSON, VARIABLE
from contimg_resources.core.naming import StateLayout
from contimg_resources.core.surroundings import environment_of_children

_POLL_S = 0.25

#: Settings of the directories that a platform watches.
WATCHED = ("ms_dir", "uvh5_dir")
#: Time for a process group to end after SIGTERM before it's killed, seconds: run workers record in
#: this time that their runs were interrupted.
_GRACE_S = 15.0

#: The child that loads the definitions.
_CODE_SERVER = "dagster-code-server"
#: Time limit for an answer of a child, seconds.
_ANSWER_S = 3.0
#: Time limit for the start of the code server, seconds.
_CODE_SERVER_S = 60.0

#: A clock that goes back by more than this was reset, seconds.
_CLOCK_S = 60.0

#: Time limit of a tick, seconds. A tick that is cut off loses its results, and with a shorter limit
#: an MS that CASA can't read within its own limit (300 s) would cut off every tick.
_TICK_LIMIT_S = 400


def dagster_home() -> Path:
    """Return the directory of ``dagster.yaml`` and ``workspace.yaml``.

    In a checkout that is its top, and an installed wheel has them in ``share/contimg``.

    Raises
    ------
    ConfigurationError
        If neither has them.
    """
    above = Path(__file__).parents[2]
    # Of lib/python3.11/site-packages.
    installed = (Path(sys.prefix), *above.parents[2:3])
    places = (above, *(prefix / "share" / "contimg" for prefix in installed))
    for place in places:
        if all((place / name).is_file() for name in ("dagster.yaml", "workspace.yaml")):
            return place
    raise ConfigurationError(
        f"dagster.yaml and workspace.yaml found in none of {', '.join(map(str, places))}: install "
        "contimg again"
    )


def dagster_environment(home: Path, state: Path, *, cluster: bool) -> dict[str, str]:
    """Return this process's environment with the variables of Dagster's processes.

    Parameters
    ----------
    home : Path
        See `dagster_home`.
    state : Path
        The state directory.
    cluster : bool
        Whether Dagster's instance is that of several machines.
    """
    return {
        **os.environ,
        **environment_of_children(StateLayout(state).scratch / "home"),
        "DAGSTER_HOME": str(home / "cluster" if cluster else home),
        "CONTIMG_STATE": str(state),
        "DAGSTER_DISABLE_TELEMETRY": "yes",
        "PYTHONUNBUFFERED": "1",
    }


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
        The state directory (``CONTIMG_STATE``); made if it doesn't exist. One platform at a time.
    port : int, optional
        Port of the webserver on 127.0.0.1; any free one by default.
    environment : mapping, optional
        Settings and other variables for the processes, overriding those of this process.
    home : Path, optional
        Directory of ``dagster.yaml`` and ``workspace.yaml``; see `dagster_home`.
    read_only : bool
        Serve without mutations; `start_sensors` is refused then.
    onlookers_port : int, optional
        Port of a second webserver, which refuses mutations; None: no second webserver.
    cluster : bool
        Whether runs are passed to workers on several machines.

    Attributes
    ----------
    address : str
        Address of the webserver.
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
        cluster: bool = False,
    ) -> None:
        self.state = state.absolute()
        self.port = free_port() if port is None else port
        self.home = dagster_home() if home is None else home
        self.read_only = read_only
        self.onlookers_port = onlookers_port
        self.cluster = cluster
        self.address = f"http://127.0.0.1:{self.port}"
        self.graphql = GraphQL(self.address)
        self._environment = dict(environment or {})
        self._children: list[Child] = []
        self._code_server: CodeServer | None = None
        self._processes = Processes()
        self._lock: IO[str] | None = None
        self._clock_s = _clock_s()

    @property
    def logs(self) -> Path:
        """Directory of ``dagster-daemon.log`` and those of the other processes."""
        return self.state / "logs"

    @property
    def _note(self) -> Path:
        return self.state / "platform.json"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the processes; `wait_until_ready` waits until they can be used.

        Raises
        ------
        PlatformError
            When another platform runs on this state directory, or the port is taken.
        """
        self.logs.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(self.state)
        try:
            servers = {"dagster-webserver": (self.port, self.read_only)}
            if self.onlookers_port is not None:
                servers["dagster-onlookers"] = (self.onlookers_port, True)
            for port, _ in servers.values():
                _refuse_taken_port(port)
            self._prepare_storage()
            self._remove_sockets_of_killed()
            self._code_server = CodeServer.of(self.home)
            note = {
                "address": self.address,
                "pid": os.getpid(),
                "sockets": str(self._code_server.directory),
            }
            environment = self._child_environment()
            for setting in WATCHED:
                if directory := environment.get(f"CONTIMG_{setting.upper()}"):
                    note[setting] = directory
            self._note.write_text(json.dumps(note))
            self._start_children(self._code_server, servers)
        except BaseException:
            self.stop()
            raise

    def _remove_sockets_of_killed(self) -> None:
        """Remove the orphaned files of a killed platform outside the state directory."""
        # While this process holds the lock, the note is that of a killed platform; in a copy of a
        # state directory it may be that of a running one.
        note = _running_note(self.state)
        if "sockets" in note and not Path("/proc", note.get("pid", "")).exists():
            with suppress(OSError):
                remove_sockets(Path(note["sockets"]))

    def stop(self) -> None:
        """End all processes that were started; safe to call twice."""
        for child in self._children:
            child.group.ask_to_end()
        deadline = time.monotonic() + _GRACE_S
        for child in self._children:
            child.group.end(deadline)
        self._children.clear()
        if self._code_server is not None:
            self._code_server.remove()
            self._code_server = None
        if self._lock is not None:
            self._note.unlink(missing_ok=True)
            self._lock.close()
            self._lock = None

    def check_alive(self) -> None:
        """Raise PlatformError, with the end of its log, when one of its processes has died."""
        for child in self._children:
            child.group.check_alive()

    def keep_alive(self) -> tuple[Restart, ...]:
        """Restart the children that died or hang; return the restarts.

        Takes some milliseconds when all children work; call it every few seconds. The runs
        that a code server had started die with it: they are marked as failed, and Dagster's daemon
        starts them again.

        Raises
        ------
        PlatformError
            When a child was started again too often.
        """
        self._follow_clock()
        self._processes.look()
        self._processes.kill_stopped()
        restarts = (child.keep_alive(self._processes) for child in self._children)
        return tuple(restart for restart in restarts if restart is not None)

    def load_code_again(self, why: str) -> Restart:
        """Restart the code server, so that it loads the definitions again; runs die with it."""
        (child,) = (child for child in self._children if child.name == _CODE_SERVER)
        return child.start_again(why)

    def wait_until_ready(self, timeout_s: float = 120.0) -> None:
        """Wait until the definitions are loaded and every needed daemon is healthy.

        Raises
        ------
        PlatformError
            When a process dies, the definitions can't be loaded, or the time limit is reached.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            self.check_alive()
            try:
                waiting_for = not_ready(self.graphql.query(READY))
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
        """Turn sensors on, by default all; return those that are on now, sorted.

        Raises
        ------
        PlatformError
            When one of `names` doesn't exist or can't be started.
        """
        return start_sensors(self.graphql, names)

    def runs(self, limit: int = 1000) -> tuple[DagsterRun, ...]:
        """Return the runs, newest first."""
        return list_runs(self.graphql, limit)

    def _child_environment(self) -> dict[str, str]:
        common = dagster_environment(self.home, self.state, cluster=self.cluster)
        return {
            **common,
            **self._environment,
            **{name: common[name] for name in ("DAGSTER_HOME", "CONTIMG_STATE")},
            "DAGSTER_SENSOR_GRPC_TIMEOUT_SECONDS": str(_TICK_LIMIT_S),
        }

    def _prepare_storage(self, before_s: float | None = None) -> None:
        """Make Dagster's storage; in existing storage, end the orphaned runs of a killed platform.

        Or those of a dead code server, whose successor began at `before_s`, Unix time in seconds.
        """
        # Two processes that make Dagster's SQLite files at the same time leave them broken
        # ("more than one head present"), so one process makes them first.
        command = [sys.executable, "-m", "contimg_assets.orphans"]
        if before_s is not None:
            command.append(repr(before_s))
        result = subprocess.run(
            command,
            cwd=self.home,
            env=self._child_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode:
            raise PlatformError(
                storage_trouble(
                    None if self.cluster else self.state,
                    result.stderr.strip() or result.stdout.strip(),
                )
            )

    def _follow_clock(self) -> None:
        """Let the sensors continue when the clock was set back."""
        before_s, self._clock_s = self._clock_s, _clock_s()
        if before_s - self._clock_s > _CLOCK_S:
            try:
                # No run is that old.
                self._prepare_storage(before_s=0.0)
            except PlatformError:
                # A full disk, a locked store: it is transient.
                self._clock_s = before_s

    def _start_children(self, code: CodeServer, servers: Mapping[str, tuple[int, bool]]) -> None:
        common = ("-w", str(code.workspace))
        definitions = Definitions(self.graphql)
        self._children.append(
            Child(
                _CODE_SERVER,
                partial(self._serve_code, code),
                answers=lambda: (
                    code.answers(_ANSWER_S)
                    # From a full disk, another code server can't load them either.
                    and (definitions.are_loaded() or bool(fullness(self.state)))
                ),
                before_restart=definitions.restart,
                after_restart=self._prepare_storage,
            )
        )
        beat = Heartbeat(self.graphql)
        self._children.append(
            Child(
                "dagster-daemon",
                partial(self._spawn, "dagster-daemon", "dagster._daemon", ("run", *common)),
                answers=beat.goes_on,
                before_restart=beat.restart,
            )
        )
        for name, (port, read_only) in servers.items():
            serve = ("-h", "127.0.0.1", "-p", str(port), *common)
            start = (
                partial(self._spawn, name, "contimg_assets.onlookers", (*serve, "--read-only"))
                if read_only
                else partial(self._spawn, name, "dagster_webserver", serve)
            )
            self._children.append(Child(name, start, answers=partial(is_serving, port)))

    def _serve_code(self, code: CodeServer) -> SupervisedGroup:
        """Start the code server, and wait until it answers.

        Dagster's daemon starts an interrupted run again only once, when it notices the
        interruption: without a code server at that time the run is never started again.
        """
        group = self._spawn(_CODE_SERVER, "dagster", code.arguments)
        deadline = time.monotonic() + _CODE_SERVER_S
        while group.alive and not code.answers(_ANSWER_S) and time.monotonic() < deadline:
            time.sleep(0.2)
        return group

    def _spawn(self, name: str, module: str, arguments: Sequence[str]) -> SupervisedGroup:
        environment = self._child_environment()
        # The same names as in lines of our own (`core.json_lines`).
        form = ("--log-format", JSON) if environment.get(VARIABLE) == JSON else ()
        command = (sys.executable, "-m", module, *arguments, *form)
        return SupervisedGroup(name, command, self.home, environment, self.logs / f"{name}.log")


def _clock_s() -> float:
    """Return the time of the machine's clock less that of the monotonic clock, seconds."""
    return time.time() - time.monotonic()


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


def _locked(state: Path) -> IO[str]:
    """Return the lock of a state directory, held until it is closed.

    Raises
    ------
    PlatformError
        When a platform holds it.
    """
    lock = (state / "platform.lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise PlatformError(
            f"a platform is running on {state} already, {running_address(state) or 'just starting'}"
        ) from None
    return lock


@contextmanager
def without_platform(state: Path) -> Iterator[None]:
    """Keep platforms from a state directory while its stores are restored.

    Raises
    ------
    PlatformError
        When a platform runs on it.
    """
    state.mkdir(parents=True, exist_ok=True)
    with _locked(state):
        yield


def running_address(state: Path) -> str | None:
    """Return the address of the platform that runs on a state directory, or None."""
    return _running_note(state).get("address")


def watched_directory(state: Path, setting: str = "ms_dir") -> Path | None:
    """Return a directory that the platform on a state directory watches, if it is known.

    Parameters
    ----------
    state : Path
        The state directory.
    setting : str
        One of `WATCHED`.
    """
    told = _running_note(state).get(setting)
    return None if told is None else Path(told)


def _running_note(state: Path) -> dict[str, str]:
    """Return the note of the platform that runs on a state directory; empty without a platform."""
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
