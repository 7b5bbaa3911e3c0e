"""The colour of a dip, from flux densities in sub-bands.

Belongs here: the same dip in each sub-band, the change of the spectral index from their depths, and
the evidence for a lens. Doesn't: files of sub-bands (see `contimg_resources.photometry.subbands`),
finding dips.

A plasma lens refracts as the square of the wavelength, so its dips are deeper, and of another
shape, at lower frequencies; the change is positive then. It is 0 if the source is dimmed equally
at all frequencies.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from contimg_resources.core.arrays import Floats, Ints
from contimg_resources.core.errors import ContimgError
from contimg_resources.photometry.subbands import (
    BandFluxes,
    band_fluxes,
    bands_root,
    list_bands,
)
from contimg_resources.products.dips import DipEvidence
from contimg_resources.products.events import CandidateRecord
from contimg_resources.variability.points import transit_number
from contimg_resources.variability.templates import Shape
from contimg_resources.variability.vetting import REACH_WIDTHS, Dip, DipFit, depth_of

#: Below this remaining flux density in a dip, in its errors, the logarithm is biased by noise.
_MIN_SNR_LEFT = 4.0
#: Bands closer than this in ln(frequency) are one band.
_MIN_SPREAD = 1e-3
_LONGEST_NOTE = 1000
#: Lowest flux density behind a lens, relative to the baseline, and the largest condition number.
_LEAST_LEFT, _WORST_CONDITION = 0.05, 1e10


@dataclass(frozen=True)
class Colour:
    """How much of the colour of a lens a dip has."""

    #: `lens_fraction`, `lens_fraction_error`: Amplitude of the differences between the sub-bands in
    #: units of those of a lens: 1 for a lens, 0 for a dip equal at all frequencies; and its error.
    lens_fraction: float
    lens_fraction_error: float

    @property
    def lens_over_grey(self) -> float:
        """Twice the difference of log likelihoods: a lens less a dip equal at all frequencies."""
        return (2.0 * self.lens_fraction - 1.0) / self.lens_fraction_error**2


@dataclass(frozen=True)
class BandDepth:
    """The depth of a dip in one sub-band."""

    frequency_hz: float  #: Effective frequency, Hz.
    depth: float  #: Fraction of the band's own baseline.
    error: float  #: Uncertainty of the depth.

    @property
    def is_usable(self) -> bool:
        """Whether enough flux density remains in the dip for its logarithm."""
        return 1.0 - self.depth >= _MIN_SNR_LEFT * self.error


def spectral_evidence(
    root: Path, candidate: CandidateRecord, shapes: Callable[[], Sequence[Shape]], end_mjd: float
) -> DipEvidence:
    """Return the evidence for a candidate with that from its sub-bands.

    Epoch of minimum, width and template stay fixed. Without a usable sub-band the evidence is the
    candidate's own; a change of the spectral index takes two or more bands with enough remaining
    flux density. `shapes` returns the bank of shapes of the search; it is called only if there are
    sub-bands. Measurements after `end_mjd` (MJD in days) are not used.
    """
    # Most platforms have no sub-bands: skip the query then.
    if not bands_root(root).is_dir():
        return candidate.evidence
    name = candidate.parameters.template
    shape = next((s for s in shapes() if s.name == name), None)
    if shape is None or not candidate.width_days > 0:
        return candidate.evidence
    found, notes = fluxes_near(root, candidate.source_id, candidate, end_mjd)
    depths = [d for fluxes in found if (d := band_depth(candidate, shape, fluxes)) is not None]
    depths.sort(key=lambda d: d.frequency_hz)
    change, change_error = spectral_change(depths) or (math.nan, math.nan)
    colour = colour_of(candidate, shape, candidate.parameters.depth, found)
    evidence = candidate.evidence
    if colour is not None:
        evidence = replace(
            evidence,
            lens_fraction=colour.lens_fraction,
            lens_fraction_error=colour.lens_fraction_error,
            lens_over_grey=colour.lens_over_grey,
        )
    return replace(
        evidence,
        n_bands=sum(d.is_usable for d in depths) if depths else None,
        band_depths=tuple((d.frequency_hz, d.depth, d.error) for d in depths),
        spectral_change=change,
        spectral_change_error=change_error,
        spectral_note="; ".join(notes)[:_LONGEST_NOTE],
    )


def evidence_of_sub_bands(root: Path, end_mjd: float) -> Callable[[str, DipFit], float] | None:
    """Return the function that the search takes, which uses measurements up to an MJD, days.

    None without sub-bands. A source without flux densities in them has no evidence: 0.
    """
    if not bands_root(root).is_dir():
        return None

    def evidence(source_id: str, fit: DipFit) -> float:
        found, _ = fluxes_near(root, source_id, fit, end_mjd)
        colour = colour_of(fit, fit.shape, fit.depth, found)
        return 0.0 if colour is None else colour.lens_over_grey

    return evidence


def fluxes_near(
    root: Path, source_id: str, dip: Dip, end_mjd: float
) -> tuple[list[BandFluxes], list[str]]:
    """Return the flux densities near a dip in each sub-band, and reasons for unreadable ones."""
    reach_days = REACH_WIDTHS * dip.width_days
    start_mjd, stop_mjd = dip.mid_mjd - reach_days, min(dip.mid_mjd + reach_days, end_mjd)
    found, notes = [], []
    try:
        bands = list_bands(root)
    except OSError as error:
        return [], [str(error)]
    for band in bands:
        # An unreadable file must lose neither the candidate nor the other bands.
        try:
            found.append(band_fluxes(root, band, source_id, start_mjd, stop_mjd))
        except (ContimgError, OSError) as error:
            notes.append(str(error))
    return found, notes


def colour_of(dip: Dip, shape: Shape, depth: float, bands: Sequence[BandFluxes]) -> Colour | None:
    """Compare the differences between sub-bands in a dip with those of a lens.

    Epoch of minimum, width, shape and the `depth` in the whole band are fixed. None if fewer than
    two sub-bands have measurements of the same transits inside and outside the dip.

    Notes
    -----
    A lens whose convergence k follows the square of the wavelength magnifies by ``1 / (1 + k)``
    (Clegg, Fey & Lazio 1998, ApJ 496, 253): a shallow dip has a depth that follows the square of
    the wavelength, a deeper one saturates. The logarithm of each sub-band's flux density has its
    own level, and one value for each transit that all sub-bands share: so neither intrinsic
    variability, which is the same over so narrow a band, nor an error of an epoch's flux scale
    changes the result. What remains has the errors of the measurements alone; these are enlarged
    by the root of the reduced chi2 where it is above 1.
    """
    known = [b for b in bands if len(b.mid_mjd)]
    if len(known) < 2 or not 0 < depth < 1:
        return None
    chosen = [_best_of_transits(b) for b in known]
    numbers = [
        transit_number(b.mid_mjd[best], np.full(len(best), b.ra_deg))
        for b, best in zip(known, chosen, strict=True)
    ]
    transits = np.unique(np.concatenate(numbers))
    cells = (len(known), len(transits))
    flux, error, mjd = np.zeros(cells), np.full(cells, np.inf), np.zeros(cells)
    for i, (b, best, number) in enumerate(zip(known, chosen, numbers, strict=True)):
        level = float(np.median(b.flux_jy[best]))
        if level <= 0:
            continue
        place = np.searchsorted(transits, number)
        flux[i, place], error[i, place] = b.flux_jy[best] / level, b.error_jy[best] / level
        mjd[i, place] = b.mid_mjd[best]
    there = np.isfinite(error)
    weight = np.where(there, 1.0 / np.square(error), 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        common = (weight * flux).sum(axis=0) / weight.sum(axis=0)
        bright = common * np.sqrt(weight.sum(axis=0)) >= _MIN_SNR_LEFT
    used = (there.sum(axis=0) >= 2) & bright
    kept = there[:, used].any(axis=1)
    flux, weight, mjd, there = (v[kept][:, used] for v in (flux, weight, mjd, there))
    common = common[used]
    u = (mjd.max(axis=0, initial=-np.inf) - dip.mid_mjd) / dip.width_days
    if not (np.abs(u) <= 0.5).any() or not (np.abs(u) > 0.5).any():
        return None
    # The logarithm about the common value, see `contimg_resources.variability.noise.log_curves`.
    values, weight = flux / common - 1.0, weight * np.square(common)
    frequency_hz = np.array([b.frequency_hz for b in known])[kept]
    middle_hz = float(np.exp(np.mean(np.log(frequency_hz))))
    convergence = 1.0 / np.maximum(1.0 + depth * shape.at(u), _LEAST_LEFT) - 1.0
    magnified = 1.0 + convergence * np.square(middle_hz / frequency_hz)[:, None]
    lens = -np.log(np.maximum(magnified, _LEAST_LEFT))
    # The level of each sub-band but one.
    levels = np.repeat(np.eye(len(frequency_hz))[1:, :, None], len(u), axis=2)
    columns = np.array([v.ravel() for v in _differences([lens, *levels], weight)]).T
    target = _differences([values], weight)[0].ravel()
    root = np.sqrt(weight).ravel()
    design, seen = columns * root[:, None], target * root
    normal = design.T @ design
    dof = int(there.sum()) - len(u) - len(normal)
    if dof < 1 or np.linalg.cond(normal) > _WORST_CONDITION:
        return None
    covariance = np.linalg.inv(normal)
    fitted = covariance @ (design.T @ seen)
    excess = max(1.0, float(np.sum(np.square(seen - design @ fitted)) / dof))
    return Colour(float(fitted[0]), float(np.sqrt(excess * covariance[0, 0])))


def _differences(values: Sequence[Floats], weight: Floats) -> list[Floats]:
    """Return values, shape (n_bands, n_transits), less their weighted means of each transit."""
    total = weight.sum(axis=0)
    return [v - (weight * v).sum(axis=0) / total for v in values]


def band_depth(dip: Dip, shape: Shape, fluxes: BandFluxes) -> BandDepth | None:
    """Fit the depth of a dip in one sub-band; return None if the data don't constrain it.

    Epoch of minimum, width and shape are fixed.

    Notes
    -----
    The error is that of the fit, times the root of the reduced chi2 where that is above 1.
    """
    best = _best_of_transits(fluxes)
    points = (fluxes.mid_mjd[best], fluxes.flux_jy[best], fluxes.error_jy[best])
    depth, error = depth_of(dip, shape, *points)
    if not (math.isfinite(depth) and math.isfinite(error) and error > 0):
        return None
    return BandDepth(fluxes.frequency_hz, depth, error * _excess(dip, shape, depth, *points))


def spectral_change(depths: Sequence[BandDepth]) -> tuple[float, float] | None:
    """Return the spectral index at the minimum of a dip less that of the baseline, and its error.

    At least two usable bands are needed.

    Notes
    -----
    With ``S ~ nu^alpha`` and depth a(nu) the flux density at the minimum is ``S (1 - a)``, so
    ``alpha_dip - alpha_base = d ln(1 - a) / d ln nu``: the slope of a straight line through the
    bands, weighted with ``(sigma_a / (1 - a))^-2`` (Bevington & Robinson, Data Reduction, 6.3).
    """
    usable = [d for d in depths if d.is_usable]
    if len(usable) < 2:
        return None
    left = np.array([1.0 - d.depth for d in usable])
    weight = np.square(left / np.array([d.error for d in usable]))
    x, y = np.log([d.frequency_hz for d in usable]), np.log(left)
    if np.ptp(x) < _MIN_SPREAD:
        return None
    off = x - np.sum(weight * x) / np.sum(weight)
    spread = np.sum(weight * np.square(off))
    return float(np.sum(weight * off * y) / spread), float(1.0 / np.sqrt(spread))


def _best_of_transits(fluxes: BandFluxes) -> Ints:
    """Choose the measurement with the least error of each transit: rolling mosaics share data."""
    number = transit_number(fluxes.mid_mjd, np.full(len(fluxes.mid_mjd), fluxes.ra_deg))
    order = np.lexsort((fluxes.error_jy, number))
    first = np.ones(len(order), np.bool_)
    first[1:] = np.diff(number[order]) != 0
    return np.sort(order[first])


def _excess(
    dip: Dip, shape: Shape, depth: float, mjd: Floats, flux_jy: Floats, error_jy: Floats
) -> float:
    """Return the root of the reduced chi2 about a dip of known depth; at least 1."""
    u = (mjd - dip.mid_mjd) / dip.width_days
    near = np.abs(u) <= REACH_WIDTHS
    relative, weight = 1.0 + depth * shape.at(u[near]), 1.0 / np.square(error_jy[near])
    base = np.sum(weight * relative * flux_jy[near]) / np.sum(weight * np.square(relative))
    chi2 = np.sum(weight * np.square(flux_jy[near] - base * relative))
    return math.sqrt(max(1.0, float(chi2) / (int(near.sum()) - 2)))
