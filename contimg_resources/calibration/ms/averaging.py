"""Compiled averaging of the visibilities of a known source.

Belongs here: the loop that divides by gains and model and averages.
Doesn't: choosing gains and model, and using the averages (see
`contimg_resources.calibration.solve.working_memory`).
"""

import numpy as np
from numpy.typing import NDArray

from contimg_resources.compiling import compiled, spread

Floats = NDArray[np.float64]
Float32s = NDArray[np.float32]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Complexes = NDArray[np.complex64]


@compiled(parallel=True)
def average(
    data: Complexes,
    flag: Bools,
    weight: Float32s,
    order: Ints,
    starts: Ints,
    first: Ints,
    second: Ints,
    time: Ints,
    field: Ints,
    interval: Ints,
    cell: Ints,
    receptors: Ints,
    inverse: Complexes,
    missing: Bools,
    gain_weight: Float32s,
    model: Float32s,
    others: Complexes,
    sums: NDArray[np.complex128],
    other_sums: NDArray[np.complex128],
    weights: Floats,
) -> None:
    """Average visibilities divided by a model and by the gains of their antennas.

    Parameters
    ----------
    data : ndarray of complex64, shape (n_rows, n_channels, n_correlations)
        Visibilities, the source at the phase centre.
    flag : ndarray of bool, same shape
        Flags.
    weight : ndarray of float32, shape (n_rows, 1 or n_channels, n_correlations)
        Weights.
    order : ndarray of int, shape (n_rows,)
        Rows sorted by baseline.
    starts : ndarray of int, shape (n_baselines + 1,)
        Index in `order` at which each baseline begins.
    first, second, time : ndarray of int, shape (n_rows,)
        Antennas, and index of the integration.
    field : ndarray of int, shape (n_rows,)
        Index of the field: the model differs between them.
    interval : ndarray of int, shape (n_times,)
        Index of the interval that an integration belongs to.
    cell : ndarray of int, shape (n_channels,)
        Index of the average that a channel belongs to.
    receptors : ndarray of int, shape (n_correlations, 2)
        Receptors of first and second antenna.
    inverse : ndarray of complex64, shape (n_times, n_antennas, 2, n_channels)
        Inverse of the gains.
    missing : ndarray of bool, same shape
        True where there are no gains: such data are left out.
    gain_weight : ndarray of float32, shape (n_times, n_antennas, 2)
        Factor by which dividing by the gains changes weights.
    model : ndarray of float32, shape (n_fields, n_channels)
        Model, Jy; its square is used as a weight.
    others : ndarray of complex64, shape (n_rows, n_channels) or (0, 0)
        Contribution of other sources to `model`, Jy; empty: there are none.
    sums : ndarray of complex128, shape (n_intervals, n_baselines, n_cells, n_correlations)
        Output: weighted sums.
    other_sums : ndarray of complex128, same shape, or empty like `others`
        Output: sums of `others` divided by `model`, in the parallel hands.
    weights : ndarray of float, same shape
        Output: sums of the weights.
    """
    n_channels, n_correlations = data.shape[1], data.shape[2]
    by_channel = weight.shape[1] > 1
    for baseline in spread(starts.size - 1):
        for k in range(starts[baseline], starts[baseline + 1]):
            row = order[k]
            i, j, t = first[row], second[row], time[row]
            into = interval[t]
            for p in range(n_correlations):
                a, b = receptors[p, 0], receptors[p, 1]
                grown = gain_weight[t, i, a] * gain_weight[t, j, b]
                cell_weight = weight[row, 0, p] * grown
                for channel in range(n_channels):
                    if (
                        flag[row, channel, p]
                        or missing[t, i, a, channel]
                        or missing[t, j, b, channel]
                    ):
                        continue
                    gain = inverse[t, i, a, channel] * np.conj(inverse[t, j, b, channel])
                    expected = model[field[row], channel]
                    if by_channel:
                        cell_weight = weight[row, channel, p] * grown
                    share = cell_weight * expected
                    value = data[row, channel, p] * gain
                    c = cell[channel]
                    # share * expected is the weight of value / expected.
                    sums[into, baseline, c, p] += share * value
                    weights[into, baseline, c, p] += share * expected
                    if others.size and a == b:
                        other_sums[into, baseline, c, p] += share * others[row, channel]
