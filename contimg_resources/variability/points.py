"""Light curves on disk: one Parquet file for each UTC day.

Belongs here: the columns, writing a day, reading many. Doesn't: choosing measurements (see
`transits`), variability metrics.
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from contimg_resources.core.arrays import Ints
from contimg_resources.core.errors import rejecting
from contimg_resources.core.keys import day_name, is_day_name, parse_day_name
from contimg_resources.core.parquet import ParquetFormat
from contimg_resources.database.values import DICT, LIST
from contimg_resources.variability.model import LightCurves
from contimg_resources.variability.transits import DayPoints

FORMAT = ParquetFormat(
    lack="holds no light curves",
    version=2,
    columns={
        "source_id": ("string", "stable name, as in the catalogue"),
        "ra_deg": ("double", "catalogue position, ICRS, degrees"),
        "dec_deg": ("double", "catalogue position, ICRS, degrees"),
        "transit_mjd": ("double", "transit, MJD in days, UTC"),
        "mid_mjd": ("double", "mid-time of the data, MJD in days, UTC"),
        "flux_jy": ("double", "flux density on the scale of the reference sources, Jy"),
        "error_jy": ("double", "its uncertainty with that of the scale, Jy"),
        "integrated_flux_jy": (
            "float",
            "integrated, of a source flagged as extended, Jy; else null",
        ),
        "integrated_error_jy": ("float", "its uncertainty with that of the scale, Jy"),
        "flags": ("int32", "sum of contimg_resources.photometry.model.Flag"),
        "is_reference": ("bool", "whether it was used as a flux reference"),
        "n_mosaics": ("int32", "mosaics of the transit with a good measurement; this is the best"),
        "epoch": ("string", "partition key of the mosaic"),
    },
    former={"transit_mjd": "passage_mjd"},
    later=("integrated_flux_jy", "integrated_error_jy"),
)
_CODED = ("source_id", "epoch")


@dataclass(frozen=True)
class PointFacts:
    """Facts about the light curves of a day, stored with them."""

    day_mjd: int  #: The UTC day, integer MJD.
    epochs: Annotated[tuple[str, ...], LIST] = ()  #: Partition keys of the mosaics.
    software: Annotated[dict[str, str], DICT] = field(default_factory=dict)  #: Software versions.


def points_path(root: Path, day_mjd: int) -> Path:
    """Return the file of a day."""
    return root / f"{day_name(day_mjd)}.parquet"


def write_points(
    root: Path, points: DayPoints, software: dict[str, str] | None = None
) -> Path | None:
    """Write a day's light curves, whole or not at all. A day without measurements has no file.

    None is returned then.
    """
    path = points_path(root, points.day_mjd)
    if not len(points):
        path.unlink(missing_ok=True)
        return None
    facts = PointFacts(points.day_mjd, points.epochs, software or {})
    FORMAT.write(path, points.columns, asdict(facts))
    return path


def days_between(
    root: Path, start_mjd: float | None = None, end_mjd: float | None = None
) -> tuple[int, ...]:
    """Return the days with measurements that begin in [start, end), integer MJD."""
    days = sorted(parse_day_name(p.stem) for p in root.glob("*.parquet") if is_day_name(p.stem))
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

    `damaged` receives the reason for each unreadable file, by its name; the other days are read.
    Without it such a file is an error.

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
            tables.append(FORMAT.read(path, read_dictionary=_CODED)[0])
        else:
            with rejecting(damaged, path.name):
                tables.append(FORMAT.read(path, read_dictionary=_CODED)[0])
    if not tables:
        return _as_curves(FORMAT.no_rows(), np.empty(0, np.int64), np.empty(0, np.str_))
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
        for name, (kind, _) in FORMAT.columns.items()
        if kind != "string"
    }
    columns["epoch"] = keys[epochs.indices.to_numpy(zero_copy_only=False)[order]]
    return _as_curves(columns, source[order], np.sort(names))


def _as_curves(
    columns: dict[str, NDArray[Any]], source: Ints, names: NDArray[np.str_]
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
