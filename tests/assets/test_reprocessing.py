"""A day that is materialized launches a backfill of its observations."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from contimg_assets.definitions import build_defs
from contimg_resources.core.times import utc_day
from tests.assets.parts import parts_of
from tests.steps.conftest import MJD, Made, made

__all__ = ["made"]


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """An instance on disk: the backfill is launched by another process."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}")
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    with dg.DagsterInstance.from_config(str(home)) as kept:
        yield kept


def materialize(
    made: Made, instance: dg.DagsterInstance, day: float, **config: str
) -> dict[str, dg.MetadataValue]:
    definitions = build_defs(parts_of(made.workshop))
    result = definitions.resolve_job_def("__ASSET_JOB").execute_in_process(
        run_config={"ops": {"reprocessed_day": {"config": config}}},
        asset_selection=[dg.AssetKey("reprocessed_day")],
        partition_key=utc_day(day).isoformat(),
        instance=instance,
    )
    (event,) = result.asset_materializations_for_node("reprocessed_day")
    return dict(event.metadata)


def test_a_day_becomes_one_backfill_of_its_observations(
    made: Made, instance: dg.DagsterInstance
) -> None:
    first, second, third, next_day = made.keys
    told = materialize(made, instance, MJD)
    (backfill,) = instance.get_backfills()
    assert backfill.backfill_id in str(told["backfill"].value)
    assert told["n_observations"].value == 3
    assert backfill.asset_backfill_data is not None
    subset = backfill.asset_backfill_data.target_subset
    for asset in ("calibrated_ms", "image_5min"):
        keys = subset.get_partitions_subset(dg.AssetKey(asset)).get_partition_keys()
        assert set(keys) == {first, second, third}
    assert backfill.title == "all of 2026-01-01, observations: 3"
    assert backfill.tags == {"contimg/reprocess": backfill.title}
    assert set(instance.get_dynamic_partitions("observation_mjd")) == {first, second, third}
    assert next_day not in instance.get_dynamic_partitions("observation_mjd")


def test_only_the_images_of_what_is_stale_can_be_asked_for(
    made: Made, instance: dg.DagsterInstance
) -> None:
    made.workshop.registry.register(made.new_set("second", MJD + 0.6, before=0.5, after=0.5))
    materialize(made, instance, MJD, only="STALE", step="IMAGE_5MIN")
    (backfill,) = instance.get_backfills()
    assert backfill.asset_backfill_data is not None
    subset = backfill.asset_backfill_data.target_subset
    assert set(subset.asset_keys) == {dg.AssetKey("image_5min")}
    assert backfill.title == "stale of 2026-01-01, observations: 2"


def test_what_cannot_be_made_is_listed_and_an_empty_day_launches_nothing(
    made: Made, instance: dg.DagsterInstance
) -> None:
    made.workshop.registry.retire("first", "bad")
    told = materialize(made, instance, MJD)
    assert (told["n_observations"].value, told["n_left_out"].value) == (0, 3)
    left_out = told["left_out"]
    assert isinstance(left_out, dg.TableMetadataValue)
    assert [r.data["why"] for r in left_out.records] == ["no caltable set is valid for it"] * 3
    assert materialize(made, instance, MJD - 10)["backfill"].value == "none"
    assert instance.get_backfills() == []


def test_a_backfill_in_another_instance_is_an_error(
    made: Made, instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "dagster.yaml").write_text("telemetry: {enabled: false}")
    with dg.DagsterInstance.from_config(str(other)) as elsewhere:
        elsewhere.add_dynamic_partitions("observation_mjd", list(made.keys))
    monkeypatch.setenv("DAGSTER_HOME", str(other))
    with pytest.raises(dg.Failure, match="in another Dagster instance"):
        materialize(made, instance, MJD)
