"""How far from the phase centre an image of visibilities reaches.

Belongs here: the primary beam's extent before anything of the data but their layout is known.
Doesn't: the pixels (see `geometry`).
"""

import numpy as np

from contimg_resources.imaging.beam import drift_beam
from contimg_resources.imaging.geometry import beam_extent_rad
from contimg_resources.imaging.layout import Layout
from contimg_resources.observations.counting import distinct


def half_width_rad(layout: Layout, dish_m: tuple[float, float], cut: float) -> float:
    """Return how far the primary beam reaches down to a cut, all data counting alike, radians.

    Parameters
    ----------
    layout : Layout
        Fields and channels.
    dish_m : (float, float)
        Diameters of dish and blockage, metres.
    cut : float
        Level of the primary beam.
    """
    channels_hz = layout.channels_hz
    share = np.zeros((len(layout.pointings_deg), len(channels_hz)))
    share[distinct(layout.field_ids)] = 1.0
    rough = drift_beam(layout.pointings_deg, share, channels_hz, *dish_m)
    return beam_extent_rad(rough, *layout.phase_center_deg, cut)
