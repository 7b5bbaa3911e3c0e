"""Copies of many periods, in parts by source, for one source's light curve over years.

Belongs here: making them, and the part with a source. Doesn't: the copies of single periods, which
they are made from, and the choice between files (see `copies`).

A query opens each copy, so ten years of periods would take longer than reading one source's rows.
Within a long copy the sources are in order over the parts, and a query opens one part.
"""

import json
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from itertools import zip_longest
from pathlib import Path
from typing import Any

from contimg_resources.core.directories import whole_directory
from contimg_resources.core.parquet import write_table
from contimg_resources.core.trees import remove_tree

#: Number of periods in a long copy.
PERIODS = 8
#: Rows of a part, about: with few, a query reads little; with many, there are few files.
ROWS_IN_PART = 1_000_000
_INDEX = "index.json"


class LongCopy:
    """A long copy on disk, which may not exist.

    Parameters
    ----------
    place : Path
        Its directory.

    Attributes
    ----------
    place : Path
        As given.
    days : dict of str to int
        State of each day when it was copied, by name; empty if there is no copy.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        self.days: dict[str, int] = {}
        # First source and size of each part.
        self._parts: list[tuple[str, int]] = []
        # It is made again where it can't be read.
        with suppress(OSError, ValueError, LookupError, TypeError, AttributeError):
            record = json.loads((place / _INDEX).read_text())
            self._parts = [(str(first), int(size)) for first, size in record["parts"]]
            self.days = {str(day): int(state) for day, state in record["days"].items()}

    def part(self, source_id: str) -> Path | None:
        """Return the file that has all rows of a source, if it has any; None if it is damaged."""
        number = max(0, bisect_right(self._parts, source_id, key=lambda part: part[0]) - 1)
        return self._path(number) if self._is_whole(number) else None

    def is_whole(self) -> bool:
        """Return whether all parts are as they were written."""
        return all(map(self._is_whole, range(len(self._parts))))

    def write(self, copies: Sequence[Path], days: Mapping[str, int], rows_in_group: int) -> None:
        """Make it from the copies of its periods, which are sorted by source, whole or not at all.

        `days` are the states of all their days. One part is in memory at a time.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        with ExitStack() as opened:
            files = [opened.enter_context(pq.ParquetFile(copy)) for copy in copies]
            first = _first_of_parts(files)
            partial = opened.enter_context(whole_directory(self.place))
            partial.mkdir()
            parts = []
            for number, (low, high) in enumerate(zip_longest(first, first[1:])):
                table = pa.concat_tables([t for f in files for t in _rows_between(f, low, high)])
                path = partial / self._path(number).name
                write_table(
                    path,
                    table.sort_by([("source_id", "ascending"), ("mid_mjd", "ascending")]),
                    row_group_size=rows_in_group,
                    write_statistics=["source_id", "mid_mjd"],
                )
                parts.append((low, path.stat().st_size))
            record = {"parts": parts, "days": dict(days)}
            (partial / _INDEX).write_text(json.dumps(record))

    def remove(self) -> None:
        """Remove it."""
        remove_tree(self.place, ignore_errors=True)

    def _path(self, number: int) -> Path:
        return self.place / f"{number:05d}.parquet"

    def _is_whole(self, number: int) -> bool:
        with suppress(OSError):
            return self._path(number).stat().st_size == self._parts[number][1]
        return False


def _first_of_parts(files: Sequence[Any]) -> list[str]:
    """Return the names at which parts begin: those of row groups, after enough rows."""
    groups = sorted((low, n) for file in files for _, low, _, n in _groups(file))
    first, n_rows = [groups[0][0]], 0
    for low, n in groups:
        if n_rows >= ROWS_IN_PART and low > first[-1]:
            first.append(low)
            n_rows = 0
        n_rows += n
    return first


def _groups(file: Any) -> Iterator[tuple[int, str, str, int]]:
    """Yield number, first and last source, and rows of each row group."""
    column = file.schema_arrow.names.index("source_id")
    for number in range(file.metadata.num_row_groups):
        group = file.metadata.row_group(number)
        known = group.column(column).statistics
        yield number, known.min, known.max, group.num_rows


def _rows_between(file: Any, low: str, high: str | None) -> Iterator[Any]:
    """Yield the rows of the sources in [low, high), if there are any."""
    import pyarrow.compute as pc

    chosen = [
        number
        for number, first, last, _ in _groups(file)
        if last >= low and (high is None or first < high)
    ]
    if chosen:
        table = file.read_row_groups(chosen)
        inside = pc.greater_equal(table["source_id"], low)
        if high is not None:
            inside = pc.and_(inside, pc.less(table["source_id"], high))
        yield table.filter(inside)
