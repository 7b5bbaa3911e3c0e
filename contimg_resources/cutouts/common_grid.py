"""Cutouts of one source on one grid that has the source in its middle.

Belongs here: that grid, and interpolation onto it. Doesn't: adding up, drawing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from contimg_resources.core.errors import CutoutFailed
from contimg_resources.cutouts.model import Cutout, Singles

#: Of the spline: of a beam of three pixels a lower one loses more of a peak between pixels.
_ORDER = 5
_LEAST_SHARE = 0.999


@dataclass(frozen=True)
class CommonGrid:
    """Pixels with a source in the middle, north up.

    Parameters
    ----------
    ra_deg, dec_deg : float
        Its middle, ICRS degrees.
    cell_deg : float
        Pixel size, degrees.
    side : int
        Pixels a side, odd.
    """

    ra_deg: float
    dec_deg: float
    cell_deg: float
    side: int

    @classmethod
    def of(cls, cutouts: Sequence[Cutout]) -> "CommonGrid":
        """Choose one as fine as the finest of some cutouts, and as wide as the widest."""
        from astropy.wcs.utils import proj_plane_pixel_scales

        cells_deg = [float(np.mean(proj_plane_pixel_scales(c.wcs))) for c in cutouts]
        width_deg = max(
            cell * max(c.pixels.shape) for c, cell in zip(cutouts, cells_deg, strict=True)
        )
        last = cutouts[-1].facts
        half = math.ceil(0.5 * (width_deg / min(cells_deg) - 1) - 1e-6)
        return cls(last.ra_deg, last.dec_deg, min(cells_deg), 2 * half + 1)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.side, self.side

    @property
    def wcs(self) -> Any:
        """Its sky axes."""
        from astropy.wcs import WCS

        wcs = WCS(naxis=2)
        wcs.wcs.ctype = ["RA---SIN", "DEC--SIN"]
        wcs.wcs.crval = [self.ra_deg, self.dec_deg]
        wcs.wcs.crpix = [self.side // 2 + 1.0, self.side // 2 + 1.0]
        wcs.wcs.cdelt = [-self.cell_deg, self.cell_deg]
        wcs.wcs.cunit = ["deg", "deg"]
        wcs.wcs.radesys = "ICRS"
        wcs.wcs.set()
        return wcs

    def resampled(self, cutout: Cutout) -> Singles:
        """Return a cutout's pixels on this grid; NaN where it has none."""
        from reproject import reproject_interp

        known = np.isfinite(cutout.pixels)
        # One NaN would spread through all of the spline.
        filled = np.where(known, cutout.pixels, 0.0).astype(np.float64)
        sampled = reproject_interp(
            (filled, cutout.wcs), self.wcs, self.shape, order=_ORDER, return_footprint=False
        )
        share = reproject_interp(
            (known.astype(np.float64), cutout.wcs),
            self.wcs,
            self.shape,
            order="bilinear",
            return_footprint=False,
        )
        with np.errstate(invalid="ignore"):
            return np.where(share >= _LEAST_SHARE, sampled, np.nan).astype(np.float32)


def one_source(cutouts: Sequence[Cutout], paths: Sequence[Path]) -> str:
    """Return the source that all cutouts are of.

    Raises
    ------
    CutoutFailed
        If there is none, or they are of several.
    """
    found = {c.facts.source_id for c in cutouts}
    if len(found) != 1:
        raise CutoutFailed(
            f"cutouts of one source were expected, these {len(paths)} are of {len(found)}"
        )
    return found.pop()
