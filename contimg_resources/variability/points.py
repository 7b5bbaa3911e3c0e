"""Light curves on disk: one Parquet file for each UTC day.

Belongs here: the columns, writing a day, reading many. Doesn't: choosing measurements (see
`transits`), variability metrics.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_resources.core.directories import whole_file
from contimg_resources.core.errors import (
    ContimgError,
    UnreadableMeasurements,
    in_words_of_reader,
    rejecting,
)
from contimg_resources.variability.model import LightCurves
from contimg_resources.variability.transits import DayPoints

#: Version of the columns below. Written into every file.
SCHEMA_VERSION = 1

#: Type and description of each column.
COLUMNS: dict[str, tuple[str, str]] = {
    "source_id": ("string", "stable name, as in the catalogue"),
    "ra_deg": ("double", "catalogue position, ICRS, degrees"),
    "dec_deg": ("double", "catalogue position, ICRS, degrees"),
    "passage_mjd": ("double", "transit, MJD in days, UTC"),
    "mid_mjd": ("double", "mid-time of the data, MJD in days, UTC"),
    "flux_jy": ("double", "flux density on the scale of the reference sources, Jy"),
    "error_jy": ("double", "its uncertainty with that of the scale, Jy"),
    "integrated_flux_jy": ("float", "integrated, of a source flagged as extended, Jy; else null"),
    "integrated_error_jy": ("float", "its uncertainty with that of the scale, Jy"),
    "flags": ("int32", "sum of contimg_resources.photometry.flags.Flag"),
    "is_reference": ("bool", "whether it was used as a flux reference"),
    "n_mosaics": ("int32", "mosaics of the transit with a good measurement; this is the best"),
    "epoch": ("string", "partition key of the mosaic"),
}
#: Columns that files of earlier releases lack; their values are null.
_LATER = ("integrated_flux_jy", "integrated_error_jy")
_METADATA = b"contimg"
_NUMPY: dict[str, Any] = {
    "string": np.str_,
    "double": np.float64,
    "float": np.float32,
    "int32": np.int64,
    "bool": np.bool_,
}


def points_path(root: Path, day_mjd: int) -> Path:
    """Return the file of a day."""
    return root / f"{day_mjd:d}.parquet"


def empty_columns() -> dict[str, NDArray[Any]]:
    """Return the columns without any measurement."""
    return {name: np.empty(0, _NUMPY[kind]) for name, (kind, _) in COLUMNS.items()}


def write_points(root: Path, points: DayPoints, facts: dict[str, Any] | None = None) -> Path | None:
    """Write a day's light curves, whole or not at all. A day without measurements has no file.

    Parameters
    ----------
    root : Path
        The directory of light curves.
    points : DayPoints
        Measurements of the day.
    facts : dict, optional
        JSON-able provenance.

    Returns
    -------
    Path or None
        The file; None when there is none.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = points_path(root, points.day_mjd)
    if not len(points):
        path.unlink(missing_ok=True)
        return None
    told = {
        "schema_version": SCHEMA_VERSION,
        "day_mjd": points.day_mjd,
        "epochs": list(points.epochs),
        **(facts or {}),
    }
    types = _arrow_types()
    schema = pa.schema(
        [
            pa.field(name, types[kind], metadata={"description": meaning})
            for name, (kind, meaning) in COLUMNS.items()
        ],
        metadata={_METADATA: json.dumps(told).encode()},
    )
    arrays = [
        # NaN is written as null.
        pa.array(points.columns[f.name], f.type, from_pandas=f.name in _LATER)
        for f in schema
    ]
    table = pa.table(arrays, schema=schema)
    root.mkdir(parents=True, exist_ok=True)
    whole_file(path, lambda partial: pq.write_table(table, partial, compression="zstd"))
    return path


def days_between(
    root: Path, start_mjd: float | None = None, end_mjd: float | None = None
) -> tuple[int, ...]:
    """Return the days with measurements that begin in [start, end), integer MJD."""
    days = sorted(int(path.stem) for path in root.glob("[!.]*.parquet") if path.stem.isdecimal())
    return tuple(
        day
        for day in days
        if (start_mjd is None or day >= start_mjd) and (end_mjd is None or day < end_mjd)
    )


def read_points(
    root: Path,
    *,
    start_mjd: float | None = None,
    end_mjd: float | None = None,
    damaged: dict[str, str] | None = None,
) -> LightCurves:
    """Read the light curves of all days in [start, end), MJD in days.

    Parameters
    ----------
    root : Path
        The directory of light curves.
    start_mjd, end_mjd : float, optional
        First day, and the day after the last.
    damaged : dict of str to str, optional
        Receives the reason for each unreadable file, by its name; the other days are read.

    Raises
    ------
    UnreadableMeasurements
        If a file is damaged or was written by a newer contimg, and `damaged` isn't given.
    """
    import pyarrow as pa

    tables = []
    for day in days_between(root, start_mjd, end_mjd):
        path = points_path(root, day)
        if damaged is None:
            tables.append(_read(path))
        else:
            with rejecting(damaged, path.name):
                tables.append(_read(path))
    if not tables:
        return _as_curves(empty_columns(), np.empty(0, np.int64), np.empty(0, np.str_))
    together = pa.concat_tables(tables).unify_dictionaries()
    # Sorting by number is faster than by name: names are long and measurements are many.
    coded = together["source_id"].combine_chunks()
    names = np.asarray(coded.dictionary.to_pylist(), np.str_)
    rank = np.empty(len(names), np.int64)
    rank[np.argsort(names)] = np.arange(len(names))
    source = rank[coded.indices.to_numpy(zero_copy_only=False)]
    mid_mjd = together["mid_mjd"].to_numpy()
    order = np.lexsort((mid_mjd, source))
    epochs = together["epoch"].combine_chunks()
    keys = np.asarray(epochs.dictionary.to_pylist(), np.str_)
    columns = {
        name: together[name].to_numpy()[order]
        for name, (kind, _) in COLUMNS.items()
        if kind != "string"
    }
    columns["epoch"] = keys[epochs.indices.to_numpy(zero_copy_only=False)[order]]
    return _as_curves(columns, source[order], np.sort(names))


def read_point_facts(path: Path) -> dict[str, Any]:
    """Read the provenance in a day's file without its measurements.

    Raises
    ------
    UnreadableMeasurements
        If the file is damaged or was written by a newer contimg.
    """
    with _opened(path) as (_, facts):
        return facts


def _as_curves(
    columns: dict[str, NDArray[Any]], source: NDArray[np.int64], names: NDArray[np.str_]
) -> LightCurves:
    offsets = np.searchsorted(source, np.arange(len(names) + 1)).astype(np.int64)
    last = offsets[1:] - 1
    return LightCurves(
        source_id=names,
        # A newer release of the catalogue may have a better position.
        ra_deg=columns["ra_deg"][last],
        dec_deg=columns["dec_deg"][last],
        offsets=offsets,
        mid_mjd=columns["mid_mjd"],
        flux_jy=columns["flux_jy"],
        error_jy=columns["error_jy"],
        integrated_jy=columns["integrated_flux_jy"],
        integrated_error_jy=columns["integrated_error_jy"],
        flags=columns["flags"].astype(np.int64),
        is_reference=columns["is_reference"].astype(np.bool_),
        epoch=columns["epoch"],
    )


def _read(path: Path) -> Any:
    import pyarrow as pa

    types = _arrow_types()
    with _opened(path) as (file, _):
        there = file.schema_arrow.names
        lacking = [name for name in _LATER if name not in there]
        table = file.read(columns=[name for name in COLUMNS if name not in lacking])
        for name in lacking:
            table = table.append_column(name, pa.nulls(table.num_rows, types[COLUMNS[name][0]]))
        return table.select(list(COLUMNS)).replace_schema_metadata()


def _arrow_types() -> dict[str, Any]:
    import pyarrow as pa

    return {
        "string": pa.string(),
        "double": pa.float64(),
        "float": pa.float32(),
        "int32": pa.int32(),
        "bool": pa.bool_(),
    }


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, dict[str, Any]]]:
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, read_dictionary=["source_id", "epoch"]) as file:
            facts = json.loads(file.schema_arrow.metadata[_METADATA])
            version = int(facts["schema_version"])
            if version > SCHEMA_VERSION:
                raise UnreadableMeasurements(
                    f"{path} was written by a newer contimg (version {version} of its columns; "
                    f"this one knows up to {SCHEMA_VERSION})",
                    path=str(path),
                )
            yield file, facts
    except ContimgError:
        raise
    except Exception as error:  # pyarrow raises errors of many types
        raise UnreadableMeasurements(
            f"{path} holds no light curves: {in_words_of_reader(error)}",
            path=str(path),
        ) from error
