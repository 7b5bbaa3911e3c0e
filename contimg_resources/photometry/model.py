"""Input of photometry: an image, a list of sources, and their history.

Belongs here: frozen records and their checks; the flags of measurements and their descriptions.
Doesn't: reading files (see `reading`), setting flags.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import IntFlag
from typing import Any, Literal

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray

from contimg_resources.core.arrays import Bools, Floats, Ints, Singles
from contimg_resources.core.errors import PhotometryFailed
from contimg_resources.imaging.model import Beam


class Flag(IntFlag):
    """Flags of a measurement; 0 if there are none.

    With `NAN`, `EDGE`, `OUTSIDE`, `DEGENERATE` or `NO_NOISE` there is no flux.
    """

    NAN = 1
    EDGE = 2
    OUTSIDE = 4
    BLEND = 8
    POOR_FIT = 16
    DEGENERATE = 32
    NO_NOISE = 64
    EXTENDED = 128


_WORDS = {
    Flag.NAN: "blank pixels in the stamp",
    Flag.EDGE: "stamp over the edge of the image",
    Flag.OUTSIDE: "outside the observed sky",
    Flag.BLEND: "solved jointly with neighbours",
    Flag.POOR_FIT: "not a point source with the image's beam",
    Flag.DEGENERATE: "too close to a neighbour to be separated",
    Flag.NO_NOISE: "too few pixels around it to measure the noise",
    Flag.EXTENDED: "wider than the beam; see its integrated flux density",
}

#: Flags of measurements without a flux.
NO_FLUX = Flag.NAN | Flag.EDGE | Flag.OUTSIDE | Flag.DEGENERATE | Flag.NO_NOISE


def words(flags: int) -> tuple[str, ...]:
    """Return the descriptions of flags, one phrase for each; `flags` is a sum of `Flag` values.

    Raises
    ------
    ValueError
        If a bit is undefined.
    """
    if flags < 0 or flags & ~int(sum(Flag)):
        raise ValueError(f"{flags} contains bits that are not flags of measurements")
    return tuple(_WORDS[flag] for flag in Flag if flags & flag)


Kind = Literal["image", "mosaic"]


@dataclass(frozen=True)
class MeasurableImage:
    """An image on which sources can be measured.

    Arrays have the shape (n_rows, n_columns).
    """

    #: In an image the restoring beam is constant in pixels, as the gridder made it; in a mosaic its
    #: position angle is relative to local north.
    kind: Kind
    epoch: str  #: Partition key.
    pixels: Singles  #: Jy/beam; NaN where nothing was observed.
    #: Expected noise of each pixel, Jy/beam; None if the noise varies slowly.
    sigma_jy: Singles | None
    #: Divisor of flux densities; sources where it is NaN, below the image's cut, count as outside
    #: the observed sky. None if `pixels` are already corrected.
    primary_beam: Singles | None
    wcs: WCS  #: The two sky axes, ICRS.
    beam: Beam  #: Restoring beam.
    frequency_hz: float  #: Effective frequency, Hz.
    start_mjd: float  #: Start of the data, MJD in days, UTC.
    mid_mjd: float  #: Middle of the data, MJD in days, UTC.
    end_mjd: float  #: End of the data, MJD in days, UTC.

    def __post_init__(self) -> None:
        if self.pixels.ndim != 2 or not self.pixels.size:
            raise PhotometryFailed(
                f"{self.epoch}: pixels of shape {self.pixels.shape} are not an image"
            )
        for name in ("sigma_jy", "primary_beam"):
            other = getattr(self, name)
            if other is not None and other.shape != self.pixels.shape:
                raise PhotometryFailed(
                    f"{self.epoch}: {name} has shape {other.shape}, the image {self.pixels.shape}"
                )
        beam = (self.beam.major_arcsec, self.beam.minor_arcsec, self.beam.angle_deg)
        if not (np.isfinite(beam).all() and beam[0] >= beam[1] > 0):
            raise PhotometryFailed(f"{self.epoch}: {self.beam} is not a valid restoring beam")

    @property
    def middle_deg(self) -> tuple[float, float]:
        """Right ascension and declination of the central pixel, ICRS degrees.

        If it isn't on the sky, the reference of the projection, which may be far outside.
        """
        rows, columns = self.pixels.shape
        ra, dec = self.wcs.all_pix2world(columns // 2, rows // 2, 0)
        if not np.isfinite([ra, dec]).all():
            ra, dec = self.wcs.wcs.crval
        return float(ra), float(dec)


@dataclass(frozen=True)
class SourceList:
    """Sources to be measured.

    Arrays have the shape (n_sources,).
    """

    source_id: NDArray[np.str_]  #: Permanent, unique names.
    ra_deg: Floats  #: Positions, ICRS degrees.
    dec_deg: Floats  #: Positions, ICRS degrees.
    flux_jy: Floats  #: Expected flux densities at the image's frequency, Jy; NaN where unknown.
    compact: Bools  #: Whether a source is assumed to be a point source.

    @classmethod
    def of(
        cls,
        source_id: Sequence[str] | NDArray[np.str_],
        ra_deg: NDArray[Any],
        dec_deg: NDArray[Any],
        flux_jy: NDArray[Any] | None = None,
        compact: NDArray[Any] | None = None,
    ) -> "SourceList":
        """Make a list from columns and check it.

        Columns have the shape (n_sources,): ICRS degrees; expected flux densities in Jy, None if
        unknown; `compact` of None means that all sources are.

        Raises
        ------
        PhotometryFailed
            If columns differ in length, a name is repeated or empty, or a position isn't finite.
        """
        names = np.asarray(source_id, dtype=np.str_).reshape(-1)
        n = len(names)
        found = cls(
            names,
            np.asarray(ra_deg, np.float64).reshape(-1),
            np.asarray(dec_deg, np.float64).reshape(-1),
            np.full(n, np.nan) if flux_jy is None else np.asarray(flux_jy, np.float64).reshape(-1),
            np.ones(n, bool) if compact is None else np.asarray(compact, bool).reshape(-1),
        )
        for column in (found.ra_deg, found.dec_deg, found.flux_jy, found.compact):
            if len(column) != n:
                raise PhotometryFailed(f"a list of {n} sources has a column of {len(column)}")
        unique, counts = np.unique(names, return_counts=True)
        if (counts > 1).any():
            raise PhotometryFailed(f"source {str(unique[counts > 1][0])!r} is in the list twice")
        if (names == "").any():
            raise PhotometryFailed("a source of the list has no name")
        with np.errstate(invalid="ignore"):
            good = np.isfinite(found.ra_deg) & (np.abs(found.dec_deg) <= 90)
        if not good.all():
            raise PhotometryFailed(f"source {str(names[~good][0])!r} has no position on the sky")
        return found

    def __len__(self) -> int:
        return len(self.source_id)

    def select(self, which: Bools | NDArray[np.intp]) -> "SourceList":
        """Return some of the sources, given by a mask or by indices in order."""
        return SourceList(**{f.name: getattr(self, f.name)[which] for f in fields(self)})

    def with_others(self, others: "SourceList") -> "SourceList":
        """Return these sources and then those of another list that this one doesn't name."""
        more = others.select(~np.isin(others.source_id, self.source_id))
        return SourceList(
            **{
                f.name: np.concatenate([getattr(self, f.name), getattr(more, f.name)])
                for f in fields(self)
            }
        )


@dataclass(frozen=True)
class SourceHistory:
    """History of sources in earlier epochs, in the order of their list.

    Arrays have the shape (n_sources,).
    """

    median_flux_jy: Floats  #: Median of good epochs, Jy; NaN if there are none.
    n_epochs: Ints  #: Number of good epochs.
    eta: Floats  #: Weighted variance over its expectation; NaN with fewer than two epochs.
