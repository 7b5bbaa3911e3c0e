"""The visibilities of a few sources, in single precision, are those of double precision."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.constants import speed_of_light

from contimg_resources.imaging.engines.point_loops import subtract_points, turn_to_points

N_ROWS, N_SOURCES, N_FIELDS = 40, 7, 3
#: Three windows: the second apart from the first, the third of wider channels.
CHANNELS_HZ = np.concatenate(
    [
        1.311e9 + 2.44e5 * np.arange(80),
        1.35e9 + 2.44e5 * np.arange(48),
        1.40e9 + 1e6 * np.arange(20),
    ]
)
RNG = np.random.default_rng(4)
UVW_M = RNG.normal(0.0, 800.0, (N_ROWS, 3)) * [1.0, 1.0, 0.1]
EAST, NORTH = RNG.uniform(-0.02, 0.02, (2, N_SOURCES))
COSINES = np.array([EAST, NORTH, np.sqrt(1.0 - EAST**2 - NORTH**2) - 1.0])
FIELD_IDS = RNG.integers(0, N_FIELDS, N_ROWS).astype(np.int16)
BINS = (np.arange(len(CHANNELS_HZ)) // 4).astype(np.int16)
TABLE_JY = RNG.exponential(0.1, (N_FIELDS, BINS.max() + 1, N_SOURCES)).astype(np.float32)
PER_M = (CHANNELS_HZ / speed_of_light).astype(np.float32)
WEIGHT = (RNG.random((N_ROWS, len(CHANNELS_HZ))) > 0.1).astype(np.float32)
#: exp(2 pi i (u l + v m + w (n - 1))), shape (n_rows, n_channels, n_sources).
PHASORS = np.exp(
    2j * np.pi * (UVW_M @ COSINES)[:, None, :] * (CHANNELS_HZ / speed_of_light)[None, :, None]
)
FLUX_JY = TABLE_JY[FIELD_IDS][:, BINS]


def _of_columns(table: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.ascontiguousarray(table[:, BINS].transpose(0, 2, 1))


def test_sources_are_subtracted_where_there_is_weight() -> None:
    values = np.zeros(WEIGHT.shape, np.complex64)
    subtract_points(values, UVW_M, PER_M, WEIGHT, FIELD_IDS, COSINES, _of_columns(TABLE_JY))
    expected = -(FLUX_JY * PHASORS).sum(axis=-1)
    expected[WEIGHT == 0] = 0
    # A path of tens of metres in single precision is right to some 1e-5 waves.
    assert np.abs(values - expected).max() < 2e-4 * FLUX_JY.sum(axis=-1).max()


def test_a_visibility_is_turned_to_each_source() -> None:
    values = (RNG.normal(size=WEIGHT.shape) + 1j * RNG.normal(size=WEIGHT.shape)).astype(
        np.complex64
    )
    slope = TABLE_JY[..., ::-1].copy()
    factors = _of_columns(TABLE_JY), _of_columns(slope)
    found = turn_to_points(values, UVW_M, PER_M, WEIGHT, FIELD_IDS, COSINES, *factors)
    turned = WEIGHT[..., None] * (values[..., None] * PHASORS.conj()).real
    expected = [(f[FIELD_IDS][:, BINS] * turned).sum(axis=(0, 1)) for f in (TABLE_JY, slope)]
    assert found == pytest.approx(np.array(expected), abs=2e-3)
