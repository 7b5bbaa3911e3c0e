"""Mosaics and epochs in the products store: their quality measures are typed."""

import math
from dataclasses import replace

import pytest
import sqlalchemy as sa

from contimg_resources.core.errors import ProductsError
from contimg_resources.products.epochs import EpochQuality, MosaicQuality
from contimg_resources.products.store import ProductsStore
from tests.export.made_up import epoch, mosaic


def stored(store: ProductsStore, table: str, text: str) -> None:
    with store.write() as connection:
        connection.execute(sa.text(f"UPDATE {table} SET statistics = :text"), {"text": text})


def test_quality_measures_are_read_as_they_were_recorded(store: ProductsStore) -> None:
    quality = MosaicQuality(rms_mjy=0.5, rms_ratio=math.nan, n_tiles=11)
    made = store.mosaics.put(replace(mosaic(), statistics=quality))
    assert (made.statistics.rms_mjy, made.statistics.n_tiles) == (0.5, 11)
    assert math.isnan(made.statistics.rms_ratio)
    measured = replace(epoch(made), statistics=EpochQuality(n_references=7, east_arcsec=-1.5))
    assert repr(store.mosaics.put_epoch(measured).statistics) == repr(measured.statistics)


def test_records_of_earlier_releases_are_read_and_damaged_ones_are_named(
    store: ProductsStore,
) -> None:
    made = store.mosaics.put(mosaic())
    store.mosaics.put_epoch(epoch(made))
    stored(store, "mosaics", '{"rms_mjy": 0.4, "peak_jy": null, "n_tiles": 12, "other": 1}')
    stored(store, "epochs", "{}")
    read = store.mosaics.get(made.key).statistics
    assert (read.rms_mjy, read.n_tiles, math.isnan(read.peak_jy)) == (0.4, 12, True)
    (found,) = store.mosaics.list_epochs()
    assert found.statistics.n_references is None
    stored(store, "mosaics", "[1]")
    with pytest.raises(
        ProductsError, match=rf"mosaic '{made.key.replace('+', '.')}' .* is damaged"
    ):
        store.mosaics.get(made.key)
