"""The stores in Postgres: a server that stops, refuses, is of another schema, or is across TLS."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from contimg_resources.core.errors import (
    ConfigurationError,
    ProductsError,
    ProductsUnavailable,
    RegistryUnavailable,
    SchemaMismatch,
)
from contimg_resources.products.store import ProductsStore
from contimg_resources.registry.store import CalibrationRegistry
from tests import postgres
from tests.products.conftest import MJD, make_observation
from tests.registry.conftest import Maker, read_made_up_tables


@pytest.fixture
def url(postgres_server: postgres.Server) -> str:
    return postgres_server.url(postgres_server.new_database())


def put(store: ProductsStore, root: Path, number: int = 0) -> None:
    store.arrive(make_observation(root / f"{number}.ms", MJD + number / 100, signature=str(number)))


def count(store: ProductsStore) -> int:
    return len(store.list_observations())


@pytest.fixture
def own_server() -> Iterator[postgres.Server]:
    """Give a server that a test may stop."""
    if postgres.programs() is None:
        pytest.skip("needs a Postgres server (Debian: postgresql)")
    with postgres.running() as server:
        yield server


def test_a_server_that_crashes_in_a_write_loses_the_whole_write_and_nothing_else(
    own_server: postgres.Server, tmp_path: Path
) -> None:
    name = own_server.new_database()
    store = ProductsStore(own_server.url(name))
    registry = CalibrationRegistry(own_server.url(name))
    put(store, tmp_path)

    def crash() -> None:
        with store.write() as connection:
            connection.execute(sa.text("DELETE FROM observation_events"))
            own_server.stop("immediate")
            connection.execute(sa.text("SELECT 1"))

    with pytest.raises(ProductsUnavailable, match=r"products store postgresql.* can't be written"):
        crash()
    with pytest.raises(ProductsUnavailable, match="can't be read"):
        count(store)
    with pytest.raises(RegistryUnavailable, match="can't be"):
        CalibrationRegistry(own_server.url(name))
    own_server.start()
    # The same objects go on: of the connections that they kept none is used any more.
    assert count(store) == 1
    assert registry.list_sets() == []
    put(store, tmp_path, 1)
    assert count(store) == 2
    own_server.stop()
    own_server.start()
    assert count(store) == 2


def test_a_server_that_refuses_is_no_server_that_is_away_for_a_moment(
    postgres_server: postgres.Server,
) -> None:
    name = postgres_server.new_database()
    with closing(ProductsStore(postgres_server.tcp_url(name))) as store:
        assert count(store) == 0
        assert postgres.PASSWORD not in store.address
    wrong = postgres_server.tcp_url(name, "wrong horse")
    with pytest.raises(ProductsError, match="password authentication failed") as caught:
        ProductsStore(wrong)
    assert not isinstance(caught.value, ProductsUnavailable)
    assert "horse" not in str(caught.value)
    with pytest.raises(ProductsError, match=r'"nowhere" does not exist \(make it with createdb\)'):
        ProductsStore(postgres_server.url("nowhere"))


def test_read_only_writes_nothing_and_an_earlier_schema_is_told(url: str, tmp_path: Path) -> None:
    with closing(ProductsStore(url)) as store:
        put(store, tmp_path)
        with closing(ProductsStore(url, read_only=True)) as reader:
            assert count(reader) == 1
            with pytest.raises(ProductsError, match="read-only transaction"):
                put(reader, tmp_path, 1)
        with store.write() as connection:
            connection.execute(sa.text("UPDATE products_schema SET version_num = 'products_9999'"))
        with pytest.raises(SchemaMismatch, match="newer contimg"):
            ProductsStore(url)


def test_an_earlier_schema_is_brought_up_to_date_with_its_rows(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from contimg_resources.database.migrate import Schema

    revisions = Schema(Path(postgres.__file__).parents[1] / "contimg_resources/products/migrations")
    before = revisions.revisions[-2]
    with closing(ProductsStore(url)) as store:
        put(store, tmp_path)
    _downgrade(url)
    with closing(ProductsStore(url)) as store:
        assert count(store) == 1
        with store.read() as connection:
            assert revisions.version(connection) == revisions.revisions[-1] != before


def _downgrade(url: str) -> None:
    """Take the last three migrations back; they add tables and a column."""
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        for table in ("antenna_evidence", "antenna_marks", "new_sources", "primary_beams"):
            connection.execute(sa.text(f"DROP TABLE {table}"))
        connection.execute(sa.text("ALTER TABLE candidates DROP COLUMN kind"))
        connection.execute(sa.text("UPDATE products_schema SET version_num = 'products_0011'"))
    engine.dispose()


def test_a_child_uses_no_connection_of_its_parent(url: str, tmp_path: Path) -> None:
    store = ProductsStore(url)
    assert count(store) == 0
    child = os.fork()
    if child == 0:
        try:
            put(store, tmp_path)
            os._exit(0 if count(store) == 1 else 1)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    assert count(store) == 1
    store.close()


def test_a_backup_is_a_dump_of_the_stores_tables_and_replaces_them_whole(
    url: str, tmp_path: Path
) -> None:
    registry = CalibrationRegistry(url, inspect=read_made_up_tables)
    registry.register(Maker(tmp_path)())
    store = ProductsStore(url)
    put(store, tmp_path)
    copy = tmp_path / "products.dump"
    store.back_up(copy)
    assert store.size_of_copy(copy) == store.size() > 0
    put(store, tmp_path, 1)
    other = ProductsStore(url)
    store.restore(copy)
    assert count(store) == count(other) == 1
    # New rows are numbered after the restored ones.
    put(store, tmp_path, 2)
    assert count(store) == 2
    assert len(registry.list_sets()) == 1, "the registry in the same database isn't touched"
    with pytest.raises(
        ConfigurationError, match=r"no backup of a calibration registry: .*caltable"
    ):
        registry.restore(copy)
    copy.write_bytes(copy.read_bytes()[:100])
    with pytest.raises(Exception, match="pg_restore failed"):
        store.restore(copy)
    assert count(store) == 2


def test_a_password_is_not_among_the_arguments_of_pg_dump(
    postgres_server: postgres.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    real = subprocess.run

    def run(command: list[str], **more: object) -> object:
        seen.extend(command)
        return real(command, **more)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "run", run)
    with closing(ProductsStore(postgres_server.tcp_url(postgres_server.new_database()))) as store:
        store.back_up(tmp_path / "x.dump")
    assert any(program.endswith("pg_dump") for program in seen)
    assert not [argument for argument in seen if "horse" in argument]


def test_tls_is_checked_against_the_given_authority(
    own_server: postgres.Server, tmp_path: Path
) -> None:
    own_server.use_tls(tmp_path / "tls")
    name = own_server.new_database()
    good = f"{own_server.tcp_url(name)}?sslmode=verify-full&sslrootcert={tmp_path}/tls/cert.pem"
    with closing(ProductsStore(good)) as store, store.read() as connection:
        assert connection.scalar(
            sa.text(
                "SELECT ssl FROM pg_stat_ssl NATURAL JOIN (SELECT pg_backend_pid() AS pid) AS mine"
            )
        )
    postgres.certificate(tmp_path / "other")
    other = good.replace("/tls/cert", "/other/cert")
    with pytest.raises(ProductsError, match="certificate verify failed") as caught:
        ProductsStore(other)
    assert not isinstance(caught.value, ProductsUnavailable)
