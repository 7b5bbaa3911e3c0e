"""Files that contain every epoch once: files of epochs, or copies sorted by source.

Belongs here: the choice of files, and copies for fast queries. Doesn't: queries (see
`light_curves`).

The primary data are one file per epoch, in one directory per day. A year of mosaics is 17,000
files, so completed periods are copied into one file each, sorted by source, and eight of them into
a long copy. A copy records the state of the days that it was made from; if a day has changed since,
its own files are read.
"""

import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from glob import escape
from pathlib import Path
from typing import Any

from contimg_resources.casa import Progress, no_progress
from contimg_resources.core.errors import UnreadableMeasurements
from contimg_resources.core.keys import is_day_name, parse_day_name
from contimg_resources.core.parquet import write_table
from contimg_resources.photometry.long_copies import PERIODS, LongCopy
from contimg_resources.photometry.measurements import FORMAT

#: Days of a copy: fewer mean too many files in a year, more mean much rewriting for a late epoch.
PERIOD_DAYS = 32
_COPIES = "by_source"
_LONG = ".long"
_DAYS_FACT = b"contimg_days"
_ROWS_IN_GROUP = 32_768
#: Longer than the time resolution of file systems.
_SETTLED_NS = 50_000_000


def copy_by_source(root: Path, kind: str, progress: Progress = no_progress) -> tuple[Path, ...]:
    """Update the copies sorted by source; return those that were written.

    `kind` is the subdirectory of a kind of epochs, or of a sub-band.
    """
    import pyarrow as pa

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
        schema = FORMAT.schema()
        try:
            read = [FORMAT.read(f)[0].cast(schema) for f in files]
        except UnreadableMeasurements as error:
            # These days are read from their own files, as before.
            progress(f"not sorted: {error.message}", None)
            continue
        table = pa.concat_tables(read).sort_by(
            [("source_id", "ascending"), ("mid_mjd", "ascending")]
        )
        told = {**(schema.metadata or {}), _DAYS_FACT: json.dumps(states).encode()}
        write_table(
            path,
            table.replace_schema_metadata(told),
            row_group_size=_ROWS_IN_GROUP,
            write_statistics=["source_id", "mid_mjd"],
        )
        made.append(path)
    made += _copy_long(root, kind, periods, progress)
    for copy in (root / _COPIES / kind).glob("[!.]*.parquet"):
        # Without any day in the period no file is left to be damaged.
        if copy not in {_copy_path(root, kind, period) for period in periods}:
            copy.unlink(missing_ok=True)
    return tuple(made)


def _copy_long(
    root: Path, kind: str, periods: dict[int, list[str]], progress: Progress
) -> list[Path]:
    """Update the long copies of periods that are over; return those that were written."""
    spans: dict[int, list[int]] = {}
    for period in periods:
        spans.setdefault(period // PERIODS, []).append(period)
    made = []
    for span, inner in spans.items():
        long = LongCopy(_long_path(root, kind, span))
        copies = {path: _days_of(path) for path in (_copy_path(root, kind, p) for p in inner)}
        states = {day: state for days in copies.values() for day, state in days.items()}
        is_made = states == long.days and long.is_whole()
        if span == max(spans) or is_made or not all(copies.values()):
            continue
        progress(f"joining {kind} epochs from MJD {span * PERIODS * PERIOD_DAYS}", None)
        long.write(sorted(copies), states, _ROWS_IN_GROUP)
        made.append(long.place)
    for place in (root / _COPIES / kind).glob(f"*{_LONG}"):
        if place not in {_long_path(root, kind, span) for span in spans}:
            LongCopy(place).remove()
    return made


#: What a query over ``$files`` reads from: all columns, null in files that are older than them.
MEASUREMENTS = (
    "(FROM every_column UNION ALL BY NAME FROM read_parquet($files, union_by_name = true))"
)


@contextmanager
def query(directory: Path) -> Iterator[Any]:
    """Yield a cursor for a query over measurements; its errors name the unreadable files.

    A query reads from `MEASUREMENTS`. The files of the query are in `directory`.

    Raises
    ------
    UnreadableMeasurements
        Names the file, as far as the database does.
    """
    import duckdb

    try:
        with _database(os.getpid()).cursor() as cursor:
            cursor.register("every_column", FORMAT.schema().empty_table())
            yield cursor
    except duckdb.Error as error:
        raise UnreadableMeasurements(
            f"the measurements in {directory} can't be read: {' '.join(str(error).split())[:300]}",
            path=str(directory),
        ) from error


@cache
def _database(pid: int) -> Any:
    """Return this process's empty database, since opening one takes as long as a query."""
    import duckdb

    return duckdb.connect()


def epoch_files(
    root: Path,
    kind: str,
    start_mjd: float | None,
    end_mjd: float | None,
    source_id: str | None = None,
) -> list[str]:
    """Return files that together contain every epoch once, with copies where they are current.

    `kind` is the subdirectory of a kind of epochs, or of a sub-band, with one directory for each
    day. Days overlap [start, end), MJD in days. With a `source_id` the files need not contain other
    sources.
    """
    found: list[Path] = []
    periods = _periods(root / kind)
    states = _states(root / kind, (day for days in periods.values() for day in days))

    def is_current(copied: Mapping[str, int]) -> bool:
        # The copy would still contain rows of a day that was changed or removed.
        return bool(copied) and all(states.get(day) == state for day, state in copied.items())

    covered: set[str] = set()
    if source_id is not None:
        for span in sorted({period // PERIODS for period in periods}):
            long = LongCopy(_long_path(root, kind, span))
            if is_current(long.days) and (part := long.part(source_id)) is not None:
                covered |= set(long.days)
                if any(_touches(int(day), start_mjd, end_mjd) for day in long.days):
                    found.append(part)
    for period, days in sorted(periods.items()):
        wanted = [d for d in days if d not in covered and _touches(int(d), start_mjd, end_mjd)]
        if not wanted:
            continue
        path = _copy_path(root, kind, period)
        copied = _days_of(path)
        if is_current(copied) and covered.isdisjoint(copied):
            found += [path] if any(d in copied for d in wanted) else []
            wanted = [d for d in wanted if d not in copied]
        found += [f for d in wanted for f in _epochs_of(root / kind / d)]
    return [str(f) for f in found]


def as_patterns(files: Iterable[str]) -> list[str]:
    """Escape paths for DuckDB, which interprets them as patterns."""
    return [escape(file) for file in files]


def _touches(day: int, start_mjd: float | None, end_mjd: float | None) -> bool:
    # A mosaic is stored under the day of its mid-time.
    return (start_mjd is None or day + 1 > start_mjd) and (end_mjd is None or day < end_mjd)


def _periods(directory: Path) -> dict[int, list[str]]:
    """Return the existing days, by period."""
    periods: dict[int, list[str]] = {}
    if directory.is_dir():
        for entry in directory.iterdir():
            if is_day_name(entry.name):
                periods.setdefault(parse_day_name(entry.name) // PERIOD_DAYS, []).append(entry.name)
    return {period: sorted(days) for period, days in periods.items()}


def _states(directory: Path, days: Iterable[str]) -> dict[str, int]:
    """Return a value that changes with every added, removed or replaced file of a day."""
    return {day: (directory / day).stat().st_mtime_ns for day in days}


def _settled(states: dict[str, int]) -> dict[str, int]:
    """Leave out days that changed just now: a further change might not be noticed."""
    limit = time.time_ns() - _SETTLED_NS
    return {day: state for day, state in states.items() if state < limit}


def _days_of(copy: Path) -> dict[str, int]:
    """Return the days of a copy, with their states; empty without a copy."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_schema(copy, memory_map=True).metadata or {}
        return {str(day): int(state) for day, state in json.loads(metadata[_DAYS_FACT]).items()}
    except (OSError, KeyError, ValueError, AttributeError, pa.ArrowException):
        return {}


def _copy_path(root: Path, kind: str, period: int) -> Path:
    return root / _COPIES / kind / f"{period * PERIOD_DAYS}.parquet"


def _long_path(root: Path, kind: str, span: int) -> Path:
    return root / _COPIES / kind / f"{span * PERIODS * PERIOD_DAYS}{_LONG}"


def _epochs_of(day: Path) -> Sequence[Path]:
    return sorted(day.glob("[!.]*.parquet"))
