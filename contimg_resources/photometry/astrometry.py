"""Astrometric offset between a list of sources and an image.

Belongs here: the median offset, its significance, its effect on flux densities, measuring at
shifted positions. Doesn't: positions of single sources (see `positions`).
"""

from dataclasses import dataclass, replace

import numpy as np

from contimg_resources.core.arrays import Floats
from contimg_resources.core.statistics import STD_OF_MAD
from contimg_resources.imaging.model import Beam
from contimg_resources.photometry.measuring import RawMeasurements, measure
from contimg_resources.photometry.model import NO_FLUX, Flag, MeasurableImage, SourceList
from contimg_resources.settings import PhotometrySettings

#: Ratio of the errors of a median and of a mean of normally distributed numbers.
_MEDIAN = 1.2533
#: Significance of an offset, in errors.
_SIGNIFICANT = 3.0
#: Sources with this expected S/N have measured positions, unless they are missing.
_EXPECTED_SNR = 20.0
#: Minimum number of such sources for a statement about missing ones.
_LEAST_EXPECTED = 5


@dataclass(frozen=True)
class ListOffset:
    """Median offset (measured less listed) of the bright sources of an image."""

    east_arcsec: float  #: Medians, arcsec; NaN without any position.
    north_arcsec: float  #: Medians, arcsec; NaN without any position.
    east_error_arcsec: float  #: Their uncertainties, arcsec.
    north_error_arcsec: float  #: Their uncertainties, arcsec.
    scatter_arcsec: float  #: Robust scatter (the larger of the two directions), arcsec.
    n_positions: int  #: Number of sources with measured positions.
    #: Number of sources that should be bright enough, by the list's flux densities.
    n_expected: int
    n_missing: int  #: Number of these that aren't within half a beam of their position.

    @classmethod
    def of(cls, raw: RawMeasurements, sources: SourceList) -> "ListOffset":
        """Return the offset for an image's measurements, which have the order of the list."""
        told = np.isfinite(raw.east_arcsec)
        east, north = raw.east_arcsec[told], raw.north_arcsec[told]
        plain = (raw.flags & int(NO_FLUX | Flag.BLEND)) == 0
        with np.errstate(invalid="ignore"):
            expected = plain & sources.compact & (sources.flux_jy > _EXPECTED_SNR * raw.error_jy)
        return cls(
            east_arcsec=_median(east),
            north_arcsec=_median(north),
            east_error_arcsec=_error(east, raw.east_error_arcsec[told]),
            north_error_arcsec=_error(north, raw.north_error_arcsec[told]),
            scatter_arcsec=max(_spread(east), _spread(north)),
            n_positions=int(told.sum()),
            n_expected=int(expected.sum()),
            n_missing=int((expected & ~told & ((raw.flags & int(Flag.EXTENDED)) == 0)).sum()),
        )

    @property
    def arcsec(self) -> float:
        """Length of the offset, arcsec."""
        return float(np.hypot(self.east_arcsec, self.north_arcsec))

    @property
    def significant(self) -> bool:
        """Whether the offset exceeds three times its error."""
        pulls = (
            self.east_arcsec / self.east_error_arcsec,
            self.north_arcsec / self.north_error_arcsec,
        )
        return bool(np.hypot(*pulls) > _SIGNIFICANT)

    @property
    def elsewhere(self) -> bool:
        """Whether most of the bright sources are missing at their listed positions."""
        return self.n_expected >= _LEAST_EXPECTED and 2 * self.n_missing > self.n_expected

    def lost(self, beam: Beam) -> float:
        """Return the fraction of each flux density that is lost by measuring off the source.

        Notes
        -----
        For a matched filter ``1 - exp(-2 ln 2 d^2)``, with the offset d in beams along it.
        """
        angle = np.radians(beam.angle_deg)
        along = self.east_arcsec * np.sin(angle) + self.north_arcsec * np.cos(angle)
        across = self.east_arcsec * np.cos(angle) - self.north_arcsec * np.sin(angle)
        square = (along / beam.major_arcsec) ** 2 + (across / beam.minor_arcsec) ** 2
        return float(1 - np.exp(-2 * np.log(2) * square))


def measure_moved(
    image: MeasurableImage,
    sources: SourceList,
    moved_arcsec: tuple[float, float],
    limits: PhotometrySettings | None = None,
) -> RawMeasurements:
    """Measure a list with all positions shifted by an offset, east and north.

    The positions in the result are relative to the list's own positions.
    """
    east_arcsec, north_arcsec = moved_arcsec
    dec = np.clip(sources.dec_deg + north_arcsec / 3600, -90.0, 90.0)
    ra = sources.ra_deg + east_arcsec / 3600 / np.maximum(np.cos(np.radians(dec)), 1e-9)
    raw = measure(image, replace(sources, ra_deg=ra % 360.0, dec_deg=dec), limits)
    return replace(
        raw,
        east_arcsec=raw.east_arcsec + east_arcsec,
        north_arcsec=raw.north_arcsec + north_arcsec,
    )


def _error(values: Floats, errors: Floats) -> float:
    if not len(values):
        return float("nan")
    # Two or three may agree by chance.
    own = _spread(values) if len(values) > 3 else 0.0
    return float(_MEDIAN * max(own, _median(errors)) / np.sqrt(len(values)))


def _median(values: Floats) -> float:
    return float(np.median(values)) if len(values) else float("nan")


def _spread(values: Floats) -> float:
    return STD_OF_MAD * _median(np.abs(values - _median(values)))
