"""Open and copy casacore tables inside a CASA process.

Belongs here: operations for every table. Doesn't: the content of tables.

If a table was reopened and extended, casacore may keep its number of rows only in ``table.lock``,
while ``table.dat`` still holds 0. So a copy of the files without the lock file loses rows.
`copy_table` lets casacore read and write, and its copy is complete without any lock file.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open a table for reading, without taking a lock, and close it again.

    Raises
    ------
    RuntimeError
        If it can't be opened.
    """
    import casatools

    table = casatools.table()
    table.open(str(path), lockoptions={"option": "usernoread"})
    try:
        yield table
    finally:
        table.close()


def copy_table(source: Path, copy: Path) -> None:
    """Copy a table, which is only read, with its subtables; use no other way to copy tables.

    Raises
    ------
    RuntimeError
        If the table can't be read, or the copy can't be written.
    """
    with opened(source) as table:
        made = table.copy(str(copy), deep=True, valuecopy=True)
        made.close()
