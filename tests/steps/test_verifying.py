"""What one store knows speaks against the other when that was replaced."""

import sqlite3
from dataclasses import replace

from contimg_resources.products.store import ProductsStore
from contimg_resources.registry.store import CalibrationRegistry
from contimg_resources.steps.verifying import store_problems
from tests.steps.conftest import Made


def test_stores_of_one_night_agree(made: Made) -> None:
    assert store_problems(made.workshop) == []


def test_products_of_a_set_that_the_registry_lost_are_named(made: Made) -> None:
    registry = made.workshop.registry
    other = CalibrationRegistry(registry.address.replace("registry", "another"))
    (problem,) = store_problems(replace(made.workshop, registry=other))
    assert "doesn't have first v1, which was applied to 4 observations (first 6" in problem


def test_a_store_that_holds_less_than_before_is_an_older_copy(made: Made) -> None:
    address = made.workshop.products.address
    n_rows = made.workshop.products.size()
    made.workshop.products.close()
    # Opened once more, so that its size is known beside it.
    ProductsStore(address).close()
    with sqlite3.connect(address) as connection:
        connection.execute("delete from observation_events where id > 3")
    older = ProductsStore(address)
    (problem,) = store_problems(replace(made.workshop, products=older))
    assert f"holds 3 rows, but held {n_rows} before: it is an older copy" in problem
