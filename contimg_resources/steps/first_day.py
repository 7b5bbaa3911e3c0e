"""The first UTC day of Dagster's daily partitions.

Belongs here: the choice of that day. Doesn't: the partitions (see `contimg_assets.partitions`),
loading the definitions again (see `contimg_resources.cli.up`).
"""

from datetime import UTC, date, datetime, timedelta

from contimg_resources.core.errors import (
    ContimgError,
    ProductsError,
    StoreDamaged,
    StoreUnavailable,
)
from contimg_resources.core.times import MJD_MIN_DAYS, utc_day
from contimg_resources.products.store import ProductsStore
from contimg_resources.settings import Settings

#: A schedule asks for yesterday, and its run may wait in the queue for days.
_BEFORE_TODAY = timedelta(days=7)


def first_day(settings: Settings) -> date:
    """Return the first UTC day of the daily partitions.

    That is `first_day` of the settings, or else the day of the earliest observation or mosaic in
    the products store; a week before today if there is none, or none as early. Rows of the store
    stay, so that the day moves to earlier days only, but for that week: definitions loaded later
    have each day that may have been asked for before. From a store that can't be read now, it is
    the earliest possible day, so that any run may begin.
    """
    if settings.first_day is not None:
        return settings.first_day
    latest = datetime.now(UTC).date() - _BEFORE_TODAY
    try:
        store = ProductsStore(settings.products_address, read_only=True)
        try:
            first_mjd = store.first_mjd()
        finally:
            store.close()
    except ContimgError as error:
        unread = isinstance(error, StoreUnavailable | StoreDamaged)
        not_made = isinstance(error, ProductsError) and not unread
        return latest if not_made else utc_day(MJD_MIN_DAYS)
    return latest if first_mjd is None else min(latest, utc_day(first_mjd))
