"""The extent of an image of visibilities around the phase centre.

Belongs here: the primary beam's extent when only the layout of the data is known.
Doesn't: the pixels (see `geometry`).
"""

import numpy as np

from contimg_resources.imaging.beam import drift_beam
from contimg_resources.imaging.geometry import beam_extent_rad
from contimg_resources.imaging.layout import Layout
from contimg_resources.observations.counting import distinct


def half_width_rad(layout: Layout, dish_m: tuple[float, float], cut: float) -> float:
    """Return the radius of the primary beam at a cut, with equal weights of all data, radians.

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
