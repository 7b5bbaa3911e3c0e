"""Reject false detections of an image by comparison with its negative peaks.

Belongs here: the comparison of detections with negative peaks. Doesn't: detecting and fitting (see
`sources`).

The sky has no negative sources. Residuals of bright sources after calibration and CLEAN (sidelobes,
ghosts of sources missing from a calibrator's model, distant sources) are as often negative as
positive, and the negative peaks show where they are and how strong.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_resources.core.arrays import Bools
from contimg_resources.core.statistics import LocalNoise
from contimg_resources.imaging.beam import sin_of_sky
from contimg_resources.imaging.model import Beam, ImageGrid, Source
from contimg_resources.imaging.sources import find_sources

Floats = NDArray[np.float64]
Reals = NDArray[np.floating[Any]]

#: A detection must exceed the negative peaks around it by this factor,
_OVER_NEGATIVE = 1.4
#: those within this many beams (geometric mean of the axes); more distant ones count less, with
#: the square of the distance. Negative peaks are used
_REACH_BEAMS = 15.0
#: above this share of the S/N that a detection needs.
_NEGATIVE_SHARE = 0.75
#: Among the accepted detections, the number of false ones equals the number of negative peaks that
#: pass the same test: this is its maximum share.
_FALSE_SHARE = 0.01


@dataclass(frozen=True)
class Reliable:
    """The detections that are accepted as real."""

    sources: tuple[Source, ...]  #: Accepted sources, in the order given.
    n_rejected: int  #: Number of rejected detections.
    min_snr: float  #: Signal-to-noise ratio that a detection needs in this image.


def real_sources(
    image: Reals,
    noise: LocalNoise,
    primary_beam: Reals,
    beam: Beam,
    grid: ImageGrid,
    min_snr: float,
) -> Reliable:
    """Find and fit the sources of an image, and leave out possible artefacts.

    Parameters are those of `contimg_resources.imaging.sources.find_sources`.
    """
    found = find_sources(image, noise, primary_beam, beam, grid, min_snr)
    least = _NEGATIVE_SHARE * min_snr
    negative = find_sources(-image, noise, primary_beam, beam, grid, least, shapes=False)
    return reliable(found, negative, beam, grid, min_snr)


def reliable(
    found: Sequence[Source],
    negative: Sequence[Source],
    beam: Beam,
    grid: ImageGrid,
    min_snr: float,
) -> Reliable:
    """Reject detections that may be artefacts.

    Parameters
    ----------
    found : sequence of Source
        Detections above `min_snr`.
    negative : sequence of Source
        Detections in the negative image above 0.75 times that.
    beam : Beam
        Restoring beam.
    grid : ImageGrid
        Pixels of the image.
    min_snr : float
        Minimum S/N of a detection where there are no artefacts.

    Notes
    -----
    Two tests. A detection must exceed the negative peaks within 15 beams by a factor of 1.4, and
    more distant ones by a factor that falls with the square of the distance: artefacts cluster
    around bright sources. Then the required S/N rises until the number of negative peaks that
    pass the first test (each beside the others) is at most 1 % of the number of detections that
    do. Negative detections are the usual measure of reliability where noise isn't Gaussian
    (Serra, Jurek & Floeer 2012, PASA 29, 296).
    """
    beam_rad = float(np.deg2rad(np.sqrt(beam.major_arcsec * beam.minor_arcsec) / 3600))
    kept, _, limit = stand_out(Peaks.of(found, grid), Peaks.of(negative, grid), beam_rad, min_snr)
    return Reliable(
        tuple(source for source, good in zip(found, kept, strict=True) if good),
        int(np.count_nonzero(~kept)),
        limit,
    )


def stand_out(
    real: "Peaks", dips: "Peaks", beam: float, min_snr: float, artefact_snr: float = 0.0
) -> tuple[Bools, Bools, float]:
    """Compare peaks with negative peaks, as `reliable` describes.

    `beam` is the geometric mean of the beam's axes in the units of the positions. Negative peaks
    below `artefact_snr` are taken for noise: they count only in the second test.

    Returns
    -------
    tuple
        Whether each peak is accepted; whether each negative peak passes the first test beside the
        others; the required S/N.
    """
    stands_out = real.stand_out_from(dips, beam, artefact_snr)
    passed = dips.stand_out_from(dips, beam, artefact_snr)
    as_good = np.sort(dips.snr[passed & (dips.snr >= min_snr)])
    limit = min_snr
    for k, snr in enumerate(as_good):
        n_left = np.count_nonzero(stands_out & (real.snr >= limit))
        if len(as_good) - k <= _FALSE_SHARE * n_left:
            break
        limit = float(np.nextafter(snr, np.inf))
    return stands_out & (real.snr >= limit), passed, limit


@dataclass(frozen=True)
class Peaks:
    """Positive or negative peaks of an image."""

    at: Floats  #: Positions in a plane, of any unit. Shape (n, 2).
    peak_jy: Floats  #: Their heights, above zero, Jy/beam. Shape (n,).
    snr: Floats  #: Heights over the local noise. Shape (n,).

    @classmethod
    def of(cls, sources: Sequence[Source], grid: ImageGrid) -> "Peaks":
        """Return sources as peaks; positions are direction cosines, radians."""
        east, north = sin_of_sky(
            np.array([s.ra_deg for s in sources], np.float64),
            np.array([s.dec_deg for s in sources], np.float64),
            grid.ra_deg,
            grid.dec_deg,
        )
        return cls(
            np.column_stack([east, north]),
            np.array([s.peak_jy for s in sources]),
            np.array([s.snr for s in sources]),
        )

    def stand_out_from(self, dips: "Peaks", beam: float, artefact_snr: float) -> Bools:
        """Return which peaks exceed the negative peaks around them; each ignores itself."""
        strong = replace(dips, peak_jy=np.where(dips.snr >= artefact_snr, dips.peak_jy, 0.0))
        level_jy = strong._level_at(self.at, _REACH_BEAMS * beam, own=dips is self)
        return np.asarray(self.peak_jy > _OVER_NEGATIVE * level_jy)

    def _level_at(self, places: Floats, reach: float, *, own: bool = False) -> Floats:
        """Return the artefact level from these peaks at some positions, Jy/beam; 0 without peaks.

        With `own` the positions are those of the peaks, and each peak ignores itself.
        """
        if not len(self.at):
            return np.zeros(len(places))
        away = np.hypot(*np.moveaxis(places[:, None] - self.at[None], 2, 0))
        level_jy = self.peak_jy * (reach / np.maximum(away, reach)) ** 2
        if own:
            np.fill_diagonal(level_jy, 0.0)
        return np.asarray(level_jy.max(axis=1))
