"""Change of a source's spectral index in a dip, from flux densities in sub-bands.

Belongs here: the same dip in each sub-band, and the change of the spectral index from their
depths. Doesn't: files of sub-bands (see `contimg_resources.photometry.subbands`), finding dips.

A plasma lens refracts as the square of the wavelength, so its dips are deeper, and of another
shape, at lower frequencies; the change is positive then. It is 0 if the source is dimmed equally
at all frequencies.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

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
from contimg_resources.variability.templates import Shape
from contimg_resources.variability.transits import transit_number
from contimg_resources.variability.vetting import REACH_WIDTHS, depth_of

#: Below this remaining flux density in a dip, in its errors, the logarithm is biased by noise.
_MIN_SNR_LEFT = 4.0
#: Bands closer than this in ln(frequency) are one band.
_MIN_SPREAD = 1e-3
_LONGEST_NOTE = 1000


class Dip(NamedTuple):
    """Epoch and width of a dip."""

    mid_mjd: float  #: Epoch of minimum, MJD in days.
    width_days: float  #: Full width at half depth.


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
    dip = Dip(candidate.mid_mjd, candidate.end_mjd - candidate.start_mjd)
    if shape is None or not dip.width_days > 0:
        return candidate.evidence
    reach_days = REACH_WIDTHS * dip.width_days
    start_mjd, stop_mjd = dip.mid_mjd - reach_days, min(dip.mid_mjd + reach_days, end_mjd)
    depths, notes = [], []
    try:
        bands = list_bands(root)
    except OSError as error:
        return replace(candidate.evidence, spectral_note=str(error)[:_LONGEST_NOTE])
    for band in bands:
        # An unreadable file must lose neither the candidate nor the other bands.
        try:
            fluxes = band_fluxes(root, band, candidate.source_id, start_mjd, stop_mjd)
        except (ContimgError, OSError) as error:
            notes.append(str(error))
            continue
        told = band_depth(dip, shape, fluxes)
        if told is not None:
            depths.append(told)
    depths.sort(key=lambda d: d.frequency_hz)
    change, change_error = spectral_change(depths) or (math.nan, math.nan)
    return replace(
        candidate.evidence,
        n_bands=sum(d.is_usable for d in depths) if depths else None,
        band_depths=tuple((d.frequency_hz, d.depth, d.error) for d in depths),
        spectral_change=change,
        spectral_change_error=change_error,
        spectral_note="; ".join(notes)[:_LONGEST_NOTE],
    )


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
