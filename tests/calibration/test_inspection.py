"""Caltables are described as CASA wrote them, and what isn't one is refused by name."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from contimg_resources.calibration.inspection import inspect_caltables
from contimg_resources.calibration.quality import measure_quality
from contimg_resources.calibration.solutions import Solutions
from contimg_resources.casa import Casa
from contimg_resources.core.errors import RegistrationRefused


def _solutions(values: np.ndarray, flags: np.ndarray, antennas: list[int]) -> Solutions:
    n = values.shape[-1]
    return Solutions(
        values, flags, np.ones(values.shape), np.array(antennas), np.zeros(n), np.full(n, 5e9)
    )


def test_an_antenna_without_any_solution_does_not_count_as_flagged() -> None:
    flags = np.zeros((2, 4, 3), bool)
    flags[:, :, 1] = True  # a dead antenna
    flags[0, 0, 2] = True  # one channel of a working one
    table = _solutions(np.full((2, 4, 3), 0.5 + 0j), flags, [0, 1, 2])
    assert table.working_antennas().tolist() == [0, 2]
    working = np.array([True, False, True])
    quality = measure_quality(table, "G Jones", working)
    assert quality.flagged_fraction == pytest.approx(1 / 16)


def test_a_table_without_any_solution_is_flagged_throughout() -> None:
    table = _solutions(np.ones((2, 1, 2), complex), np.ones((2, 1, 2), bool), [0, 1])
    assert measure_quality(table, "G Jones", np.zeros(2, bool)).flagged_fraction == 1.0
    assert table.identity_fraction("G Jones") == 0.0


def test_identity_solutions_are_recognised_for_gains_and_for_delays() -> None:
    flags = np.zeros((2, 1, 2), bool)
    gains = np.array([[[1.0, 0.5]], [[1.0, 1.0]]], complex)
    assert _solutions(gains, flags, [0, 1]).identity_fraction("G Jones") == 0.75
    assert _solutions(np.zeros((2, 1, 2)), flags, [0, 1]).identity_fraction("K Jones") == 1.0


def test_what_is_no_caltable_is_refused_with_its_path_and_the_reason(
    casa: Casa, tmp_path: Path
) -> None:
    plain = tmp_path / "a_file_kcal"
    plain.write_text("not a table")
    empty = tmp_path / "empty_bacal"
    empty.mkdir()
    garbage = tmp_path / "garbage_gpcal"
    garbage.mkdir()
    (garbage / "table.dat").write_bytes(b"\x00\xff" * 100)
    for path, reason in [
        (tmp_path / "absent_gacal", "does not exist"),
        (plain, "is a file"),
        (empty, "no table.dat"),
        (garbage, "can't be read"),
    ]:
        with pytest.raises(RegistrationRefused, match=reason) as refused:
            casa.run(inspect_caltables, [path], label="inspect")
        assert str(path) in refused.value.message
        assert refused.value.details["path"] == str(path)
    shutil.rmtree(garbage)
