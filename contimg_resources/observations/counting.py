"""Select the rows and visibilities of a MeasurementSet that count.

Belongs here: weights that count as flagged, repeated rows, and rows of one integration.
Pure: arrays in, arrays out.
Doesn't: reading columns, counting flags (see `contimg_resources.observations.flag_counts`).
"""

import numpy as np
from numpy.typing import NDArray

from contimg_resources.core.arrays import Bools, Floats, Ints

#: Times closer than this belong to one integration, s.
SAME_TIME_S = 1e-3


def has_weight(weight: NDArray[np.floating]) -> Bools:
    """Return which weights are valid; a visibility with any other weight counts as flagged.

    Writers mark missing measurements by a weight of zero, below zero, NaN or infinity. SIGMA is
    ignored: some writers leave it at 0, -1 or NaN beside a good weight. `weight` holds WEIGHT, or
    WEIGHT_SPECTRUM where the row has one, in any shape.
    """
    # NaN fails the first comparison, infinity the second.
    return np.asarray((weight > 0) & (weight < np.inf), dtype=np.bool_)


def distinct(*columns: NDArray[np.integer]) -> Ints:
    """Return the distinct values of columns of small integers, such as indices; ascending.

    Ten times as fast as `numpy.unique` for the millions of rows of a main table. Columns with
    negative or widely spread values are sorted.
    """
    found = [np.zeros(0, np.int64)]
    for column in map(np.asarray, columns):
        small = column.size and column.min() >= 0 and column.max() < column.size + 1024
        found.append(np.flatnonzero(np.bincount(column)) if small else np.unique(column))
    return np.unique(np.concatenate(found)).astype(np.int64)


def in_order(values: Floats) -> tuple[Floats, Ints]:
    """Return the distinct values, ascending, and the index of each element among them.

    Same result as `numpy.unique`, without sorting a column that is already sorted, as times are.
    """
    steps = np.diff(values)
    if not values.size or not (steps >= 0).all():
        different, which = np.unique(values, return_inverse=True)
        return different, which
    new = np.concatenate(([True], steps > 0))
    return values[new], np.cumsum(new) - 1


def number_integrations(time_s: Floats) -> Ints:
    """Return the integration number of each row, from 0, in order of time (seconds; finite)."""
    times, inverse = in_order(time_s)
    steps = np.concatenate(([0], np.cumsum(np.diff(times) > SAME_TIME_S)))
    return np.asarray(steps[inverse], dtype=np.int64)


def repeated_rows(
    integration: Ints,
    antenna1: NDArray[np.integer],
    antenna2: NDArray[np.integer],
    data_desc_id: NDArray[np.integer],
    flagged: Bools,
    feed1: NDArray[np.integer] | None = None,
    feed2: NDArray[np.integer] | None = None,
) -> Bools:
    """Return which rows repeat a visibility of another row.

    Two rows hold the same visibility when integration, baseline (in either direction), feeds and
    data description are the same: a restarted writer writes an integration, or all of them, a
    second time. Among such rows the first unflagged one counts, or the first if all are flagged.

    Parameters
    ----------
    integration : ndarray of int, shape (n_rows,)
        See `number_integrations`.
    antenna1, antenna2, data_desc_id : ndarray of int, shape (n_rows,)
        Columns of the main table.
    flagged : ndarray of bool, shape (n_rows,)
        True for fully flagged rows.
    feed1, feed2 : ndarray of int, shape (n_rows,), optional
        FEED1 and FEED2; None: one feed for each antenna.

    Returns
    -------
    ndarray of bool, shape (n_rows,)
        True for rows that must not be counted again.
    """
    ends = [np.asarray(a, np.int64) for a in (antenna1, antenna2)]
    if feed1 is not None and feed2 is not None:
        n_feeds = int(max(feed1.max(initial=0), feed2.max(initial=0))) + 1
        ends = [ends[0] * n_feeds + feed1, ends[1] * n_feeds + feed2]
    low, high = np.minimum(*ends), np.maximum(*ends)
    visibility = np.asarray(integration, np.int64)
    for part in (np.asarray(data_desc_id, np.int64), low, high):
        visibility = visibility * (int(part.max(initial=0)) + 1) + part
    # Stable, so that the earlier of equal rows comes first.
    order = np.argsort(visibility * 2 + flagged, kind="stable")
    ordered = visibility[order]
    repeated = np.zeros(visibility.size, np.bool_)
    repeated[order[1:]] = ordered[1:] == ordered[:-1]
    return repeated
