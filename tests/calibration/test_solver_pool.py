"""Solver processes end with their step, and one that dies ends the step."""

from pathlib import Path

import pytest

from contimg_resources.casa import Casa
from contimg_resources.core.errors import CasaCrashed, CasaTimeout
from tests.calibration.solve_engine_steps import lose_a_solver, outstay_with_solvers
from tests.processes import wait_until_gone


def test_a_solve_that_is_ended_leaves_no_solver_running(casa: Casa, tmp_path: Path) -> None:
    pid_file = tmp_path / "pids"
    with pytest.raises(CasaTimeout):
        casa.run(outstay_with_solvers, pid_file, label="outstay", timeout_s=10)
    pids = [int(pid) for pid in pid_file.read_text().split()]
    assert len(pids) == 2
    assert wait_until_gone(pids) == []


def test_a_solver_that_dies_is_a_crash_of_the_step(casa: Casa, tmp_path: Path) -> None:
    parts = [tmp_path / "one.ms", tmp_path / "other.ms"]
    with pytest.raises(CasaCrashed, match="a process of gaincal died"):
        casa.run(lose_a_solver, parts, label="lose")
