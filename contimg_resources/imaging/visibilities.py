"""The visibilities of a calibrated MS in memory: Stokes I, averaged without significant loss.

Belongs here: the records. Doesn't: reading them (see `reading`), averaging (see `gathering`).
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.constants import speed_of_light

from contimg_resources.instrument.primary_beam import MODEL_SHAPE, BeamShape

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]


@dataclass(frozen=True)
class Block:
    """Visibilities of some baselines, all at the same frequencies."""

    #: Baselines, metres: one for each integration and pair of antennas. Shape (n_rows, 3).
    uvw_m: Floats
    field_ids: NDArray[np.int16]  #: Row of the FIELD table. Shape (n_rows,).
    #: Mean frequencies of averaged channels, Hz, ascending. Shape (n_columns,).
    channels_hz: Floats
    values: NDArray[np.complex64]  #: Stokes I, Jy; 0 without weight. Shape (n_rows, n_columns).
    #: Natural weight: sum over the averaged channels of the mean weight of the parallel hands
    #: (1/Jy^2 as in the MS); 0: there are no data. Shape (n_rows, n_columns).
    weight: Singles
    #: Variance of the real or imaginary part times weight, according to the weights: 1/2 for two
    #: hands of equal weight. Shape (n_rows,).
    variance: Singles
    #: `first`, `second`: Antennas, rows of the ANTENNA table. Shape (n_rows,).
    first: NDArray[np.int16]
    second: NDArray[np.int16]
    time_s: Floats  #: Middle of the integration, MJD in seconds. Shape (n_rows,).
    #: Half the difference of both parallel hands, Jy, of the shape of `values`; None: there is one
    #: hand, or the hands are aligned already.
    unlike: NDArray[np.complex64] | None = None

    def inverse_variance(self, noise_scale: float) -> Singles:
        """Return 1 / (`variance` scaled to the measured noise), 0 where it is 0. Shape (n_rows,).

        Times a weight this is the inverse of the variance of a visibility's real part.
        """
        known = self.variance > 0
        inverse = 1 / np.where(known, self.variance * np.float32(noise_scale**2), np.float32(1))
        return np.where(known, inverse, np.float32(0))


@dataclass(frozen=True)
class Visibilities:
    """The selected visibilities of a calibrated MS in memory."""

    blocks: tuple[Block, ...]  #: Long and short baselines, averaged over fewer and more channels.
    #: Bandwidth from the lower edge of the lowest channel to the upper edge of the highest, Hz.
    bandwidth_hz: float
    #: Ratio of the noise measured in the data to that implied by the weights: 1 if they are right.
    noise_scale: float
    telescope: str  #: Telescope name.
    phase_center_deg: tuple[float, float]  #: The one phase centre, ICRS degrees.
    #: Pointing direction of the telescope in each field, ICRS degrees. Shape (n_fields, 2).
    pointings_deg: Floats
    #: `start_mjd`, `end_mjd`: Start of the first and end of the last integration with unflagged
    #: data, MJD in days.
    start_mjd: float
    end_mjd: float
    origin: dict[str, Any]  #: Origin recorded in the calibrated MS.
    antenna_names: tuple[str, ...]  #: Names of the antennas, by row of the ANTENNA table.
    beam_shape: BeamShape = MODEL_SHAPE  #: Shape of the primary beam that they are taken to have.

    def without(self, antennas: Collection[str]) -> "Visibilities":
        """Return the visibilities without the data of some antennas, by name."""
        ids = [i for i, name in enumerate(self.antenna_names) if name in antennas]
        if not ids:
            return self
        blocks = []
        for block in self.blocks:
            its = np.isin(block.first, ids) | np.isin(block.second, ids)
            values, weight = block.values.copy(), block.weight.copy()
            values[its], weight[its] = 0, 0
            blocks.append(replace(block, values=values, weight=weight))
        return replace(self, blocks=tuple(blocks))

    @property
    def values(self) -> tuple[NDArray[np.complex64], ...]:
        """Return Stokes I of each block, Jy."""
        return tuple(b.values for b in self.blocks)

    @property
    def channels_hz(self) -> Floats:
        """Return the frequencies of all blocks, one after the other, Hz."""
        return np.concatenate([b.channels_hz for b in self.blocks])

    @property
    def w_extent_wavelengths(self) -> float:
        """Return the largest abs(w), wavelengths."""
        return (
            max(float(np.abs(b.uvw_m[:, 2]).max() * b.channels_hz.max()) for b in self.blocks)
            / speed_of_light
        )

    @property
    def shortest_fringe_rad(self) -> float:
        """Return the fringe spacing of the largest abs(u) or abs(v), radians."""
        longest = max(
            float(np.abs(b.uvw_m[:, :2]).max() * b.channels_hz.max()) for b in self.blocks
        )
        return 1.0 / max(1.0, longest / speed_of_light)
