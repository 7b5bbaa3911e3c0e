"""Records of a catalogue's sources and of its origin.

Belongs here: frozen records of columns, and neighbours on the sky. Doesn't: files.
"""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from contimg_resources.core.arrays import Bools, Floats
from contimg_resources.imaging.model import ReferenceSource

#: The numbers of a source.
NUMBERS = (
    *("ra_deg", "dec_deg", "flux_jy", "flux_error_jy", "reference_ghz", "spectral_index"),
    *("major_arcsec", "minor_arcsec", "angle_deg"),
)


@dataclass(frozen=True)
class CatalogueSources:
    """Sources of a catalogue, one array per column.

    Arrays have the shape (n,).
    """

    #: Stable names, unique in the catalogue: its own name and the source's, ``nvss-J0123+4567``.
    source_id: NDArray[np.str_]
    name: NDArray[np.str_]  #: Names as in the catalogue.
    ra_deg: Floats  #: Positions, ICRS degrees.
    dec_deg: Floats  #: Positions, ICRS degrees.
    flux_jy: Floats  #: Flux densities at `reference_ghz`, Jy.
    flux_error_jy: Floats  #: Their uncertainties, Jy; NaN where unknown.
    reference_ghz: Floats  #: Reference frequencies, GHz.
    spectral_index: Floats  #: ``S ~ nu^spectral_index``; NaN where unknown.
    #: `major_arcsec`, `minor_arcsec`, `angle_deg`: Size as in the catalogue (FWHM) and position
    #: angle; NaN where unknown or an upper limit.
    major_arcsec: Floats
    minor_arcsec: Floats
    angle_deg: Floats
    variable: Bools  #: Whether the source is known to vary.

    def __len__(self) -> int:
        return len(self.source_id)

    def select(self, which: Bools | NDArray[np.intp]) -> "CatalogueSources":
        """Return a subset of the sources, given by a mask or by indices in order."""
        return CatalogueSources(**{f.name: getattr(self, f.name)[which] for f in fields(self)})

    def flux_at(self, frequency_hz: float, default_spectral_index: float) -> Floats:
        """Return flux densities at a frequency, Jy.

        `default_spectral_index` is for sources without one.
        """
        index = np.where(
            np.isfinite(self.spectral_index), self.spectral_index, default_spectral_index
        )
        return np.asarray(self.flux_jy * (frequency_hz / (1e9 * self.reference_ghz)) ** index)

    def reference_sources(self, default_spectral_index: float) -> tuple[ReferenceSource, ...]:
        """Return the sources that aren't known to vary, to compare an image with."""
        index = np.where(
            np.isfinite(self.spectral_index), self.spectral_index, default_spectral_index
        )
        return tuple(
            ReferenceSource(
                str(self.name[i]),
                float(self.ra_deg[i]),
                float(self.dec_deg[i]),
                float(self.flux_jy[i]),
                float(self.reference_ghz[i]),
                float(index[i]),
            )
            for i in np.flatnonzero(~self.variable)
        )


@dataclass(frozen=True)
class CatalogueFacts:
    """Description of a stored catalogue."""

    name: str  #: Its name.
    survey: str  #: Dialect of its input, such as ``nvss``.
    origin: str  #: File or address from which it was read.
    checksum: str  #: Checksum of that file.
    n_sources: int  #: Number of sources.
    schema_version: int  #: Version of the file's columns.
    notes: tuple[str, ...] = ()  #: Notes from reading it: rejected rows, and the reasons.

    @property
    def release(self) -> str:
        """Return its name and content in short: equal releases hold the same sources."""
        return f"{self.name}@{self.checksum.removeprefix('sha256:')[:12]}"


#: Sources closer to each other than this many beams (major axis) affect each other's flux density.
BLEND_BEAMS = 1.5


def unit_vectors(ra_deg: Floats, dec_deg: Floats) -> Floats:
    """Return directions as unit vectors, shape (n, 3)."""
    ra, dec = np.radians(ra_deg), np.radians(dec_deg)
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)


def neighbour_pairs(ra_deg: Floats, dec_deg: Floats, radius_arcsec: float) -> NDArray[np.intp]:
    """Return the pairs of sources that are closer to each other than a radius.

    Positions have the shape (n,), the pairs of indices (n_pairs, 2); each pair occurs once.
    """
    from scipy.spatial import cKDTree

    if len(ra_deg) < 2:
        return np.empty((0, 2), np.intp)
    chord = 2 * np.sin(0.5 * np.radians(radius_arcsec / 3600))
    pairs = cKDTree(unit_vectors(ra_deg, dec_deg)).query_pairs(chord, output_type="ndarray")
    return np.asarray(pairs, np.intp)


def nearest_sources(
    ra_deg: Floats, dec_deg: Floats, there_ra_deg: Floats, there_dec_deg: Floats
) -> tuple[Floats, NDArray[np.intp]]:
    """Return the distance of each position from the nearest of others, arcsec, and which it is.

    Positions have the shapes (n,) and (n_there,); without others, the distances are infinite.
    """
    from scipy.spatial import cKDTree

    if not len(there_ra_deg) or not len(ra_deg):
        return np.full(len(ra_deg), np.inf), np.zeros(len(ra_deg), np.intp)
    chord, which = cKDTree(unit_vectors(there_ra_deg, there_dec_deg)).query(
        unit_vectors(ra_deg, dec_deg)
    )
    arcsec = 3600 * np.degrees(2 * np.arcsin(np.minimum(0.5 * chord, 1.0)))
    return np.asarray(arcsec), np.asarray(which, np.intp)


def blended(ra_deg: Floats, dec_deg: Floats, beam_major_arcsec: float) -> Bools:
    """Return which sources have another within `BLEND_BEAMS` beams, shape (n,)."""
    found = np.zeros(len(ra_deg), bool)
    found[neighbour_pairs(ra_deg, dec_deg, BLEND_BEAMS * beam_major_arcsec).ravel()] = True
    return found
