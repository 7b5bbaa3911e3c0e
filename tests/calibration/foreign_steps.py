"""Steps that look at averaged visibilities of an MS whose weights vary along the channels."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from contimg_resources.calibration.apply.memory import read_observed
from contimg_resources.imaging import averaged_visibilities
from contimg_resources.imaging.beam import dish_of
from contimg_resources.imaging.layout import read_layout
from contimg_resources.imaging.reach import half_width_rad
from contimg_resources.imaging.reading import read_visibilities
from contimg_resources.settings import ImagingSettings


@dataclass(frozen=True)
class Handed:
    most: float
    """Largest relative difference of values and weights that are carried and that are read."""
    sum_of_weights: float
    """Of the averaged visibilities of Stokes I."""


def hand_on_and_compare(ms: Path) -> Handed:
    """Let an MS carry what is in memory, and read both."""
    averaged_visibilities.average_for_imaging(
        read_observed(ms, range(24)), ms, ImagingSettings().beam_cut
    )()
    layout = read_layout(ms)
    half_rad = half_width_rad(layout, dish_of(layout.telescope, None, None), 0.2)
    read = read_visibilities(layout, half_rad)
    carried = averaged_visibilities._read(layout, half_rad)
    assert carried is not None
    most = 0.0
    for one, other in zip(read.blocks, carried.blocks, strict=True):
        for name in ("values", "weight", "variance"):
            a, b = getattr(one, name), getattr(other, name)
            most = max(most, float(np.abs(a - b).max() / np.abs(b).max()))
    return Handed(most, sum(float(b.weight.sum(dtype=np.float64)) for b in read.blocks))


def mean_amplitude_jy(ms: Path) -> float:
    """Return the mean amplitude of the visibilities of Stokes I that are read for an image."""
    layout = read_layout(ms)
    half_rad = half_width_rad(layout, dish_of(layout.telescope, None, None), 0.2)
    return float(
        np.mean([np.abs(b.values).mean() for b in read_visibilities(layout, half_rad).blocks])
    )
