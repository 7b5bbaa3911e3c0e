"""The products store as a Dagster resource.

Belongs here: handing out the plain object. Doesn't: anything that the object does.
"""

from dagster import ConfigurableResource, InitResourceContext
from pydantic import Field

from contimg_resources.products.store import ProductsStore


class ProductsStoreResource(ConfigurableResource[ProductsStore]):
    """Hands out a `ProductsStore`."""

    url: str = Field(description="SQLAlchemy URL of the store, or the path of a SQLite file.")

    def create_resource(self, context: InitResourceContext) -> ProductsStore:
        """Open the store; it's made when it isn't there."""
        return ProductsStore(self.url)
