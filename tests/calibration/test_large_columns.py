"""Large columns come through, whether their tiles are read or casatools is asked."""

from pathlib import Path

import pytest

from contimg_resources.casa import Casa
from tests.calibration.column_steps import Columns, read_columns, write_columns


@pytest.mark.parametrize("one_shape", [True, False])
def test_large_columns_are_read_however_they_are_stored(
    casa: Casa, tmp_path: Path, one_shape: bool
) -> None:
    moved = casa.run(read_columns, Columns(tmp_path / "x.tab", one_shape), label="columns")
    assert moved.as_one_array == one_shape
    assert moved.data_equal
    assert moved.flag_equal
    assert moved.told_once


def test_large_columns_are_written_as_casatools_reads_them(casa: Casa, tmp_path: Path) -> None:
    moved = casa.run(write_columns, Columns(tmp_path / "x.tab", True), label="columns")
    assert moved.data_equal
    assert moved.flag_equal
