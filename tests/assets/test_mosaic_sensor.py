"""What the mosaic sensor asks for."""

from types import SimpleNamespace

import dagster as dg
import pytest

from contimg_assets import mosaic_sensor
from contimg_assets.jobs import mosaic_job
from contimg_resources.mosaics.due import OpenMosaic
from contimg_resources.mosaics.windows import PlannedMosaic
from contimg_resources.settings import SensorSettings
from tests.assets.parts import parts_of
from tests.assets.test_sensors import requests, submit

KEY, LATER = "61041.02083+54.6", "61041.04167+54.6"


def open_mosaic(key: str, *tiles: str, waits_for: str = "") -> OpenMosaic:
    mid = float(key[:11])
    planned = PlannedMosaic(key, mid - 1 / 48, mid + 1 / 48, 54.6, tiles)
    return OpenMosaic(key, planned, {t: f"sha256:{t}" for t in tiles}, waits_for)


READY = open_mosaic(KEY, "61041.00347", "61041.00706")
WAITS = open_mosaic(LATER, "61041.02347", "61041.02706", waits_for="observations that may be late")


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """What the stores would answer; a test changes it."""
    answers: dict[str, object] = {"open": (), "shortage": ""}
    monkeypatch.setattr(mosaic_sensor, "open_mosaics", lambda *_, **__: answers["open"])
    monkeypatch.setattr(mosaic_sensor, "shortage", lambda _: answers["shortage"])
    monkeypatch.setattr(mosaic_sensor, "unwritable", lambda _: "")
    return answers


def tick(instance: dg.DagsterInstance) -> dg.SensorResult | dg.SkipReason:
    sensor = mosaic_sensor.build_mosaic_sensor(SensorSettings())
    context = dg.build_sensor_context(
        instance=instance, resources=parts_of(SimpleNamespace(settings=None))
    )
    return sensor(context)  # type: ignore[return-value]


def test_what_can_be_made_is_started_once_and_what_waits_is_told(found: dict[str, object]) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        found["open"] = (READY, WAITS)
        asked = tick(instance)
        assert isinstance(asked, dg.SensorResult)
        (request,) = asked.run_requests or ()
        assert request.partition_key == KEY
        assert request.tags["contimg/mjd_day"] == "61041"
        (added,) = asked.dynamic_partitions_requests or ()
        assert list(added.partition_keys) == [KEY]
        of_job = request._replace(job_name=mosaic_job.name)
        submit(instance, of_job, dg.DagsterRunStatus.STARTED)
        skipped = tick(instance)
        assert isinstance(skipped, dg.SkipReason)
        assert skipped.skip_message == (
            f"1 mosaics wait; {LATER} waits for observations that may be late"
        )


def test_another_image_starts_it_again_but_not_while_it_runs(found: dict[str, object]) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        found["open"] = (READY,)
        (request,) = requests(tick(instance))
        of_job = request._replace(job_name=mosaic_job.name)
        submit(instance, of_job, dg.DagsterRunStatus.STARTED)
        found["open"] = (open_mosaic(KEY, "61041.00347", "61041.00706", "61041.01064"),)
        assert isinstance(tick(instance), dg.SkipReason)
        (record,) = instance.get_run_records()
        instance.report_run_failed(record.dagster_run)
        assert len(requests(tick(instance))) == 1
        # What failed isn't tried again before it changes.
        found["open"] = (READY,)
        assert isinstance(tick(instance), dg.SkipReason)


def test_without_room_nothing_is_started(found: dict[str, object]) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        found["open"], found["shortage"] = (READY,), "2.0 GB are free"
        skipped = tick(instance)
        assert isinstance(skipped, dg.SkipReason)
        assert skipped.skip_message == "paused: 2.0 GB are free"
