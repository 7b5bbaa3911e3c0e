"""Catalogues as a Dagster resource.

Belongs here: handing out the plain object. Doesn't: anything that the object does.
"""

from pathlib import Path

from dagster import ConfigurableResource, InitResourceContext
from pydantic import Field

from contimg_resources.catalogues.store import CatalogueStore


class CatalogueResource(ConfigurableResource[CatalogueStore]):
    """Hands out a `CatalogueStore`."""

    root: str = Field(description="Directory with the catalogues.")

    def create_resource(self, context: InitResourceContext) -> CatalogueStore:
        """Return the store; its directory is made when something is put into it."""
        return CatalogueStore(Path(self.root))
