"""Move the stores of a state directory to a database server.

Belongs here: which stores are copied, and what stays behind. Doesn't: copying rows (see
`contimg_resources.database.copying`), backups.

Dagster's history stays behind: the stores record which work is done, so nothing is made twice.
"""

from contextlib import closing
from dataclasses import dataclass

import sqlalchemy as sa

from contimg_resources.casa import Progress, no_progress
from contimg_resources.core.errors import ConfigurationError
from contimg_resources.database.copying import copy_rows
from contimg_resources.products.store import ProductsStore
from contimg_resources.registry.store import CalibrationRegistry
from contimg_resources.settings import Settings
from contimg_resources.settings.whole import file_of


@dataclass(frozen=True)
class Migrated:
    """Stores that were copied to a database server."""

    source: dict[str, str]  #: Address that each store had.
    address: str  #: Their new address, without a password.
    n_rows: dict[str, dict[str, int]]  #: Number of rows of each table of each store.


def migrate(settings: Settings, url: str, *, progress: Progress = no_progress) -> Migrated:
    """Copy registry and products store to a Postgres database, and compare every row.

    The present stores aren't changed. Stores that were copied before aren't copied again, but
    compared. Call it only while no platform runs on the state directory.

    Raises
    ------
    ConfigurationError
        If `url` isn't the address of a database server.
    ContimgError
        If a store can't be read, or the database can't be written or holds other rows; the
        store is not copied then.
    """
    if file_of(url) is not None:
        raise ConfigurationError(
            f"{url} is a file: expected a database server, such as postgresql://user@host/contimg"
        )
    # The registry first: no product names a set that the new registry doesn't hold.
    stores = {
        "registry": (CalibrationRegistry, settings.registry_address),
        "products": (ProductsStore, settings.products_address),
    }
    n_rows, source = {}, {}
    for name, (kind, present) in stores.items():
        with closing(kind(present, create=False)) as old, closing(kind(url)) as new:
            source[name] = old.address
            n_rows[name] = copy_rows(old, new, progress)
    return Migrated(source, sa.make_url(url).render_as_string(hide_password=True), n_rows)
