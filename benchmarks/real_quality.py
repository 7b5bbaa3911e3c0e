"""The quality of an image of a known sky.

Belongs here: comparing detections with the truth, statistics over images. Doesn't: imaging.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree
from scipy.special import ndtr

from benchmarks.real_sky import TrueSky
from contimg_resources.core.arrays import Bools, Floats
from contimg_resources.core.statistics import STD_OF_MAD
from contimg_resources.imaging.acceptance import confusion_jy
from contimg_resources.imaging.beam import sin_of_sky
from contimg_resources.imaging.matching import primary_beam_at
from contimg_resources.imaging.model import Beam, ImageResult, Source

#: Minimum S/N of the sources whose flux densities and positions are compared; and no other source
#: with this fraction of their flux density may be within this number of beams (major axis).
_LEAST_SNR, _COMPANION, _COMPANION_BEAMS = 20.0, 0.05, 2.0
#: A detection belongs to a point within this many beams, and to an extended source within this many
#: plus its major axis;
_SAME_BEAMS, _WHOLE_BEAMS = 0.5, 1.0
#: it is false if all true sources that it may belong to have less than this share of it together.
_REAL_SHARE = 0.4
#: Sources that have this many times the least possible noise should be found; those are found that
#: have this many times the noise.
_SHOULD_SNR, _FOUND_SNR = 7.0, 6.0


@dataclass(frozen=True)
class Detections:
    """What a chain found in its image."""

    rms_jy: float  #: 1.4826 MAD of the residual in the inner half, Jy/beam.
    beam: Beam  #: Restoring beam.
    frequency_hz: float  #: Frequency of the flux densities, Hz.
    sources: tuple[Source, ...]  #: Sources.


@dataclass(frozen=True)
class Compared:
    """A bright, isolated source in an image."""

    ratio: float  #: Measured over true flux density.
    error: float  #: Its error by noise alone.
    offset_arcsec: float  #: Distance between measured and true position, arcsec.
    least_arcsec: float  #: Median distance by noise alone, arcsec.
    extended: bool  #: Whether it is no point: then the ratio is that of integrated flux densities.


@dataclass(frozen=True)
class Quality:
    """The quality of one image."""

    rms_jy: float  #: See `Detections`.
    thermal_jy: float  #: Noise expected from the data, Jy/beam.
    confusion_jy: float  #: Confusion of faint sources, Jy/beam.
    n_found: int  #: Number of detections above 6 sigma.
    n_false: int  #: Number of detections without a true source.
    n_expected: int  #: Number of isolated points above 7 times the least possible noise.
    n_matched: int  #: Number of these that were found.
    #: Number of these that would be found, in the mean, with the least possible noise.
    n_possible: float
    compared: tuple[Compared, ...]  #: Bright, isolated sources.

    @property
    def rms_ratio(self) -> float:
        """Return the rms over that of thermal noise and confusion together."""
        return self.rms_jy / float(np.hypot(self.thermal_jy, self.confusion_jy))


def quality(found: Detections, ours: ImageResult, sky: TrueSky) -> Quality:
    """Compare what was found in an image with the truth.

    Parameters
    ----------
    found : Detections
        The detections.
    ours : ImageResult
        Our image of the same observation: its primary beam and expected noise count.
    sky : TrueSky
        The truth.
    """
    beam, thermal_jy = found.beam, ours.statistics.expected_rms_jy
    unseen_jy = confusion_jy(found.frequency_hz, beam.major_arcsec, beam.minor_arcsec)
    response = np.nan_to_num(primary_beam_at(ours, sky.ra_deg, sky.dec_deg))
    apparent_jy = sky.flux_at(found.frequency_hz) * response
    where = _plane(ours, sky.ra_deg, sky.dec_deg)
    # The far side of the sphere isn't in the plane.
    seen = response > 0
    sky, apparent_jy, where = _some(sky, seen), apparent_jy[seen], where[seen]
    alone = _alone(where, apparent_jy, _COMPANION_BEAMS * beam.major_arcsec)
    detected = _plane(ours, *(np.array([getattr(s, n) for s in found.sources]) for n in _RADEC))
    reach = _SAME_BEAMS * beam.major_arcsec
    expected = alone & ~sky.extended
    least_jy = np.hypot(thermal_jy, unseen_jy)
    expected &= apparent_jy >= _SHOULD_SNR * least_jy
    compared: list[Compared] = []
    n_false, n_matched = 0, 0
    if len(detected):
        peaks = np.array([s.peak_jy for s in found.sources])
        whole = _WHOLE_BEAMS * beam.major_arcsec
        tree = cKDTree(detected)
        behind_jy = np.zeros(len(detected))
        for beside, own_jy in zip(
            tree.query_ball_point(where, whole + sky.major_arcsec), apparent_jy, strict=True
        ):
            behind_jy[beside] += own_jy
        n_false = int((behind_jy < _REAL_SHARE * peaks).sum())
        away, nearest = (np.asarray(a) for a in tree.query(where))
        n_matched = int((away[expected] < reach).sum())
        true_jy = sky.flux_at(found.frequency_hz)
        for i in np.flatnonzero(alone):
            near = [nearest[i]] if away[i] < reach else []
            if sky.extended[i]:
                near = tree.query_ball_point(where[i], whole + sky.major_arcsec[i])
            parts = [found.sources[k] for k in near]
            if parts and max(p.snr for p in parts) >= _LEAST_SNR:
                extended = bool(sky.extended[i])
                compared.append(_compared(parts, true_jy[i], away[i], beam, extended=extended))
    return Quality(
        rms_jy=found.rms_jy,
        thermal_jy=thermal_jy,
        confusion_jy=unseen_jy,
        n_found=len(detected),
        n_false=n_false,
        n_expected=int(expected.sum()),
        n_matched=n_matched,
        n_possible=float(ndtr(apparent_jy[expected] / least_jy - _FOUND_SNR).sum()),
        compared=tuple(compared),
    )


_RADEC = ("ra_deg", "dec_deg")


def _plane(ours: ImageResult, ra_deg: Floats, dec_deg: Floats) -> Floats:
    """Return positions in the plane of an image, arcsec, shape (n, 2)."""
    at = sin_of_sky(ra_deg, dec_deg, ours.grid.ra_deg, ours.grid.dec_deg)
    return np.asarray(np.degrees(np.column_stack(at)) * 3600)


def _some(sky: TrueSky, which: Bools) -> TrueSky:
    return TrueSky(*(column[which] for column in vars(sky).values()))


def _alone(where: Floats, apparent_jy: Floats, reach: float) -> Bools:
    alone = np.ones(len(where), bool)
    for i, j in cKDTree(where).query_pairs(reach):
        alone[i] &= apparent_jy[j] < _COMPANION * apparent_jy[i]
        alone[j] &= apparent_jy[i] < _COMPANION * apparent_jy[j]
    return alone


def _compared(
    parts: Sequence[Source], true_jy: float, away_arcsec: float, beam: Beam, *, extended: bool
) -> Compared:
    """Compare a source; noise moves it by the beam's width over 2.35 S/N along each axis.

    See Condon (1997), PASP 109, 166. The median distance is 1.18 times that.
    """
    flux_jy = sum(p.integrated_jy for p in parts) if extended else parts[0].flux_jy
    error_jy = np.sqrt(sum(p.flux_error_jy**2 for p in parts))
    least_arcsec = 0.5 * np.sqrt(beam.major_arcsec * beam.minor_arcsec) / parts[0].snr
    return Compared(
        flux_jy / true_jy,
        float(error_jy / true_jy),
        float(away_arcsec),
        float(least_arcsec),
        extended,
    )


def scatter(compared: Sequence[Compared]) -> float:
    """Return the scatter of flux ratios (1.4826 MAD) beyond the noise, in quadrature."""
    if not compared:
        return float("nan")
    ratios, errors = (np.array([getattr(c, n) for c in compared]) for n in ("ratio", "error"))
    total = STD_OF_MAD * np.median(np.abs(ratios - np.median(ratios)))
    return float(np.sqrt(max(0.0, total**2 - np.median(errors) ** 2)))
