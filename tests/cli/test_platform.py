"""Daemon and webserver: ready when they say so, and gone when their owner is."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from contimg_resources.cli import platform as platform_module
from contimg_resources.cli.platform import (
    Platform,
    free_port,
    running_address,
    watched_directory,
)
from contimg_resources.core.errors import PlatformError
from contimg_resources.products.store import ProductsStore
from tests.cli.live_processes import processes_of
from tests.cli.small_platform import make_home
from tests.e2e.at_work import pids_of
from tests.processes import wait_until_gone


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A directory as a checkout has it, with definitions of its own."""
    return make_home(tmp_path / "home")


def wait_for(path: Path, timeout_s: float = 90.0) -> str:
    deadline = time.monotonic() + timeout_s
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < deadline, f"{path} never came"
        time.sleep(0.1)
    return path.read_text()


def left_after_a_moment(state: Path) -> list[str]:
    """Processes of a state directory; those that were killed may take a moment to end."""
    deadline = time.monotonic() + 120
    while (left := processes_of(state)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "state"
    assert processes_of(tmp_path / "state") == []


def test_a_platform_is_ready_starts_its_sensors_and_leaves_nothing_behind(
    home: Path, state: Path
) -> None:
    left = state / "sockets of one that was killed"
    left.mkdir(parents=True)
    (left / "code.sock").touch()
    (state / "platform.json").write_text(json.dumps({"pid": 2**31, "sockets": str(left)}))
    with Platform(state, home=home) as platform:
        platform.wait_until_ready()
        assert running_address(state) == platform.address
        assert not left.exists()
        with pytest.raises(PlatformError, match="already"):
            Platform(state, home=home).start()
        with pytest.raises(PlatformError, match="no sensor named missing"):
            platform.start_sensors(["missing"])
        assert platform.start_sensors() == ("starter",)
        worker = int(wait_for(state / "started"))
        (run,) = platform.runs()
        assert (run.job, run.over) == ("job", False)
    assert left_after_a_moment(state) == []
    assert wait_until_gone([worker]) == []
    assert running_address(state) is None


def test_nothing_outlives_an_owner_that_was_killed(home: Path, state: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path;"
        "from contimg_resources.cli.platform import Platform;"
        "p = Platform(Path(sys.argv[1]), home=Path(sys.argv[2])); p.start();"
        "p.wait_until_ready(); (Path(sys.argv[1]) / 'ready').write_text('yes'); time.sleep(600)"
    )
    owner = subprocess.Popen([sys.executable, "-c", code, state, home])
    wait_for(state / "ready")
    assert len(processes_of(state)) >= 4
    sockets = Path(json.loads((state / "platform.json").read_text())["sockets"])
    # A copy of the state of one that runs leaves it alone.
    shutil.copytree(state, state.with_name("copy"), ignore=shutil.ignore_patterns("*.sock"))
    with Platform(state.with_name("copy"), home=home):
        assert (sockets / "code.sock").exists()
    os.kill(owner.pid, signal.SIGKILL)
    owner.wait()
    assert left_after_a_moment(state) == []


def test_definitions_that_cannot_be_loaded_are_named(home: Path, state: Path) -> None:
    (home / "made_up_definitions.py").write_text("import no_such_module\n")
    with Platform(state, home=home) as platform, pytest.raises(PlatformError) as caught:
        platform.wait_until_ready()
    assert "no_such_module" in caught.value.message


def test_a_taken_port_is_told_before_anything_is_started(home: Path, state: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PlatformError, match=str(port)):
            Platform(state, port=port, home=home).start()
    assert running_address(state) is None


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """Where the packages of a wheel were installed, far from the checkout."""
    source, prefix = tmp_path / "source", tmp_path / "prefix"
    source.mkdir()
    checkout = Path(__file__).parents[2]
    for name in ("pyproject.toml", "README.md", "LICENSE", "dagster.yaml", "workspace.yaml"):
        shutil.copy(checkout / name, source)
    for package in ("contimg_assets", "contimg_resources", "cluster"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(checkout / package, source / package, ignore=ignored)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    alone = ("--no-deps", "--no-index")
    build = ("wheel", *alone, "--no-build-isolation", "--wheel-dir", str(tmp_path), str(source))
    subprocess.run([*pip, *build], check=True)
    (wheel,) = tmp_path.glob("contimg-*.whl")
    into = ("--ignore-installed", "--prefix", str(prefix))
    subprocess.run([*pip, "install", *alone, *into, str(wheel)], check=True)
    (packages,) = prefix.glob("lib/python3.*/site-packages")
    return packages


def test_up_of_an_installed_wheel_serves_the_real_definitions_until_it_is_asked_to_stop(
    state: Path, installed: Path
) -> None:
    told = ("--port", str(free_port()), "--ms-dir", str(state.parent / "arriving"))
    serving = subprocess.Popen(
        [sys.executable, "-m", "contimg_resources", "up", *told],
        env={**os.environ, "CONTIMG_STATE": str(state), "PYTHONPATH": str(installed)},
        cwd=installed,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert serving.stderr is not None
    said = ""
    while "contimg is up" not in said:
        line = serving.stderr.readline()
        assert line, said
        said += line
    assert running_address(state)
    assert watched_directory(state) == state.parent / "arriving"
    # A daemon that dies is started again, and people are told.
    (daemon,) = pids_of(state, "dagster._daemon")
    home = dict(
        entry.split("=", 1)
        for entry in Path(f"/proc/{daemon}/environ").read_text().split("\0")
        if "=" in entry
    )["DAGSTER_HOME"]
    assert Path(home) == installed.parents[2] / "share" / "contimg"
    os.kill(daemon, signal.SIGKILL)
    while "was started again (1 of 5)" not in said:
        line = serving.stderr.readline()
        assert line, said
        said += line
    assert "dagster-daemon ended with status 137" in said
    (alert,) = ProductsStore(str(state / "products.sqlite3")).events.list_alerts()
    assert (alert.kind, alert.subject) == ("platform", "dagster-daemon ended with status 137")
    deadline = time.monotonic() + 120
    # A process that has only just begun doesn't have its command line yet.
    while pids_of(state, "dagster._daemon") in ([], [daemon]):
        assert time.monotonic() < deadline, "no other daemon appeared"
        time.sleep(0.1)
    serving.send_signal(signal.SIGTERM)
    _, rest = serving.communicate(timeout=300)
    assert serving.returncode == 0
    assert "contimg is down" in rest
    assert "Traceback" not in said + rest


def test_when_the_clock_is_put_back_the_sensors_are_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offset_s = [1000.0]
    monkeypatch.setattr(platform_module, "_clock_s", lambda: offset_s[0])
    platform = Platform(tmp_path / "state")
    told: list[float | None] = []
    monkeypatch.setattr(platform, "_prepare_storage", lambda before_s=None: told.append(before_s))
    for offset in (1001.0, 95_000.0, 94_990.0, 1000.0, 1000.0):
        offset_s[0] = offset
        platform.keep_alive()
    assert told == [0.0], "put forward, or back by seconds, it changes nothing"

    def refuse(before_s: float | None = None) -> None:
        raise PlatformError("the disk is full")

    monkeypatch.setattr(platform, "_prepare_storage", refuse)
    offset_s[0] = 500.0
    platform.keep_alive()
    monkeypatch.setattr(platform, "_prepare_storage", lambda before_s=None: told.append(before_s))
    platform.keep_alive()
    assert told == [0.0, 0.0], "it is tried again"
