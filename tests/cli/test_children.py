"""When a child of the platform is started again, and when that is given up."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from contimg_resources.cli import children
from contimg_resources.cli.children import MAX_RESTARTS, Child, Processes, Restart
from contimg_resources.cli.processes import SupervisedGroup
from contimg_resources.core.errors import PlatformError
from tests.processes import wait_until_gone

LASTS = "import time; print('at work', flush=True); time.sleep(600)"
FAILS = "raise SystemExit('no disk')"


@pytest.fixture
def started(tmp_path: Path) -> Iterator[list[SupervisedGroup]]:
    groups: list[SupervisedGroup] = []
    yield groups
    for group in groups:
        group.end(time.monotonic())


def child_of(started: list[SupervisedGroup], tmp_path: Path, code: str, **options: object) -> Child:
    def start() -> SupervisedGroup:
        command = (sys.executable, "-c", code)
        group = SupervisedGroup("child", command, tmp_path, os.environ, tmp_path / "child.log")
        started.append(group)
        return group

    return Child("child", start, **options)  # type: ignore[arg-type]


def look() -> Processes:
    processes = Processes()
    processes.look()
    return processes


def restarted(child: Child, processes: Processes | None = None) -> Restart:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        told = processes or look()
        told.look()
        if (restart := child.keep_alive(told)) is not None:
            return restart
        time.sleep(0.05)
    raise AssertionError("it was never started again")


def test_a_child_that_is_well_is_left_alone(started: list[SupervisedGroup], tmp_path: Path) -> None:
    child = child_of(started, tmp_path, LASTS, answers=lambda: True)
    assert child.keep_alive(look()) is None
    assert len(started) == 1


def test_a_dead_child_is_started_again_after_what_must_come_first(
    started: list[SupervisedGroup], tmp_path: Path
) -> None:
    order: list[int] = []
    child = child_of(started, tmp_path, LASTS, before_restart=lambda: order.append(len(started)))
    os.killpg(started[0].process.pid, signal.SIGKILL)
    assert restarted(child) == Restart("child", "ended with status -9", 1)
    assert (order, len(started)) == ([1], 2)


def test_one_is_started_again_without_a_fault(
    started: list[SupervisedGroup], tmp_path: Path
) -> None:
    child = child_of(started, tmp_path, LASTS)
    assert child.start_again("is out of date") == Restart("child", "is out of date", 0)
    assert [group.alive for group in started] == [False, True]
    assert child.keep_alive(look()) is None


def test_one_that_can_not_be_started_now_is_started_later(
    started: list[SupervisedGroup], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children, "PAUSES_S", (0.0,) * MAX_RESTARTS)
    troubles = [PlatformError("the disk is full")]

    def before() -> None:
        if troubles:
            raise troubles.pop()

    child = child_of(started, tmp_path, LASTS, before_restart=before)
    os.killpg(started[0].process.pid, signal.SIGKILL)
    assert str(restarted(child)) == (
        "child ended with status -9; it couldn't be started again: the disk is full (1 of 5)"
    )
    assert (restarted(child).number, len(started)) == (2, 2)


def test_a_stopped_child_is_started_again(
    started: list[SupervisedGroup], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children, "STOPPED_S", 0.1)
    child, processes = child_of(started, tmp_path, LASTS), look()
    while not (found := processes.children_of(started[0].process.pid)):
        processes.look()
    (main,) = found
    os.kill(main, signal.SIGSTOP)
    assert restarted(child, processes).why == "was stopped"
    assert wait_until_gone([main]) == []


def test_a_silent_child_hangs_only_if_it_answered_once_and_is_idle(
    started: list[SupervisedGroup], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children, "SILENT_S", 0.1)
    answers = [False, False, True]
    child = child_of(started, tmp_path, LASTS, answers=lambda: bool(answers and answers.pop(0)))
    for _ in range(2):
        time.sleep(0.15)
        assert child.keep_alive(look()) is None, "it may still be starting"
    assert restarted(child).why == "didn't answer any more"
    busy_since = iter(range(10**6))
    monkeypatch.setattr(children, "_cpu_s", lambda _: float(next(busy_since)))
    answers[:] = [True]
    for _ in range(4):
        assert child.keep_alive(look()) is None, "it is silent because it works"
        time.sleep(0.1)


def test_a_child_that_dies_again_and_again_ends_the_platform_with_the_reason(
    started: list[SupervisedGroup], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children, "PAUSES_S", (0.0,) * MAX_RESTARTS)
    child = child_of(started, tmp_path, FAILS)
    assert [restarted(child).number for _ in range(MAX_RESTARTS)] == [1, 2, 3, 4, 5]
    with pytest.raises(PlatformError) as end:
        restarted(child)
    assert "ended with status 1, after it was started again 5 times within 10 minutes" in str(
        end.value
    )
    assert str(end.value).endswith("child.log ends: no disk")


def test_it_is_not_started_again_at_once_when_it_died_at_once(
    started: list[SupervisedGroup], tmp_path: Path
) -> None:
    child = child_of(started, tmp_path, FAILS)
    assert restarted(child).number == 1
    started[-1].process.wait(300)
    assert child.keep_alive(look()) is None


def test_any_process_below_that_somebody_stopped_is_killed_at_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(children, "STOPPED_WORKER_S", 0.1)
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as worker:
        os.kill(worker.pid, signal.SIGSTOP)
        processes = Processes()
        deadline = time.monotonic() + 120
        killed: tuple[int, ...] = ()
        while not killed and time.monotonic() < deadline:
            processes.look()
            killed = processes.kill_stopped()
        assert killed == (worker.pid,)
        assert worker.wait(300) == -signal.SIGKILL
