"""Claims about which rows and visibilities count."""

import numpy as np
from numpy.typing import NDArray

from contimg_resources.observations.counting import (
    distinct,
    has_weight,
    in_order,
    number_integrations,
    repeated_rows,
)

TIME_S = 5.2e9 + np.array([0.0, 0.0, 13.0, 13.0, 0.0, 13.0])
ANTENNA1 = np.array([0, 0, 0, 0, 0, 0])
ANTENNA2 = np.array([1, 2, 1, 2, 1, 3])


def _repeated(flagged: NDArray[np.bool_] | None = None, **other: NDArray[np.int64]) -> list[bool]:
    columns = {"antenna1": ANTENNA1, "antenna2": ANTENNA2, "data_desc_id": ANTENNA1 * 0} | other
    flags = np.zeros(6, bool) if flagged is None else flagged
    return list(repeated_rows(number_integrations(TIME_S), flagged=flags, **columns))


def test_a_weight_counts_when_it_is_finite_and_above_zero() -> None:
    weight = np.array([1.0, 0.0, -1.2e12, np.nan, np.inf, 1e-30], np.float32)
    assert list(has_weight(weight)) == [True, False, False, False, False, True]


def test_a_row_that_stands_twice_counts_once() -> None:
    assert _repeated() == [False, False, False, False, True, False]


def test_a_baseline_in_the_other_direction_is_the_same_visibility() -> None:
    swapped = ANTENNA1.copy()
    swapped[4] = 1
    other = ANTENNA2.copy()
    other[4] = 0
    assert _repeated(antenna1=swapped, antenna2=other)[4]


def test_of_two_copies_the_one_counts_that_is_not_flagged() -> None:
    flagged = np.array([True, False, False, False, False, False])
    assert _repeated(flagged) == [True, False, False, False, False, False]


def test_other_windows_and_other_feeds_are_other_visibilities() -> None:
    elsewhere = np.array([0, 0, 0, 0, 1, 0])
    assert not any(_repeated(data_desc_id=elsewhere))
    assert not any(_repeated(feed1=elsewhere, feed2=elsewhere))
    assert _repeated(feed1=elsewhere * 0, feed2=elsewhere * 0)[4]


def test_times_that_differ_by_rounding_are_one_integration() -> None:
    assert list(number_integrations(TIME_S + np.array([0, 1e-4, 0, 0, 2e-4, 0]))) == [
        *(0, 0, 1, 1, 0, 1)
    ]


def test_different_numbers_are_those_of_numpy() -> None:
    random = np.random.default_rng(1)
    for column in (
        random.integers(0, 50, 500),
        np.array([-3, 7, 7, -3]),
        np.array([10**12, 5, 5]),
        np.zeros(0, np.int32),
    ):
        assert distinct(column).tolist() == np.unique(column).tolist()
    assert distinct(np.array([4, 1]), np.array([1, 9])).tolist() == [1, 4, 9]


def test_times_are_numbered_alike_in_order_and_out_of_it() -> None:
    ordered = np.array([1.5, 1.5, 2.0, 4.0, 4.0])
    for times in (ordered, ordered[::-1], np.array([2.0, np.nan, 1.0]), np.zeros(0)):
        values, which = in_order(times)
        expected, where = np.unique(times, return_inverse=True)
        np.testing.assert_array_equal(values, expected)
        np.testing.assert_array_equal(which, where)
