"""The door to CASA: a crash ends one step, and the end of the caller leaves nothing."""

import gc
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from contimg_resources.casa import Casa, siteconfig
from contimg_resources.core.directories import whole_file
from contimg_resources.core.errors import (
    CalibrationFailed,
    CasaCrashed,
    CasaError,
    CasaTimeout,
    DiskRefused,
    DiskShort,
    RunSuperseded,
    ScratchLost,
)
from contimg_resources.core.fencing import fenced
from contimg_resources.settings import CasaSettings
from tests.casa import steps_for_tests as steps
from tests.processes import is_running, wait_until_gone


@pytest.fixture(autouse=True)
def _find_the_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))


@pytest.fixture
def casa(tmp_path: Path) -> Iterator[Casa]:
    """A door of its own, closed afterwards."""
    door = Casa(tmp_path / "scratch", tmp_path / "logs", CasaSettings(step_timeout_s=600))
    yield door
    door.close()


def test_a_step_runs_in_a_casa_process_of_its_own(casa: Casa, tmp_path: Path) -> None:
    reports: list[tuple[str, float | None]] = []
    answer = casa.run(
        steps.add_up,
        steps.Question(tmp_path, (1.0, 2.5)),
        label="add",
        progress=lambda message, fraction: reports.append((message, fraction)),
    )
    assert answer.version.startswith("6.7")
    assert answer.total == 3.5
    assert answer.directory == tmp_path
    assert reports == [("adding", 0.5)]
    assert not answer.workdir.exists(), "the working directory is scratch"
    assert "casatools" not in sys.modules


def test_a_superseded_run_leaves_the_product_of_the_other_alone(casa: Casa, tmp_path: Path) -> None:
    """In this process and in CASA's: the question comes right before the rename."""
    place, file = tmp_path / "product", tmp_path / "file"
    asked: list[str] = []

    def refuse() -> None:
        asked.append("refused")
        raise RunSuperseded("run r1 was superseded")

    with fenced(lambda: asked.append("may")):
        assert casa.run(steps.make_product, place, label="make") == "made"
        whole_file(file, lambda partial: partial.write_text("new"))
    assert asked == ["may", "may"]
    (place / "made").write_text("of the other run")
    file.write_text("of the other run")
    with fenced(refuse):
        with pytest.raises(RunSuperseded):
            casa.run(steps.make_product, place, label="make")
        with pytest.raises(RunSuperseded):
            whole_file(file, lambda partial: partial.write_text("new"))
    assert asked[2:] == ["refused", "refused"]
    assert {(place / "made").read_text(), file.read_text()} == {"of the other run"}
    assert not list(tmp_path.glob(".*.partial"))
    # Nobody asks outside a run.
    assert casa.run(steps.make_product, place, label="make") == "made"
    assert (place / "made").read_text() == "new"


def test_our_own_error_comes_back_as_it_was_raised(casa: Casa) -> None:
    with pytest.raises(CalibrationFailed, match="no solutions") as failure:
        casa.run(steps.fail_on_purpose, "no solutions", label="fail")
    assert failure.value.details == {"reasons": ["no solutions"]}


def test_an_error_names_the_input_and_neither_a_working_copy_nor_sources_of_casa(
    casa: Casa,
) -> None:
    with pytest.raises(CasaError) as failure:
        casa.run(steps.fail_on_a_copy, steps.Observed(Path("/data/night.ms")), label="fail")
    assert failure.value.message == (
        "Table /data/night.ms/FIELD: an internal check of CASA failed; see k_1"
    )
    assert failure.value.details["reasons"] == ["/data/night.ms is empty"]


def test_any_other_error_names_the_step_and_the_cause(casa: Casa) -> None:
    with pytest.raises(CasaError, match="fail_by_accident: ZeroDivisionError"):
        casa.run(steps.fail_by_accident, 1, label="fail")


def test_a_crash_ends_one_step_and_names_the_signal(casa: Casa) -> None:
    with pytest.raises(CasaCrashed, match="SIGSEGV") as crash:
        casa.run(steps.crash, int(signal.SIGSEGV), label="crash")
    assert crash.value.transient


def test_a_step_over_its_time_is_ended_with_its_children(casa: Casa, tmp_path: Path) -> None:
    pid_file = tmp_path / "pids"
    with pytest.raises(CasaTimeout, match="after 3 s"):
        casa.run(steps.linger, pid_file, label="linger", timeout_s=3)
    pids = [int(p) for p in pid_file.read_text().split()]
    assert wait_until_gone(pids) == []


def test_a_step_that_is_ended_leaves_no_half_of_its_product(casa: Casa, tmp_path: Path) -> None:
    with pytest.raises(CasaTimeout):
        casa.run(
            steps.linger_over_a_product, tmp_path / "made" / "whole.ms", label="half", timeout_s=3
        )
    assert list((tmp_path / "made").iterdir()) == []


def test_kill_minus_nine_of_the_caller_leaves_nothing_running(tmp_path: Path) -> None:
    pid_file = tmp_path / "pids"
    program = (
        "import sys; from pathlib import Path; from tests.casa import steps_for_tests as steps\n"
        "from contimg_resources.casa import Casa\n"
        f"Casa(Path({str(tmp_path / 's')!r}), Path({str(tmp_path / 'l')!r}))"
        f".run(steps.linger, Path({str(pid_file)!r}), label='linger')"
    )
    caller = subprocess.Popen([sys.executable, "-c", program])
    deadline = time.monotonic() + 120
    while not (pid_file.exists() and len(pid_file.read_text().split()) == 2):
        assert time.monotonic() < deadline, "the step did not start"
        time.sleep(0.05)
    pids = [int(p) for p in pid_file.read_text().split()]
    assert all(map(is_running, pids))
    os.kill(caller.pid, signal.SIGKILL)
    caller.wait()
    assert wait_until_gone(pids) == []


def test_an_open_door_keeps_its_process_and_each_step_its_log(casa: Casa) -> None:
    casa.open(steps.load_quickly)
    first, second = (casa.run(steps.leave_traces, word, label=word) for word in ("one", "two"))
    assert first.pid == second.pid
    assert "casatools" in second.loaded
    assert first.workdir != second.workdir
    assert not first.workdir.exists()
    for word, other in (("one", "two"), ("two", "one")):
        log = casa.log_file(word).read_text()
        assert f"printed {word}" in log
        assert f"logged {word}" in log
        assert other not in log
    casa.close()
    assert wait_until_gone([first.pid]) == []
    assert list(casa.scratch.glob("casa-*")) == [], "its directory goes with it"
    apart = casa.run(steps.leave_traces, "three", label="three")
    assert apart.pid != first.pid
    assert wait_until_gone([apart.pid]) == []


def test_a_step_does_not_wait_for_what_is_still_being_loaded(casa: Casa) -> None:
    casa.open(steps.load_for_a_minute)
    began_s = time.monotonic()
    casa.run(steps.leave_traces, "early", label="early")
    assert time.monotonic() - began_s < 30


def test_what_can_not_be_loaded_ahead_stops_no_step(casa: Casa) -> None:
    casa.open(steps.load_what_is_not_there)
    assert casa.run(steps.leave_traces, "anyway", label="anyway").pid
    assert "isn't there" in casa.log_file("casa-loading").read_text()


def test_a_process_in_which_a_step_failed_is_not_asked_again(casa: Casa) -> None:
    casa.open(steps.load_quickly)
    before = casa.run(steps.leave_traces, "before", label="traces")
    with pytest.raises(CalibrationFailed):
        casa.run(steps.fail_on_purpose, "no solutions", label="fail")
    assert wait_until_gone([before.pid]) == []
    after = casa.run(steps.leave_traces, "after", label="traces")
    with pytest.raises(CasaCrashed, match="SIGSEGV"):
        casa.run(steps.crash, int(signal.SIGSEGV), label="crash")
    last = casa.run(steps.leave_traces, "last", label="traces")
    assert len({before.pid, after.pid, last.pid}) == 3


def test_a_process_that_died_while_it_waited_is_replaced(casa: Casa) -> None:
    casa.open(steps.load_quickly)
    killed = casa.run(steps.leave_traces, "first", label="traces").pid
    os.kill(killed, signal.SIGKILL)
    assert wait_until_gone([killed]) == []
    assert casa.run(steps.leave_traces, "second", label="traces").pid != killed


def test_a_step_whose_scratch_is_removed_may_be_tried_again(casa: Casa) -> None:
    casa.open(steps.load_quickly)
    with pytest.raises(
        ScratchLost, match=r"its working directory .* was removed while it ran"
    ) as lost:
        casa.run(steps.remove_everything_in, casa.scratch, label="robbed")
    assert lost.value.transient
    # And the home of a process that waits.
    casa.run(steps.leave_traces, "between", label="traces")
    steps.remove_everything_in(casa.scratch)
    assert casa.run(steps.leave_traces, "after", label="traces").pid


def test_what_the_disk_refuses_to_a_step_may_be_tried_again(casa: Casa) -> None:
    with pytest.raises(DiskRefused, match=r"write: .*Read-only file system") as refused:
        casa.run(steps.meet_a_read_only_disk, casa.scratch, label="write")
    assert refused.value.transient


def test_what_could_not_be_written_counts_also_when_the_disk_is_well_again(casa: Casa) -> None:
    with pytest.raises(DiskRefused, match="Read-only file system"):
        casa.run(steps.die_of_a_read_only_disk, casa.scratch, label="die")
    with pytest.raises(DiskShort, match=r"No space left on device: Error in Calibrater::solve"):
        casa.run(steps.solve_on_a_full_disk, "Error in Calibrater::solve.", label="solve")


def test_a_solver_on_a_full_disk_has_judged_nothing(
    casa: Casa, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CalibrationFailed, match="no solution"):
        casa.run(steps.fail_on_purpose, "no solution", label="solve")
    usage = shutil.disk_usage(casa.scratch)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=0))
    with pytest.raises(DiskShort, match=r"is full: solve could not go on \(no solution\)") as full:
        casa.run(steps.fail_on_purpose, "no solution", label="solve")
    assert full.value.transient


def test_what_a_step_starts_reads_none_of_the_requests(casa: Casa) -> None:
    casa.open(steps.load_quickly)
    assert casa.run(steps.read_nothing, 20.0, label="read") == "''"
    assert casa.run(steps.leave_traces, "next", label="next").pid


def test_a_door_that_nobody_has_any_more_leaves_no_process(tmp_path: Path) -> None:
    door = Casa(tmp_path / "scratch", tmp_path / "logs")
    door.open(steps.load_quickly)
    pid = door.run(steps.leave_traces, "word", label="word").pid
    assert is_running(pid)
    del door
    gc.collect()
    assert wait_until_gone([pid]) == []


def test_kill_minus_nine_of_a_caller_ends_the_process_that_waits(tmp_path: Path) -> None:
    program = (
        "import os, signal; from pathlib import Path; from contimg_resources.casa import Casa\n"
        "from tests.casa import steps_for_tests as steps\n"
        f"casa = Casa(Path({str(tmp_path / 's')!r}), Path({str(tmp_path / 'l')!r}))\n"
        "casa.open(steps.load_quickly)\n"
        "print(casa.run(steps.leave_traces, 'word', label='word').pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=False)
    assert done.returncode == -signal.SIGKILL
    assert wait_until_gone([int(done.stdout)]) == []


def test_a_users_own_casa_configuration_is_respected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CASASITECONFIG", "/etc/casa/mine.py")
    assert siteconfig.write_site_config(tmp_path) == {}
    monkeypatch.delenv("CASASITECONFIG")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert "CASASITECONFIG" in siteconfig.write_site_config(tmp_path)
    (tmp_path / ".casa").mkdir()
    (tmp_path / ".casa/config.py").write_text("")
    assert siteconfig.write_site_config(tmp_path) == {}
