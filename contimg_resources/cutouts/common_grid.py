"""A common grid for the cutouts of a source, centred on the source.

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

#: Order of the spline: with a beam of three pixels, a lower order reduces peaks between pixels.
_ORDER = 5
_LEAST_SHARE = 0.999


@dataclass(frozen=True)
class CommonGrid:
    """A pixel grid centred on a source, north up."""

    ra_deg: float  #: Position of the centre, ICRS degrees.
    dec_deg: float  #: Position of the centre, ICRS degrees.
    cell_deg: float  #: Pixel size, degrees.
    side: int  #: Pixels per side, odd.

    @classmethod
    def of(cls, cutouts: Sequence[Cutout]) -> "CommonGrid":
        """Choose a grid as fine as the finest of some cutouts, and as wide as the widest."""
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
        """Numbers of rows and columns."""
        return self.side, self.side

    @property
    def wcs(self) -> Any:
        """Sky axes of the grid."""
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
        """Interpolate a cutout onto this grid; NaN outside the cutout."""
        from reproject import reproject_interp

        known = np.isfinite(cutout.pixels)
        # A single NaN would spread through the whole spline.
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
    """Return the source that all cutouts show.

    Raises
    ------
    CutoutFailed
        If there are no cutouts, or they show several sources.
    """
    found = {c.facts.source_id for c in cutouts}
    if len(found) != 1:
        raise CutoutFailed(
            f"expected cutouts of one source, but these {len(paths)} show {len(found)} sources"
        )
    return found.pop()
