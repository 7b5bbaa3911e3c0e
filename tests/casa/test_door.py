"""The door to CASA: one process a step, its crash ends one step, its end leaves nothing."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from contimg_resources.casa import Casa, siteconfig
from contimg_resources.errors import CalibrationFailed, CasaCrashed, CasaError, CasaTimeout
from tests.processes import is_running, wait_until_gone

sys.path.insert(0, str(Path(__file__).parent))
import steps_for_tests as steps


@pytest.fixture(autouse=True)
def _find_the_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))


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


def test_our_own_error_comes_back_as_it_was_raised(casa: Casa) -> None:
    with pytest.raises(CalibrationFailed, match="no solutions") as failure:
        casa.run(steps.fail_on_purpose, "no solutions", label="fail")
    assert failure.value.details == {"reasons": ["no solutions"]}


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
        casa.run(steps.linger_over_a_product, tmp_path / "whole.ms", label="half", timeout_s=3)
    assert list(tmp_path.iterdir()) == []


def test_kill_minus_nine_of_the_caller_leaves_nothing_running(tmp_path: Path) -> None:
    pid_file = tmp_path / "pids"
    program = (
        "import sys; from pathlib import Path; import steps_for_tests as steps\n"
        "from contimg_resources.casa import Casa\n"
        f"Casa(Path({str(tmp_path / 's')!r}), Path({str(tmp_path / 'l')!r}))"
        f".run(steps.linger, Path({str(pid_file)!r}), label='linger')"
    )
    caller = subprocess.Popen([sys.executable, "-c", program])
    deadline = time.monotonic() + 30
    while not (pid_file.exists() and len(pid_file.read_text().split()) == 2):
        assert time.monotonic() < deadline, "the step did not start"
        time.sleep(0.05)
    pids = [int(p) for p in pid_file.read_text().split()]
    assert all(map(is_running, pids))
    os.kill(caller.pid, signal.SIGKILL)
    caller.wait()
    assert wait_until_gone(pids) == []


def test_a_users_own_casa_configuration_is_respected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CASASITECONFIG", "/etc/casa/mine.py")
    assert siteconfig.write_site_config(tmp_path, tmp_path / "casa.log") == {}
    monkeypatch.delenv("CASASITECONFIG")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert "CASASITECONFIG" in siteconfig.write_site_config(tmp_path, tmp_path / "casa.log")
    (tmp_path / ".casa").mkdir()
    (tmp_path / ".casa/config.py").write_text("")
    assert siteconfig.write_site_config(tmp_path, tmp_path / "casa.log") == {}
