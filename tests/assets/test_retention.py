"""Which partition keys and runs Dagster keeps, on a real instance with real runs."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill

from contimg_assets.partitions import calibration_mjd, observation_mjd, utc_day
from contimg_assets.retention import (
    OldKey,
    backfill_in_progress,
    keys_in_backfills,
    old_keys,
    old_runs,
    prune_keys,
    prune_runs,
)

OBSERVATIONS, CALIBRATIONS = str(observation_mjd.name), str(calibration_mjd.name)
OLD, NEW = ("60940.00347", "60940.00706"), "61041.00347"


@dg.asset(partitions_def=observation_mjd)
def image(context: dg.AssetExecutionContext) -> None:
    """Say a word in the run's log, and fail when that is asked for."""
    context.log.info("imaging")
    if context.run.tags.get("fail"):
        raise dg.Failure("no")


@dg.asset(partitions_def=utc_day)
def night() -> None:
    """Do nothing."""


job = dg.define_asset_job("image_job", [image])
code = dg.Definitions(assets=[image], jobs=[job])


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """An instance that keeps its databases as the platform's does."""
    where = {"base_dir": str(tmp_path)}
    overrides = {
        "telemetry": {"enabled": False},
        "storage": {
            "custom": {
                "module": "contimg_assets.storage",
                "class": "Storage",
                "config": where,
            }
        },
        "local_artifact_storage": {
            "module": "dagster.core.storage.root",
            "class": "LocalArtifactStorage",
            "config": where,
        },
        "compute_logs": {
            "module": "contimg_assets.storage",
            "class": "ComputeLogs",
            "config": where,
        },
    }
    (tmp_path / "dagster.yaml").write_text(json.dumps(overrides))
    with dg.DagsterInstance.from_config(str(tmp_path)) as made:
        made.add_dynamic_partitions(OBSERVATIONS, [*OLD, NEW, "61041."])
        made.add_dynamic_partitions(CALIBRATIONS, [OLD[0], NEW])
        yield made


def run(instance: dg.DagsterInstance, key: str, **tags: str) -> str:
    result = code.resolve_job_def("image_job").execute_in_process(
        instance=instance, partition_key=key, tags=tags, raise_on_error=False
    )
    return result.run_id


def launched(instance: dg.DagsterInstance, key: str) -> None:
    instance.add_run(
        dg.DagsterRun(
            job_name="image_job",
            status=dg.DagsterRunStatus.NOT_STARTED,
            tags={"dagster/partition": key},
        )
    )


def test_keys_before_the_window_go_and_typed_ones_that_are_none(
    instance: dg.DagsterInstance,
) -> None:
    found = old_keys(instance, before_mjd=61_000.0)
    assert found == (
        *(OldKey(OBSERVATIONS, key) for key in (*OLD, "61041.")),
        OldKey(CALIBRATIONS, OLD[0]),
    )
    assert instance.has_dynamic_partition(OBSERVATIONS, OLD[0]), "nothing is removed by looking"
    assert prune_keys(instance, found) == found
    assert instance.get_dynamic_partitions(OBSERVATIONS) == [NEW]
    assert instance.get_dynamic_partitions(CALIBRATIONS) == [NEW]


def test_a_key_of_a_run_that_is_launched_stays_also_when_it_came_meanwhile(
    instance: dg.DagsterInstance,
) -> None:
    launched(instance, OLD[0])
    found = old_keys(instance, before_mjd=61_000.0)
    assert OLD[0] not in {k.key for k in found}
    launched(instance, OLD[1])
    assert OLD[1] not in {k.key for k in prune_keys(instance, found)}
    assert set(instance.get_dynamic_partitions(OBSERVATIONS)) == {*OLD, NEW}


def end_backfill(
    instance: dg.DagsterInstance, backfill: PartitionBackfill, status: BulkActionStatus
) -> None:
    ended = backfill.with_status(status)  # type: ignore[no-untyped-call] # is Dagster's
    instance.update_backfill(ended)


def test_nothing_is_pruned_while_a_backfill_is_in_progress(instance: dg.DagsterInstance) -> None:
    backfill = PartitionBackfill(
        backfill_id="b1",
        status=BulkActionStatus.REQUESTED,
        from_failure=False,
        tags={},
        backfill_timestamp=time.time(),
        partition_names=[OLD[0]],
    )
    instance.add_backfill(backfill)
    assert old_keys(instance, before_mjd=61_000.0) == ()
    end_backfill(instance, backfill, BulkActionStatus.COMPLETED_SUCCESS)
    assert old_keys(instance, before_mjd=61_000.0) != ()


def test_a_backfill_of_days_is_in_progress_too(instance: dg.DagsterInstance) -> None:
    days = ["2026-01-01", "2026-01-02"]
    backfill = PartitionBackfill.from_asset_partitions(
        backfill_id="b3",
        asset_graph=AssetGraph.from_assets([night]),
        partition_names=days,
        asset_selection=[night.key],
        backfill_timestamp=time.time(),
        tags={},
        dynamic_partitions_store=instance,
        all_partitions=False,
        title=None,
        description=None,
        run_config=None,
    )
    instance.add_backfill(backfill)
    assert keys_in_backfills(instance) == set(days)
    for state in type(backfill.status):
        end_backfill(instance, backfill, state)
        over = state.name in {
            "COMPLETED",
            "COMPLETED_SUCCESS",
            "COMPLETED_FAILED",
            "FAILED",
            "CANCELED",
        }
        assert backfill_in_progress(instance) is not over


@pytest.mark.parametrize("chosen", [list(OLD), None])
def test_what_a_backfill_is_yet_to_start_is_known(
    instance: dg.DagsterInstance, chosen: list[str] | None
) -> None:
    backfill = PartitionBackfill.from_asset_partitions(
        backfill_id="b2",
        asset_graph=AssetGraph.from_assets([image]),
        partition_names=chosen,
        asset_selection=[image.key],
        backfill_timestamp=time.time(),
        tags={},
        dynamic_partitions_store=instance,
        all_partitions=chosen is None,
        title="images only",
        description=None,
        run_config=None,
    )
    instance.add_backfill(backfill)
    assert keys_in_backfills(instance) == frozenset(chosen or (*OLD, NEW, "61041."))
    end_backfill(instance, backfill, BulkActionStatus.CANCELED)
    assert keys_in_backfills(instance) == frozenset()


def test_what_was_materialized_is_known_again_when_its_key_comes_back(
    instance: dg.DagsterInstance,
) -> None:
    run(instance, OLD[0])
    prune_keys(instance, old_keys(instance, before_mjd=61_000.0))
    instance.add_dynamic_partitions(OBSERVATIONS, [OLD[0]])
    assert OLD[0] in instance.get_materialized_partitions(dg.AssetKey("image"))


def test_old_runs_go_with_their_files_but_for_the_last_of_each_partition(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    first, second = run(instance, OLD[0]), run(instance, OLD[0])
    failed, other = run(instance, OLD[1], fail="yes"), run(instance, OLD[1])
    running = dg.DagsterRun(job_name="image_job", status=dg.DagsterRunStatus.STARTED)
    instance.add_run(running)
    assert (tmp_path / "compute_logs" / first).is_dir()
    assert old_runs(instance, days=1.0) == ()
    time.sleep(0.01)
    found = old_runs(instance, days=0.0)
    assert set(found) == {first, failed}
    prune_runs(instance, found, tmp_path)
    left = {r.run_id for r in instance.get_runs()}
    assert left == {second, other, running.run_id}
    assert not list(tmp_path.rglob(f"{first}*"))
    assert list((tmp_path / "history" / "runs").glob(f"{second}.db"))
    assert instance.all_logs(second)
    latest = instance.get_latest_materialization_event(dg.AssetKey("image"))
    assert latest is not None
    assert latest.run_id == other
    assert old_runs(instance, days=0.0) == ()


def test_runs_of_jobs_that_run_all_the_time_go_after_a_day_but_for_the_last(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    @dg.asset
    def documents() -> None:
        pass

    defs = dg.Definitions([documents], jobs=[dg.define_asset_job("often", [documents])])
    job = defs.resolve_job_def("often")
    runs = [job.execute_in_process(instance=instance).run_id for _ in range(3)]
    other = run(instance, OLD[0])
    run(instance, OLD[0])
    assert old_runs(instance, days=90.0, frequent_jobs=["often"]) == ()
    monkeypatch.setattr("contimg_assets.retention._FREQUENT_DAYS", 0.0)
    time.sleep(0.01)
    assert set(old_runs(instance, days=90.0, frequent_jobs=["often"])) == set(runs[:2])
    assert other in old_runs(instance, days=0.0)
