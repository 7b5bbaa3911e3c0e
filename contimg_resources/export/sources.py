"""Documents of sources, light curves and variable sources.

Belongs here: combining positions, light curves and metrics; elements and columns. Doesn't:
computing metrics, measurements that aren't exported.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_resources.export.model import StructureItem, VariableItem
from contimg_resources.export.pages import (
    DEG_DECIMALS,
    MJD_DECIMALS,
    MJY_DECIMALS,
    Item,
    Paged,
    columns,
    decimals,
    element,
    elements,
    finite,
    known,
    significant,
)
from contimg_resources.variability.model import (
    INTRINSIC,
    OF_POINTS,
    LightCurves,
    Structure,
    Variability,
    VariabilityFacts,
)

#: Metrics that keep their names in the document.
MEASURES = (
    *("median_snr", "eta", "v", "modulation_index", "p_value", "pair_vs", "pair_m"),
    *INTRINSIC,
)

_OF_VARIABLES = tuple(name for name in MEASURES if name in VariableItem.model_fields)

Columns = dict[str, NDArray[Any]]


def source_columns(points: LightCurves, variability: Variability | None) -> Columns:
    """Combine all sources with measurements or metrics, by id; NaN where there is no metric.

    The light curves are without invalid times (see `sound_points`).
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
    # For a source in both, the metrics have priority: they come first.
    together = {name: np.concatenate([measured[name], found[name]]) for name in found}
    _, first = np.unique(together["source_id"], return_index=True)
    return {name: values[first] for name, values in together.items()}


def sources_document(
    sources: Columns,
    page_of: Mapping[str, int],
    indices: Mapping[str, tuple[float, float]] | None = None,
) -> Paged:
    """Return the document of sources.

    `page_of` is the page of the light curves of each source, `indices` are spectral indices with
    their errors.
    """
    names = sources["source_id"].tolist()
    spectra = np.array([(indices or {}).get(name, (math.nan, math.nan)) for name in names])
    spectra = spectra.reshape(-1, 2)
    values = {
        "source_id": names,
        "ra_deg": decimals(sources["ra_deg"], DEG_DECIMALS),
        "dec_deg": decimals(sources["dec_deg"], DEG_DECIMALS),
        "n_epochs": sources["n_epochs"].tolist(),
        "mean_flux_mjy": decimals(sources["mean_flux_mjy"], MJY_DECIMALS),
        **{name: significant(sources[name]) for name in MEASURES},
        "is_variable": sources["is_variable"].tolist(),
        "spectral_index": significant(spectra[:, 0]),
        "spectral_index_error": significant(spectra[:, 1]),
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


#: Maximum number of measurements of a source, the newest: 27 years of nights, which fit a page.
MAX_POINTS = 10_000
#: Approximate limit for all sources together: browsers read the pages, the index lists them.
_MAX_POINTS_OF_ALL = 60_000_000
_TYPICAL_POINT_BYTES = 32


def sound_points(points: LightCurves) -> LightCurves:
    """Remove measurements without a valid time from light curves."""
    n_points = np.diff(points.offsets)
    source = np.repeat(np.arange(len(points)), n_points)
    good = np.isfinite(points.mid_mjd)
    if good.all():
        return points
    counts = np.bincount(source[good], minlength=len(points))
    return replace(
        points,
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        **{name: getattr(points, name)[good] for name in OF_POINTS},
    )


def light_curves_document(points: LightCurves, structure: Structure) -> Paged:
    """Return the document of light curves by source id, with the newest measurements of each.

    Invalid times are removed before (see `sound_points`). Structure functions go beside them.
    """
    n_most = min(MAX_POINTS, max(1, _MAX_POINTS_OF_ALL // max(len(points), 1)))
    n_points = np.minimum(np.diff(points.offsets), n_most)
    typical = float(n_points.mean()) if len(n_points) else 0.0
    return elements(
        "light_curves",
        "light_curves",
        _curves(points, n_most, _structures(structure)),
        # Calculated in advance, so that not all curves need to be in memory as JSON.
        typical_bytes=100 + _TYPICAL_POINT_BYTES * typical,
    )


def _structures(structure: Structure) -> dict[str, Columns]:
    """Return the structure function of each source that has one."""
    names, first = np.unique(structure.source_id, return_index=True)
    ends = np.append(np.sort(first)[1:], len(structure.source_id))
    last = dict(zip(np.sort(first).tolist(), ends.tolist(), strict=True)) if len(names) else {}
    return {
        str(name): {
            column: getattr(structure, column)[start : last[start]]
            for column in StructureItem.model_fields
        }
        for name, start in zip(names, first.tolist(), strict=True)
    }


def _curves(points: LightCurves, n_most: int, structures: Mapping[str, Columns]) -> Iterator[Item]:
    columns = {
        "mid_mjd": np.round(points.mid_mjd, MJD_DECIMALS),
        "flux_mjy": np.round(1e3 * points.flux_jy, MJY_DECIMALS),
        "error_mjy": np.round(1e3 * points.error_jy, MJY_DECIMALS),
        "flags": points.flags,
    }
    offsets = points.offsets.tolist()
    extended = np.zeros(len(points), np.bool_)
    known = np.flatnonzero(np.isfinite(points.integrated_jy))
    extended[np.searchsorted(points.offsets, known, side="right") - 1] = True
    for number, name in enumerate(points.source_id.tolist()):
        start, end = offsets[number], offsets[number + 1]
        if start == end:
            continue
        shown = slice(max(start, end - n_most), end)
        lists = {column: values[shown].tolist() for column, values in columns.items()}
        if extended[number]:
            lists["integrated_mjy"] = decimals(1e3 * points.integrated_jy[shown], MJY_DECIMALS)
            lists["integrated_error_mjy"] = decimals(
                1e3 * points.integrated_error_jy[shown], MJY_DECIMALS
            )
        structure = {
            column: values.tolist() if column == "n_pairs" else significant(values)
            for column, values in structures.get(name, {}).items()
        }
        yield element(name, name, {"source_id": name, **lists, "structure": structure or None})


def variables_document(variability: Variability | None) -> Paged:
    """Return the document of variable sources by id; every page holds the thresholds."""
    facts = VariabilityFacts() if variability is None else variability.facts
    items = () if variability is None else _variables(variability)
    return elements("variables", "variables", items, head=_selection(facts))


def _selection(facts: VariabilityFacts) -> dict[str, Any]:
    rows = [
        row
        for row in zip(facts.threshold_snr, facts.threshold_eta, facts.threshold_v, strict=True)
        if all(math.isfinite(v) for v in row)
    ]
    return {
        "day_mjd": facts.day_mjd,
        "n_references": facts.n_references,
        "systematic_floor": finite(facts.systematic_floor),
        "eta_sigma": finite(facts.eta_sigma),
        "v_sigma": finite(facts.v_sigma),
        "systematics": [{"cause": name, **found} for name, found in facts.systematics.items()],
        "threshold_snr": [finite(snr) for snr, _, _ in rows],
        "threshold_eta": [finite(eta) for _, eta, _ in rows],
        "threshold_v": [finite(v) for _, _, v in rows],
    }


def _variables(variability: Variability) -> Iterator[Item]:
    for i in np.flatnonzero(variability.is_variable):
        name = str(variability.source_id[i])
        item = VariableItem(
            source_id=name,
            ra_deg=known(variability.ra_deg[i], DEG_DECIMALS),
            dec_deg=known(variability.dec_deg[i], DEG_DECIMALS),
            n_epochs=int(variability.n_epochs[i]),
            mean_flux_mjy=finite(1e3 * variability.mean_flux_jy[i]),
            **{name: finite(getattr(variability, name)[i]) for name in _OF_VARIABLES},
            pair_first_mjd=_mjd(variability.pair_first_mjd[i]),
            pair_second_mjd=_mjd(variability.pair_second_mjd[i]),
            is_pair_variable=bool(variability.is_pair_variable[i]),
        )
        yield element(name, name, item)


def _mjd(value: float) -> float | None:
    return known(value, MJD_DECIMALS)
