"""A cutout in memory, and the facts in its header.

Belongs here: the records. Doesn't: files (see `reading`), drawing.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from contimg_resources.core.arrays import Singles
from contimg_resources.imaging.model import Beam

_SHOWN_CHARS = 34
_SAME_POSITION_DEG = 0.1 / 3600


@dataclass(frozen=True)
class CutoutFacts:
    """The facts in the header of a cutout."""

    source_id: str  #: The source.
    ra_deg: float  #: Its position, ICRS degrees.
    dec_deg: float  #: Its position, ICRS degrees.
    epoch: str  #: Key of the mosaic or observation.
    mid_mjd: float  #: Middle of the data, MJD in days.
    size_arcmin: float  #: Requested side, arcmin.
    image_checksum: str  #: Checksum of the image of the cutout.
    beam: Beam  #: Restoring beam; its angle relative to local north.
    rms_jy: float  #: Robust noise of its pixels, Jy/beam.

    def is_of(self, checksum: str, ra_deg: float, dec_deg: float, size_arcmin: float) -> bool:
        """Return whether a cutout made now would be the same."""
        east_deg = (self.ra_deg - ra_deg + 180) % 360 - 180
        return (
            self.image_checksum == checksum
            and abs(self.size_arcmin - size_arcmin) < 1e-6
            and abs(east_deg * np.cos(np.radians(dec_deg))) < _SAME_POSITION_DEG
            and abs(self.dec_deg - dec_deg) < _SAME_POSITION_DEG
        )


@dataclass(frozen=True)
class Cutout:
    """A cutout in memory."""

    facts: CutoutFacts  #: Facts in its header.
    pixels: Singles  #: Jy/beam; NaN where nothing was observed. Shape (rows, columns).
    wcs: Any  #: Its two sky axes, ICRS (astropy.wcs.WCS).


@dataclass(frozen=True)
class BrightnessScale:
    """The brightness range of a picture."""

    low_jy: float  #: Flux density shown as black, Jy/beam.
    high_jy: float  #: Flux density shown as white, Jy/beam.

    @classmethod
    def of(cls, rms_jy: float, peak_jy: float) -> "BrightnessScale":
        """Choose a scale that shows the noise and doesn't saturate the source.

        Both in Jy/beam; a peak of NaN is ignored.
        """
        rms = rms_jy if np.isfinite(rms_jy) and rms_jy > 0 else max(1e-3 * abs(peak_jy), 1e-6)
        return cls(-3 * rms, float(np.nanmax([12 * rms, 1.1 * peak_jy])))

    def resembles(self, other: "BrightnessScale") -> bool:
        """Return whether pictures in both scales look nearly the same."""
        ratios = (self.low_jy / other.low_jy, self.high_jy / other.high_jy)
        return all(1 / 1.5 < r < 1.5 for r in ratios)


def shown_name(source_id: str) -> str:
    """Return a source's name for pictures and messages: short, on one line."""
    text = "".join(c if c.isprintable() else "?" for c in " ".join(source_id.split()))
    return text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 3] + "..."
