"""What the check on stale products says, and when the sensor says it again."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest

from contimg_assets.staleness import build_staleness_sensor, caltables_current
from contimg_resources.settings import SensorSettings, Settings
from contimg_resources.steps import stale_days
from contimg_resources.steps.staleness import Stale
from tests.assets.parts import parts_of


class Store:
    """A store of which only the last event counts, and each changes everything."""

    def __init__(self) -> None:
        self.last = 0

    def last_event_id(self) -> int:
        return self.last

    def span(self) -> tuple[float, float]:
        return 61041.00347, 61041.00706

    def windows_changed(self, _after: int) -> list[tuple[float, float]]:
        return [(61040.5, 61042.0)]

    def days_changed(self, _after: int) -> set[int]:
        return {61041}


class Workshop:
    """What the sensor looks at."""

    def __init__(self) -> None:
        self.registry, self.products = Store(), Store()
        self.settings = Settings()


def asked() -> dict[str, Any]:
    """Return what the check asks Dagster for."""
    return {
        name: part
        for name, part in parts_of(Workshop()).items()
        if name in ("settings", "registry", "products")
    }


def stale(key: str) -> Stale:
    return Stale(key, float(key), ("image",), "3C48 v1", "3C48 v2", "3C48 v1 was retired: bad")


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[Stale]:
    found: list[Stale] = []
    monkeypatch.setattr(stale_days, "stale_observations", lambda _, **_span: tuple(found))
    return found


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def checked() -> dg.AssetCheckResult:
    result = caltables_current(**asked())
    assert isinstance(result, dg.AssetCheckResult)
    return result


def test_the_check_lists_what_is_stale_and_is_no_error(answers: list[Stale]) -> None:
    assert checked().passed
    answers += [stale("61041.00347"), stale("61041.00706")]
    result = checked()
    assert not result.passed
    assert result.severity is dg.AssetCheckSeverity.WARN
    assert result.description == (
        "2 observations have stale products, from 61041.00347 to 61041.00706; "
        "`contimg reprocess --only stale` reprocesses them"
    )
    assert result.metadata["n_stale"].value == 2
    listed = result.metadata["stale"]
    assert isinstance(listed, dg.TableMetadataValue)
    assert [r.data["observation"] for r in listed.records] == [
        "61041.00347",
        "61041.00706",
    ]


def test_the_sensor_speaks_when_something_has_changed_and_asks_only_then(
    answers: list[Stale], instance: dg.DagsterInstance
) -> None:
    workshop, sensor = Workshop(), build_staleness_sensor(SensorSettings())
    cursor: str | None = None

    def tick() -> dg.AssetCheckEvaluation | None:
        nonlocal cursor
        context = dg.build_sensor_context(
            instance=instance, cursor=cursor, resources=parts_of(workshop)
        )
        result, cursor = sensor(context), context.cursor
        if isinstance(result, dg.SkipReason):
            return None
        assert isinstance(result, dg.SensorResult)
        assert not result.run_requests
        (event,) = result.asset_events
        assert isinstance(event, dg.AssetCheckEvaluation)
        return event

    first = tick()
    assert first is not None
    assert (first.passed, first.partition) == (True, None)
    assert tick() is None
    answers.append(stale("61041.00347"))
    assert tick() is None, "it asks when a store has changed, not before"
    workshop.registry.last = 2
    told = tick()
    assert told is not None
    assert (told.passed, told.check_name) == (False, "caltables_current")
    assert "stale products: 61041.00347" in (told.description or "")
    # A page shows what was said since the latest materialization.
    instance.report_runless_asset_event(
        dg.AssetMaterialization("caltable_set", partition="61041.00706")
    )
    assert tick() is not None
    assert tick() is None
    answers.clear()
    workshop.products.last = 6
    told = tick()
    assert told is not None
    assert told.passed
