"""The first of the daily partitions."""

from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from contimg_resources.core.times import utc_day
from contimg_resources.products.store import ProductsStore
from contimg_resources.settings import Settings
from contimg_resources.steps.first_day import first_day
from tests.export.made_up import mosaic
from tests.products.conftest import make_observation


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state=tmp_path, first_day=None)


def a_week_ago() -> date:
    return datetime.now(UTC).date() - timedelta(days=7)


def test_without_data_it_is_a_week_ago(settings: Settings) -> None:
    earliest = a_week_ago()
    assert earliest <= first_day(settings) <= a_week_ago()
    # Nothing is made by asking.
    assert list(settings.state.iterdir()) == []
    ProductsStore(settings.products_address).close()
    assert earliest <= first_day(settings) <= a_week_ago()


def test_it_is_the_day_of_the_earliest_data(settings: Settings) -> None:
    with closing(ProductsStore(settings.products_address)) as store:
        for mid_mjd in (60_720.1, 60_714.9, 60_719.0):
            store.arrive(make_observation(settings.state / f"{mid_mjd}.ms", mid_mjd))
        assert first_day(settings) == utc_day(60_714.0)
        # An old image, added long after.
        store.arrive(make_observation(settings.state / "ngc5921.ms", 49_820.4))
        assert first_day(settings) == date(1995, 4, 13)
        store.mosaics.put(replace(mosaic(), mid_mjd=49_819.4))
        assert first_day(settings) == date(1995, 4, 12)
    chosen = settings.model_copy(update={"first_day": date(2024, 2, 29)})
    assert first_day(chosen) == date(2024, 2, 29)


def test_a_store_that_can_not_be_read_hinders_no_run(settings: Settings) -> None:
    (settings.state / "products.sqlite3").write_text("no database")
    assert first_day(settings) == date(1960, 1, 1)
