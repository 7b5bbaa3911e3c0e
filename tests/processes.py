"""Processes that tests start to work at once, and whether processes are still there."""

import multiprocessing
import time
from pathlib import Path

#: Processes forked from one without threads. A fork of the tests' own process would keep the locks
#: that other threads held at that moment, such as SQLite's, and wait for them for ever.
APART = multiprocessing.get_context("forkserver")
APART.set_forkserver_preload(
    [
        "contimg_resources.registry",
        "contimg_resources.steps",
        "alembic.command",
        "hypothesis",
        "pytest",
    ]
)


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_until_gone(pids: list[int], limit_s: float = 5.0) -> list[int]:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline and any(map(is_running, pids)):
        time.sleep(0.05)
    return [pid for pid in pids if is_running(pid)]
