"""Claims about counting flags and about which antennas work."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from contimg_resources.observations.flag_counts import FlagCounts, MainColumns, count_flags

N_ANTENNAS = 5


class Table:
    """A main table in memory that counts how many rows of DATA are asked for."""

    def __init__(self, n_integrations: int, n_windows: int, channels: tuple[int, ...]) -> None:
        pairs = [(i, j) for i in range(N_ANTENNAS) for j in range(i, N_ANTENNAS)]
        rows = [(t, w, i, j) for t in range(n_integrations) for w in range(n_windows)
                for i, j in pairs]  # fmt: skip
        time, window, antenna1, antenna2 = (np.array(c) for c in zip(*rows, strict=True))
        self.shapes = np.array([(2, n) for n in channels])
        self.columns = MainColumns(
            time_s=5e9 + 13.0 * time,
            interval_s=np.full(time.size, 13.0),
            antenna1=antenna1,
            antenna2=antenna2,
            field_id=time,
            data_desc_id=window,
            flag_row=np.zeros(time.size, bool),
        )
        self.time = time
        self.data = [np.ones((2, channels[w]), np.complex64) for w in window]
        self.flag = [np.zeros((2, channels[w]), bool) for w in window]
        self.weight = [np.ones(2, np.float32) for w in window]
        self.spectrum: dict[int, NDArray[np.float32]] = {}
        self.data_rows_read = 0

    def touching(self, antenna: int) -> NDArray[np.bool_]:
        first, second = self.columns.antenna1, self.columns.antenna2
        return np.equal(first, antenna) | np.equal(second, antenna)

    def column(self, name: str, start: int = 0, count: int = -1) -> NDArray[np.generic]:
        return self.rows(name, np.arange(start, start + count))

    def rows(self, name: str, rows: NDArray[np.int64]) -> NDArray[np.generic]:
        self.data_rows_read += rows.size if name == "DATA" else 0
        columns = {"FLAG": self.flag, "WEIGHT": self.weight, "WEIGHT_SPECTRUM": self.spectrum}
        cells: Any = columns.get(name, self.data)
        return np.asfortranarray(np.stack([cells[int(r)] for r in rows], axis=-1))

    def filled_rows(self, name: str) -> NDArray[np.int64]:
        return np.array(sorted(self.spectrum), np.int64)

    def rows_to_check(self, name: str) -> NDArray[np.int64]:
        found = [row for row, cell in sorted(self.spectrum.items()) if not (cell > 0).all()]
        return np.array(found, np.int64)

    def count(self, sampled_integrations: int = 6, chunk_bytes: int = 100) -> FlagCounts:
        return count_flags(
            self,
            self.columns,
            self.shapes,
            N_ANTENNAS,
            sampled_integrations=sampled_integrations,
            chunk_bytes=chunk_bytes,
        )


def test_one_integration_is_enough_where_all_work() -> None:
    table = Table(24, 2, (4, 4))
    counts = table.count()
    assert counts.working.all()
    assert counts.flagged_fraction == 0
    assert table.data_rows_read == 2 * 10


def test_windows_of_different_channels_are_counted_each_by_its_own_size() -> None:
    table = Table(2, 2, (4, 16))
    for row in np.flatnonzero(table.columns.data_desc_id == 0):
        table.flag[row][:] = True
    assert table.count().flagged_fraction == pytest.approx(4 / 20)


def test_autocorrelations_count_for_nothing() -> None:
    table = Table(2, 1, (4,))
    for row in np.flatnonzero(~table.columns.cross):
        table.flag[row][:] = True
    for row in np.flatnonzero(table.touching(3) & table.columns.cross):
        table.data[row][:] = 0
    counts = table.count()
    assert counts.flagged_fraction == 0
    assert list(counts.working) == [True, True, True, False, True]


def test_an_antenna_that_works_only_where_it_is_unflagged_is_found() -> None:
    table = Table(24, 1, (4,))
    for row in np.flatnonzero(table.touching(2) & (table.time != 17)):
        table.flag[row][:] = True
    counts = table.count(sampled_integrations=2)
    assert counts.working.all()
    assert counts.antenna_flagged_fraction[2] == pytest.approx(23 / 24)


def test_a_dead_antenna_costs_a_few_integrations_not_all() -> None:
    table = Table(24, 1, (4,))
    for row in np.flatnonzero(table.touching(0)):
        table.data[row][:] = np.nan
    counts = table.count(sampled_integrations=3)
    assert list(counts.working) == [False, True, True, True, True]
    # All ten baselines of one integration, then twice the four of the dead antenna.
    assert table.data_rows_read == 10 + 2 * 4


def test_an_absent_antenna_is_not_working_and_spoils_no_fraction() -> None:
    table = Table(3, 1, (4,))
    counts = count_flags(
        table, table.columns, table.shapes, N_ANTENNAS + 1, sampled_integrations=6, chunk_bytes=100
    )
    assert not counts.working[N_ANTENNAS]
    assert counts.antenna_flagged_fraction[N_ANTENNAS] == 1
    assert counts.flagged_fraction == 0


def test_the_size_of_a_chunk_changes_no_count() -> None:
    table = Table(3, 2, (4, 4))
    rng = np.random.default_rng(1)
    table.flag = [np.asarray(rng.random(cell.shape) < 0.3) for cell in table.flag]
    fractions = {table.count(chunk_bytes=n).flagged_fraction for n in (1, 77, 10**9)}
    assert len(fractions) == 1
    assert fractions.pop() == pytest.approx(0.3, abs=0.05)


def test_flag_row_flags_the_whole_row_once() -> None:
    table = Table(2, 1, (4,))
    table.flag = [np.ones_like(cell) if t == 0 else cell
                  for cell, t in zip(table.flag, table.time, strict=True)]  # fmt: skip
    table.columns.flag_row[table.time == 0] = True
    assert table.count().flagged_fraction == 0.5


@pytest.mark.parametrize("weight", [0.0, -1.0, np.nan, np.inf])
def test_a_visibility_without_a_weight_counts_as_flagged(weight: float) -> None:
    table = Table(2, 1, (4,))
    for row in np.flatnonzero(table.time == 0):
        table.weight[row][0] = weight
    counts = table.count()
    assert counts.flagged_fraction == pytest.approx(1 / 4)
    assert counts.unflagged_fraction == 1.0
    assert counts.weighted_fraction == pytest.approx(3 / 4)


def test_weights_of_channels_stand_for_that_of_the_row_where_they_are_filled() -> None:
    table = Table(2, 1, (4,))
    for row in range(table.time.size):
        table.weight[row][:] = 0.0
    for at in np.flatnonzero(table.time == 1):
        table.spectrum[int(at)] = np.array([[0, 1, 1, 1]] * 2, np.float32)
    # The first time has no weight at all, the second in three of four channels.
    assert table.count().flagged_fraction == pytest.approx(1 - 3 / 8)


def test_an_antenna_whose_weights_are_all_zero_is_not_working() -> None:
    table = Table(2, 1, (4,))
    for row in np.flatnonzero(table.touching(3)):
        table.weight[row][:] = 0.0
    counts = table.count()
    assert list(counts.working) == [True, True, True, False, True]
    assert counts.flagged_fraction == 0
    assert counts.antenna_flagged_fraction[3] == 1


def test_an_antenna_with_weights_only_where_it_is_flagged_is_not_working() -> None:
    table = Table(1, 1, (4,))
    for row in np.flatnonzero(table.touching(3)):
        table.flag[row][:, :2] = True
        table.spectrum[int(row)] = np.array([[1, 1, 0, 0]] * 2, np.float32)
    assert not table.count().working[3]


def test_rows_that_stand_twice_are_counted_once() -> None:
    table = Table(2, 1, (4,))
    once = np.arange(table.time.size)
    twice = np.concatenate([once, once[table.time == 1]])
    for at in np.flatnonzero(table.time == 1):
        table.flag[at][:] = True
    columns = {
        name: getattr(table.columns, name)[twice]
        for name in (
            *("time_s", "interval_s", "antenna1", "antenna2"),
            *("field_id", "data_desc_id", "flag_row"),
        )
    }
    table.columns = MainColumns(**columns)
    for cells in (table.data, table.flag, table.weight):
        cells += [cells[row] for row in twice[once.size :]]
    counts = table.count()
    assert counts.flagged_fraction == 0.5
    assert list(np.flatnonzero(counts.repeated)) == list(range(30, 45))
    # Where one of two copies is wholly flagged, the other counts.
    for row in range(30, 45):
        table.flag[row] = np.zeros_like(table.flag[row])
    counts = table.count()
    assert counts.flagged_fraction == 0
    assert list(np.flatnonzero(counts.repeated)) == list(range(15, 30))
