"""A casatools table opened read-only; its errors name path, column and reason.

Belongs here: opening without locks, reading columns and cells, checking row numbers.
Doesn't: the meaning of the columns. Used inside a CASA process only.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np

from contimg_resources.core.arrays import Ints
from contimg_resources.core.errors import UnreadableObservation
from contimg_resources.core.progress import Progress, no_progress, report_progress

#: Closing a table with truncated files crashes CASA (SIGSEGV) and would lose the reason, so
#: a table that failed stays open until its process ends.
_BROKEN: list[Any] = []

#: Exceptions of casatools on damaged files; its binding can't even decode some of its own messages.
_FAILURES = (RuntimeError, UnicodeDecodeError, MemoryError, SystemError)


#: Condition for a cell with content.
_FILLED = "ISDEFINED({0}) && NELEMENTS({0}) > 0"


class OpenTable:
    """One table of a MeasurementSet, open for reading.

    Takes no locks and modifies no existing file, not even ``table.lock``. If that is missing,
    casacore creates an empty one where it has permission. If `quiet`, reading it is left out of the
    progress reports.

    Raises
    ------
    UnreadableObservation
        On any failure; the message names table and MS.
    """

    def __init__(self, path: Path, ms: Path, *, quiet: bool = False) -> None:
        from casatools import table

        self.path = path
        self.ms = ms
        self._broken = False
        # Opening creates one if there is none.
        self._had_lock_file = (path / "table.lock").exists()
        self._tool: Any = table()
        self._report: Progress = no_progress if quiet else report_progress
        self._report(f"opening {self._what}", None)
        try:
            self._tool.open(str(path), nomodify=True, lockoptions={"option": "usernoread"})
            self.n_rows = int(self._tool.nrows())
            self.columns = tuple(str(c) for c in self._tool.colnames())
        except _FAILURES as error:
            self._break()
            reason = _reason(error)
            if "does not exist" in reason and (path / "table.dat").is_file():
                # CASA's message for a directory whose description it doesn't understand.
                reason = "its table.dat isn't that of a table, it is damaged or incomplete"
            raise self.unreadable(f"can't be opened: {reason}") from error

    @property
    def _what(self) -> str:
        return "its main table" if self.path == self.ms else f"its sub-table {self.path.name}"

    def __enter__(self) -> "OpenTable":
        return self

    def __exit__(self, *_: object) -> None:
        if not self._broken:
            self._tool.close()

    def _break(self) -> None:
        self._broken = True
        _BROKEN.append(self._tool)

    def unreadable(self, reason: str) -> UnreadableObservation:
        """Return an error that describes the problem with this table."""
        name = str(self.ms) if self.path == self.ms else f"{self.ms}: sub-table {self.path.name}:"
        return UnreadableObservation(f"{name} {reason}", path=str(self.ms))

    def _call(self, column: str, method: str, *arguments: Any) -> Any:
        self._report(f"reading column {column} of {self._what}", None)
        if column not in self.columns:
            raise self.unreadable(f"has no column {column}")
        try:
            return getattr(self._tool, method)(column, *arguments)
        except _FAILURES as error:
            self._break()
            raise self.unreadable(f"column {column} {_failed(error)}") from error

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
        self._report(f"reading column {name} of {self._what}", None)
        try:
            selection = self._tool.selectrows([int(r) for r in rows])
            values = selection.getcol(name)
            selection.close()
        except _FAILURES as error:
            self._break()
            raise self.unreadable(f"column {name} {_failed(error)}") from error
        return values

    def numbers(self, name: str) -> Any:
        """Return a whole column, which must hold a number or a truth value in each row."""
        values = np.asarray(self.column(name))
        if values.dtype.kind not in "biuf" or values.ndim != 1:
            raise self.unreadable(f"column {name} doesn't hold one number in each row")
        return values

    def filled_rows(self, name: str) -> Ints:
        """Return the rows in which a column has a value that isn't empty; none if it is missing."""
        if name not in self.columns:
            return np.empty(0, np.int64)
        report_progress(f"looking for empty cells in column {name} of {self._what}")
        try:
            return self._selected(_FILLED.format(name))
        except _FAILURES as error:
            self._break()
            raise self.unreadable(f"column {name} {_failed(error)}") from error

    def rows_to_check(self, name: str) -> Ints:
        """Return all rows in which a column has a value that isn't finite and above zero.

        Others may be included: those of a column that CASA can't compute with.
        """
        report_progress(f"looking for zeros and NaN in column {name} of {self._what}")
        try:
            # Infinity and NaN propagate into the sum; this is twice as fast as reading the column.
            return self._selected(
                f"{_FILLED} && (!(SUM({{0}}) < 1e35) || MIN({{0}}) <= 0)".format(name)
            )
        except RuntimeError:
            return self.filled_rows(name)

    def _selected(self, condition: str) -> Ints:
        selection = self._tool.query(condition)
        found = np.asarray(selection.rownumbers(), np.int64)
        selection.close()
        return found

    def check_ids(self, what: str, ids: Any) -> None:
        """Refuse indices that point to no row of this table.

        Raises
        ------
        UnreadableObservation
            If there are any; the message names the column that holds them.
        """
        ids = np.asarray(ids)
        if ids.size and not (ids.min() >= 0 and ids.max() < self.n_rows):
            lost = ""
            if not self.n_rows and not self._had_lock_file:
                lost = "; its table.lock, which may hold the number of rows, is missing"
            raise self.unreadable(
                f"has {self.n_rows} rows, but {what} goes from {ids.min()} to {ids.max()}{lost}"
            )


def _reason(error: Exception) -> str:
    """Return CASA's message on one line.

    After a failed read its cache tries to write into a file that is open read-only, and reports
    that instead of the truncation; that message would mislead.
    """
    words = " ".join(str(error).split())[:300]
    return words if words and "is not writable" not in words else "CASA gives no reason"


#: A longer text that isn't UTF-8 isn't a value but the result of a damaged file.
_MAX_TEXT = 64

#: casacore's message for each cause, and our wording. A file that ends too early shows in many
#: ways; all of them are about reading missing bytes.
_CAUSES = (
    (r"no array in row (\d+)", "has no value in row {}"),
    (
        r"not conform|shapes? .*(differ|mismatch)",
        "has cells of several shapes, where one is needed",
    ),
    (r"file \S*?([^/\s]+) .*No such file", "can't be read: its file {} is missing"),
    (r"file \S*?([^/\s]+) .*Permission denied", "can't be read: no permission for its file {}"),
    (
        r"exceeds nr of buckets|number of bytes read|is not writable|[Ee]nd.of.file|EOF|"
        r"short read|^$",
        "can't be read, its file is truncated or damaged",
    ),
)


def _failed(error: Exception) -> str:
    """Describe why a column can't be read: in our words for known causes, else in CASA's."""
    if isinstance(error, UnicodeDecodeError) and len(error.object) <= _MAX_TEXT:
        return f"holds text that is not UTF-8: {error.object!r}"
    if isinstance(error, UnicodeDecodeError | MemoryError | SystemError):
        return "can't be read, its file is truncated or damaged"
    words = " ".join(str(error).split())
    for pattern, cause in _CAUSES:
        if match := re.search(pattern, words):
            return cause.format(*match.groups())
    return f"can't be read: {_reason(error)}"
