"""History of sources in earlier epochs, for the choice of references.

Belongs here: medians and eta of many sources at once. Doesn't: light curves of one source.
"""

from pathlib import Path

import numpy as np

from contimg_resources.photometry.copies import as_patterns, epoch_files, query
from contimg_resources.photometry.model import SourceHistory, SourceList


def read_history(
    root: Path, sources: SourceList, kind: str, before_mjd: float, days: float = 30.0
) -> SourceHistory:
    """Return the history of sources from the good epochs of some days.

    Parameters
    ----------
    root : Path
        The directory with measurements.
    sources : SourceList
        The sources.
    kind : str
        Subdirectory: image, mosaic, or that of a sub-band.
    before_mjd : float
        Only earlier epochs are used, MJD in days.
    days : float
        Time before `before_mjd` that is used.

    Notes
    -----
    ``eta = N / (N - 1) (<w I^2> - <w I>^2 / <w>)`` with ``w = 1 / sigma^2`` (Swinbank et al. 2015,
    Astron. Comput. 11, 25), of flux densities on the scale of their epoch.
    """
    n = len(sources)
    median, eta = np.full(n, np.nan), np.full(n, np.nan)
    count = np.zeros(n, np.int64)
    files = epoch_files(root, kind, before_mjd - days, before_mjd)
    if files:
        with query(root / kind) as cursor:
            told = cursor.execute(
                "SELECT source_id, median(flux_jy) AS median, count(*) AS n, "
                "avg(w * flux_jy * flux_jy) AS wii, avg(w * flux_jy) AS wi, avg(w) AS w FROM "
                "(SELECT source_id, flux_jy, 1 / (flux_error_jy * flux_error_jy) AS w "
                "FROM read_parquet($files) WHERE epoch_ok AND flux_jy IS NOT NULL "
                "AND flux_error_jy > 0 AND mid_mjd >= $start AND mid_mjd < $end) "
                "GROUP BY source_id",
                {"files": as_patterns(files), "start": before_mjd - days, "end": before_mjd},
            ).fetchnumpy()
        place = {str(name): i for i, name in enumerate(sources.source_id)}
        for k, name in enumerate(told["source_id"]):
            i = place.get(str(name))
            if i is None:
                continue
            number = int(told["n"][k])
            median[i], count[i] = told["median"][k], number
            if number > 1:
                spread = told["wii"][k] - told["wi"][k] ** 2 / told["w"][k]
                eta[i] = number / (number - 1) * spread
    return SourceHistory(median, count, eta)
