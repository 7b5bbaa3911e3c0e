"""The migrations arrive at the tables that the code uses, on SQLite and on Postgres."""

import re
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.dialects import postgresql

from contimg_resources.core.errors import SchemaMismatch
from contimg_resources.products import tables as products_tables
from contimg_resources.products.store import ProductsStore
from contimg_resources.registry import lookup
from contimg_resources.registry import tables as registry_tables
from contimg_resources.registry.store import CalibrationRegistry


@pytest.mark.parametrize(
    ("store", "metadata", "version_table"),
    [
        (CalibrationRegistry, registry_tables.metadata, "registry_schema"),
        (ProductsStore, products_tables.metadata, "products_schema"),
    ],
)
def test_the_migrations_make_the_tables_that_the_code_uses(
    tmp_path: Path,
    store: type[CalibrationRegistry] | type[ProductsStore],
    metadata: sa.MetaData,
    version_table: str,
) -> None:
    opened = store(str(tmp_path / "x.sqlite3"))
    with opened.read() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "version_table": version_table}
        )
        assert compare_metadata(context, metadata) == []


@pytest.mark.parametrize("metadata", [registry_tables.metadata, products_tables.metadata])
def test_the_tables_can_be_made_on_postgres(metadata: sa.MetaData) -> None:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    assert len(metadata.sorted_tables) > 2
    for table in metadata.sorted_tables:
        made = str(sa.schema.CreateTable(table).compile(dialect=dialect))
        assert "DOUBLE PRECISION" in made or "_mjd" not in made
        for index in table.indexes:
            assert str(sa.schema.CreateIndex(index).compile(dialect=dialect))


def test_the_look_up_is_the_same_statement_on_postgres() -> None:
    assert lookup._QUERIES
    for query in lookup._QUERIES.values():
        text = str(query.compile(dialect=postgresql.dialect()))  # type: ignore[no-untyped-call]
        assert len(re.findall(r"LIMIT", text)) == 2
        assert "UNION ALL" in text


def test_the_one_file_is_not_taken_for_the_other(tmp_path: Path) -> None:
    CalibrationRegistry(str(tmp_path / "x.sqlite3"))
    with pytest.raises(SchemaMismatch, match=r"x\.sqlite3 is no products store: .*caltable_sets"):
        ProductsStore(str(tmp_path / "x.sqlite3"))
