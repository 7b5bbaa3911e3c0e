"""Dagster learns of every observation that arrived, also when a tick was killed in the middle."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest

from contimg_assets.arrivals import WINDOW, Untold, untold_arrivals, with_last
from contimg_resources.products.model import ArrivalOutcome, ObservationState
from contimg_resources.products.store import ProductsStore
from contimg_resources.steps.watching import ScanCursor
from tests.products.conftest import make_observation

MJD = 61041.1


@pytest.fixture
def workshop(tmp_path: Path) -> Any:
    return SimpleNamespace(
        products=ProductsStore(str(tmp_path / "products.sqlite3")), incoming=tmp_path
    )


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def arrive(workshop: Any, number: int, **changed: Any) -> str:
    found = make_observation(workshop.incoming / f"{number}.ms", MJD + number / 100, **changed)
    return str(workshop.products.arrive(found).record.key)


def tick(
    workshop: Any, instance: dg.DagsterInstance, cursor: str | None, *, killed: bool = False
) -> tuple[list[str], str | None]:
    """Do what the daemon does with a tick; one that is killed tells nothing and keeps no cursor."""
    untold = untold_arrivals(workshop, instance, cursor)
    keys = [a.observation.key for a in untold.arrivals]
    if killed:
        return keys, cursor
    for key in keys:
        instance.report_runless_asset_event(dg.AssetMaterialization("incoming_ms", partition=key))
    return keys, with_last(ScanCursor().to_text(), untold)


def test_what_arrived_in_a_tick_that_was_killed_is_told_by_the_next(
    workshop: Any, instance: dg.DagsterInstance
) -> None:
    first = arrive(workshop, 1)
    told, cursor = tick(workshop, instance, None)
    assert told == [first]
    second, third = arrive(workshop, 2), arrive(workshop, 3)
    workshop.products.set_state(second, ObservationState.WAITING, step="arrival", reason="no set")
    assert tick(workshop, instance, cursor, killed=True)[0] == [second, third]
    told, cursor = tick(workshop, instance, cursor)
    assert told == [second, third]
    assert tick(workshop, instance, cursor)[0] == []


def test_what_dagster_knows_already_is_not_told_twice_when_the_cursor_is_lost(
    workshop: Any, instance: dg.DagsterInstance
) -> None:
    keys = [arrive(workshop, number) for number in range(3)]
    assert tick(workshop, instance, None)[0] == keys
    assert tick(workshop, instance, None)[0] == []
    for broken in ("", "no JSON", "[]", '{"told": "7"}'):
        assert tick(workshop, instance, broken)[0] == []


def test_an_ms_that_was_replaced_is_told_again_and_a_second_delivery_is_not(
    workshop: Any, instance: dg.DagsterInstance
) -> None:
    key = arrive(workshop, 1)
    _, cursor = tick(workshop, instance, None)
    arrive(workshop, 1, signature="another content")
    untold = untold_arrivals(workshop, instance, cursor)
    assert [(a.observation.key, a.outcome) for a in untold.arrivals] == [
        (key, ArrivalOutcome.REPLACED)
    ]
    told, cursor = tick(workshop, instance, cursor)
    assert told == [key]
    assert tick(workshop, instance, cursor)[0] == []


def test_an_observation_that_can_not_be_read_back_stops_no_other(
    workshop: Any, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = arrive(workshop, 1), arrive(workshop, 2)
    from contimg_resources.core.errors import ProductsError

    read = workshop.products.observation

    def observation(key: str) -> Any:
        if key == bad:
            raise ProductsError(f"observation {key} was recorded by another contimg")
        return read(key)

    monkeypatch.setattr(workshop.products, "observation", observation)
    untold = untold_arrivals(workshop, instance, None)
    assert [a.observation.key for a in untold.arrivals] == [good]
    assert untold.errors == (f"observation {bad} was recorded by another contimg",)


def test_a_tick_looks_at_a_bounded_number_of_arrivals_of_a_long_season(
    workshop: Any, instance: dg.DagsterInstance
) -> None:
    import sqlalchemy as sa

    from contimg_resources.products.tables import observation_events

    key = arrive(workshop, 1)
    events = [
        {"key": key, "at_mjd": MJD, "state": "arrived", "step": "arrival",
         "message": f"arrived as /data/{n}.ms", "run_id": ""}
        for n in range(2000)
    ]  # fmt: skip
    with workshop.products.write() as connection:
        connection.execute(sa.insert(observation_events), events)
    assert len(workshop.products.arrivals_after(None, limit=WINDOW)) == WINDOW
    last = workshop.products.arrivals_after(None, limit=1)[0].id
    assert last == 2001
    assert [e.id for e in workshop.products.arrivals_after(last - 1, limit=WINDOW)] == [last]
    cursor = with_last(ScanCursor().to_text(), Untold((), (), last))
    assert untold_arrivals(workshop, instance, cursor) == Untold((), (), last)
