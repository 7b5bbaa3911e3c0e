"""Paths in a store: relative to its own directory, so that a state directory can be moved.

Belongs here: how a path is written into a column and read from it. Doesn't: which columns hold one.

What lies under the directory of a SQLite store is stored relative to it, everything else as it is,
absolute. A store in Postgres has no directory: its paths are absolute.
"""

from pathlib import Path
from typing import Any

import sqlalchemy as sa

#: Attribute of an engine's dialect with the directory of its store.
_DIRECTORY = "contimg_directory"


class StoredPath(sa.types.TypeDecorator[str]):
    """A path in a column: given and returned as absolute text."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        """Return a path as it is stored."""
        directory = _directory_of(dialect)
        if value is None or directory is None:
            return value
        path = Path(value)
        for place in (directory, directory.resolve()):
            if path.is_relative_to(place):
                return str(path.relative_to(place))
        return value

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> str | None:
        """Return a stored path as absolute text."""
        directory = _directory_of(dialect)
        if value is None or directory is None:
            return value
        return str(directory / value)


def remember_directory(engine: sa.Engine, store: Path) -> None:
    """Make paths in a SQLite store relative to the directory that its file is in."""
    setattr(engine.dialect, _DIRECTORY, store.absolute().parent)


def make_relative(connection: sa.Connection, table: str, column: str) -> None:
    """Make the paths of a column relative, which an earlier release wrote absolute.

    Called by migrations, when the store is still where those paths were written.
    """
    directory = _directory_of(connection.dialect)
    for place in {} if directory is None else {directory, directory.resolve()}:
        prefix = f"{place}/"
        connection.execute(
            sa.text(
                f"UPDATE {table} SET {column} = substr({column}, :after) "
                f"WHERE substr({column}, 1, :length) = :prefix"
            ),
            {"after": len(prefix) + 1, "length": len(prefix), "prefix": prefix},
        )


def _directory_of(dialect: Any) -> Path | None:
    found: Path | None = getattr(dialect, _DIRECTORY, None)
    return found
