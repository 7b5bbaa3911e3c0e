"""A casatools table opened read-only, whose failures name path, column and reason.

Belongs here: opening without locks, reading columns and cells, checking row numbers.
Doesn't: what the columns mean. Used inside a CASA process only.
"""

from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from contimg_resources.casa.progress import report_progress
from contimg_resources.errors import UnreadableObservation

#: Closing a table with truncated files crashes CASA (SIGSEGV) and would take the reason along, so
#: a table that failed stays open until its process ends.
_BROKEN: list[Any] = []

#: What casatools raises on damaged files; its binding can't even decode some of its own messages.
_FAILURES = (RuntimeError, UnicodeDecodeError, MemoryError, SystemError)


class OpenTable:
    """One table of a MeasurementSet, open for reading.

    Takes no locks and leaves none: the files are not touched, not even ``table.lock``.

    Parameters
    ----------
    path : Path
        The table.
    ms : Path
        The MeasurementSet that it belongs to.

    Raises
    ------
    UnreadableObservation
        On any failure, naming both.
    """

    def __init__(self, path: Path, ms: Path) -> None:
        from casatools import table

        self.path = path
        self.ms = ms
        self._broken = False
        self._tool: Any = table()
        report_progress(f"opening {self._what}")
        try:
            self._tool.open(str(path), nomodify=True, lockoptions={"option": "usernoread"})
            self.n_rows = int(self._tool.nrows())
            self.columns = tuple(str(c) for c in self._tool.colnames())
        except _FAILURES as error:
            self._break()
            raise self.unreadable(f"can't be opened: {_reason(error)}") from error

    @property
    def _what(self) -> str:
        return "its main table" if self.path == self.ms else f"its sub-table {self.path.name}"

    def __enter__(self) -> "OpenTable":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._broken:
            self._tool.close()

    def _break(self) -> None:
        self._broken = True
        _BROKEN.append(self._tool)

    def unreadable(self, reason: str) -> UnreadableObservation:
        """Return the error that says what is wrong with this table."""
        name = str(self.ms) if self.path == self.ms else f"{self.ms}: sub-table {self.path.name}:"
        return UnreadableObservation(f"{name} {reason}", path=str(self.ms))

    def _call(self, column: str, method: str, *arguments: Any) -> Any:
        report_progress(f"reading column {column} of {self._what}")
        if column not in self.columns:
            raise self.unreadable(f"has no column {column}")
        try:
            return getattr(self._tool, method)(column, *arguments)
        except _FAILURES as error:
            self._break()
            raise self.unreadable(
                f"column {column} can't be read, its file is truncated or damaged: {_reason(error)}"
            ) from error

    def column(self, name: str, start: int = 0, count: int = -1) -> Any:
        """Return cells of a column; the row is the last axis."""
        return self._call(name, "getcol", start, count)

    def cell(self, name: str, row: int) -> Any:
        """Return one cell."""
        return self._call(name, "getcell", row)

    def keywords(self, column: str) -> dict[str, Any]:
        """Return the keywords of a column."""
        return dict(self._call(column, "getcolkeywords"))

    def rows(self, name: str, rows: Any) -> Any:
        """Return cells of the given rows, which must have one shape; the row is the last axis."""
        report_progress(f"reading column {name} of {self._what}")
        try:
            selection = self._tool.selectrows([int(r) for r in rows])
            values = selection.getcol(name)
            selection.close()
        except _FAILURES as error:
            self._break()
            raise self.unreadable(
                f"column {name} can't be read, its file is truncated or damaged: {_reason(error)}"
            ) from error
        return values

    def check_ids(self, what: str, ids: Any) -> None:
        """Refuse numbers that point at no row of this table.

        Raises
        ------
        UnreadableObservation
            Naming the column that holds them.
        """
        ids = np.asarray(ids)
        if ids.size and not (ids.min() >= 0 and ids.max() < self.n_rows):
            raise self.unreadable(
                f"has {self.n_rows} rows, but {what} goes from {ids.min()} to {ids.max()}"
            )


def _reason(error: Exception) -> str:
    """Return CASA's words on one line.

    After a failed read its cache tries to write into a file that is open read-only, and reports
    that instead of the truncation; those words would mislead.
    """
    words = " ".join(str(error).split())[:300]
    return words if words and "is not writable" not in words else "CASA gives no reason"
