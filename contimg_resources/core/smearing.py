"""What averaging in time and frequency leaves of a source far from the phase centre.

Belongs here: the loss on each baseline of a drift scan. Doesn't: averaging.
"""

import numpy as np
from scipy.constants import speed_of_light

from contimg_resources.core.arrays import Floats
from contimg_resources.core.point_sources import direction_cosines

_TURN_RAD_PER_S = 2 * np.pi / 86_164.1


def smeared(
    uvw_m: Floats,
    source_deg: tuple[float, float],
    center_deg: tuple[float, float],
    pointing_deg: tuple[float, float],
    frequencies_hz: Floats,
    width_hz: float,
    integration_s: float,
) -> Floats:
    """Return the share of a source's signal that is left, shape (baselines, frequencies).

    Parameters
    ----------
    uvw_m : ndarray of float, shape (baselines, 3)
        Baselines toward the phase centre, metres.
    source_deg, center_deg, pointing_deg : (float, float)
        Source, phase centre and the point on the meridian that the correlator followed during the
        integration, ICRS degrees.
    frequencies_hz : ndarray of float, shape (frequencies,)
        Middles of the averaged channels, Hz.
    width_hz, integration_s : float
        Their width, Hz, and the length of the integration, seconds; 0: no averaging.

    Notes
    -----
    Both are ``sinc`` of the turns that the phase makes (Thompson, Moran & Swenson, 3rd ed., 6.4):
    by the delay ``b . (s - s_0) / c`` over the channel, and by the difference of the fringe rates
    of the source and of the point on the meridian over the integration.
    """
    where = np.array([source_deg[0]]), np.array([source_deg[1]])
    cosines = np.stack(direction_cosines(*where, *center_deg))[:, 0]
    delay_s = uvw_m @ cosines / speed_of_light
    ra0, dec0, ra, dec, ra_p, dec_p = np.radians([*center_deg, *source_deg, *pointing_deg])
    hour = ra_p - ra0
    u, v, w = uvw_m.T
    toward = w * np.cos(dec0) - v * np.sin(dec0)
    x = u * np.sin(hour) + toward * np.cos(hour)
    y = u * np.cos(hour) - toward * np.sin(hour)
    rate_m = np.cos(dec) * (x * np.sin(ra_p - ra) + y * np.cos(ra_p - ra)) - np.cos(dec_p) * y
    turned_s = _TURN_RAD_PER_S * integration_s * rate_m / speed_of_light
    by_time = np.sinc(turned_s[:, None] * frequencies_hz)
    return np.asarray(by_time * np.sinc(delay_s * width_hz)[:, None])
