"""Copy a store to another database, of the same or another kind.

Belongs here: copying all rows and comparing them. Doesn't: which stores are copied, backups.
"""

from itertools import zip_longest
from typing import Any

import sqlalchemy as sa

from contimg_resources.core.errors import ContimgError
from contimg_resources.core.progress import Progress, no_progress
from contimg_resources.database.store import Database

_AT_ONCE = 2000


def copy_rows(
    source: Database, target: Database, progress: Progress = no_progress
) -> dict[str, int]:
    """Copy all rows of a store to an empty one of the same schema, in one transaction.

    Every row is read back and compared before the transaction ends. A target that already holds
    the same rows is left as it is.

    Returns
    -------
    dict
        Number of rows of each table.

    Raises
    ------
    ContimgError
        If the target holds other rows, or returns another row than was written; it is unchanged
        then.
    """
    counts: dict[str, int] = {}
    tables = source.tables.sorted_tables
    with source.read() as old, target.write() as new:
        is_empty = all(new.execute(sa.select(t).limit(1)).first() is None for t in tables)
        for number, table in enumerate(tables):
            progress(f"copying {table.name}", number / len(tables))
            if is_empty:
                for rows in _rows(old, table).partitions(_AT_ONCE):
                    new.execute(sa.insert(table), [dict(row._mapping) for row in rows])
                _continue_numbers(new, table)
            counts[table.name] = _compare(old, new, table, target)
    return counts


def _rows(connection: sa.Connection, table: sa.Table) -> sa.CursorResult[Any]:
    """Select all rows, in the same order from each kind of database."""
    is_sqlite = connection.dialect.name == "sqlite"
    # SQLite compares the bytes of text, Postgres as its language does.
    order = [
        column if is_sqlite or not isinstance(column.type, sa.String) else sa.collate(column, "C")
        for column in table.primary_key
    ]
    query = sa.select(table).order_by(*order)
    return connection.execute(query, execution_options={"yield_per": _AT_ONCE})


def _compare(old: sa.Connection, new: sa.Connection, table: sa.Table, target: Database) -> int:
    n_rows = 0
    for one, other in zip_longest(_rows(old, table), _rows(new, table)):
        # NaN isn't equal to itself, and its text is.
        if repr(one) != repr(other):
            raise ContimgError(
                f"table {table.name} of the {target.what} {target.address} holds another row: "
                f"{other} instead of {one}; nothing was copied"
            )
        n_rows += 1
    return n_rows


def _continue_numbers(connection: sa.Connection, table: sa.Table) -> None:
    """Let Postgres number new rows after the copied ones."""
    column = table.autoincrement_column
    if column is None or connection.dialect.name == "sqlite":
        return
    last = connection.scalar(sa.select(sa.func.max(column)))
    sequence = sa.func.pg_get_serial_sequence(table.name, column.name)
    if last is not None and connection.scalar(sa.select(sequence)) is not None:
        connection.execute(sa.select(sa.func.setval(sequence, last)))
