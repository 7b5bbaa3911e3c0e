"""Rejected deliveries in the products store."""

from pathlib import Path

from contimg_resources.products.store import ProductsStore

INCOMING, OTHER = Path("/incoming"), Path("/other")


def told(store: ProductsStore) -> dict[tuple[Path, str], str]:
    return {(one.directory, one.name): one.reason for one in store.rejections.list()}


def test_what_is_rejected_stays_until_it_is_gone_or_taken(store: ProductsStore) -> None:
    update = store.rejections.update
    update(INCOMING, {"a.ms": "no rows", "b.ms": "no SPECTRAL_WINDOW"})
    update(OTHER, {"a.hdf5": "truncated"})
    since = {one.name: one.since_mjd for one in store.rejections.list()}
    # The next scan rejects nothing anew: what it finds as it was still holds.
    update(INCOMING, {}, standing=["a.ms", "b.ms", "never-rejected.ms"])
    update(OTHER, {"a.hdf5": "truncated"})
    assert {one.name: one.since_mjd for one in store.rejections.list()} == since
    # One became readable, the other fails in another way.
    update(INCOMING, {"b.ms": "no data"}, standing=["b.ms"])
    assert told(store) == {(INCOMING, "b.ms"): "no data", (OTHER, "a.hdf5"): "truncated"}
    update(INCOMING, {})
    update(OTHER, {})
    assert store.rejections.list() == ()


def test_names_that_a_terminal_obeys_or_a_database_refuses_are_plain(store: ProductsStore) -> None:
    store.rejections.update(INCOMING, {"x\x1b[2J\x00\udcff.ms": "bad\x07"})
    ((_, name),) = told(store)
    assert (name, told(store)[INCOMING, name]) == (r"x\x1b[2J\x00\udcff.ms", r"bad\x07")
    store.rejections.update(INCOMING, {}, standing=["x\x1b[2J\x00\udcff.ms"])
    assert len(store.rejections.list()) == 1
