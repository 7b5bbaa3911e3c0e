"""A database that many processes open at once is brought up to date once, and never guessed at."""

import multiprocessing
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from contimg_resources.core.errors import (
    ConfigurationError,
    RegistryError,
    SchemaMismatch,
    StoreDamaged,
)
from contimg_resources.database import Database, plain_json, store
from contimg_resources.database.memory import memory_path
from tests.processes import APART

ENV = """
from contimg_resources.database.migrate import run_migrations
run_migrations()
"""
REVISION = """
import sqlalchemy as sa
from alembic import op
revision = "toy_{n:04d}"
down_revision = {down!r}
def upgrade():
    op.create_table("t{n}", sa.Column("id", sa.Integer, primary_key=True))
    {more}
"""


@pytest.fixture
def migrations(tmp_path: Path) -> Path:
    root = tmp_path / "100% of the migrations"
    (root / "versions").mkdir(parents=True)
    (root / "env.py").write_text(ENV)
    add_revision(root, 1)
    return root


def add_revision(root: Path, n: int, more: str = "") -> None:
    down = f"toy_{n - 1:04d}" if n > 1 else None
    text = REVISION.format(n=n, down=down, more=more)
    (root / "versions" / f"toy_{n:04d}_words.py").write_text(text)


def open_toy(path: Path | str, migrations: Path, **more: Any) -> Database:
    return Database(str(path), what="toy store", migrations=migrations, error=RegistryError, **more)


def tables_in(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as connection:
        return {row[0] for row in connection.execute("select name from sqlite_master")}


SIZE_SQL = "select count(*) from t1"


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda path: path.write_bytes(b""), "holds 0 bytes"),
        (lambda path: path.unlink(), "is gone"),
        (
            lambda path: sqlite3.connect(path, isolation_level=None).execute("delete from t1"),
            "holds no rows",
        ),
        (
            lambda path: sqlite3.connect(path, isolation_level=None).executescript(
                "drop table t1; drop table toy_schema"
            ),
            "holds no tables",
        ),
    ],
)
def test_one_that_was_emptied_is_damaged_and_not_made_anew(
    tmp_path: Path, migrations: Path, harm: Any, words: str
) -> None:
    path = tmp_path / "x.sqlite3"
    database = open_toy(path, migrations, size_sql=SIZE_SQL)
    with database.write() as connection:
        connection.execute(sa.text("insert into t1 values (7), (8)"))
    database.close()
    open_toy(path, migrations, size_sql=SIZE_SQL).close()
    harm(path)
    there = path.read_bytes() if path.exists() else None
    with pytest.raises(
        StoreDamaged, match=rf"the toy store .*x\.sqlite3 {words}, but .* held 2 rows; .*restore"
    ):
        open_toy(path, migrations, size_sql=SIZE_SQL)
    assert (path.read_bytes() if path.exists() else None) == there
    memory_path(path).unlink()
    open_toy(path, migrations, size_sql=SIZE_SQL).close()


def test_what_is_known_of_one_survives_a_memory_that_was_cut_off(
    tmp_path: Path, migrations: Path
) -> None:
    path = tmp_path / "x.sqlite3"
    open_toy(path, migrations, size_sql=SIZE_SQL).close()
    assert not memory_path(path).exists(), "nothing was written, so nothing can be lost"
    memory_path(path).write_text("")
    path.write_bytes(b"")
    with pytest.raises(StoreDamaged, match="holds 0 bytes, but it was there before; "):
        open_toy(path, migrations, size_sql=SIZE_SQL)


def _open_together(path: Path, migrations: Path, barrier: Any, results: Any) -> None:
    try:
        barrier.wait(300)
        with open_toy(path, migrations).write() as connection:
            connection.execute(sa.text("insert into t1 default values"))
        results.put("")
    except Exception as error:
        results.put(repr(error))


def test_sixteen_processes_may_open_a_new_database_at_once(
    tmp_path: Path, migrations: Path
) -> None:
    path = tmp_path / "deep" / "er" / "x.sqlite3"
    barrier, results = APART.Barrier(16), APART.Queue()
    processes = [
        APART.Process(target=_open_together, args=(path, migrations, barrier, results), daemon=True)
        for _ in range(16)
    ]
    for process in processes:
        process.start()
    assert [results.get(timeout=60) for _ in processes] == [""] * 16
    for process in processes:
        process.join()
    with open_toy(path, migrations).read() as connection:
        assert connection.scalar(sa.text("select count(*) from t1")) == 16
        assert connection.scalar(sa.text("pragma journal_mode")) == "wal"
        assert connection.scalar(sa.text("pragma foreign_keys")) == 1


def test_an_older_schema_is_migrated_and_a_backup_kept(tmp_path: Path, migrations: Path) -> None:
    path = tmp_path / "x.sqlite3"
    with open_toy(path, migrations).write() as connection:
        connection.execute(sa.text("insert into t1 values (7)"))
    assert not list(tmp_path.glob("*before*"))
    add_revision(migrations, 2)
    with open_toy(path, migrations).read() as connection:
        assert connection.scalar(sa.text("select id from t1")) == 7
        assert connection.scalar(sa.text("select count(*) from t2")) == 0
    backup = tmp_path / "x.sqlite3.before-toy_0001"
    assert "t2" not in tables_in(backup)
    with closing(sqlite3.connect(backup)) as connection:
        assert connection.execute("select id from t1").fetchall() == [(7,)]


def test_a_migration_that_fails_leaves_everything_as_it_was(
    tmp_path: Path, migrations: Path
) -> None:
    path = tmp_path / "x.sqlite3"
    open_toy(path, migrations)
    add_revision(migrations, 2, more="raise RuntimeError('power cut')")
    with pytest.raises(RuntimeError, match="power cut"):
        open_toy(path, migrations)
    assert "t2" not in tables_in(path)


def test_a_newer_schema_is_refused(tmp_path: Path, migrations: Path) -> None:
    path = tmp_path / "x.sqlite3"
    add_revision(migrations, 2)
    open_toy(path, migrations)
    (migrations / "versions" / "toy_0002_words.py").unlink()
    with pytest.raises(SchemaMismatch, match=r"newer contimg \(schema toy_0002; .* toy_0001\)"):
        open_toy(path, migrations)


def test_what_is_not_ours_is_refused_and_left_alone(tmp_path: Path, migrations: Path) -> None:
    foreign = tmp_path / "foreign.sqlite3"
    with closing(sqlite3.connect(foreign)) as connection:
        connection.execute("create table bookmarks (id)")
    before = foreign.read_bytes()
    with pytest.raises(SchemaMismatch, match=r"is no toy store: .* \(bookmarks\)"):
        open_toy(foreign, migrations)
    assert foreign.read_bytes() == before
    text = tmp_path / "notes.txt"
    text.write_text("not a database at all, " * 100)
    with pytest.raises(SchemaMismatch, match=r"notes\.txt is no toy store"):
        open_toy(text, migrations)
    with pytest.raises(RegistryError, match="is a directory"):
        open_toy(tmp_path, migrations)


def test_one_that_is_not_there_is_made_only_when_wanted(tmp_path: Path, migrations: Path) -> None:
    open_toy(tmp_path / "registry.sqlite3", migrations)
    with pytest.raises(RegistryError, match=r"no toy store at .*rigistry.* near it: registry"):
        open_toy(tmp_path / "rigistry.sqlite3", migrations, create=False)
    assert not (tmp_path / "rigistry.sqlite3").exists()


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///:memory:", "mysql://x/y", "nonsense://x", "sqlite:///file:x"]
)
def test_an_address_that_can_not_be_shared_is_refused(url: str, migrations: Path) -> None:
    with pytest.raises(ConfigurationError):
        open_toy(url, migrations)


def test_a_postgres_that_can_not_be_reached_is_named_without_its_password(
    migrations: Path,
) -> None:
    # Without the driver it's the driver that is missing, with it nothing listens there.
    with pytest.raises((RegistryError, ConfigurationError), match=r"127\.0\.0\.1:1/x") as refused:
        open_toy("postgresql+psycopg2://me:secret@127.0.0.1:1/x", migrations)
    assert "secret" not in str(refused.value)


@pytest.fixture
def public_dir() -> Iterator[Path]:
    root = Path(tempfile.mkdtemp(prefix="contimg-read-only-"))
    yield root
    root.chmod(0o755)
    shutil.rmtree(root)


def _write_as_nobody(path: Path, migrations: Path, results: Any) -> None:
    if os.getuid() == 0:
        os.setuid(65534)
    try:
        with open_toy(path, migrations).write() as connection:
            connection.execute(sa.text("insert into t1 default values"))
        results.put("written")
    except Exception as error:
        results.put(f"{type(error).__name__}: {error}")


def test_a_read_only_file_gives_one_clear_error(public_dir: Path, migrations: Path) -> None:
    copied = public_dir / "migrations"
    shutil.copytree(migrations, copied)
    path = public_dir / "x.sqlite3"
    open_toy(path, migrations).close()
    path.chmod(0o444)
    public_dir.chmod(0o555)
    results = APART.Queue()
    process = APART.Process(target=_write_as_nobody, args=(path, copied, results), daemon=True)
    process.start()
    said = results.get(timeout=120)
    process.join()
    assert said.startswith(f"RegistryError: the toy store {path} can't be "), said
    assert "read-only" in said


def test_one_that_somebody_else_holds_is_waited_for_and_then_named(
    tmp_path: Path, migrations: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_BUSY_TIMEOUT_S", 0.3)
    path = tmp_path / "x.sqlite3"
    database = open_toy(path, migrations)
    with closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        with (
            pytest.raises(RegistryError, match=r"can't be written: database is locked .*held it"),
            database.write() as connection,
        ):
            connection.execute(sa.text("insert into t1 default values"))
        with database.read() as connection:
            assert connection.scalar(sa.text("select count(*) from t1")) == 0, "looking goes on"
        holder.execute("ROLLBACK")
    with database.write() as connection:
        connection.execute(sa.text("insert into t1 default values"))


def _insert_in_a_fork(path: Path, migrations: Path, results: Any) -> None:
    database = open_toy(path, migrations)
    with database.read() as connection:
        assert connection.scalar(sa.text("select count(*) from t1")) == 0

    def insert() -> None:
        with database.write() as connection:
            connection.execute(sa.text("insert into t1 default values"))

    process = multiprocessing.get_context("fork").Process(target=insert)
    process.start()
    process.join()
    with database.read() as connection:
        results.put((process.exitcode, connection.scalar(sa.text("select count(*) from t1"))))


def test_a_connection_is_not_carried_over_a_fork(tmp_path: Path, migrations: Path) -> None:
    results = APART.Queue()
    process = APART.Process(target=_insert_in_a_fork, args=(tmp_path / "x", migrations, results))
    process.start()
    assert results.get(timeout=60) == (0, 1)
    process.join()


def test_what_json_lacks_is_said() -> None:
    assert plain_json({1: (float("inf"), {"b", "a"}, Path("/x"))}) == {
        "1": [None, ["a", "b"], "/x"]
    }
    with pytest.raises(TypeError, match="can't be stored as JSON"):
        plain_json([object()])
