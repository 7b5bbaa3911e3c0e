"""Servers and hosts of a cluster on this machine: Postgres, Redis, control plane, workers.

Belongs here: starting, cutting off, stopping and killing them. Doesn't: what they work on.

Where this user may make network namespaces, each worker is in one: a host with its own network and
name, which can be cut off. Elsewhere a host is a process group, and cutting it off stops it.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.processes import is_running

PASSWORD = "open-sesame"
#: The network of all hosts. Each has four addresses of it, others than in another run of tests.
NETWORK = "10.0.0.0/8"


def have_namespaces() -> bool:
    """Return whether this user may make network namespaces."""
    if os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("unshare"):
        return False
    name = f"contimg-probe-{os.getpid()}"
    if subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False).returncode:
        return False
    _ip("netns", "del", name)
    return True


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@dataclass
class Redis:
    """A Redis server that keeps nothing on disk."""

    port: int  #: Its port on every interface.
    log: Path  #: Its output.
    #: Directory of ``cert.pem`` and ``key.pem``, if it speaks TLS and nothing else.
    certificates: Path | None = None
    process: "subprocess.Popen[bytes]" = field(init=False)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Start it, empty."""
        ports = ["--port", str(self.port)]
        if self.certificates is not None:
            ports = ["--port", "0", "--tls-port", str(self.port), "--tls-auth-clients", "no"]
            ports += ["--tls-cert-file", str(self.certificates / "cert.pem")]
            ports += ["--tls-key-file", str(self.certificates / "key.pem")]
        command = [
            *("redis-server", *ports, "--bind", "0.0.0.0", "--save", ""),
            *("--requirepass", PASSWORD, "--dir", str(self.log.parent)),
        ]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_for(lambda: _answers(self.port), "Redis", 20)

    def kill(self) -> None:
        """Kill it: all that it held is lost."""
        self.process.kill()
        self.process.wait(20)


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


@dataclass
class Host:
    """A host of workers."""

    number: int  #: From 1 to 60.
    environment: Mapping[str, str]  #: Of its processes.
    log: Path  #: Output of its worker.
    in_namespace: bool  #: Whether it is a network namespace.
    processes: list["subprocess.Popen[bytes]"] = field(init=False, default_factory=list)

    @property
    def name(self) -> str:
        """Its name."""
        return f"w{self.number}-{os.getpid()}" if self.in_namespace else socket.gethostname()

    @property
    def address(self) -> str:
        """The address of this machine as seen from it."""
        return self._address(1) if self.in_namespace else "127.0.0.1"

    def _address(self, number: int) -> str:
        pid = os.getpid()
        return f"10.{64 + (pid >> 8) % 128}.{pid % 256}.{4 * self.number + number}"

    @property
    def _link(self) -> str:
        return f"ci{self.number}-{os.getpid()}"[:15]

    def build(self) -> None:
        """Make its network."""
        if not self.in_namespace:
            return
        inner = f"{self._link[:13]}in"[-15:]
        _ip("netns", "add", self.name)
        _ip("link", "add", self._link, "type", "veth", "peer", "name", inner, "netns", self.name)
        _ip("addr", "add", f"{self.address}/30", "dev", self._link)
        _ip("link", "set", self._link, "up")
        within = ("-n", self.name)
        _ip(*within, "link", "set", "lo", "up")
        _ip(*within, "addr", "add", f"{self._address(2)}/30", "dev", inner)
        _ip(*within, "link", "set", inner, "up")

    def start_worker(self, *arguments: str, **variables: str) -> None:
        """Start ``contimg worker`` on it, with more variables of its environment."""
        command = [sys.executable, "-m", "contimg_resources", "worker", *arguments]
        if self.in_namespace:
            renamed = ["unshare", "--uts", "sh", "-c", f'hostname {self.name}; exec "$@"', "sh"]
            command = ["ip", "netns", "exec", self.name, *renamed, *command]
        environment = {
            name: value.replace("127.0.0.1", self.address)
            for name, value in {**self.environment, **variables}.items()
        }
        with self.log.open("ab") as log:
            self.processes.append(
                subprocess.Popen(
                    command,
                    # Python would import the checkout from the current directory.
                    cwd=self.log.parent,
                    env={**os.environ, **environment},
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            )

    def pids(self) -> list[int]:
        """Return its processes."""
        if self.in_namespace:
            listed = subprocess.run(
                ["ip", "netns", "pids", self.name], capture_output=True, text=True, check=False
            )
            return [int(pid) for pid in listed.stdout.split()]
        return [pid for p in self.processes for pid in _descendants(p.pid)]

    def send(self, number: signal.Signals) -> None:
        """Send a signal to all of its processes."""
        for pid in self.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self) -> None:
        """Kill all of its processes at once, as a power cut does."""
        self.send(signal.SIGKILL)
        wait_for(lambda: not any(map(is_running, self.pids())), f"the end of {self.name}", 20)
        for process in self.processes:
            process.wait(20)
        self.processes.clear()

    def cut_off(self) -> None:
        """Cut its network."""
        if self.in_namespace:
            _ip("link", "set", self._link, "down")
        else:
            self.send(signal.SIGSTOP)

    def connect(self) -> None:
        """Mend its network."""
        if self.in_namespace:
            _ip("link", "set", self._link, "up")
        else:
            self.send(signal.SIGCONT)

    def remove(self) -> None:
        """End it."""
        self.kill()
        if self.in_namespace:
            _ip("netns", "del", self.name)


def _descendants(pid: int) -> list[int]:
    found = [pid]
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError, IndexError, ValueError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                if parent == pid:
                    found += _descendants(int(entry.name))
    return found


def wait_for(
    condition: Callable[[], bool], what: str, timeout_s: float, poll_s: float = 0.1
) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"after {timeout_s:.0f} s still waiting for {what}"
        time.sleep(poll_s)


@contextmanager
def hosts(number: int, environment: Mapping[str, str], logs: Path) -> Iterator[tuple[Host, ...]]:
    """Provide hosts without any process; all are gone afterwards."""
    separate = have_namespaces()
    made = tuple(
        Host(n, environment, logs / f"worker-{n}.log", separate) for n in range(1, number + 1)
    )
    try:
        for host in made:
            host.build()
        yield made
    finally:
        for host in made:
            with suppress(subprocess.CalledProcessError):
                host.remove()
