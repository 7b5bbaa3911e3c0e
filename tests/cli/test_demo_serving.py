"""On a terminal a demo goes on serving until Ctrl-C; elsewhere it ends (see ``.ci/run``)."""

import os
import pty
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from contimg_resources.cli.platform import running_address
from tests.cli.live_processes import processes_of

SHORT_DEMO = Path(__file__).with_name("short_demo.py")
LIMIT_S = 120.0


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "demo"
    assert processes_of(tmp_path / "demo") == []


def read_until(terminal: int, words: str) -> str:
    """Read what appears on a terminal until these words do."""
    deadline = time.monotonic() + LIMIT_S
    said = ""
    while words not in said:
        assert time.monotonic() < deadline, said
        try:
            said += os.read(terminal, 65536).decode(errors="replace")
        except OSError:  # the other side is closed
            pytest.fail(f"ended before it said {words!r}:\n{said}")
    return said


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=10) as page:
            return bool(page.status == 200)
    except OSError:
        return False


def test_on_a_terminal_it_serves_until_ctrl_c_and_then_nothing_is_left(state: Path) -> None:
    ours, theirs = pty.openpty()
    serving = subprocess.Popen(
        [sys.executable, SHORT_DEMO, "demo", "--state", state],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    said = read_until(ours, "serving until Ctrl-C")
    (address,) = re.findall(r"the platform is at (http://127\.0\.0\.1:\d+)", said)
    assert running_address(state) == address
    assert answers(address)
    assert len(processes_of(state)) >= 4, "daemon and webserver, each with its supervisor"

    serving.send_signal(signal.SIGINT)
    rest = read_until(ours, "stopping")
    assert serving.wait(timeout=300) == 0
    os.close(ours)
    assert "Traceback" not in said + rest
    assert not answers(address)
    assert running_address(state) is None
