"""Large columns come through, whether their tiles are read or casatools is asked."""

from pathlib import Path

import pytest

from contimg_resources.casa import Casa
from tests.calibration.column_steps import Columns, move_columns


@pytest.mark.parametrize("n_channels", [(7, 7), (7, 3)])
def test_large_columns_come_through_however_they_are_stored(
    casa: Casa, tmp_path: Path, n_channels: tuple[int, int]
) -> None:
    # 33 rows of 7 channels are a tile whose bits don't fill its last byte.
    moved = casa.run(
        move_columns, Columns(tmp_path / "x.tab", 1000, n_channels, 33), label="columns"
    )
    assert moved.as_one_array == (n_channels == (7, 7))
    assert moved.data_equal
    assert moved.flag_equal
    assert moved.read_equal
