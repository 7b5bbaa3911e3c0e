"""Reopen SQLite databases of other programs for each query, at little cost.

Belongs here: engines and migrations that a process caches for them. Doesn't: contimg's own stores,
each of which keeps its engine (see `contimg_resources.database.store`).
"""

from collections.abc import Mapping
from functools import cache, lru_cache
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
