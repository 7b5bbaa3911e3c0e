"""The flux scale and the astrometry of one epoch, from sources that should be the same in all.

Belongs here: choosing references, their ratios, gates. Doesn't: measuring fluxes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contimg_resources.photometry.flags import NO_FLUX, Flag
from contimg_resources.photometry.measuring import RawMeasurements
from contimg_resources.photometry.model import SourceHistory, SourceList
from contimg_resources.settings import PhotometrySettings

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

_NORMAL = 1.482602218505602
#: Error of a median over that of a mean of normal numbers.
_MEDIAN = 1.2533
_MIN_SNR = 15.0
#: References with a history vary less than this.
_MAX_ETA = 3.0
#: A source in the beam's outskirts, where the primary beam is uncertain, is no reference.
_MIN_PRIMARY_BEAM = 0.4
#: Terms of the position-dependent scale, and how many references each needs.
_GRADIENT_TERMS = 3
_REFERENCES_PER_TERM = 10
#: Probability below which a position-dependent term is believed.
_SIGNIFICANT = 1e-3


@dataclass(frozen=True)
class EpochScale:
    """What the references say of an epoch.

    Parameters
    ----------
    ok : bool
        Whether the gates are passed.
    reason : str
        Why not; else empty.
    scale, error : float
        Measured over true flux density in the middle of the image, and its uncertainty; NaN when
        there are too few references.
    scatter : float
        Robust scatter of the references' ratios.
    n_references : int
        How many there are.
    gradient : tuple of float
        Change of the scale per degree eastwards and northwards; zeros unless significant.
    at_source, error_at_source : ndarray, shape (n,)
        Scale at each source, without the source itself where it is a reference.
    is_reference : ndarray of bool, shape (n,)
        Which sources are.
    ratio : ndarray, shape (n,)
        Measured over reference flux density; NaN where there is none.
    east_arcsec, north_arcsec : float
        Median offset of bright sources from their places, arcsec; NaN without any.
    offset_scatter_arcsec : float
        Robust scatter of the offsets (the larger of the two directions), arcsec.
    n_positions : int
        Sources behind the offsets.
    """

    ok: bool
    reason: str
    scale: float
    error: float
    scatter: float
    n_references: int
    gradient: tuple[float, float]
    at_source: Floats
    error_at_source: Floats
    is_reference: Mask
    ratio: Floats
    east_arcsec: float
    north_arcsec: float
    offset_scatter_arcsec: float
    n_positions: int


def judge_epoch(
    raw: RawMeasurements,
    sources: SourceList,
    limits: PhotometrySettings,
    history: SourceHistory | None = None,
) -> EpochScale:
    """Compare an epoch's flux densities with those of its reference sources.

    Parameters
    ----------
    raw : RawMeasurements
        Of the sources, in their order.
    sources : SourceList
        Positions and expected flux densities.
    limits : PhotometrySettings
        The gates: least references, largest scatter and offset.
    history : SourceHistory, optional
        Medians of earlier epochs, which references are compared with where there are any.

    Notes
    -----
    ``g = weighted median of S_i / S_i,ref`` and ``sigma_g = 1.2533 MAD-std / sqrt(N)``; a reference
    source is left out of the scale that it is corrected with. Where at least thirty references
    agree on a gradient over the image (F-test) ``log S / S_ref`` is fitted linearly instead.
    """
    reference_jy = _reference_fluxes(sources, history)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = raw.flux_jy / reference_jy
        weight = (raw.flux_jy / raw.error_jy) ** 2
    chosen = _references(raw, sources, ratio, history)
    n = int(chosen.sum())
    scale, scatter = _weighted_median(ratio[chosen], weight[chosen]), _spread(ratio[chosen])
    east, north = _offsets_deg(sources, chosen)
    gradient = _gradient(np.log(ratio[chosen]), weight[chosen], east[chosen], north[chosen])
    slope = 1.0 + gradient[0] * east + gradient[1] * north
    if any(gradient):
        flat = ratio / slope
        scale, scatter = _weighted_median(flat[chosen], weight[chosen]), _spread(flat[chosen])
    else:
        flat = ratio
    error = _MEDIAN * scatter / np.sqrt(n) if n else np.nan
    at_source = np.full(len(sources), scale)
    for i in np.flatnonzero(chosen):
        others = chosen.copy()
        others[i] = False
        at_source[i] = _weighted_median(flat[others], weight[others])
    reason = _gates(n, scale, scatter, limits)
    positions = np.isfinite(raw.east_arcsec)
    offsets = (raw.east_arcsec[positions], raw.north_arcsec[positions])
    return EpochScale(
        ok=not reason,
        reason=reason,
        scale=scale,
        error=float(error),
        scatter=scatter,
        n_references=n,
        gradient=gradient,
        at_source=at_source * slope,
        error_at_source=np.full(len(sources), float(error)),
        is_reference=chosen,
        ratio=ratio,
        east_arcsec=_median(offsets[0]),
        north_arcsec=_median(offsets[1]),
        offset_scatter_arcsec=max(_spread(o) for o in offsets),
        n_positions=int(positions.sum()),
    )


def corrected(raw: RawMeasurements, scale: EpochScale) -> tuple[Floats, Floats]:
    """Return flux densities and uncertainties on the scale of the references, Jy.

    Notes
    -----
    ``S' = S / g``, ``sigma'^2 = S'^2 ((sigma / S)^2 + (sigma_g / g)^2)``. Without a scale what was
    measured is returned as it is.
    """
    if not np.isfinite(scale.scale):
        return raw.flux_jy, raw.error_jy
    flux = raw.flux_jy / scale.at_source
    own = raw.error_jy / scale.at_source
    common = flux * scale.error_at_source / scale.at_source
    return flux, np.hypot(own, np.where(np.isfinite(common), common, 0.0))


def _reference_fluxes(sources: SourceList, history: SourceHistory | None) -> Floats:
    if history is None:
        return sources.flux_jy
    known = np.isfinite(history.median_flux_jy) & (history.n_epochs >= 5)
    return np.where(known, history.median_flux_jy, sources.flux_jy)


def _references(
    raw: RawMeasurements, sources: SourceList, ratio: Floats, history: SourceHistory | None
) -> Mask:
    plain = (raw.flags & int(NO_FLUX | Flag.BLEND | Flag.POOR_FIT)) == 0
    with np.errstate(invalid="ignore"):
        bright = (raw.flux_jy / raw.error_jy >= _MIN_SNR) & (ratio > 0)
        inner = raw.primary_beam >= _MIN_PRIMARY_BEAM
    chosen = plain & bright & inner & sources.compact & np.isfinite(ratio)
    if history is not None:
        with np.errstate(invalid="ignore"):
            chosen &= ~(history.eta > _MAX_ETA)
    return np.asarray(chosen)


def _offsets_deg(sources: SourceList, chosen: Mask) -> tuple[Floats, Floats]:
    """Return offsets from the middle of the references, degrees."""
    if not chosen.any():
        return np.zeros(len(sources)), np.zeros(len(sources))
    ra = np.radians(sources.ra_deg[chosen])
    ra0 = np.degrees(np.arctan2(np.sin(ra).mean(), np.cos(ra).mean()))
    dec0 = float(sources.dec_deg[chosen].mean())
    east = ((sources.ra_deg - ra0 + 180) % 360 - 180) * np.cos(np.radians(dec0))
    return east, sources.dec_deg - dec0


def _gradient(logs: Floats, weight: Floats, east: Floats, north: Floats) -> tuple[float, float]:
    """Return the slopes of a linear fit when it is significantly better than a constant."""
    from scipy.stats import f as f_distribution

    n = len(logs)
    if n < _GRADIENT_TERMS * _REFERENCES_PER_TERM:
        return 0.0, 0.0
    # References scatter by more than their noise: each counts no more than ten times the median's.
    root = np.sqrt(np.minimum(weight, 10 * np.median(weight)))
    middle = np.median(logs)
    kept = np.abs(logs - middle) <= 4 * max(_spread(logs), 1e-12)
    terms = np.stack([np.ones(n), east, north], axis=1)[kept] * root[kept, None]
    data = logs[kept] * root[kept]
    if kept.sum() <= _GRADIENT_TERMS:
        return 0.0, 0.0
    found, *_ = np.linalg.lstsq(terms, data, rcond=None)
    constant = float(terms[:, 0] @ data / (terms[:, 0] @ terms[:, 0]))
    rest = float(((data - terms @ found) ** 2).sum())
    simple = float(((data - terms[:, 0] * constant) ** 2).sum())
    dof = int(kept.sum()) - _GRADIENT_TERMS
    if rest <= 0:
        return 0.0, 0.0
    ratio = ((simple - rest) / (_GRADIENT_TERMS - 1)) / (rest / dof)
    if f_distribution.sf(ratio, _GRADIENT_TERMS - 1, dof) > _SIGNIFICANT:
        return 0.0, 0.0
    return float(found[1]), float(found[2])


def _gates(n: int, scale: float, scatter: float, limits: PhotometrySettings) -> str:
    if n < limits.min_references:
        return f"{n} reference sources, at least {limits.min_references} are needed"
    if scatter >= limits.max_scale_scatter:
        return (
            f"the flux ratios of {n} reference sources scatter by {scatter:.3f}, less than "
            f"{limits.max_scale_scatter:g} is allowed"
        )
    if abs(scale - 1) >= limits.max_scale_offset:
        return (
            f"the flux scale of {n} reference sources is {scale:.3f}, 1 +- "
            f"{limits.max_scale_offset:g} is allowed"
        )
    return ""


def _weighted_median(values: Floats, weight: Floats) -> float:
    if not len(values):
        return float("nan")
    order = np.argsort(values, kind="stable")
    # Bright sources aren't that much surer: the scatter of references isn't their noise.
    share = np.cumsum(np.minimum(weight, 10 * np.median(weight))[order])
    middle = 0.5 * share[-1]
    i = int(np.searchsorted(share, middle))
    if i + 1 < len(values) and np.isclose(share[i], middle, rtol=1e-12):
        return float(0.5 * (values[order[i]] + values[order[i + 1]]))
    return float(values[order[i]])


def _median(values: Floats) -> float:
    return float(np.median(values)) if len(values) else float("nan")


def _spread(values: Floats) -> float:
    """Return 1.4826 times the median absolute deviation; NaN of nothing."""
    return _NORMAL * _median(np.abs(values - _median(values)))
