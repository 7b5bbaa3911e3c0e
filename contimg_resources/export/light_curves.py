"""The document of light curves.

Belongs here: its elements. Doesn't: measures of variability, points that aren't exported.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from contimg_resources.export.numbers import MJD_DECIMALS, MJY_DECIMALS, decimals
from contimg_resources.export.pages import Item, Paged, element, elements
from contimg_resources.variability.model import OF_POINTS, LightCurves

#: Of one source the newest points, 27 years of nights: a curve fits into one page.
MAX_POINTS = 10_000
#: Of all sources together about: a browser reads pages of this, and an index must hold their names.
_MAX_POINTS_OF_ALL = 60_000_000
_TYPICAL_POINT_BYTES = 32


def sound_points(points: LightCurves) -> LightCurves:
    """Return light curves without points that have no time."""
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


def light_curves_document(points: LightCurves) -> Paged:
    """Return the light curves by source id, the newest points of each; none of a source without.

    Parameters
    ----------
    points : LightCurves
        Sound ones, see `sound_points`.
    """
    n_most = min(MAX_POINTS, max(1, _MAX_POINTS_OF_ALL // max(len(points), 1)))
    n_points = np.minimum(np.diff(points.offsets), n_most)
    typical = float(n_points.mean()) if len(n_points) else 0.0
    return elements(
        "light_curves",
        "light_curves",
        _items(points, n_most),
        # Known beforehand: all curves at once needn't be held as JSON.
        typical_bytes=100 + _TYPICAL_POINT_BYTES * typical,
    )


def _items(points: LightCurves, n_most: int) -> Iterator[Item]:
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
        yield element(name, name, {"source_id": name, **lists})
