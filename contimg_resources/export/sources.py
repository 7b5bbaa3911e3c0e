"""The document of sources and their variability.

Belongs here: putting positions, points and measures together, its columns. Doesn't: computing
measures.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_resources.export.numbers import DEG_DECIMALS, MJY_DECIMALS, decimals, significant
from contimg_resources.export.pages import Paged, columns
from contimg_resources.variability.model import LightCurves, Variability

#: Measures that go into the document under their own names.
MEASURES = ("median_snr", "eta", "v", "modulation_index", "p_value", "pair_vs", "pair_m")

Columns = dict[str, NDArray[Any]]


def source_columns(points: LightCurves, variability: Variability | None) -> Columns:
    """Return all sources that have points or measures, by id; NaN where there is no measure.

    Parameters
    ----------
    points : LightCurves
        Sound ones (see `contimg_resources.export.light_curves`).
    variability : Variability or None
        Measures; None: there are none yet.
    """
    found = _of_points(points)
    if variability is None or not len(variability):
        return found
    measured: Columns = {
        "source_id": variability.source_id,
        "ra_deg": variability.ra_deg,
        "dec_deg": variability.dec_deg,
        "n_epochs": variability.n_epochs,
        "mean_flux_mjy": 1e3 * variability.mean_flux_jy,
        **{name: getattr(variability, name) for name in MEASURES},
        "is_variable": variability.is_variable,
    }
    # Of a source in both the measures hold: they come first.
    together = {name: np.concatenate([measured[name], found[name]]) for name in found}
    _, first = np.unique(together["source_id"], return_index=True)
    return {name: values[first] for name, values in together.items()}


def sources_document(sources: Columns, page_of: Mapping[str, int]) -> Paged:
    """Return the document of sources.

    Parameters
    ----------
    sources : dict of str to ndarray
        See `source_columns`.
    page_of : mapping of str to int
        Which page of the light curves has a source.
    """
    names = sources["source_id"].tolist()
    values = {
        "source_id": names,
        "ra_deg": decimals(sources["ra_deg"], DEG_DECIMALS),
        "dec_deg": decimals(sources["dec_deg"], DEG_DECIMALS),
        "n_epochs": sources["n_epochs"].tolist(),
        "mean_flux_mjy": decimals(sources["mean_flux_mjy"], MJY_DECIMALS),
        **{name: significant(sources[name]) for name in MEASURES},
        "is_variable": sources["is_variable"].tolist(),
        "light_curve_page": [page_of.get(name) for name in names],
    }
    return columns("sources", values, names, names)


def _of_points(points: LightCurves) -> Columns:
    n = len(points)
    n_points = np.diff(points.offsets)
    source = np.repeat(np.arange(n), n_points)
    with np.errstate(invalid="ignore", divide="ignore"):
        weight = 1.0 / points.error_jy**2
        counts = np.isfinite(weight) & np.isfinite(points.flux_jy)
        weighted = np.where(counts, weight * points.flux_jy, 0.0)
        total = np.bincount(source, np.where(counts, weight, 0.0), minlength=n)
        mean_jy = np.bincount(source, weighted, minlength=n) / total
    nothing = np.full(n, np.nan)
    return {
        "source_id": points.source_id,
        "ra_deg": points.ra_deg,
        "dec_deg": points.dec_deg,
        "n_epochs": n_points,
        "mean_flux_mjy": 1e3 * mean_jy,
        **dict.fromkeys(MEASURES, nothing),
        "is_variable": np.zeros(n, np.bool_),
    }
