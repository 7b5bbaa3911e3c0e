"""The files that hold every epoch once: those of epochs, or copies that are sorted by source.

Belongs here: which files to read, and copies that answer fast. Doesn't: queries (see
`light_curves` and `history`).

The truth is one file an epoch, in a directory a day. A year of mosaics is 17,000 files, so periods
that are over are copied into one file each, sorted by source. A copy knows the state of the days
that it was made from; where a day changed since, its own files are read.
"""

import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from glob import escape
from pathlib import Path
from typing import Any

from contimg_resources.casa import Progress, no_progress
from contimg_resources.core.directories import whole_file
from contimg_resources.core.errors import UnreadableMeasurements
from contimg_resources.photometry.measurements import COLUMNS, arrow_schema, with_all_columns
from contimg_resources.photometry.model import Kind

#: Days of a copy: with fewer a year has too many files, with more one late epoch makes much anew.
PERIOD_DAYS = 32
_COPIES = "by_source"
_DAYS_FACT = b"contimg_days"
_ROWS_IN_GROUP = 32_768
#: More than the resolution of a file system's clock.
_SETTLED_NS = 50_000_000


def copy_by_source(root: Path, kind: Kind, progress: Progress = no_progress) -> tuple[Path, ...]:
    """Bring the copies that are sorted by source up to date; return those that were made.

    Parameters
    ----------
    root : Path
        The directory with measurements.
    kind : {'image', 'mosaic'}
        Which.
    progress : callable
        Told what is being done.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    made = []
    periods = _periods(root / kind)
    for number, (period, days) in enumerate(sorted(periods.items())):
        path = _copy_path(root, kind, period)
        states = _settled(_states(root / kind, days))
        if _days_of(path) == states:
            continue
        progress(f"sorting {kind} epochs from MJD {period * PERIOD_DAYS}", number / len(periods))
        files = [f for day in states for f in _epochs_of(root / kind / day)]
        if not files:
            path.unlink(missing_ok=True)
            continue
        schema = arrow_schema()
        try:
            read = [_read(f, schema) for f in files]
        except UnreadableMeasurements as error:
            # These days are read from their own files, as before.
            progress(f"not sorted: {error.message}", None)
            continue
        table = pa.concat_tables(read).sort_by(
            [("source_id", "ascending"), ("mid_mjd", "ascending")]
        )
        told = {**(schema.metadata or {}), _DAYS_FACT: json.dumps(states).encode()}
        path.parent.mkdir(parents=True, exist_ok=True)
        whole_file(path, _writer(pq, table.replace_schema_metadata(told)))
        made.append(path)
    for copy in (root / _COPIES / kind).glob("[!.]*.parquet"):
        # Of a period without any day nothing is left to answer for.
        if copy not in {_copy_path(root, kind, period) for period in periods}:
            copy.unlink(missing_ok=True)
    return tuple(made)


def _read(path: Path, schema: Any) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            return with_all_columns(file.read(columns=list(COLUMNS))).cast(schema)
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise UnreadableMeasurements(
            f"{path} holds no measurements of contimg: {' '.join(str(error).split())[:200]}",
            path=str(path),
        ) from error


def _writer(pq: Any, table: Any) -> Any:
    def write(partial: Path) -> None:
        pq.write_table(
            table,
            partial,
            compression="zstd",
            row_group_size=_ROWS_IN_GROUP,
            write_statistics=["source_id", "mid_mjd"],
        )

    return write


#: What a query over ``$files`` reads from: all columns, null in files that are older than them.
MEASUREMENTS = (
    "(FROM every_column UNION ALL BY NAME FROM read_parquet($files, union_by_name = true))"
)


@contextmanager
def query(directory: Path) -> Iterator[Any]:
    """Give a cursor for a query over measurements, and say where those lie that can't be read.

    A query reads from `MEASUREMENTS`.

    Parameters
    ----------
    directory : Path
        Where the query's files are.

    Yields
    ------
    duckdb.DuckDBPyConnection
        For the query.

    Raises
    ------
    UnreadableMeasurements
        Naming the file, as far as the database names it.
    """
    import duckdb

    try:
        with _database(os.getpid()).cursor() as cursor:
            cursor.register("every_column", arrow_schema().empty_table())
            yield cursor
    except duckdb.Error as error:
        raise UnreadableMeasurements(
            f"the measurements in {directory} can't be read: {' '.join(str(error).split())[:300]}",
            path=str(directory),
        ) from error


@cache
def _database(pid: int) -> Any:
    """Return this process's database, which holds nothing: to open one takes as long as a query."""
    import duckdb

    return duckdb.connect()


def epoch_files(root: Path, kind: str, start_mjd: float | None, end_mjd: float | None) -> list[str]:
    """Return the files that together hold every epoch once: copies where they are up to date.

    Parameters
    ----------
    root : Path
        The directory with measurements.
    kind : str
        The directory in it, with one for each day: of a kind of epochs, or of a sub-band.
    start_mjd, end_mjd : float, optional
        Only days that touch [start, end), MJD in days.
    """
    found: list[Path] = []
    for period, days in sorted(_periods(root / kind).items()):
        wanted = [d for d in days if _touches(int(d), start_mjd, end_mjd)]
        path = _copy_path(root, kind, period)
        copied, states = _days_of(path), _states(root / kind, days)
        # Rows of a day that changed, or went, would be in the copy still.
        if copied and all(states.get(day) == state for day, state in copied.items()):
            found += [path] if any(d in copied for d in wanted) else []
            wanted = [d for d in wanted if d not in copied]
        found += [f for d in wanted for f in _epochs_of(root / kind / d)]
    return [str(f) for f in found]


def as_patterns(files: Iterable[str]) -> list[str]:
    """Return what DuckDB, which takes paths for patterns, understands as just these files."""
    return [escape(file) for file in files]


def _touches(day: int, start_mjd: float | None, end_mjd: float | None) -> bool:
    # A mosaic lies under the day of its middle.
    return (start_mjd is None or day + 1 > start_mjd) and (end_mjd is None or day < end_mjd)


def _periods(directory: Path) -> dict[int, list[str]]:
    """Return the days that there are, by period."""
    periods: dict[int, list[str]] = {}
    if directory.is_dir():
        for entry in directory.iterdir():
            if entry.name.isdecimal():
                periods.setdefault(int(entry.name) // PERIOD_DAYS, []).append(entry.name)
    return {period: sorted(days) for period, days in periods.items()}


def _states(directory: Path, days: Iterable[str]) -> dict[str, int]:
    """Return what changes with every file that comes, goes or is replaced in a day."""
    return {day: (directory / day).stat().st_mtime_ns for day in days}


def _settled(states: dict[str, int]) -> dict[str, int]:
    """Leave out days that changed just now: another change might look like the same."""
    limit = time.time_ns() - _SETTLED_NS
    return {day: state for day, state in states.items() if state < limit}


def _days_of(copy: Path) -> dict[str, int]:
    """Return the days that a copy was made from, with their states; empty without a copy."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_schema(copy, memory_map=True).metadata or {}
        return {str(day): int(state) for day, state in json.loads(metadata[_DAYS_FACT]).items()}
    except (OSError, KeyError, ValueError, AttributeError, pa.ArrowException):
        return {}


def _copy_path(root: Path, kind: str, period: int) -> Path:
    return root / _COPIES / kind / f"{period * PERIOD_DAYS}.parquet"


def _epochs_of(day: Path) -> Sequence[Path]:
    return sorted(day.glob("[!.]*.parquet"))
