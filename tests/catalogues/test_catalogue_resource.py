"""An asset gets a store of catalogues by its name."""

from pathlib import Path

import dagster as dg

from contimg_resources.catalogues.resource import CatalogueResource
from contimg_resources.catalogues.store import CatalogueStore
from tests.catalogues.test_catalogues import facts, random_sources


def test_an_asset_asks_a_catalogue_for_a_piece_of_sky(tmp_path: Path) -> None:
    CatalogueStore(tmp_path).put(random_sources(2000), facts(2000))
    found: list[int] = []

    @dg.asset
    def around(catalogues: dg.ResourceParam[CatalogueStore]) -> None:
        """Count the sources of a cone."""
        found.append(len(catalogues.open("made").cone(180.0, 20.0, 10.0)))

    result = dg.materialize(
        [around], resources={"catalogues": CatalogueResource(root=str(tmp_path))}
    )
    assert result.success
    assert found[0] > 0
