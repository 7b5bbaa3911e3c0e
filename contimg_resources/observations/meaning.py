"""Interpret the values of a visibility column: their unit and their weights.

Belongs here: the one place that decides how a stated unit is applied and which of the four weight
columns counts. Pure: arrays and names in, arrays out.
Doesn't: which rows count (see `contimg_resources.observations.counting`), reading columns.
"""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_resources.core.arrays import Singles
from contimg_resources.core.errors import TableError, UnreadableObservation
from contimg_resources.observations.counting import has_weight
from contimg_resources.tables.units import refuse_endless


def jansky_in(unit: str | Sequence[str]) -> float | None:
    """Return the factor that converts values of a unit (``QuantumUnits`` of a column) to Jy.

    It is 1 where no unit is stated: it is empty, or not a unit, such as ``uncalib``. None is for a
    unit of another quantity than flux density, such as ``K``.
    """
    from astropy import units

    text = unit if isinstance(unit, str) else " ".join(str(part) for part in unit)
    text = text.strip()
    if text.lower() in ("", "jy", "jansky"):
        return 1.0
    try:
        refuse_endless(text)
    except TableError:
        return 1.0
    parsed = units.Unit(text, parse_strict="silent")
    if isinstance(parsed, units.UnrecognizedUnit):
        return 1.0
    return float(parsed.to(units.Jy)) if parsed.is_equivalent(units.Jy) else None


def stated_unit(keywords: dict[str, Any]) -> str:
    """Return the unit in the keywords of a column; empty when they state none."""
    unit = keywords.get("QuantumUnits", keywords.get("UNIT", ""))
    return unit if isinstance(unit, str) else " ".join(str(part) for part in np.ravel(unit))


def flux_scale(keywords: dict[str, Any], ms: object) -> float:
    """Return the factor that converts calibrated visibilities to Jy, from a column's keywords.

    Raises
    ------
    UnreadableObservation
        If the stated unit isn't a flux density.
    """
    unit = stated_unit(keywords)
    scale = jansky_in(unit)
    if scale is None:
        raise UnreadableObservation(
            f"{ms}: its column DATA is in {unit}; visibilities in Jy were expected, or in a unit "
            "that can be converted to Jy (such as mJy)",
            path=str(ms),
        )
    return scale


def raw_scale(keywords: dict[str, Any]) -> float:
    """Return the factor for visibilities that are still to be calibrated.

    A stated flux density is converted to Jy, so that gains of one observation apply to another;
    with any other unit the gains convert to Jy.
    """
    return jansky_in(stated_unit(keywords)) or 1.0


def spectrum_column(columns: Collection[str]) -> str | None:
    """Return the column with weights of DATA per channel; None where there is none.

    Where an MS has corrected data besides DATA, WEIGHT_SPECTRUM belongs to those: applying
    caltables changed it, and left SIGMA_SPECTRUM alone. Otherwise WEIGHT_SPECTRUM is used.
    """
    wanted = ["WEIGHT_SPECTRUM", "SIGMA_SPECTRUM"]
    if "CORRECTED_DATA" in columns:
        # Without SIGMA_SPECTRUM, SIGMA belongs to DATA.
        wanted = ["SIGMA_SPECTRUM"]
    return next((name for name in wanted if name in columns), None)


def weights_of_channels(column: str, values: NDArray[Any]) -> Singles:
    """Return the weights from cells of a column of `spectrum_column`, of the same shape.

    They are in 1/Jy^2; 0 for a visibility that isn't to be used.
    """
    if column == "SIGMA_SPECTRUM":
        return _inverse_squares(values)
    return np.where(has_weight(values), values, 0).astype(np.float32, copy=False)


def weights_of_rows(weight: NDArray[Any], sigma: NDArray[Any]) -> Singles:
    """Return the weights of rows without weights per channel.

    These are ``1 / SIGMA^2``, which belongs to DATA even after caltables were applied to the MS;
    WEIGHT where SIGMA is 0, negative or not finite; 0 where WEIGHT marks missing data.
    """
    from_sigma = _inverse_squares(sigma)
    chosen = np.where(from_sigma > 0, from_sigma, weight)
    return np.where(has_weight(weight), chosen, 0).astype(np.float32, copy=False)


def _inverse_squares(sigma: NDArray[Any]) -> Singles:
    found = np.zeros(sigma.shape, np.float64)
    good = has_weight(sigma)
    np.divide(1.0, np.square(sigma, dtype=np.float64), out=found, where=good)
    # The square of the smallest representable numbers has no inverse.
    return np.where(has_weight(found), found, 0).astype(np.float32)
