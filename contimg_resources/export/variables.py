"""The document of variable sources.

Belongs here: its elements, and how they were selected. Doesn't: selecting.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from contimg_resources.export.model import VariableItem
from contimg_resources.export.numbers import DEG_DECIMALS, MJD_DECIMALS, finite, known
from contimg_resources.export.pages import Item, Paged, element, elements
from contimg_resources.variability.model import Variability

_NUMBERS = ("systematic_floor", "eta_sigma", "v_sigma")
_THRESHOLDS = ("threshold_snr", "threshold_eta", "threshold_v")


def variables_document(variability: Variability | None) -> Paged:
    """Return the variable sources by id; every page says how they were selected."""
    facts = {} if variability is None else variability.facts
    items = () if variability is None else _items(variability)
    return elements("variables", "variables", items, head=_selection(facts))


def _selection(facts: dict[str, Any]) -> dict[str, Any]:
    counts = {name: facts.get(name) for name in ("day_mjd", "n_references")}
    rows = [
        row
        for row in zip(*(facts.get(name) or () for name in _THRESHOLDS), strict=True)
        if all(v is not None and math.isfinite(v) for v in row)
    ]
    lists = {name: [finite(row[i]) for row in rows] for i, name in enumerate(_THRESHOLDS)}
    return {**counts, **{name: finite(facts.get(name)) for name in _NUMBERS}, **lists}


def _items(variability: Variability) -> Iterator[Item]:
    for i in np.flatnonzero(variability.is_variable):
        name = str(variability.source_id[i])
        item = VariableItem(
            source_id=name,
            ra_deg=known(variability.ra_deg[i], DEG_DECIMALS),
            dec_deg=known(variability.dec_deg[i], DEG_DECIMALS),
            n_epochs=int(variability.n_epochs[i]),
            mean_flux_mjy=finite(1e3 * variability.mean_flux_jy[i]),
            eta=finite(variability.eta[i]),
            v=finite(variability.v[i]),
            modulation_index=finite(variability.modulation_index[i]),
            p_value=finite(variability.p_value[i]),
            pair_vs=finite(variability.pair_vs[i]),
            pair_m=finite(variability.pair_m[i]),
            pair_first_mjd=_mjd(variability.pair_first_mjd[i]),
            pair_second_mjd=_mjd(variability.pair_second_mjd[i]),
            is_pair_variable=bool(variability.is_pair_variable[i]),
        )
        yield element(name, name, item)


def _mjd(value: float) -> float | None:
    return known(value, MJD_DECIMALS)
