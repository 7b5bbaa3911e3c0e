"""The daily assets as Dagster runs them: a range in one run, what each page shows."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest

from contimg_assets.exports import dashboard_export
from contimg_assets.variability import (
    candidate_cards,
    cutouts,
    ese_candidates,
    light_curves,
    variability,
)
from contimg_resources.settings import Settings
from contimg_resources.simulation.light_curves import Event, Watch, steady_light_curves, with_events
from contimg_resources.steps.candidates import Searched, find_candidates
from contimg_resources.steps.workshop import Workshop
from tests.assets.parts import parts_of
from tests.steps.test_variability import SHAPE, START, put_epoch, put_light_curves


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop.from_settings(Settings(state=tmp_path / "state"))


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def run(
    assets: list[Any], workshop: Workshop, instance: dg.DagsterInstance, **asked: Any
) -> dict[str, dict[str, dict[str, Any]]]:
    """Materialize, and return the metadata by asset and partition."""
    result = dg.materialize(assets, resources=parts_of(workshop), instance=instance, **asked)
    assert result.success
    told: dict[str, dict[str, dict[str, Any]]] = {}
    for event in result.get_asset_materialization_events():
        one = event.step_materialization_data.materialization
        values = {name: value.value for name, value in one.metadata.items()}
        told.setdefault(one.asset_key.to_user_string(), {})[str(one.partition)] = values
    return told


def test_a_range_of_days_is_one_run_and_each_day_has_its_page(
    workshop: Workshop, instance: dg.DagsterInstance
) -> None:
    photometry = workshop.settings.layout.photometry
    for day in (61_100, 61_102):
        put_epoch(workshop, photometry, day + 0.4)
    put_epoch(workshop, photometry, 61_120.4)
    told = run(
        [light_curves],
        workshop,
        instance,
        tags={
            "dagster/asset_partition_range_start": "2026-03-01",
            "dagster/asset_partition_range_end": "2026-03-03",
        },
    )["light_curves"]
    assert {day: m["n_points"] for day, m in told.items()} == {
        "2026-03-01": 3,
        "2026-03-02": 0,
        "2026-03-03": 3,
        # Measured, but never asked for: brought up to date all the same.
        "2026-03-21": 3,
    }


def test_candidates_are_shown_with_their_cards(
    workshop: Workshop, instance: dg.DagsterInstance
) -> None:
    curves = steady_light_curves(40, Watch(n_days=200), np.random.default_rng(1))
    put_light_curves(workshop, with_events(curves, {7: Event(SHAPE, START + 100, 30.0, 0.4)}))
    day = {"partition_key": "2025-07-19"}
    told = run([variability, ese_candidates, cutouts], workshop, instance, **day)
    # Whoever searches or cuts writes nothing that belongs to another asset.
    root = workshop.settings.layout.candidates
    assert not root.exists()
    told |= run([candidate_cards], workshop, instance, **day)
    (candidate,) = workshop.products.events.list_candidates()
    assert [path.stem for path in root.glob("*.png")] == [candidate.id]
    reports = {path.name for path in (root / "follow_up").iterdir()}
    assert reports == {f"{candidate.id}{ending}" for ending in (".json", ".xml", ".png")}
    plane = told["variability"]["2025-07-19"]
    assert plane["n_variables"] >= 1
    assert plane["plane"].startswith("![")
    assert plane["patterns"].startswith("![")
    assert "place" in [row.data["cause"] for row in plane["systematics"].records]
    assert plane["variables"].records[0].data["source"] == curves.source_id[7]
    found = told["ese_candidates"]["2025-07-19"]
    assert (found["n_candidates"], found["n_new"]) == (1, 1)
    assert "flipped" in found["own_alarms"]
    assert candidate.parameters.threshold_check == found["own_alarms"]
    assert found["candidates"].records[0].data["state"] == "complete"
    cards = told["candidate_cards"]["2025-07-19"]
    assert (cards["n_cards"], cards["n_failed"]) == (1, 0)
    assert cards["card_1"].startswith("![ese-")
    # Its mosaics don't exist, and that is told, not fatal.
    assert told["cutouts"]["2025-07-19"]["n_failed"] == 1

    (exported,) = run([dashboard_export], workshop, instance)["dashboard_export"].values()
    assert exported["n_candidates"] == 1
    assert exported["n_sources"] == 40
    directory = workshop.settings.export_dir
    assert (directory / "index.json").is_file()
    assert (directory / "index.html").is_file(), "any web server can show it"


def test_more_false_alarms_on_the_own_curves_are_a_warning_not_a_failure(
    workshop: Workshop, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(*asked: Any, **named: Any) -> Searched:
        return replace(find_candidates(*asked, **named), warnings=("too many when shuffled",))

    def checked() -> Any:
        result = dg.materialize(
            [ese_candidates],
            resources=parts_of(workshop),
            instance=instance,
            partition_key="2025-07-19",
        )
        assert result.success
        return result.get_asset_check_evaluations()[0]

    assert checked().passed
    monkeypatch.setattr("contimg_assets.variability.find_candidates", found)
    check = checked()
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert check.description == "2025-07-19: too many when shuffled"
    assert check.partition == "2025-07-19"


def test_nothing_measured_is_no_failure(workshop: Workshop, instance: dg.DagsterInstance) -> None:
    told = run(
        [light_curves, variability, ese_candidates, cutouts, candidate_cards],
        workshop,
        instance,
        partition_key="2025-07-19",
    )
    assert told["light_curves"]["2025-07-19"]["n_points"] == 0
    assert told["variability"]["2025-07-19"]["n_sources"] == 0
    assert told["ese_candidates"]["2025-07-19"]["n_candidates"] == 0
    assert told["candidate_cards"]["2025-07-19"]["n_cards"] == 0
