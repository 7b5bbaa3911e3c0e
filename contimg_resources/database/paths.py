"""Paths in a store: relative to its own directory, so that a state directory can be moved.

Belongs here: how a path is written to a column and read from it. Doesn't: which columns hold paths.

Paths under the directory of a SQLite store are stored relative to it, all others as absolute paths.
A store in Postgres has no directory: its paths are absolute.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa

#: Attribute of an engine's dialect with the directory of its store.
_DIRECTORY = "contimg_directory"


class StoredPath(sa.types.TypeDecorator[Path]):
    """A path in a column: made absolute, and returned as it was given."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Path | str | None, dialect: sa.Dialect) -> str | None:
        """Return the stored form of a path."""
        if value is None:
            return None
        path = Path(value).absolute()
        for place in _places(dialect):
            if path.is_relative_to(place):
                return str(path.relative_to(place))
        return str(path)

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> Path | None:
        """Return a stored path as an absolute one."""
        return None if value is None else (_directory_of(dialect) or Path()) / value


def remember_directory(engine: sa.Engine, store: Path) -> None:
    """Make paths in a SQLite store relative to the directory of its file."""
    setattr(engine.dialect, _DIRECTORY, store.absolute().parent)


def make_relative(connection: sa.Connection, table: str, column: str) -> None:
    """Make the absolute paths that an earlier release wrote into a column relative.

    Called by migrations, while the store is still at the place where those paths were written.
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


def _places(dialect: Any) -> Iterator[Path]:
    """Yield the directory of a SQLite store; then with its links resolved, which reads the disk."""
    directory = _directory_of(dialect)
    if directory is not None:
        yield directory
        yield directory.resolve()


def _directory_of(dialect: Any) -> Path | None:
    found: Path | None = getattr(dialect, _DIRECTORY, None)
    return found
