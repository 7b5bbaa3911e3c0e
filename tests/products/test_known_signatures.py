"""A process that asks again and again for the MS of a directory asks only for what changed."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from contimg_resources.products.model import ObservationState
from contimg_resources.products.store import ProductsStore
from contimg_resources.products.tables import observation_events, observations
from tests.products.conftest import MJD, make_observation


@contextmanager
def asked_values() -> Iterator[list[int]]:
    """Give the number of values in each statement, as far as they were executed."""
    asked: list[int] = []

    def note(*arguments: Any) -> None:
        asked.append(len(arguments[3]))

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)


def test_the_next_scan_costs_the_same_however_many_ms_are_known(
    store: ProductsStore, address: str, tmp_path: Path
) -> None:
    made = [make_observation(tmp_path / f"{i}.ms", MJD + 0.01 * i) for i in range(12)]
    paths = [str(o.path) for o in made]
    for observation in made[:2]:
        store.arrive(observation)
    store.known_signatures(paths[:2])
    with asked_values() as of_few:
        assert store.known_signatures(paths[:2]) == dict.fromkeys(paths[:2], "s1")
    for observation in made[2:]:
        store.arrive(observation)
    store.known_signatures(paths)
    # The next tick of a sensor opens the store again.
    again = ProductsStore(address)
    with asked_values() as of_many:
        assert again.known_signatures(paths) == dict.fromkeys(paths, "s1")
    assert of_many == of_few
    again.set_state(made[5].key, ObservationState.WAITING, step="arrival", reason="no set")
    with asked_values() as after_one:
        assert again.known_signatures(paths) == dict.fromkeys(paths, "s1")
    assert sum(after_one) <= sum(of_few) + 2, "one path and one constant more"
    again.close()


def test_what_others_change_is_seen(store: ProductsStore, address: str, tmp_path: Path) -> None:
    first = make_observation(tmp_path / "a.ms")
    other = make_observation(tmp_path / "b.ms", MJD + 0.01)
    a, b, c = (str(tmp_path / f"{name}.ms") for name in "abc")
    asked = (a, b, c)
    store.arrive(first)
    store.arrive(other)
    assert store.known_signatures(asked) == {a: "s1", b: "s1"}
    elsewhere = ProductsStore(address)
    elsewhere.arrive(replace(first, signature="s2"))
    assert store.known_signatures(asked) == {a: "s2", b: "s1"}
    (tmp_path / "b.ms").rename(tmp_path / "c.ms")
    elsewhere.arrive(replace(other, path=tmp_path / "c.ms"))
    assert store.known_signatures(asked) == {a: "s2", c: "s1"}
    # Another observation under the name of the first.
    elsewhere.arrive(replace(first, mid_mjd=MJD + 0.02, signature="s3"))
    assert store.known_signatures(asked) == {a: "s3", c: "s1"}
    elsewhere.close()


def test_a_restored_store_is_asked_for_everything(store: ProductsStore, tmp_path: Path) -> None:
    made = [make_observation(tmp_path / f"{i}.ms", MJD + 0.01 * i) for i in range(3)]
    paths = [str(o.path) for o in made]
    for observation in made:
        store.arrive(observation)
    assert len(store.known_signatures(paths)) == 3
    with store.write() as connection:
        for table in (observation_events, observations):
            connection.execute(sa.delete(table).where(table.c.key == made[2].key))
    assert list(store.known_signatures(paths)) == paths[:2]
    store.known_signatures(paths)
    # Another history with as many events.
    with store.write() as connection:
        connection.execute(sa.update(observations).values(signature="s0"))
        connection.execute(
            sa.update(observation_events).values(at_mjd=observation_events.c.at_mjd - 1.0)
        )
    assert store.known_signatures(paths) == dict.fromkeys(paths[:2], "s0")
    with store.write() as connection:
        connection.execute(sa.delete(observation_events))
        connection.execute(sa.delete(observations))
    assert store.known_signatures(paths) == {}
