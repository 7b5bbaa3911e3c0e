"""Light curves: the measurements of sources over many epochs.

Belongs here: the query for one source, and that for the history of many, from which references are
chosen. Doesn't: the files for the queries (see `copies`), variability metrics.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_resources.core.arrays import Bools, Floats, Ints
from contimg_resources.core.errors import PhotometryFailed
from contimg_resources.photometry.copies import (
    MEASUREMENTS,
    as_patterns,
    copy_by_source,
    epoch_files,
    query,
)
from contimg_resources.photometry.measurements import FORMAT
from contimg_resources.photometry.model import Kind, SourceHistory, SourceList

__all__ = ["LightCurve", "copy_by_source", "epoch_files", "light_curve", "read_history"]


@dataclass(frozen=True)
class LightCurve:
    """The measurements of one source, in the order of time.

    Arrays have the shape (n,).
    """

    source_id: str  #: The source.
    epoch: NDArray[np.str_]  #: Partition keys.
    kind: NDArray[np.str_]  #: image or mosaic.
    mid_mjd: Floats  #: MJD in days.
    frequency_hz: Floats  #: Hz.
    flux_jy: Floats  #: On the scale of the reference sources, Jy; NaN where there is none.
    flux_error_jy: Floats  #: On the scale of the reference sources, Jy; NaN where there is none.
    #: `integrated_flux_jy`, `integrated_error_jy`: Integrated flux densities on that scale, Jy; NaN
    #: where the shape wasn't measured.
    integrated_flux_jy: Floats
    integrated_error_jy: Floats
    raw_flux_jy: Floats  #: As measured, Jy.
    raw_error_jy: Floats  #: As measured, Jy.
    rms_jy: Floats  #: Local noise, Jy/beam.
    flags: Ints  #: See `contimg_resources.photometry.model`.
    epoch_ok: Bools  #: Whether the epoch passed its checks.
    ra_deg: Floats  #: Position in the catalogue, ICRS degrees.
    dec_deg: Floats  #: Position in the catalogue, ICRS degrees.

    def __len__(self) -> int:
        return len(self.epoch)


#: Columns of a light curve.
_SHOWN = tuple(f.name for f in fields(LightCurve) if f.name != "source_id")
_TEXTS = ("epoch", "kind")


def light_curve(
    root: Path,
    source_id: str,
    kind: Kind = "mosaic",
    *,
    start_mjd: float | None = None,
    end_mjd: float | None = None,
) -> LightCurve:
    """Return the measurements of a source.

    The directory with measurements, `root`, has a directory for each kind, with one for each day.
    `source_id` is as in the catalogue; any text: it is never part of a query or a path. Epochs are
    in [start, end), MJD in days.

    Raises
    ------
    PhotometryFailed
        If there are no measurements yet, or none of this source; the message names sources with
        similar names.
    UnreadableMeasurements
        If a file is damaged.
    """
    files = epoch_files(root, kind, start_mjd, end_mjd, source_id)
    when = _between(start_mjd, end_mjd)
    if not files:
        raise PhotometryFailed(
            f"no {kind} was measured{when or ' yet'} ({root / kind} holds no measurements of it)"
        )
    columns = ", ".join(_SHOWN)
    with query(root / kind) as cursor:
        table = cursor.execute(
            f"SELECT {columns} FROM {MEASUREMENTS} WHERE source_id = $source "
            "AND mid_mjd >= $start AND mid_mjd < $end ORDER BY mid_mjd, epoch",
            {
                "files": as_patterns(files),
                "source": source_id,
                "start": -1e9 if start_mjd is None else start_mjd,
                "end": 1e9 if end_mjd is None else end_mjd,
            },
        ).fetchnumpy()
        if not len(table["epoch"]):
            near = cursor.execute(
                "SELECT DISTINCT source_id FROM read_parquet($files) WHERE source_id != $source "
                "ORDER BY levenshtein(source_id, $source), source_id LIMIT 3",
                {"files": as_patterns(files[-3:]), "source": source_id},
            ).fetchall()
            raise PhotometryFailed(
                f"source {source_id!r} was never measured on a {kind}{when}"
                + (f"; similar: {', '.join(row[0] for row in near)}" if near else "")
            )
    values = {name: np.ma.filled(np.ma.asarray(table[name]), _nothing(name)) for name in _SHOWN}
    values |= {name: values[name].astype(np.str_) for name in _TEXTS}
    return LightCurve(source_id=source_id, **values)


def measurements_of(
    root: Path, source_ids: Sequence[str], *, start_mjd: float | None = None
) -> dict[str, NDArray[Any]]:
    """Return measurements of some sources on mosaics: columns by name, null as NaN.

    The columns are `source_id`, `epoch`, `mid_mjd`, `flux_jy`, `flux_error_jy` and `epoch_ok`, each
    of shape (n,), in any order; epochs are from `start_mjd` on, MJD in days.

    Raises
    ------
    UnreadableMeasurements
        If a file is damaged.
    """
    files = epoch_files(root, "mosaic", start_mjd, None) if source_ids else []
    columns = ("source_id", "epoch", "mid_mjd", "flux_jy", "flux_error_jy", "epoch_ok")
    if not files:
        no_rows = FORMAT.no_rows()
        return {name: no_rows[name] for name in columns}
    with query(root / "mosaic") as cursor:
        table = cursor.execute(
            f"SELECT {', '.join(columns)} FROM read_parquet($files) "
            "WHERE source_id IN (SELECT unnest($sources)) AND mid_mjd >= $start",
            {
                "files": as_patterns(files),
                "sources": list(source_ids),
                "start": -1e9 if start_mjd is None else start_mjd,
            },
        ).fetchnumpy()
    found = {name: np.ma.filled(np.ma.asarray(table[name]), _nothing(name)) for name in columns}
    return found | {name: found[name].astype(np.str_) for name in ("source_id", "epoch")}


def read_history(
    root: Path, sources: SourceList, kind: str, before_mjd: float, days: float = 30.0
) -> SourceHistory:
    """Return the history of sources from the good epochs in `days` days before a time.

    `kind` is the subdirectory: image, mosaic, or that of a sub-band. `before_mjd` is MJD in days.

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


def _between(start_mjd: float | None, end_mjd: float | None) -> str:
    if start_mjd is None and end_mjd is None:
        return ""
    start = "the first" if start_mjd is None else f"MJD {start_mjd:.5f}"
    return f" between {start} and {'the last' if end_mjd is None else f'{end_mjd:.5f}'}"


def _nothing(name: str) -> Any:
    return (
        0 if name in ("flags", "epoch_ok") else ("" if name in (*_TEXTS, "source_id") else np.nan)
    )
