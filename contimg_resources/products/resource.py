"""The products store as a Dagster resource.

Belongs here: providing the plain object. Doesn't: its functions.
"""

from dagster import ConfigurableResource, InitResourceContext
from pydantic import Field

from contimg_resources.products.store import ProductsStore


class ProductsStoreResource(ConfigurableResource[ProductsStore]):
    """Provides a `ProductsStore`."""

    url: str = Field(description="SQLAlchemy URL of the store, or the path of a SQLite file.")

    def create_resource(self, context: InitResourceContext) -> ProductsStore:
        """Open the store; a missing store is made."""
        return ProductsStore(self.url)
