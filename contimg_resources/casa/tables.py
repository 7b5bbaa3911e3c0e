"""Open and copy casacore tables inside a CASA process.

Belongs here: what holds for every table. Doesn't: what stands in them.

casacore may keep the number of rows of a table that was opened again and extended in its
``table.lock`` alone: ``table.dat`` goes on saying 0. So a copy of the files without that one loses
rows. `copy_table` lets casacore read and write, and its copy is whole without any lock file.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open a table for reading, without taking a lock, and close it again.

    Parameters
    ----------
    path : Path
        The table.

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
    """Copy a table with its subtables; the one way to do so.

    Parameters
    ----------
    source : Path
        The table; only read.
    copy : Path
        What is made; must not be there.

    Raises
    ------
    RuntimeError
        If the table can't be read, or the copy can't be written.
    """
    with opened(source) as table:
        made = table.copy(str(copy), deep=True, valuecopy=True)
        made.close()
