"""Catching a platform's processes at work."""

from collections.abc import Collection
from pathlib import Path

from contimg_resources.settings import Settings
from tests.e2e.conftest import Night


def inside(night: Night, label: str, task: str) -> int:
    """Wait until a step is inside a task of CASA, and return its process."""
    log = Settings(state=night.platform.state).layout.logs / f"{label}.log"
    begun = f"Begin Task: {task}"
    earlier = log.read_text().count(begun) if log.exists() else 0
    found: list[int] = []

    def at_work() -> bool:
        if not log.exists() or log.read_text(errors="replace").count(begun) <= earlier:
            return False
        found[:] = children_of(night.platform.state, label)
        return bool(found)

    # A task takes a second or two.
    night.wait_for(f"{task} of {label}", at_work, 600, poll_s=0.1)
    return found[0]


def children_of(state: Path, label: str) -> list[int]:
    """Return the CASA processes that do a step now."""
    return [
        pid
        for pid in pids_of(state, "casa.child")
        if "supervisor.py" not in _command(pid)
        and _workdir(pid).startswith(f"{state}/scratch/{label}-")
    ]


def pids_of(state: Path, command: str = "") -> list[int]:
    """Return the processes of a platform, perhaps only those of a command."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            mine = f"CONTIMG_STATE={state}".encode() in (entry / "environ").read_bytes()
        except OSError:
            continue
        told = _command(int(entry.name))
        if mine and command in told and not (command and "supervisor.py" in told):
            found.append(int(entry.name))
    return found


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def _workdir(pid: int) -> str:
    try:
        return str(Path(f"/proc/{pid}/cwd").readlink())
    except OSError:
        return ""


def is_below(pid: int, roots: Collection[int]) -> bool:
    """Tell whether a process is one of some, or was started by one of them, or has just ended."""
    try:
        while pid > 1 and pid not in roots:
            pid = parent(pid)
    except OSError:
        return True
    return pid in roots


def parent(pid: int) -> int:
    """Return the parent of a process."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
