"""Flux scale and astrometry of an epoch, from sources with constant flux densities.

Belongs here: choosing references, their ratios, the checks of an epoch. Doesn't: measuring.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_resources.catalogues.model import nearest_sources
from contimg_resources.core.arrays import Bools, Floats
from contimg_resources.core.statistics import STD_OF_MAD
from contimg_resources.photometry.astrometry import ListOffset
from contimg_resources.photometry.gradient import fit_gradient
from contimg_resources.photometry.measuring import RawMeasurements
from contimg_resources.photometry.model import NO_FLUX, Flag, SourceHistory, SourceList
from contimg_resources.settings import PhotometrySettings

#: Ratio of the errors of a median and of a mean of normally distributed numbers.
_MEDIAN = 1.2533
#: Minimum expected S/N of a reference.
_MIN_SNR = 15.0
#: Maximum variability of references that have a history.
_MAX_ETA = 3.0
#: Limit for squares of normally distributed numbers, and the mean of the limited squares.
_LARGEST_Z2, _CLIPPED_Z2 = 9.0, 0.9940
_HALVINGS = 40
#: A source at the edge of the beam, where the primary beam is uncertain, isn't a reference.
_MIN_PRIMARY_BEAM = 0.4


@dataclass(frozen=True)
class EpochScale:
    """Flux scale and astrometry of an epoch.

    Arrays have the shape (n,).
    """

    ok: bool  #: Whether the epoch passed its checks.
    reason: str  #: Reason for a failed check; otherwise empty.
    #: `scale`, `error`: Measured over true flux density at the centre of the image, and its
    #: uncertainty; NaN if there are too few references.
    scale: float
    error: float
    scatter: float  #: Robust scatter of the references' ratios.
    n_references: int  #: Number of references.
    #: Change of the scale's logarithm per degree eastwards and northwards; zeros unless
    #: significant.
    gradient: tuple[float, float]
    #: `at_source`, `error_at_source`: Scale at each source, without the source itself where it is a
    #: reference.
    at_source: Floats
    error_at_source: Floats
    is_reference: Bools  #: Which sources are references.
    ratio: Floats  #: Measured over reference flux density; NaN where there is none.
    #: `east_arcsec`, `north_arcsec`: Median offset of bright sources from their places, arcsec; NaN
    #: without any.
    east_arcsec: float
    north_arcsec: float
    #: Robust scatter of the offsets (the larger of the two directions), arcsec.
    offset_scatter_arcsec: float
    n_positions: int  #: Number of sources with measured positions.
    #: The same with errors, and the number of missing bright sources.
    offset: ListOffset | None = None
    #: East and north: shift of the list's positions before the flux densities were measured.
    moved_arcsec: tuple[float, float] = (0.0, 0.0)


def check_epoch(
    raw: RawMeasurements,
    sources: SourceList,
    limits: PhotometrySettings,
    history: SourceHistory | None = None,
) -> EpochScale:
    """Compare an epoch's flux densities with those of its reference sources.

    `sources` has the order of `raw`, and expected flux densities. `limits` holds the minimum number
    of references, maximum scatter and offset. `history` holds medians of earlier epochs, used as
    reference flux densities where there are any.

    Notes
    -----
    ``g = weighted median of S_i / S_i,ref`` and ``sigma_g = 1.2533 MAD-std / sqrt(N)``; a reference
    source isn't used for its own scale. If at least thirty references have a significant gradient
    over the image (F-test), ``log S / S_ref`` is fitted linearly, and g is the median of the
    residuals (see `contimg_resources.photometry.epoch`).
    """
    reference_jy = _reference_fluxes(sources, history)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = raw.flux_jy / reference_jy
        # By expected S/N: selection by the measured one would favour sources brightened by noise.
        snr = reference_jy / raw.error_jy
    chosen = _references(raw, sources, snr, ratio, history)
    weight = _weights(snr, ratio, chosen)
    n = int(chosen.sum())
    east, north = _offsets_deg(sources, chosen)
    terms = np.stack([np.ones(len(sources)), east, north], axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        gradient = fit_gradient(np.log(ratio), weight, terms, chosen)
    flat = ratio / gradient.factor(terms)
    scale, scatter = _weighted_median(flat[chosen], weight[chosen]), _spread(flat[chosen])
    error = _MEDIAN * scatter / np.sqrt(n) if n else np.nan
    at_source = scale * gradient.factor(terms)
    references = np.flatnonzero(chosen)
    for k, i in enumerate(references):
        slope = gradient.without(int(i)).factor(terms[references])
        values, others = ratio[references] / slope, np.arange(n) != k
        at_source[i] = slope[k] * _weighted_median(values[others], weight[references][others])
    reason = _gates(n, scale, scatter, limits)
    offset = ListOffset.of(raw, sources)
    return EpochScale(
        ok=not reason,
        reason=reason,
        scale=scale,
        error=float(error),
        scatter=scatter,
        n_references=n,
        gradient=gradient.slopes,
        at_source=at_source,
        error_at_source=np.hypot(error, scale * gradient.error(terms)),
        is_reference=chosen,
        ratio=ratio,
        east_arcsec=offset.east_arcsec,
        north_arcsec=offset.north_arcsec,
        offset_scatter_arcsec=offset.scatter_arcsec,
        n_positions=offset.n_positions,
        offset=offset,
    )


def scale_beside(
    known: Mapping[str, NDArray[Any]], sources: SourceList, *, ok: bool, moved: tuple[float, float]
) -> EpochScale:
    """Return the flux scale of a measured epoch at further sources: that of the nearest source.

    Parameters
    ----------
    known : mapping of str to ndarray
        Columns of the epoch's measurements. The scale of a reference lacks the reference itself,
        so other sources are preferred.
    sources : SourceList
        The further sources.
    ok : bool
        See `EpochScale`.
    moved : tuple of float
        `EpochScale.moved_arcsec`.
    """
    n = len(sources)
    others = np.flatnonzero(np.isfinite(known["scale"]))
    plain = others[~known["is_reference"][others].astype(bool)]
    others = plain if len(plain) else others
    at = np.full((2, n), np.nan)
    if len(others):
        nearest = nearest_sources(
            sources.ra_deg, sources.dec_deg, known["ra_deg"][others], known["dec_deg"][others]
        )[1]
        at = np.stack([known[name][others[nearest]] for name in ("scale", "scale_error")])
    scale, error = (float(np.median(v)) if n else np.nan for v in at)
    return EpochScale(
        ok=ok,
        reason="",
        scale=scale,
        error=error,
        scatter=np.nan,
        n_references=0,
        gradient=(0.0, 0.0),
        at_source=at[0],
        error_at_source=at[1],
        is_reference=np.zeros(n, bool),
        ratio=np.full(n, np.nan),
        east_arcsec=np.nan,
        north_arcsec=np.nan,
        offset_scatter_arcsec=np.nan,
        n_positions=0,
        moved_arcsec=moved,
    )


def corrected(raw: RawMeasurements, scale: EpochScale) -> tuple[Floats, Floats]:
    """Return flux densities and uncertainties on the scale of the references, Jy.

    Notes
    -----
    ``S' = S / g``, ``sigma'^2 = S'^2 ((sigma / S)^2 + (sigma_g / g)^2)``. Without a scale the
    measured values are returned unchanged.
    """
    return on_scale(raw.flux_jy, raw.error_jy, scale)


def on_scale(flux_jy: Floats, error_jy: Floats, scale: EpochScale) -> tuple[Floats, Floats]:
    """Correct any flux densities of an epoch's sources, and uncertainties, like `corrected`.

    Both in Jy as measured, shape (n,).
    """
    if not np.isfinite(scale.scale):
        return flux_jy, error_jy
    # A single reference has no others for its own scale.
    known = np.isfinite(scale.at_source)
    at_source = np.where(known, scale.at_source, 1.0)
    flux = flux_jy / at_source
    own = error_jy / at_source
    common = np.where(known, flux * scale.error_at_source / at_source, 0.0)
    return flux, np.hypot(own, np.where(np.isfinite(common), common, 0.0))


def _reference_fluxes(sources: SourceList, history: SourceHistory | None) -> Floats:
    if history is None:
        return sources.flux_jy
    known = np.isfinite(history.median_flux_jy) & (history.n_epochs >= 5)
    return np.where(known, history.median_flux_jy, sources.flux_jy)


def _references(
    raw: RawMeasurements,
    sources: SourceList,
    snr: Floats,
    ratio: Floats,
    history: SourceHistory | None,
) -> Bools:
    plain = (raw.flags & int(NO_FLUX | Flag.BLEND | Flag.POOR_FIT | Flag.EXTENDED)) == 0
    with np.errstate(invalid="ignore"):
        bright = (snr >= _MIN_SNR) & (ratio > 0)
        inner = raw.primary_beam >= _MIN_PRIMARY_BEAM
    chosen = plain & bright & inner & sources.compact & np.isfinite(ratio)
    if history is not None:
        with np.errstate(invalid="ignore"):
            chosen &= ~(history.eta > _MAX_ETA)
    return np.asarray(chosen)


def _weights(snr: Floats, ratio: Floats, chosen: Bools) -> Floats:
    """Return the inverse variance of ratios: that of noise, and the excess scatter of references.

    Notes
    -----
    The excess is chosen so that the mean of ``z^2`` is that of normally distributed numbers (Paule
    & Mandel 1982, J. Res. NBS 87, 377), with each z limited to 3. With weights from the noise alone
    a few bright references would dominate the scale, and its uncertainty, calculated from the
    number of all references, would be half of its true value.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        noise = 1.0 / snr**2
    away = (ratio[chosen] - _median(ratio[chosen])) ** 2
    low, high = 0.0, float(away.max(initial=0.0))
    for _ in range(_HALVINGS):
        excess = 0.5 * (low + high)
        z2 = np.minimum(away / (noise[chosen] + excess), _LARGEST_Z2) if high > 0 else away
        if z2.sum() > _CLIPPED_Z2 * len(z2):
            low = excess
        else:
            high = excess
    return np.asarray(1.0 / (noise + high))


def _offsets_deg(sources: SourceList, chosen: Bools) -> tuple[Floats, Floats]:
    """Return offsets from the centre of the references, degrees."""
    if not chosen.any():
        return np.zeros(len(sources)), np.zeros(len(sources))
    ra = np.radians(sources.ra_deg[chosen])
    ra0 = np.degrees(np.arctan2(np.sin(ra).mean(), np.cos(ra).mean()))
    dec0 = float(sources.dec_deg[chosen].mean())
    east = ((sources.ra_deg - ra0 + 180) % 360 - 180) * np.cos(np.radians(dec0))
    return east, sources.dec_deg - dec0


def _gates(n: int, scale: float, scatter: float, limits: PhotometrySettings) -> str:
    if n < limits.min_references:
        return f"{n} reference sources, at least {limits.min_references} are needed"
    if scatter >= limits.max_scale_scatter:
        return (
            f"the flux ratios of {n} reference sources scatter by {scatter:.3f}; the limit is "
            f"{limits.max_scale_scatter:g}"
        )
    if abs(scale - 1) >= limits.max_scale_offset:
        return (
            f"the flux scale of {n} reference sources is {scale:.3f}; the limits are 1 +- "
            f"{limits.max_scale_offset:g}"
        )
    return ""


def _weighted_median(values: Floats, weight: Floats) -> float:
    if not len(values):
        return float("nan")
    order = np.argsort(values, kind="stable")
    share = np.cumsum(weight[order])
    middle = 0.5 * share[-1]
    i = int(np.searchsorted(share, middle))
    if i + 1 < len(values) and np.isclose(share[i], middle, rtol=1e-12):
        return float(0.5 * (values[order[i]] + values[order[i + 1]]))
    return float(values[order[i]])


def _median(values: Floats) -> float:
    return float(np.median(values)) if len(values) else float("nan")


def _spread(values: Floats) -> float:
    """Return 1.4826 times the median absolute deviation; NaN for no values."""
    return STD_OF_MAD * _median(np.abs(values - _median(values)))
