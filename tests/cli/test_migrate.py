"""`contimg migrate`: the stores of a state directory move to Postgres, row by row."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from contimg_resources.cli.main import run
from contimg_resources.products.store import ProductsStore
from contimg_resources.registry.store import CalibrationRegistry
from contimg_resources.settings import Settings, load_settings
from contimg_resources.steps.workshop import Workshop
from tests import postgres
from tests.alerts.conftest import make_candidate
from tests.products.conftest import MJD, make_observation
from tests.steps.conftest import make_stores


@pytest.fixture
def url(postgres_server: postgres.Server) -> str:
    return postgres_server.url(postgres_server.new_database())


@pytest.fixture
def state(tmp_path: Path) -> Path:
    made = make_stores(tmp_path)
    workshop = made.workshop
    workshop.products.events.put_candidates([make_candidate()])
    return workshop.settings.state


def everything(store: ProductsStore | CalibrationRegistry) -> dict[str, list[str]]:
    with closing(store), store.read() as connection:
        return {
            table.name: sorted(repr(row) for row in connection.execute(sa.select(table)))
            for table in store.tables.sorted_tables
        }


def stores(settings: Settings) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    return (
        everything(CalibrationRegistry(settings.registry_address)),
        everything(ProductsStore(settings.products_address)),
    )


def test_every_row_is_there_and_the_platform_goes_on_from_it(
    state: Path, url: str, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = stores(Settings(state=state))
    assert sum(map(len, before[1].values())) > 10
    assert run(["migrate", "--to", url, "--state", str(state), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["n_rows"]["registry"] == {name: len(rows) for name, rows in before[0].items()}
    assert told["n_rows"]["products"] == {name: len(rows) for name, rows in before[1].items()}
    moved = Settings(state=state, registry_url=url, products_url=url)
    assert stores(moved) == before
    # Again: what is there already is compared, and not doubled.
    assert run(["migrate", "--to", url, "--state", str(state)]) == 0
    assert stores(moved) == before
    capsys.readouterr()
    monkeypatch.setenv("CONTIMG_REGISTRY_URL", url)
    monkeypatch.setenv("CONTIMG_PRODUCTS_URL", url)
    monkeypatch.setenv("CONTIMG_STATE", str(state))
    products = Workshop.from_settings(load_settings()).products
    products.arrive(make_observation(tmp_path / "new.ms", MJD + 3, signature="new"))
    assert run(["status"]) == 0
    assert run(["verify"]) in (0, 1)
    assert "postgresql" not in capsys.readouterr().err
    # Backups and their return know the other kind of store.
    assert run(["backup", str(tmp_path / "backup")]) == 0
    assert (tmp_path / "backup" / "products.dump").is_file()
    there = stores(moved)
    products.arrive(make_observation(tmp_path / "later.ms", MJD + 4, signature="later"))
    assert run(["restore", str(tmp_path / "backup")]) == 0
    assert stores(moved) == there
    (aside,) = (state / "damaged").glob("*/products.dump")
    assert aside.stat().st_size > 0
    with products.write() as connection:
        connection.execute(sa.text("DELETE FROM candidates"))
        connection.execute(sa.text("DELETE FROM observation_events"))
    assert run(["backup", str(tmp_path / "backup")]) != 0
    assert "isn't replaced" in " ".join(capsys.readouterr().err.split())


def test_nothing_is_copied_onto_other_rows_or_into_a_file(
    state: Path, url: str, tmp_path: Path, capsys: Any
) -> None:
    with closing(CalibrationRegistry(url)) as registry:
        tables = registry.tables
    with closing(ProductsStore(url)) as other:
        other.arrive(make_observation(tmp_path / "other.ms", MJD - 9, signature="other"))
        before = len(other.list_observations())
        assert run(["migrate", "--to", url, "--state", str(state)]) != 0
        assert "holds another row" in " ".join(capsys.readouterr().err.split())
        assert len(other.list_observations()) == before
    assert tables
    assert run(["migrate", "--to", str(tmp_path / "x.sqlite3"), "--state", str(state)]) != 0
    assert "expected a database server" in " ".join(capsys.readouterr().err.split())
    with closing(sqlite3.connect(state / "products.sqlite3")) as connection:
        assert connection.execute("select count(*) from observations").fetchone()[0] > 0


def test_settings_are_written_without_the_password_of_a_database(tmp_path: Path) -> None:
    url = "postgresql://ada:secret%40x@db.example:5432/contimg?sslmode=require"
    text = Settings(state=tmp_path, products_url=url).as_toml()
    assert "secret%40x" not in text
    assert "postgresql://ada@db.example:5432/contimg?sslmode=require" in text
