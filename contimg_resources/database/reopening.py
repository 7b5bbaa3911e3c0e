"""Reopen SQLite databases of other programs for each query, at little cost.

Belongs here: engines and migrations that a process caches for them, and detecting commits.
Doesn't: contimg's own stores, each of which keeps its engine (see
`contimg_resources.database.store`).
"""

import os
import sqlite3
import threading
from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

if TYPE_CHECKING:
    from alembic.config import Config

#: A row that somebody else wrote a moment before.
RowExists = sa.exc.IntegrityError

#: Maximum number of databases whose compiled statements are cached.
_MOST_ENGINES = 128


def kept_engine(
    address: str,
    *,
    connect_args: Mapping[str, float] | None = None,
    poolclass: object = sa.NullPool,
) -> sa.Engine:
    """Return the cached engine of a database, with its compiled statements.

    It keeps no connection open. `poolclass` is a parameter because callers of `create_engine` pass
    it.

    Raises
    ------
    NotImplementedError
        For any other pool.
    """
    if poolclass is not sa.NullPool:
        raise NotImplementedError(f"{address} is opened with {poolclass}, not a NullPool")
    return _engine(address, frozenset((connect_args or {}).items()))


@lru_cache(_MOST_ENGINES)
def _engine(address: str, options: frozenset[tuple[str, float]]) -> sa.Engine:
    return sa.create_engine(address, poolclass=sa.NullPool, connect_args=dict(options))


def revisions(config: "Config", connection: sa.Connection) -> tuple[str | None, str | None]:
    """Return the present and the newest revision of a database that Alembic migrates.

    A process reads the directory of the migrations once.
    """
    now = None
    if sa.inspect(connection).has_table("alembic_version"):
        now = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return now, _newest(config.get_main_option("script_location") or "")


@cache
def _newest(scripts: str) -> str | None:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", scripts)
    return ScriptDirectory.from_config(config).get_current_head()


class CommitObserver:
    """Detects whether anything was committed to a database since the last call.

    ``PRAGMA data_version`` changes, for one connection, with every commit of any other.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._pid = 0
        self._opened = 0

    def version(self) -> int:
        """Return a number that differs after every commit."""
        with self._lock:
            if self._connection is None or self._pid != os.getpid():
                # SQLite's connections don't survive a fork.
                self._connection = sqlite3.connect(self._path, check_same_thread=False)
                self._pid = os.getpid()
                self._opened += 1
            (seen,) = self._connection.execute("PRAGMA data_version").fetchone()
            # Another connection has its own count.
            return (self._opened << 32) + int(seen)

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        with self._lock:
            if self._connection is not None and self._pid == os.getpid():
                self._connection.close()
            self._connection = None
