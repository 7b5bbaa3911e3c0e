"""The pixel grid of a mosaic.

Belongs here: a grid that fits all tiles of a window, also later ones. Doesn't: the
directions of pixels (see `contimg_resources.imaging.png.celestial_wcs`), resampling.
"""

import math

import numpy as np
from numpy.typing import NDArray

from contimg_resources.core.errors import ConfigurationError
from contimg_resources.core.point_sources import direction_cosines
from contimg_resources.core.times import SIDEREAL_DEG_PER_DAY
from contimg_resources.imaging.model import SkyGrid
from contimg_resources.imaging.png import celestial_wcs
from contimg_resources.mosaics.model import MosaicGrid

Floats = NDArray[np.float64]

_MAX_PIXELS = 30_000
_AROUND = 72


def window_grid(
    centers_deg: Floats,
    mids_mjd: Floats,
    reach_deg: float,
    cell_arcsec: float,
    start_mjd: float,
    end_mjd: float,
    declination_deg: float,
) -> MosaicGrid:
    """Return the grid of a window, which contains all sky that transits within it.

    Parameters
    ----------
    centers_deg : ndarray, shape (n_tiles, 2)
        Centres of the tiles, ICRS degrees.
    mids_mjd : ndarray, shape (n_tiles,)
        Time of each, MJD in days.
    reach_deg : float
        Radius within which a tile contributes, degrees.
    cell_arcsec : float
        Pixel size, arcsec.
    start_mjd, end_mjd : float
        The window, MJD in days.
    declination_deg : float
        Declination of the strip, degrees.

    Raises
    ------
    ConfigurationError
        If it had too many pixels.
    """
    mid_mjd = 0.5 * (start_mjd + end_mjd)
    # Each tile gives the meridian at the window's mid-time; the values differ by arcseconds.
    there = np.radians(centers_deg[:, 0] + (mid_mjd - mids_mjd) * SIDEREAL_DEG_PER_DAY)
    ra_deg = math.degrees(math.atan2(np.sin(there).mean(), np.cos(there).mean())) % 360.0
    # The result must not depend on the order in which rounding errors add up.
    ra_deg = round(ra_deg, 3)
    # The centres of the tiles lie within the window, on the strip.
    half_deg = 0.5 * (end_mjd - start_mjd) * SIDEREAL_DEG_PER_DAY
    along = ra_deg + np.linspace(-half_deg, half_deg, 25)
    ra, dec = _circles(along, declination_deg, reach_deg)
    x, y = _zenithal_deg(ra, dec, ra_deg, declination_deg)
    cell_deg = cell_arcsec / 3600
    columns, rows = (2 * (math.ceil(float(np.abs(v).max()) / cell_deg) + 2) for v in (x, y))
    if max(columns, rows) > _MAX_PIXELS:
        raise ConfigurationError(
            f"a mosaic of {columns} x {rows} pixels of {cell_arcsec} arcsec is too large; use "
            "larger pixels (imaging.cell_arcsec) or shorter windows (mosaics.width)"
        )
    return MosaicGrid(columns, rows, cell_arcsec, ra_deg, declination_deg)


def box_of(
    grid: MosaicGrid, ra_deg: float, dec_deg: float, reach_deg: float
) -> tuple[slice, slice] | None:
    """Return the rows and columns around a circle on the sky; None if it isn't fully inside."""
    ra, dec = _circles(np.array([ra_deg]), dec_deg, reach_deg)
    x, y = celestial_wcs(grid).all_world2pix(ra, dec, 0)
    low = np.floor([y.min(), x.min()]).astype(int) - 1
    high = np.ceil([y.max(), x.max()]).astype(int) + 2
    if (low < 0).any() or high[0] > grid.rows or high[1] > grid.columns:
        return None
    return slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1]))


def reach_deg(primary_beam: NDArray[np.floating], grid: SkyGrid, cut: float) -> float:
    """Return the radius within which a tile's primary beam is above a cut, degrees."""
    with np.errstate(invalid="ignore"):
        above = primary_beam > cut
    rows = np.flatnonzero(above.any(axis=1))
    if not rows.size:
        return 0.0
    # The farthest pixel of a row is its first or its last one.
    first, last = (np.argmax(above[rows, ::step], axis=1) for step in (1, -1))
    middle = grid.columns // 2
    columns = np.maximum(abs(first - middle), abs(above.shape[1] - 1 - last - middle))
    pixels = np.hypot(rows - grid.rows // 2, columns).max()
    # In the projection of tiles, SIN, an offset is the sine of the angle.
    return math.degrees(math.asin(min(1.0, math.radians(pixels * grid.cell_arcsec / 3600))))


def _circles(ra_deg: Floats, dec_deg: float, radius_deg: float) -> tuple[Floats, Floats]:
    """Return points on circles around directions, degrees."""
    angle = np.linspace(0, 2 * np.pi, _AROUND, endpoint=False)[:, None]
    d0, r = math.radians(dec_deg), math.radians(radius_deg)
    dec = np.arcsin(
        np.clip(math.sin(d0) * math.cos(r) + math.cos(d0) * math.sin(r) * np.cos(angle), -1, 1)
    )
    ra = np.arctan2(
        np.sin(angle) * math.sin(r) * math.cos(d0), math.cos(r) - math.sin(d0) * np.sin(dec)
    )
    return (np.degrees(ra) + ra_deg).ravel(), np.broadcast_to(
        np.degrees(dec), (_AROUND, len(ra_deg))
    ).ravel()


def _zenithal_deg(
    ra_deg: Floats, dec_deg: Floats, ra0_deg: float, dec0_deg: float
) -> tuple[Floats, Floats]:
    """Return offsets in the ZEA projection, degrees: ``R = 2 sin(theta / 2)`` from the centre."""
    east, north, lower = direction_cosines(ra_deg, dec_deg, ra0_deg, dec0_deg)
    # 2 sin(theta/2) / sin(theta) = sqrt(2 / (1 + cos(theta))).
    factor = np.sqrt(2.0 / np.clip(2.0 + lower, 1e-12, None))
    return np.degrees(east * factor), np.degrees(north * factor)
