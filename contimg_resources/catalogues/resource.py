"""Catalogues as a Dagster resource.

Belongs here: creating the store. Doesn't: its functions.
"""

from pathlib import Path

from dagster import ConfigurableResource, InitResourceContext
from pydantic import Field

from contimg_resources.catalogues.store import CatalogueStore


class CatalogueResource(ConfigurableResource[CatalogueStore]):
    """Provides a `CatalogueStore`."""

    root: str = Field(description="Directory with the catalogues.")

    def create_resource(self, context: InitResourceContext) -> CatalogueStore:
        """Return the store; its directory is created with the first catalogue."""
        return CatalogueStore(Path(self.root))
