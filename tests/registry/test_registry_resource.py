"""Dagster hands out the plain objects."""

from pathlib import Path

import dagster as dg

from contimg_resources.products import ProductsStore
from contimg_resources.products.resource import ProductsStoreResource
from contimg_resources.registry import CalibrationRegistry
from contimg_resources.registry.resource import CalibrationRegistryResource


def test_an_asset_gets_the_registry_and_the_store_themselves(tmp_path: Path) -> None:
    @dg.asset
    def looked_up(
        registry: dg.ResourceParam[CalibrationRegistry], products: dg.ResourceParam[ProductsStore]
    ) -> dg.MaterializeResult[None]:
        return dg.MaterializeResult(
            metadata={"sets": len(registry.list_sets()), "key": len(products.waiting())}
        )

    result = dg.materialize(
        [looked_up],
        resources={
            "registry": CalibrationRegistryResource(url=str(tmp_path / "r.sqlite3")),
            "products": ProductsStoreResource(url=str(tmp_path / "p.sqlite3")),
        },
    )
    assert result.success
