"""Sources of blind lists that neither the catalogue nor earlier epochs have.

Belongs here: which detections may be new sources, their association over epochs, and whether
earlier epochs exclude a source. Doesn't: finding (see `finding`), measuring, records.

A detection is a source of the list of one mosaic. Mosaics of one transit share data, so epochs are
counted by transits.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from contimg_resources.catalogues.model import unit_vectors
from contimg_resources.core.arrays import Bools, Floats, Ints
from contimg_resources.photometry.found import FoundSources
from contimg_resources.photometry.model import Flag
from contimg_resources.products.events import NewSourceState
from contimg_resources.products.new_sources import Appearance

#: Prefix of the names of new sources.
PREFIX = "new-"
#: A detection within this many beams (major axis) of a brighter source, in addition to the size
#: of that, may be a component of it.
_COMPONENT_BEAMS = 3.0
#: One below this share of a source within 15 beams may be a sidelobe; the share falls with the
#: square of the distance beyond, as artefacts do in `contimg_resources.imaging.reliability`.
_SIDELOBE, _SIDELOBE_BEAMS = 1 / 200, 15.0
#: Not a point source that was fitted well, on whole pixels.
_BAD = int(Flag.NAN | Flag.EDGE | Flag.OUTSIDE | Flag.POOR_FIT | Flag.NO_NOISE | Flag.EXTENDED)
#: Detections are one source within this many errors, and this share of a beam for the astrometry
#: of the epochs.
_ERRORS, _ASTROMETRY_BEAMS = 3.0, 0.1
#: Detections of one mosaic in a single transit need an S/N with this share of the false alarms.
_SINGLE = 0.01
#: Earlier epochs exclude a source if its flux density exceeds theirs by this many errors of the
#: difference, and show it above this S/N of their mean.
EXCLUDED, _SHOWN = 5.0, 5.0
#: An upper limit is this many errors above the mean; a source is there above this S/N.
_LIMIT, STILL_THERE = 3.0, 3.0


def isolated(
    sources: FoundSources,
    beam_arcsec: float,
    ra_deg: Floats,
    dec_deg: Floats,
    flux_jy: Floats,
    size_arcsec: Floats,
) -> Bools:
    """Return which found sources can't be part or artefact of another source, shape (n_found,).

    Parameters
    ----------
    sources : FoundSources
        The list of a mosaic.
    beam_arcsec : float
        Major axis of its restoring beam.
    ra_deg, dec_deg, flux_jy, size_arcsec : ndarray
        Sources of the catalogue: ICRS degrees, Jy, and their major axis; NaN where it isn't known.
        Shape (n_known,).

    Notes
    -----
    Point sources that are alone on their island, further than three beams (and the size) from
    every brighter source, and above 1/200 of each source within 15 beams.
    """
    alone: Bools = (sources.n_components == 1) & ((sources.flags & _BAD) == 0)
    if not len(sources):
        return alone
    n = len(sources)
    size = np.concatenate([np.nan_to_num(sources.major_arcsec), np.nan_to_num(size_arcsec)])
    jy = np.concatenate([sources.integrated_jy, flux_jy])
    there = unit_vectors(
        np.concatenate([sources.ra_deg, ra_deg]), np.concatenate([sources.dec_deg, dec_deg])
    )
    bright = np.flatnonzero(jy * _SIDELOBE > sources.peak_jy.min())
    reach = _COMPONENT_BEAMS * beam_arcsec + size
    near = _within(there[:n], there, reach)
    for other, members in enumerate(near):
        hidden = [i for i in members if other != i and jy[other] > sources.peak_jy[i]]
        alone[hidden] = False
    for other in bright.tolist():
        away = _arcsec(there[:n], there[other])
        level = jy[other] * _SIDELOBE
        level *= (
            _SIDELOBE_BEAMS * beam_arcsec / np.maximum(away, _SIDELOBE_BEAMS * beam_arcsec)
        ) ** 2
        alone &= (sources.peak_jy > level) | (np.arange(n) == other)
    return np.asarray(alone)


def single_share(false_alarms: float) -> float:
    """Return the false alarms in a mosaic that a detection in a single transit may have."""
    return _SINGLE * false_alarms


def _within(here: Floats, there: Floats, radius_arcsec: Floats) -> list[list[int]]:
    """Return which positions `here` are within a radius of each position `there`."""
    from scipy.spatial import cKDTree

    chord = 2 * np.sin(0.5 * np.radians(radius_arcsec / 3600))
    return [list(members) for members in cKDTree(here).query_ball_point(there, chord)]


def _arcsec(here: Floats, there: Floats) -> Floats:
    chord = np.linalg.norm(here - there, axis=-1)
    return np.asarray(3600 * np.degrees(2 * np.arcsin(np.minimum(0.5 * chord, 1.0))))


@dataclass(frozen=True)
class Detections:
    """Isolated sources of the lists of mosaics that the catalogue lacks.

    Arrays have the shape (n,).
    """

    epoch: NDArray[np.str_]  #: Partition key of the mosaic.
    mid_mjd: Floats  #: Mid-time of its data, MJD in days.
    transit: Ints  #: Number of the transit.
    ra_deg: Floats  #: ICRS degrees.
    dec_deg: Floats  #: ICRS degrees.
    east_error_arcsec: Floats  #: Error of the position towards east, arcsec.
    north_error_arcsec: Floats  #: Error of the position towards north, arcsec.
    snr: Floats  #: Peak over its error.
    new_snr: Floats  #: S/N with the accepted number of false alarms in its mosaic.
    single_snr: Floats  #: S/N with a hundredth of them.
    beam_arcsec: Floats  #: Major axis of its restoring beam, arcsec.

    def __len__(self) -> int:
        return len(self.epoch)

    def select(self, which: Bools | Ints) -> "Detections":
        """Return some of the detections."""
        return Detections(**{f.name: getattr(self, f.name)[which] for f in fields(self)})

    @classmethod
    def joined(cls, parts: Iterable["Detections"]) -> "Detections":
        """Combine detections; at least one part is needed."""
        whole = list(parts)
        return cls(
            **{f.name: np.concatenate([getattr(p, f.name) for p in whole]) for f in fields(cls)}
        )

    def of(self, ra_deg: float, dec_deg: float, error_arcsec: float) -> Ints:
        """Return the detections of a source at a position with an error, as indices."""
        here = unit_vectors(self.ra_deg, self.dec_deg)
        away = _arcsec(here, unit_vectors(np.array([ra_deg]), np.array([dec_deg]))[0])
        error = np.maximum(self.east_error_arcsec, self.north_error_arcsec)
        reach = _ERRORS * np.hypot(error, error_arcsec) + _ASTROMETRY_BEAMS * self.beam_arcsec
        return np.flatnonzero(away <= reach)

    @property
    def is_significant(self) -> bool:
        """Whether detections of one source are more than false alarms.

        One above the accepted number of false alarms, confirmed by a detection in another transit;
        or one above a hundredth of that.
        """
        strong = self.snr >= self.new_snr
        confirmed = strong.any() and len(np.unique(self.transit)) > 1
        return bool(confirmed or (self.snr >= self.single_snr).any())


def clusters(detections: Detections) -> list[Ints]:
    """Associate detections over epochs: each cluster holds the indices of one source.

    The strongest detection collects those within the errors, then the strongest of the rest.
    """
    left = np.ones(len(detections), bool)
    found = []
    for i in np.argsort(-detections.snr, kind="stable"):
        if left[i]:
            error = max(detections.east_error_arcsec[i], detections.north_error_arcsec[i])
            mine = detections.of(detections.ra_deg[i], detections.dec_deg[i], float(error))
            mine = mine[left[mine]]
            left[mine] = False
            found.append(mine)
    return found


@dataclass(frozen=True)
class ForcedCurve:
    """Forced flux densities at the position of a source, in the order of time.

    One for each transit. Arrays have the shape (n,).
    """

    epoch: NDArray[np.str_]  #: Partition key of the mosaic.
    mid_mjd: Floats  #: MJD in days.
    flux_jy: Floats  #: On the scale of the reference sources, Jy.
    error_jy: Floats  #: Its error, Jy.
    found_snr: Floats  #: Highest S/N in the lists of found sources; NaN if it isn't in them.
    is_found: Bools  #: Whether that has at most the accepted number of false alarms.


def best_of_transits(transit: Ints, error_jy: Floats) -> Ints:
    """Return the measurement with the least error of each transit, as indices, by transit."""
    order = np.lexsort((error_jy, transit))
    _, first = np.unique(transit[order], return_index=True)
    return np.asarray(order[first])


def appearance_of(curve: ForcedCurve) -> tuple[NewSourceState, Appearance]:
    """Judge whether earlier epochs exclude a source.

    Notes
    -----
    The first detection is that of the lists, or earlier if the transits immediately before it have
    forced flux densities above 5 sigma. Those of transits before it are averaged with weights
    ``1 / sigma^2``: this is the measurement on the weighted mean of their mosaics, since the
    filter is linear. Those from the first detection on are averaged likewise over the first n
    transits; the n with the most significant excess ``(S - S_earlier) / hypot(sigma,
    sigma_earlier)`` counts, so that a source that fades again stays an event. A source is new if
    this exceeds 5, the mean of the earlier epochs is below 5 of its errors, and their upper limit
    ``max(S_earlier, 0) + 3 sigma_earlier`` is below the flux density. A steady source that noise
    lifts above the detection limit has an excess of the size of the noise alone.
    """
    strong = np.flatnonzero(curve.is_found)
    if not len(strong):
        reason = "no list of found sources has it above the limit for new sources"
        return NewSourceState.WITHDRAWN, Appearance(reason=reason)
    first = int(strong[0])
    # A list may lack a source that forced photometry shows.
    while first > 0 and curve.flux_jy[first - 1] >= _SHOWN * curve.error_jy[first - 1]:
        first -= 1
    since = slice(first, None)
    mean, error = _prefix_means(curve.flux_jy[since], curve.error_jy[since])
    means = _prefix_means(curve.flux_jy[:first], curve.error_jy[:first])
    before, before_error = (v[-1] if first else np.nan for v in means)
    excess = (mean - np.nan_to_num(before)) / np.hypot(error, np.nan_to_num(before_error))
    best = int(np.argmax(excess))
    peak = first + int(np.argmax(curve.flux_jy[since]))
    there = np.flatnonzero(curve.flux_jy >= STILL_THERE * curve.error_jy)
    last = int(there[there >= first].max(initial=first))
    limit = max(float(before), 0.0) + _LIMIT * float(before_error)
    seen = curve.found_snr[np.isfinite(curve.found_snr)]
    told = Appearance(
        first_epoch=str(curve.epoch[first]),
        first_mjd=float(curve.mid_mjd[first]),
        n_detections=len(seen),
        best_snr=float(seen.max()),
        n_since=len(mean),
        flux_jy=float(mean[best]),
        flux_error_jy=float(error[best]),
        peak_jy=float(curve.flux_jy[peak]),
        peak_error_jy=float(curve.error_jy[peak]),
        peak_mjd=float(curve.mid_mjd[peak]),
        latest_jy=float(curve.flux_jy[-1]),
        latest_error_jy=float(curve.error_jy[-1]),
        latest_mjd=float(curve.mid_mjd[-1]),
        last_mjd=float(curve.mid_mjd[last]),
        n_earlier=first,
        earliest_mjd=float(curve.mid_mjd[0]) if first else np.nan,
        earlier_jy=float(before),
        earlier_error_jy=float(before_error),
        upper_limit_jy=limit,
        significance=float(excess[best]) if first else np.nan,
        reason=_why_no_event(
            first, float(before), float(before_error), limit, mean[best], excess[best]
        ),
    )
    return (NewSourceState.UNCATALOGUED if told.reason else NewSourceState.NEW), told


def _why_no_event(
    n_earlier: int, before: float, error: float, limit: float, flux: float, excess: float
) -> str:
    """Return why a source is no event; empty if it is one."""
    if not n_earlier:
        return "no earlier epoch shows its position"
    told = f"{1e3 * before:.2f} +- {1e3 * error:.2f} mJy in {n_earlier} earlier transits"
    if before >= _SHOWN * error:
        return f"earlier epochs show it: {told}"
    if excess < EXCLUDED or limit >= flux:
        return (
            f"earlier epochs don't exclude it: {told}, {1e3 * flux:.2f} mJy since, "
            f"{excess:.1f} sigma; {EXCLUDED:g} are needed"
        )
    return ""


def _prefix_means(flux_jy: Floats, error_jy: Floats) -> tuple[Floats, Floats]:
    """Return the weighted means of the first 1, 2, ... measurements, and their errors."""
    weight = np.cumsum(1.0 / error_jy**2)
    return np.cumsum(flux_jy / error_jy**2) / weight, 1.0 / np.sqrt(weight)
