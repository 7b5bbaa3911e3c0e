"""Light curves: one measurement for each transit of a source, one Parquet file for each UTC day.

Belongs here: assigning measurements to transits, and choosing the best of each; the columns of the
files, writing a day, reading many. Doesn't: variability metrics.

Mosaics roll by half their width, so a source is in two or three mosaics of a transit, which share
data: counting each as an independent epoch would bias every variability metric.
"""

from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from contimg_resources.core.arrays import Floats, Ints
from contimg_resources.core.errors import UnreadableMeasurements, rejecting
from contimg_resources.core.keys import day_name, is_day_name, parse_day_name
from contimg_resources.core.parquet import ParquetFormat
from contimg_resources.core.times import SIDEREAL_DEG_PER_DAY
from contimg_resources.database.values import DICT, LIST
from contimg_resources.instrument.dsa110 import LONGITUDE_DEG
from contimg_resources.photometry.copies import MEASUREMENTS, as_patterns, epoch_files, query
from contimg_resources.photometry.model import Flag
from contimg_resources.variability.model import LightCurves

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
_NOT_IN_CURVES = ("transit_mjd", "n_mosaics")
#: Greenwich mean sidereal time at 2000-01-01 12:00, degrees (Meeus, Astronomical Algorithms, 12.4).
_GMST_2000_DEG = 280.460_618_37
_MJD_2000 = 51_544.5
#: Maximum time between a mosaic's mid-time and the transit of a source in it, days.
_MARGIN_DAYS = 0.2
_READ = (
    "source_id",
    "ra_deg",
    "dec_deg",
    "mid_mjd",
    "flux_jy",
    "flux_error_jy",
    "integrated_flux_jy",
    "integrated_error_jy",
    "flags",
    "is_reference",
    "epoch",
)
#: Kept only for sources flagged as extended; for others the peak has the same information.
_INTEGRATED = ("integrated_flux_jy", "integrated_error_jy")


@dataclass(frozen=True)
class DayPoints:
    """The measurements of the transits of one UTC day, sorted by source."""

    day_mjd: int  #: UTC day of the transits, integer MJD.
    columns: dict[str, NDArray[Any]]  #: See `FORMAT`.
    n_measurements: int  #: Number of good measurements that these were chosen from.
    epochs: tuple[str, ...]  #: Mosaics of these measurements.
    #: Unreadable files of measurements, with the reason; these files are left out.
    damaged: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.columns["source_id"])


@dataclass(frozen=True)
class PointFacts:
    """Facts about the light curves of a day, stored with them."""

    day_mjd: int  #: The UTC day, integer MJD.
    epochs: Annotated[tuple[str, ...], LIST] = ()  #: Partition keys of the mosaics.
    software: Annotated[dict[str, str], DICT] = field(default_factory=dict)  #: Software versions.


def transit_number(mid_mjd: Floats, ra_deg: Floats) -> Ints:
    """Return the number of the transit nearest to each time, counting from an arbitrary one.

    Times are MJD in days, right ascensions degrees, both of shape (n,). Precession moves a transit
    by less than two minutes, which is negligible compared with half a day.
    """
    sidereal_deg = _GMST_2000_DEG + LONGITUDE_DEG + SIDEREAL_DEG_PER_DAY * (mid_mjd - _MJD_2000)
    return np.rint((sidereal_deg - ra_deg) / 360.0).astype(np.int64)


def transit_mjd(number: Ints, ra_deg: Floats) -> Floats:
    """Return the times of transits, MJD in days; the inverse of `transit_number`."""
    sidereal_deg = 360.0 * number + ra_deg - _GMST_2000_DEG - LONGITUDE_DEG
    return np.asarray(_MJD_2000 + sidereal_deg / SIDEREAL_DEG_PER_DAY)


def gather_day(root: Path, day_mjd: int) -> DayPoints:
    """Choose the measurements of a day from those of the mosaics within it and an hour around it.

    Of several mosaics of a transit, the one with the least error is used; of equal ones the first.
    Epochs with failed checks aren't published, so they give no measurement. An unreadable file is
    left out, with the reason. `day_mjd` is an integer MJD.
    """
    start_mjd, end_mjd = day_mjd - _MARGIN_DAYS, day_mjd + 1 + _MARGIN_DAYS
    files = epoch_files(root, "mosaic", start_mjd, end_mjd)
    damaged: dict[str, str] = {}
    found = None
    try:
        found = _measured(root, files, start_mjd, end_mjd)
    except UnreadableMeasurements:
        # Read one file at a time, to find the unreadable one.
        for file in files:
            with rejecting(damaged, file):
                _measured(root, [file], start_mjd, end_mjd)
        found = _measured(root, [f for f in files if f not in damaged], start_mjd, end_mjd)
    if found is None:
        return DayPoints(day_mjd, FORMAT.no_rows(), 0, (), damaged)
    all_of = {
        name: np.ma.filled(found[name], np.nan) if name in _INTEGRATED else np.asarray(found[name])
        for name in _READ
    }
    point = (all_of["flags"] & Flag.EXTENDED) == 0
    for name in _INTEGRATED:
        all_of[name] = np.where(point, np.nan, all_of[name])
    number = transit_number(all_of["mid_mjd"], all_of["ra_deg"])
    passed_mjd = transit_mjd(number, all_of["ra_deg"])
    today = np.floor(passed_mjd) == day_mjd
    kept = {name: values[today] for name, values in all_of.items()}
    number, passed_mjd = number[today], passed_mjd[today]
    _, source = np.unique(kept["source_id"].astype(np.str_), return_inverse=True)
    order = np.lexsort((kept["mid_mjd"], kept["flux_error_jy"], number, source))
    first = np.ones(len(order), np.bool_)
    first[1:] = (np.diff(source[order]) != 0) | (np.diff(number[order]) != 0)
    best = order[first]
    n_mosaics = np.diff(np.append(np.flatnonzero(first), len(order)))
    return DayPoints(
        day_mjd,
        {
            "source_id": kept["source_id"][best].astype(np.str_),
            "ra_deg": kept["ra_deg"][best],
            "dec_deg": kept["dec_deg"][best],
            "transit_mjd": passed_mjd[best],
            "mid_mjd": kept["mid_mjd"][best],
            "flux_jy": kept["flux_jy"][best],
            "error_jy": kept["flux_error_jy"][best],
            **{name: kept[name][best] for name in _INTEGRATED},
            "flags": kept["flags"][best],
            "is_reference": kept["is_reference"][best],
            "n_mosaics": n_mosaics,
            "epoch": kept["epoch"][best].astype(np.str_),
        },
        int(today.sum()),
        tuple(sorted({str(e) for e in kept["epoch"]})),
        damaged,
    )


def _measured(
    root: Path, files: list[str], start_mjd: float, end_mjd: float
) -> dict[str, NDArray[Any]] | None:
    """Return the good measurements of some files, sorted; None if there are no files."""
    if not files:
        return None
    with query(root / "mosaic") as cursor:
        found: dict[str, NDArray[Any]] = cursor.execute(
            f"SELECT {', '.join(_READ)} FROM {MEASUREMENTS} WHERE epoch_ok "
            "AND isfinite(flux_jy) AND isfinite(flux_error_jy) AND flux_error_jy > 0 "
            "AND mid_mjd >= $start AND mid_mjd < $end "
            "ORDER BY source_id, mid_mjd, epoch",
            {"files": as_patterns(files), "start": start_mjd, "end": end_mjd},
        ).fetchnumpy()
    return found


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
        with nullcontext() if damaged is None else rejecting(damaged, path.name):
            table = FORMAT.read(path, read_dictionary=_CODED)[0]
            tables.append(table.drop_columns(list(_NOT_IN_CURVES)))
    if not tables:
        return _as_curves(FORMAT.no_rows(), np.empty(0, np.int64), np.empty(0, np.str_))
    together = pa.concat_tables(tables).unify_dictionaries()
    del tables, table
    # Sorting by number is faster than by name: names are long and measurements are many.
    coded = together["source_id"].combine_chunks()
    names = np.asarray(coded.dictionary.to_pylist(), np.str_)
    rank = np.empty(len(names), np.int64)
    rank[np.argsort(names)] = np.arange(len(names))
    source = rank[coded.indices.to_numpy(zero_copy_only=False)]
    order = np.lexsort((together["mid_mjd"].to_numpy(), source))
    columns: dict[str, NDArray[Any]] = {}
    # Each column is freed before the next one is sorted, to limit the memory.
    for name in together.column_names:
        if FORMAT.columns[name][0] != "string":
            columns[name] = together[name].to_numpy()[order]
        elif name == "epoch":
            epochs = together[name].combine_chunks()
            keys = np.asarray(epochs.dictionary.to_pylist(), np.str_)
            columns[name] = keys[epochs.indices.to_numpy(zero_copy_only=False)[order]]
            del epochs
        together = together.drop_columns([name])
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
