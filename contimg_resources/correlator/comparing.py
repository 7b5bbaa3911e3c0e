"""Compare an MS that was made of sub-bands with the headers. Runs in a CASA process.

Belongs here: rows, times, bands and baseline lengths as both state them. Doesn't: visibilities
(the tests compare them with pyuvdata's), or any limit.
"""

from typing import Any

import numpy as np

from contimg_resources.core.times import mjd_from_casa_seconds
from contimg_resources.correlator.layout import Layout, layout_of
from contimg_resources.correlator.model import ComparisonRequest, HeaderComparison
from contimg_resources.correlator.sub_band import header_of
from contimg_resources.correlator.uvh5 import Floats, numbers, opened_sub_band
from contimg_resources.instrument.dsa110 import N_SPECTRAL_WINDOWS
from contimg_resources.observations.casa_table import OpenTable


def compare_with_headers(request: ComparisonRequest) -> HeaderComparison:
    """Compare rows, times, bands and UVW of an MS with the headers of its sub-band files.

    Parameters
    ----------
    request : ComparisonRequest
        The request.

    Raises
    ------
    UnreadableObservation
        If the MS can't be read.
    UnreadableSubBand
        If a file can't be read.
    """
    ms = request.ms
    with OpenTable(ms / "SPECTRAL_WINDOW", ms) as table:
        windows_hz = np.asarray(table.column("CHAN_FREQ"), np.float64).T
    with OpenTable(ms, ms) as table:
        n_rows = table.n_rows
        times_s = np.unique(table.numbers("TIME"))
        n_first = n_rows // max(times_s.size, 1)
        uvw_m = np.asarray(table.column("UVW", 0, n_first), np.float64).T
        pairs = _pairs(*(table.column(f"ANTENNA{k}", 0, n_first) for k in (1, 2)))
        windows = np.asarray(table.column("DATA_DESC_ID", 0, n_first))
    times_mjd = np.array([mjd_from_casa_seconds(float(t)) for t in times_s])
    time_s, frequency_hz, length_m, n_other, stated = 0.0, 0.0, np.nan, 0, 0
    for path in request.files:
        with opened_sub_band(path) as file:
            number, layout = header_of(file, path).number, layout_of(file, path)
            given_m = numbers(path, file["Header"], "uvw_array")[layout.rows[0]]
        stated = N_SPECTRAL_WINDOWS * layout.rows.size
        here = windows == number
        n_other = max(n_other, np.setxor1d(pairs[here], _pairs(layout.first, layout.second)).size)
        time_s = max(time_s, _difference(times_mjd, layout.time_mjd) * 86_400.0)
        frequency_hz = max(
            frequency_hz, _difference(windows_hz[number], np.sort(layout.frequencies_hz))
        )
        if given_m.any() and not n_other:
            found = _lengths_m(pairs[here], uvw_m[here])
            length_m = np.fmax(length_m, _difference(found, _stated_lengths_m(layout, given_m)))
    return HeaderComparison(
        n_rows, stated, n_other, float(time_s), float(frequency_hz), float(length_m)
    )


def _pairs(first: Any, second: Any) -> Any:
    """Return one number for each baseline, whichever antenna is the first."""
    return np.minimum(first, second).astype(np.int64) << 20 | np.maximum(first, second)


def _stated_lengths_m(layout: Layout, uvw_m: Floats) -> Floats:
    return _lengths_m(_pairs(layout.first, layout.second), uvw_m)


def _lengths_m(pairs: Any, uvw_m: Floats) -> Floats:
    """Return the lengths of baselines, in the order of their numbers."""
    lengths: Floats = np.linalg.norm(uvw_m, axis=1)[np.argsort(pairs)]
    return lengths


def _difference(found: Floats, stated: Floats) -> float:
    return float(np.abs(found - stated).max()) if found.shape == stated.shape else float("inf")
