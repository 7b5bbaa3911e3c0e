"""Schemas and their revisions.

Belongs here: the list of revisions, the revision of a database, and running Alembic.
Doesn't: the migrations themselves; each store keeps its own beside it.

A store's revisions are named ``STORE_0001``, ``STORE_0002``, ... and are in the files
``versions/STORE_0001_words.py``, so the newest is known without importing Alembic (0.3 s).
The revision of a database is in its table ``STORE_schema``, so stores can share one in Postgres.
"""

import threading
import zlib
from functools import cached_property
from pathlib import Path

import sqlalchemy as sa

from contimg_resources.core.errors import SchemaMismatch

_SQLITE = "sqlite"

# Alembic keeps the running migration in a module variable: one at a time in a process.
_ALEMBIC = threading.Lock()


class Schema:
    """The revisions of one store.

    `migrations` is an Alembic directory: ``env.py`` and ``versions/``.
    """

    def __init__(self, migrations: Path) -> None:
        self._migrations = migrations

    @cached_property
    def revisions(self) -> tuple[str, ...]:
        """Every revision, oldest first."""
        files = sorted(p.stem for p in (self._migrations / "versions").glob("*_[0-9]*.py"))
        return tuple("_".join(stem.split("_")[:2]) for stem in files)

    @property
    def lock_key(self) -> int:
        """Number of the advisory lock for Postgres writers of this store."""
        return zlib.crc32(self._store.encode())

    @property
    def _store(self) -> str:
        return self.revisions[0].split("_")[0]

    @property
    def version_table(self) -> str:
        """Name of the table with the revision of the database."""
        return f"{self._store}_schema"

    def version(self, connection: sa.Connection) -> str | None:
        """Return the revision of a database; None if it is new and empty."""
        if not sa.inspect(connection).has_table(self.version_table):
            return None
        found = connection.execute(
            sa.select(sa.column("version_num")).select_from(sa.table(self.version_table))
        ).scalar()
        return None if found is None else str(found)

    def is_current(self, connection: sa.Connection, what: str, address: str) -> bool:
        """Return whether a database has the newest revision.

        Raises
        ------
        SchemaMismatch
            If it has an unknown revision, or holds other tables.
        """
        version = self.version(connection)
        if version is None:
            tables = sa.inspect(connection).get_table_names()
            # A Postgres database may hold other tables too; a SQLite file with others is a mistake.
            if tables and connection.dialect.name == _SQLITE:
                raise SchemaMismatch(
                    f"{address} is no {what}: it holds other tables "
                    f"({', '.join(sorted(tables)[:5])})",
                    path=address,
                )
            return False
        if version not in self.revisions:
            raise SchemaMismatch(
                f"{address} was written by a newer contimg (schema {version}; this one knows up "
                f"to {self.revisions[-1]}): use that contimg, or the backup beside the file",
                path=address,
                schema=version,
            )
        return version == self.revisions[-1]

    def upgrade(self, connection: sa.Connection) -> None:
        """Bring a database to the newest revision, within the connection's transaction."""
        from alembic import command
        from alembic.config import Config

        config = Config()
        # Alembic's options treat % as the start of an interpolation.
        config.set_main_option("script_location", str(self._migrations).replace("%", "%%"))
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        config.attributes["version_table"] = self.version_table
        with _ALEMBIC:
            command.upgrade(config, "head")


def run_migrations() -> None:
    """Run the migrations on the connection passed by `Schema.upgrade`, for every ``env.py``."""
    from alembic import context

    handed_over = context.config.attributes
    context.configure(
        connection=handed_over["connection"], version_table=handed_over["version_table"]
    )
    with context.begin_transaction():
        context.run_migrations()
