"""All variability metrics of many light curves, and the sources flagged as variable.

Belongs here: the order of the steps. Doesn't: formulas, files.
"""

from dataclasses import replace

import numpy as np

from contimg_resources.settings import VariabilitySettings
from contimg_resources.variability.floor import measure_floor, reference_sources
from contimg_resources.variability.metrics import (
    PAIR_MIN_M,
    PAIR_MIN_VS,
    errors_with_floor,
    medians_of,
    scatter_of,
)
from contimg_resources.variability.model import LightCurves, Variability, VariabilityFacts
from contimg_resources.variability.selection import improbable, population_thresholds


def measure_added(curves: LightCurves, settings: VariabilitySettings, day_mjd: int) -> Variability:
    """Measure the variability of a list of added light curves.

    Metrics are as of `measure_variability`, without a systematic error floor: the list's own errors
    are used. If the list is too small for a population, a source is flagged as variable when a
    steady source has so large an eta with at most the probability of `settings.eta_sigma` standard
    deviations; `facts` hold it as `threshold_p`, and the UTC day (integer MJD).
    """
    table = measure_variability(curves, settings, day_mjd)
    if table.facts.threshold_snr:
        return table
    threshold_p = improbable(settings.eta_sigma)
    with np.errstate(invalid="ignore"):
        # Valid for any number of epochs: the p-value accounts for it.
        varies = table.p_value < threshold_p
    facts = replace(table.facts, threshold_p=threshold_p)
    return replace(table, is_variable=varies, facts=facts)


def measure_variability(
    curves: LightCurves, settings: VariabilitySettings, day_mjd: int
) -> Variability:
    """Measure the variability of every source from light curves up to the end of the day.

    Sources with fewer epochs than the settings require have metrics, as far as these are defined,
    and their pairs are tested: the fewer pairs, the lower the chance of a false detection. They
    aren't flagged as variable in the plane of eta and V, and don't count for the population. The
    UTC day (integer MJD) is only recorded.
    """
    from contimg_resources.variability.ese_loops import most_significant_pairs

    floor = measure_floor(curves, settings.min_epochs)
    error_jy = errors_with_floor(curves, floor.applied, medians_of(curves.flux_jy, curves))
    scatter = scatter_of(curves, error_jy)
    snr = medians_of(curves.flux_jy / curves.error_jy, curves)
    enough = scatter.n >= settings.min_epochs
    limits = population_thresholds(
        np.where(enough, snr, np.nan),
        np.where(enough, scatter.eta, np.nan),
        np.where(enough, scatter.v, np.nan),
        settings.eta_sigma,
        settings.v_sigma,
    )
    pairs = most_significant_pairs(curves.offsets, curves.flux_jy, error_jy)
    has_pair = pairs[:, 0] >= 0
    one, other = np.where(has_pair, pairs[:, 0], 0), np.where(has_pair, pairs[:, 1], 0)
    if len(curves):
        flux, mid_mjd = curves.flux_jy, curves.mid_mjd
        first_mjd, second_mjd = (np.where(has_pair, mid_mjd[i], np.nan) for i in (one, other))
        difference = flux[one] - flux[other]
        with np.errstate(divide="ignore", invalid="ignore"):
            vs = np.where(has_pair, difference / np.hypot(error_jy[one], error_jy[other]), np.nan)
            # Relative to the mean of the pair; undefined if the mean isn't positive.
            total = flux[one] + flux[other]
            m = np.where(has_pair & (total > 0), 2 * difference / total, np.nan)
    else:
        first_mjd = second_mjd = vs = m = np.empty(0)
    with np.errstate(invalid="ignore"):
        pair_says_so = (np.abs(vs) >= PAIR_MIN_VS) & (np.abs(m) > PAIR_MIN_M)
    return Variability(
        source_id=curves.source_id,
        ra_deg=curves.ra_deg,
        dec_deg=curves.dec_deg,
        n_epochs=scatter.n,
        mean_flux_jy=scatter.mean_jy,
        median_snr=snr,
        eta=scatter.eta,
        v=scatter.v,
        modulation_index=scatter.modulation_index,
        p_value=scatter.p_value,
        pair_vs=vs,
        pair_m=m,
        pair_first_mjd=first_mjd,
        pair_second_mjd=second_mjd,
        is_reference=reference_sources(curves, settings.min_epochs),
        is_pair_variable=pair_says_so,
        is_variable=limits.above(snr, scatter.eta, scatter.v) & enough,
        facts=VariabilityFacts(
            day_mjd=day_mjd,
            systematic_floor=floor.share,
            systematic_floor_low=floor.low,
            systematic_floor_high=floor.high,
            n_references=floor.n_references,
            eta_sigma=settings.eta_sigma,
            v_sigma=settings.v_sigma,
            threshold_snr=tuple(limits.snr.tolist()),
            threshold_eta=tuple(limits.eta.tolist()),
            threshold_v=tuple(limits.v.tolist()),
        ),
    )
