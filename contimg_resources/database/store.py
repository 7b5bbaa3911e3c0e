"""A database that many processes read and write at once.

Belongs here: the engine, read and write transactions, bringing the schema up to date when a
database is opened, and the base class of contimg's stores. Doesn't: tables and queries.

On SQLite a write transaction begins with ``BEGIN IMMEDIATE``, on Postgres it takes one advisory
lock: in both cases writers run one after another, and a transaction reads the state that it
changes.
"""

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import event, exc

from contimg_resources.core.disk_space import fullness
from contimg_resources.core.errors import (
    ConfigurationError,
    ContimgError,
    SchemaMismatch,
    StoreDamaged,
)
from contimg_resources.database import postgres
from contimg_resources.database.memory import memory_path, recall, remember
from contimg_resources.database.migrate import Schema
from contimg_resources.database.paths import remember_directory
from contimg_resources.database.postgres import DUMP

R = TypeVar("R")

_BUSY_TIMEOUT_S = 30.0
_WRITE = "contimg_write"
#: Parts of SQLite's messages about conditions that pass.
_PASSING = ("locked", "disk I/O error", "is full")
_MISSING = "does not exist"
#: Parts of Postgres's messages about connections that it will always refuse.
_REFUSED = ("authentication", _MISSING, "pg_hba.conf", "certificate", "SSL")

#: Advice for a damaged store.
RESTORE = "`contimg restore` replaces it with a backup (docs/restore.md)"


class Database:
    """A database with its schema brought up to date.

    Parameters
    ----------
    url : str
        A SQLAlchemy URL, or the path of a SQLite file.
    what : str
        Name of the store in messages: ``"calibration registry"``.
    migrations : Path
        Directory of its Alembic migrations, see `Schema`.
    error : type of ContimgError
        Raised if a request to the database fails.
    create : bool
        Whether to make a missing database.
    read_only : bool
        Whether nothing is ever written, not even a schema; a missing database isn't made.
    unavailable : type of StoreUnavailable, optional
        Raised instead if the database is locked or its disk is full, which passes.
    size_sql : str, optional
        Query of a number that only grows with each write; a store where it dropped to 0 was
        emptied.
    tables : MetaData, optional
        Its tables, for copies.

    Raises
    ------
    ConfigurationError
        If `url` is not a database address.
    SchemaMismatch
        If the database was written by a newer contimg or holds other tables, or is opened
        read-only and was written by an earlier contimg.
    StoreDamaged
        If it is corrupt, or was emptied or removed after it was made.
    ContimgError
        Of class `error` or `unavailable`, if it can't be opened.
    """

    def __init__(
        self,
        url: str,
        *,
        what: str,
        migrations: Path,
        error: type[ContimgError],
        create: bool = True,
        read_only: bool = False,
        unavailable: type[ContimgError] | None = None,
        size_sql: str = "",
        tables: sa.MetaData | None = None,
    ) -> None:
        self._url = _parse(url, what)
        self._error = error
        self._unavailable = unavailable or error
        self._size_sql = size_sql
        self._read_only = read_only
        self.what = what
        self.tables = tables or sa.MetaData()
        self._schema = Schema(migrations)
        self.path = Path(str(self._url.database)) if self._is_sqlite else None
        self._known = None if self.path is None else recall(self.path)
        if self.path is not None:
            self._prepare_file(self.path, create and not read_only)
        try:
            self._engine = _make_engine(self._url, read_only=read_only)
        except ModuleNotFoundError as missing:
            raise ConfigurationError(
                f"the {what} {self.address} needs the Python package {missing.name}, which isn't "
                "installed"
            ) from missing
        if self.path is not None:
            remember_directory(self._engine, self.path)
        # Writers run one at a time, and must see what the previous one wrote.
        self._writer = self._engine.execution_options(**{_WRITE: True})
        self._reader = (
            self._engine
            if self._is_sqlite
            else self._engine.execution_options(isolation_level="REPEATABLE READ")
        )
        self._bring_up_to_date()
        self._compare_size()

    @property
    def n_known(self) -> int:
        """Largest number of rows that it ever had, as counted by `size`; 0: not known."""
        return 0 if self._known is None else self._known.n_rows

    def size(self) -> int:
        """Return the number of rows in the tables that only grow."""
        if not self._size_sql:
            return 0
        with self.read() as connection:
            return int(connection.execute(sa.text(self._size_sql)).scalar() or 0)

    def size_of_copy(self, copy: Path) -> int | None:
        """Return `size` of a copy; None if that can't be read."""
        if copy.suffix == DUMP:
            known = recall(copy)
            return None if known is None else known.n_rows
        try:
            # Immutable, or SQLite would leave files beside it.
            address = f"{copy.absolute().as_uri()}?immutable=1"
            with closing(sqlite3.connect(address, uri=True)) as opened:
                return int(opened.execute(self._size_sql).fetchone()[0])
        except sqlite3.Error:
            return None

    @property
    def address(self) -> str:
        """Address of the database, without a password."""
        return str(self.path) if self.path else self._url.render_as_string(hide_password=True)

    @property
    def _is_sqlite(self) -> bool:
        return self._url.get_backend_name() == "sqlite"

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Provide a connection whose queries all see the same state of the database."""
        with self._translated("read"), self._reader.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """Provide the connection of the only writer; either all changes are kept or none."""
        with self._translated("written"), self._writer.begin() as connection:
            if not self._is_sqlite:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(self._schema.lock_key)))
            yield connection

    def all(self, query: sa.Select[Any], read: Callable[[Any], R]) -> list[R]:
        """Return what `read` makes of each row of a query."""
        with self.read() as connection:
            return [read(row) for row in connection.execute(query)]

    def first(self, query: sa.Select[Any], read: Callable[[Any], R]) -> R | None:
        """Return what `read` makes of the first row of a query; None if there is none."""
        with self.read() as connection:
            row = connection.execute(query.limit(1)).first()
        return None if row is None else read(row)

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    def back_up(self, target: Path) -> None:
        """Back up a consistent state of the database while others use it; completely or not at all.

        An existing file at `target` is replaced. A store in Postgres is written by `pg_dump`.

        Raises
        ------
        ConfigurationError
            If it would be copied onto itself, or there is no `pg_dump`.
        ContimgError
            Of class `error`, if it can't be read or the copy can't be written.
        """
        if self.path is not None and target.exists() and target.samefile(self.path):
            raise ConfigurationError(f"the {self.what} {self.path} can't be its own backup")
        with self._translated("backed up"):
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                if self.path is not None:
                    _back_up(self.path, target)
                else:
                    n_rows = self.size()
                    postgres.dump(self._url, self._names_of_tables, target)
                    remember(target, n_rows)
            except OSError as error:
                raise self._error(
                    f"the backup {target} can't be written: {error.strerror}", path=str(target)
                ) from error

    def check_copy(self, copy: Path) -> None:
        """Check that `restore` can read a copy.

        Raises
        ------
        ConfigurationError
            If there is no `pg_restore`, or the copy is one of another store.
        ContimgError
            If it can't be read.
        """
        missing = set(self._names_of_tables) - postgres.contents(copy)
        if missing:
            raise ConfigurationError(
                f"{copy} is no backup of a {self.what}: it holds no {', '.join(sorted(missing))}"
            )

    def restore(self, copy: Path) -> None:
        """Replace the tables of a store in Postgres by those of a copy, completely or not at all.

        Raises
        ------
        ConfigurationError, ContimgError
            As `check_copy`; or with the reason of Postgres.
        """
        self.check_copy(copy)
        self._engine.dispose()
        postgres.restore(self._url, copy)
        self._bring_up_to_date()

    @property
    def copy_ending(self) -> str:
        """Ending of the name of a copy that `back_up` makes."""
        return DUMP if self.path is None else ".sqlite3"

    @property
    def _names_of_tables(self) -> list[str]:
        return [*self.tables.tables, self._schema.version_table]

    @contextmanager
    def _translated(self, verb: str) -> Iterator[None]:
        try:
            yield
        except (exc.DBAPIError, sqlite3.Error) as error:
            reason = " ".join(str(getattr(error, "orig", None) or error).split())
            if "not a database" in reason or "malformed" in reason:
                raise StoreDamaged(
                    f"{self.address} is no {self.what}: {reason}; {RESTORE}", path=self.address
                ) from error
            raised = self._unavailable if self._passes(error, reason) else self._error
            raise raised(
                f"the {self.what} {self.address} can't be {verb}: {reason}"
                f"{_hint(self.path, reason)}",
                path=self.address,
            ) from error

    def _passes(self, error: Exception, reason: str) -> bool:
        """Return whether the same query may succeed later."""
        if self.path is None:
            lost = isinstance(error, exc.OperationalError | exc.InterfaceError)
            if isinstance(error, exc.DBAPIError) and error.connection_invalidated:
                return True
            return lost and not any(words in reason for words in _REFUSED)
        return any(words in reason for words in _PASSING) or bool(fullness(self.path))

    def _prepare_file(self, path: Path, create: bool) -> None:
        if path.is_dir():
            raise self._error(f"the {self.what} {path} is a directory", path=str(path))
        if path.exists():
            if self._known is not None and path.stat().st_size == 0:
                # Before SQLite opens it, which would remove the files beside it.
                raise self._emptied("holds 0 bytes")
            return
        if self._known is not None:
            raise self._emptied("is gone")
        if not create:
            near = sorted(p.name for p in path.parent.glob("*.sqlite*") if p.suffix != ".made")[:5]
            raise self._error(
                f"there is no {self.what} at {path}"
                + (f"; databases near it: {', '.join(near)}" if near else ""),
                path=str(path),
            )
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._error(
                f"the {self.what} {path} can't be made: {error.strerror}", path=str(path)
            ) from error

    def _emptied(self, how: str) -> StoreDamaged:
        assert self._known is not None
        held = f", when it held {self._known.n_rows} rows" if self._known.n_rows else ""
        return StoreDamaged(
            f"the {self.what} {self.address} {how}, but it was there before{held}; {RESTORE}. To "
            f"begin with an empty store, remove {memory_path(Path(self.address))}",
            path=self.address,
        )

    def _compare_size(self) -> None:
        if self.path is None or not self._size_sql:
            return
        n_rows = self.size()
        if not n_rows and self.n_known:
            raise self._emptied("holds no rows")
        # A store without rows has nothing to lose.
        if n_rows > self.n_known and not self._read_only:
            remember(self.path, n_rows)

    def _bring_up_to_date(self) -> None:
        with self.read() as connection:
            if self._schema.is_current(connection, self.what, self.address):
                return
            is_new = self._schema.version(connection) is None
            if self._known is not None and is_new:
                raise self._emptied("holds no tables")
            if self._read_only:
                how = "holds no tables yet" if is_new else "was written by an earlier contimg"
                raise SchemaMismatch(
                    f"the {self.what} {self.address} {how} and is opened read-only: `contimg up` "
                    "on its state directory brings it up to date",
                    path=self.address,
                )
        if self._is_sqlite:
            self._switch_to_wal()
        with self.write() as connection:
            # Another process may have upgraded it while this one waited for the lock.
            if self._schema.is_current(connection, self.what, self.address):
                return
            version = self._schema.version(connection)
            if version is not None and self.path is not None:
                _back_up(self.path, self.path.with_name(f"{self.path.name}.before-{version}"))
            self._schema.upgrade(connection)

    def _switch_to_wal(self) -> None:
        """Let readers continue while one process writes; the mode is stored in the file.

        SQLite does not wait for other connections when it changes this mode, so this method waits.
        """
        deadline = time.monotonic() + _BUSY_TIMEOUT_S
        assert self.path is not None
        while True:
            try:
                with closing(sqlite3.connect(self.path, timeout=_BUSY_TIMEOUT_S)) as connection:
                    connection.execute("PRAGMA journal_mode=WAL")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raised = self._unavailable if self._passes(error, str(error)) else self._error
                    raise raised(
                        f"the {self.what} {self.address} can't be opened: {error}"
                        f"{_hint(self.path, str(error))}",
                        path=self.address,
                    ) from error
                time.sleep(0.02)


def _parse(url: str, what: str) -> sa.URL:
    if "://" not in url:
        # Not through text: a path may contain characters with a meaning in a URL.
        return _of_file(Path(url), what)
    try:
        parsed = sa.make_url(url)
        parsed.get_dialect()
    except (exc.ArgumentError, exc.NoSuchModuleError, ImportError) as error:
        raise ConfigurationError(
            f"{url.split('://', maxsplit=1)[0]!r} is no usable database address for the {what}: "
            "expected a path or a SQLAlchemy URL such as sqlite:////data/registry.sqlite3 or "
            "postgresql+psycopg2://host/name"
        ) from error
    backend = parsed.get_backend_name()
    if backend not in ("sqlite", "postgresql"):
        raise ConfigurationError(f"the {what} can be in SQLite or Postgres, not in {backend}")
    if backend == "sqlite" and (
        not parsed.database or ":memory:" in parsed.database or parsed.database.startswith("file:")
    ):
        raise ConfigurationError(
            f"the {what} must be a file that several processes can open, such as "
            f"sqlite:////data/registry.sqlite3, not {parsed.database or 'in memory'}"
        )
    if backend == "sqlite" and "?" in url:
        raise ConfigurationError(
            f"the {what} can't be {url!r}: in a URL options follow the ?, and none is supported; "
            "give a file whose path contains a ? as a path, without sqlite://"
        )
    return parsed


def _of_file(path: Path, what: str) -> sa.URL:
    if not path.name or path.name == ":memory:":
        raise ConfigurationError(
            f"the {what} must be a file that several processes can open, not {str(path)!r}"
        )
    return sa.URL.create("sqlite", database=str(path.absolute()))


def _make_engine(url: sa.URL, *, read_only: bool) -> sa.Engine:
    """Return an engine whose connections aren't carried over a fork."""
    engine = _engine_for(url, read_only=read_only)

    @event.listens_for(engine, "connect")
    def _mark(connection: Any, record: Any) -> None:
        record.info["pid"] = os.getpid()

    @event.listens_for(engine, "checkout")
    def _refuse_inherited(connection: Any, record: Any, proxy: Any) -> None:
        # It corrupts a SQLite file; with Postgres two processes would talk through one socket.
        if record.info.get("pid") != os.getpid():
            record.dbapi_connection = proxy.dbapi_connection = None
            raise exc.DisconnectionError("the connection belongs to the parent process")

    return engine


def _engine_for(url: sa.URL, *, read_only: bool) -> sa.Engine:
    if url.get_backend_name() != "sqlite":
        return postgres.engine(url, read_only=read_only)
    file = Path(str(url.database))
    if read_only and not os.access(file.parent, os.W_OK):
        query = {"uri": "true", "mode": "ro"}
        if not file.with_name(f"{file.name}-wal").exists():
            # Nobody has it open: SQLite would make files beside it, which it can't here.
            query["immutable"] = "1"
        url = sa.URL.create("sqlite", database=file.as_uri(), query=query)
    engine = sa.create_engine(url, connect_args={"timeout": _BUSY_TIMEOUT_S})

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, record: Any) -> None:
        # The driver must not begin transactions: `_begin` does.
        connection.isolation_level = None
        connection.execute(f"PRAGMA busy_timeout={int(_BUSY_TIMEOUT_S * 1000)}")
        connection.execute("PRAGMA foreign_keys=ON")
        # In WAL mode only FULL keeps a committed transaction through a power cut.
        connection.execute("PRAGMA synchronous=FULL")
        if read_only:
            connection.execute("PRAGMA query_only=ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        writes = connection.get_execution_options().get(_WRITE)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _hint(path: Path | None, reason: str) -> str:
    if path is None:
        return " (make it with createdb)" if "database" in reason and _MISSING in reason else ""
    if full := fullness(path):
        return (
            f" ({full}; remove or move something there, or run `contimg housekeeping`, which frees "
            "the reserved space)"
        )
    if "readonly" in reason or "unable to open" in reason:
        return f" (is {path} or its directory read-only, or missing?)"
    if "locked" in reason:
        return f" (another process held it for more than {_BUSY_TIMEOUT_S:.0f} s)"
    if "full" in reason:
        return " (the disk is full)"
    return ""


def _back_up(source: Path, target: Path) -> None:
    """Copy a database that others may be reading, and check the copy; completely or not at all."""
    partial = target.with_name(f"{target.name}.writing")
    partial.unlink(missing_ok=True)
    try:
        with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(partial)) as new:
            old.backup(new)
            (said,) = new.execute("PRAGMA quick_check(1)").fetchone()
        if said != "ok":
            raise sqlite3.DatabaseError(f"malformed: {said}")
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


class PartOfStore:
    """A part of a store in a database, which has the newest schema."""

    def __init__(self, database: Database) -> None:
        self._database = database
