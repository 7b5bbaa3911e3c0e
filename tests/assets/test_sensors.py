"""What the sensors ask for, given what arrived, what is valid and what was started before."""

import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import pytest

from contimg_assets import runs, sensors
from contimg_assets.arrivals import Untold, sub_band_cursor
from contimg_assets.jobs import convert_job, image_job, solve_job
from contimg_resources.core.errors import ConfigurationError
from contimg_resources.observations.scanning import PassedOver
from contimg_resources.settings import SensorSettings
from contimg_resources.steps.starting import Open
from contimg_resources.steps.watching import RejectedDelivery, ScanCursor, ScanResult
from contimg_resources.steps.watching_sub_bands import SubBandCursor, SubBandScanResult
from tests.assets.parts import parts_of

TARGET = Open("61041.00347", "aaaa", is_calibrator=False, caltables="3C286_61041.v1", waits=False)
WAITING = Open("61041.00706", "bbbb", is_calibrator=False, caltables=None, waits=True)
CALIBRATOR = Open("61041.01064", "cccc", is_calibrator=True, caltables=None, waits=True)

NOTHING_NEW = ScanResult(
    (), (), 0, n_known=2, growing={}, n_left=0, passed_over=(), memory=ScanCursor()
)


WORKSHOP = SimpleNamespace(settings=None)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


@pytest.fixture
def night(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """What the stores would answer; a test changes it."""
    answers: dict[str, object] = {
        "look": NOTHING_NEW,
        "sub_bands": SubBandScanResult(),
        "open": (),
        "shortage": "",
        "unwritable": "",
    }
    monkeypatch.setattr(sensors, "scan_directory", lambda *_, **__: answers["look"])
    monkeypatch.setattr(sensors, "scan_uvh5_directory", lambda *_, **__: answers["sub_bands"])
    monkeypatch.setattr(sensors, "open_observations", lambda _: answers["open"])
    monkeypatch.setattr(sensors, "shortage", lambda _: answers["shortage"])
    monkeypatch.setattr(sensors, "unwritable", lambda _: answers["unwritable"])
    monkeypatch.setattr(sensors, "untold_arrivals", lambda *_: Untold((), (), None))
    return answers


def tick(
    sensor: dg.SensorDefinition, instance: dg.DagsterInstance
) -> tuple[dg.SensorResult | dg.SkipReason, str | None]:
    context = dg.build_sensor_context(instance=instance, resources=parts_of(WORKSHOP))
    return sensor(context), context.cursor  # type: ignore[return-value]


def observation_tick(instance: dg.DagsterInstance, **pace: int) -> dg.SensorResult | dg.SkipReason:
    return tick(sensors.build_observation_sensor(SensorSettings(**pace)), instance)[0]


def waiting_tick(instance: dg.DagsterInstance) -> dg.SensorResult | dg.SkipReason:
    return tick(sensors.build_waiting_sensor(SensorSettings()), instance)[0]


def submit(
    instance: dg.DagsterInstance, request: dg.RunRequest, status: dg.DagsterRunStatus
) -> None:
    """Do what the daemon does with a request."""
    instance.add_run(
        dg.DagsterRun(
            job_name=request.job_name or "",
            run_id=str(uuid.uuid4()),
            status=status,
            tags={
                "dagster/run_key": request.run_key or "",
                "dagster/partition": request.partition_key or "",
            },
        )
    )


def requests(result: dg.SensorResult | dg.SkipReason) -> Sequence[dg.RunRequest]:
    assert isinstance(result, dg.SensorResult)
    return result.run_requests or ()


def keys(result: dg.SensorResult | dg.SkipReason) -> dict[str, list[str]]:
    jobs: dict[str, list[str]] = {}
    for request in requests(result):
        jobs.setdefault(str(request.job_name), []).append(str(request.partition_key))
    return jobs


def test_a_tick_without_work_says_what_it_saw(
    night: dict[str, object], instance: dg.DagsterInstance
) -> None:
    night["look"] = ScanResult(
        (),
        (),
        n_aside=0,
        n_known=9,
        growing={"2026-01-01T00:05": "it holds no files yet"},
        n_left=2,
        passed_over=(
            *(PassedOver(f"{n}_cal.ms", "intermediates", "is no observation") for n in range(6)),
            PassedOver("night.uvh5", "UVH5", "is of sub-bands"),
        ),
        memory=ScanCursor(reasons={"bad.ms": "it has no rows"}),
    )
    night["open"] = (WAITING,)
    result = observation_tick(instance)
    assert isinstance(result, dg.SkipReason)
    assert result.skip_message == (
        "12 MS: 1 still growing, 2 left for the next scan, 9 known "
        "(ignored: 6 intermediates, 1 UVH5); "
        "1 wait for calibration; bad.ms rejected: it has no rows; 0_cal.ms is no observation; "
        "1_cal.ms is no observation; 2_cal.ms is no observation; 3_cal.ms is no observation; "
        "4_cal.ms is no observation; night.uvh5 is of sub-bands; 1 more intermediates"
    )


def test_an_observation_with_valid_caltables_is_imaged(
    night: dict[str, object], instance: dg.DagsterInstance
) -> None:
    night["open"] = (TARGET, WAITING)
    result = observation_tick(instance)
    assert keys(result) == {image_job.name: [TARGET.key]}
    assert isinstance(result, dg.SensorResult)
    request = requests(result)[0]
    assert request.tags["contimg/mjd_day"] == "61041"
    added = result.dynamic_partitions_requests or ()
    assert [r.partition_keys for r in added] == [[TARGET.key]]


def test_a_calibrator_goes_first_and_is_imaged_after_its_own_solve(
    night: dict[str, object], instance: dg.DagsterInstance
) -> None:
    with_an_older_set = Open("61041.01064", "cccc", True, "3C286_61040.v1", waits=False)
    night["open"] = (TARGET, with_an_older_set)
    result = observation_tick(instance)
    assert keys(result) == {solve_job.name: [CALIBRATOR.key], image_job.name: [TARGET.key]}
    solve, image = requests(result)
    assert int(solve.tags["dagster/priority"]) > int(image.tags["dagster/priority"])

    submit(instance, solve, dg.DagsterRunStatus.STARTED)
    submit(instance, image, dg.DagsterRunStatus.SUCCESS)
    assert isinstance(observation_tick(instance), dg.SkipReason)

    submit(instance, solve, dg.DagsterRunStatus.FAILURE)
    assert keys(waiting_tick(instance)) == {image_job.name: [CALIBRATOR.key]}


def test_the_ms_of_a_calibrator_is_made_before_its_solve_and_of_a_target_with_its_image(
    night: dict[str, object], instance: dg.DagsterInstance
) -> None:
    calibrator = Open("61041.01064", "cccc", True, "3C286_61040.v1", waits=False, needs_ms=True)
    target = replace(TARGET, needs_ms=True)
    night["open"] = (target, calibrator)
    result = observation_tick(instance)
    assert keys(result) == {convert_job.name: [calibrator.key], image_job.name: [target.key]}
    convert, image = requests(result)
    assert image.asset_selection is None
    assert isinstance(result, dg.SensorResult)
    (added,) = result.dynamic_partitions_requests or ()
    assert set(added.partition_keys) == {calibrator.key, target.key}
    submit(instance, convert, dg.DagsterRunStatus.SUCCESS)
    submit(instance, image, dg.DagsterRunStatus.SUCCESS)
    # Its MS is there.
    night["open"] = (replace(calibrator, needs_ms=False),)
    assert keys(observation_tick(instance)) == {solve_job.name: [calibrator.key]}


def test_an_ms_that_arrived_is_not_made(
    night: dict[str, object], instance: dg.DagsterInstance
) -> None:
    night["open"] = (TARGET,)
    (image,) = requests(observation_tick(instance))
    assert {key.to_user_string() for key in image.asset_selection or ()} == {
        "calibrated_ms",
        "image_5min",
        "image_photometry",
    }


def test_sub_bands_that_cannot_be_listed_do_not_stop_the_ms(
    night: dict[str, object], instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ConfigurationError("the directory /mnt/correlator can't be listed")

    monkeypatch.setattr(sensors, "scan_uvh5_directory", refuse)
    night["open"] = (TARGET,)
    assert keys(observation_tick(instance)) == {image_job.name: [TARGET.key]}


def test_the_state_of_the_scan_for_sub_bands_travels_in_the_cursor(
    night: dict[str, object], instance: dg.DagsterInstance
) -> None:
    memory = SubBandCursor({"a.hdf5": "12345678"}, {TARGET.key: "aaaa"}, {TARGET.key: "no"})
    night["sub_bands"] = SubBandScanResult(
        waiting={"2026-01-01T00:05:00": "has 14 of 16 sub-bands"}, memory=memory
    )
    result, cursor = tick(sensors.build_observation_sensor(SensorSettings()), instance)
    assert isinstance(result, dg.SkipReason)
    assert "sub-bands: 1 waiting" in str(result.skip_message)
    assert "2026-01-01T00:05:00 has 14 of 16 sub-bands" in str(result.skip_message)
    assert sub_band_cursor(cursor) == memory
    for broken in (None, "", "[]", '{"uvh5": 3}', '{"uvh5": {"reported": []}}', "[" * 100_000):
        assert sub_band_cursor(broken) == SubBandCursor()


@pytest.mark.parametrize(
    ("is_calibrator", "states"),
    [
        (False, (False, False)),
        (False, (True, True)),
        (True, (False, False)),
        (True, (False, True)),
        (True, (True, True)),
    ],
)
def test_two_sensors_that_evaluate_at_once_start_an_observation_once(
    night: dict[str, object],
    instance: dg.DagsterInstance,
    is_calibrator: bool,
    states: tuple[bool, bool],
) -> None:
    """Neither sees yet what the other requests, and a calibrator's state changes in between."""
    solve = dg.RunRequest(run_key="solve:61041.01064:cccc", job_name=solve_job.name)
    submit(instance, solve, dg.DagsterRunStatus.SUCCESS)
    requested = []
    for tick, waits in zip((observation_tick, waiting_tick), states, strict=True):
        night["open"] = (Open("61041.01064", "cccc", is_calibrator, "3C286_61041.v1", waits=waits),)
        result = tick(instance)
        if isinstance(result, dg.SensorResult):
            requested += [r for r in requests(result) if r.job_name == image_job.name]
    assert len(requested) == 1


def test_a_calibrator_that_was_interrupted_after_its_solve_is_not_solved_again(
    night: dict[str, object], instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Open("61041.01064", "cccc", True, "3C286_61040.v1", waits=False)
    night["open"] = (before,)
    (solve,) = requests(observation_tick(instance))
    submit(instance, solve, dg.DagsterRunStatus.SUCCESS)
    later = SimpleNamespace(time=lambda: time.time() + 3600)
    monkeypatch.setattr(runs, "time", later)
    assert solve_job.name in keys(observation_tick(instance)), "it made no set"
    after = Open(before.key, before.signature, True, f"3C286_{before.key}.v1", waits=False)
    night["open"] = (after,)
    assert keys(waiting_tick(instance)) == {image_job.name: [before.key]}


def test_a_waiting_observation_starts_when_a_set_becomes_valid(
    night: dict[str, object], instance: dg.DagsterInstance
) -> None:
    night["open"] = (WAITING, CALIBRATOR)
    skipped = waiting_tick(instance)
    assert isinstance(skipped, dg.SkipReason)
    assert skipped.skip_message == "2 observations wait, 2 of them without valid caltables"

    submit(instance, requests(observation_tick(instance))[0], dg.DagsterRunStatus.SUCCESS)
    night["open"] = tuple(
        Open(o.key, o.signature, o.is_calibrator, "3C286_61041.v1", waits=True)
        for o in (WAITING, CALIBRATOR)
    )
    assert keys(waiting_tick(instance)) == {image_job.name: [WAITING.key, CALIBRATOR.key]}


def test_nothing_is_started_twice_while_it_runs_though_a_nearer_set_appears(
    night: dict[str, object], instance: dg.DagsterInstance
) -> None:
    night["open"] = (TARGET,)
    submit(instance, requests(observation_tick(instance))[0], dg.DagsterRunStatus.STARTED)
    nearer = Open(TARGET.key, TARGET.signature, False, "3C286_61041.v2", waits=False)
    night["open"] = (nearer,)
    assert isinstance(observation_tick(instance), dg.SkipReason)


def test_no_tick_starts_more_runs_than_it_may_and_the_rest_come_next(
    night: dict[str, object], instance: dg.DagsterInstance
) -> None:
    opened = tuple(
        Open(f"61041.{n:05d}", "s", False, "3C286_61041.v1", waits=False) for n in range(5)
    )
    night["open"] = opened
    started: list[str] = []
    for _ in range(3):
        result = observation_tick(instance, max_runs_per_tick=2)
        started += keys(result)[image_job.name]
        for request in requests(result):
            submit(instance, request, dg.DagsterRunStatus.STARTED)
    assert started == [o.key for o in opened]


def test_a_redelivered_observation_is_started_anew(
    night: dict[str, object], instance: dg.DagsterInstance
) -> None:
    night["open"] = (TARGET,)
    submit(instance, requests(observation_tick(instance))[0], dg.DagsterRunStatus.SUCCESS)
    assert isinstance(observation_tick(instance), dg.SkipReason)
    night["open"] = (Open(TARGET.key, "another content", False, TARGET.caltables, False),)
    assert keys(observation_tick(instance)) == {image_job.name: [TARGET.key]}


def test_an_unreadable_observation_does_not_stop_the_others(
    night: dict[str, object], instance: dg.DagsterInstance
) -> None:
    night["look"] = ScanResult(
        (),
        (RejectedDelivery(Path("/in/bad.ms"), "/in/bad.ms holds no rows"),),
        0,
        0,
        {},
        0,
        (),
        ScanCursor(),
    )
    night["open"] = (TARGET,)
    assert keys(observation_tick(instance)) == {image_job.name: [TARGET.key]}


def test_while_a_directory_cannot_be_written_to_nothing_starts(
    night: dict[str, object], instance: dg.DagsterInstance
) -> None:
    night["open"] = (TARGET, CALIBRATOR)
    night["unwritable"] = "/state/images can't be written to"
    for tick in (observation_tick(instance), waiting_tick(instance)):
        assert isinstance(tick, dg.SkipReason)
        assert (tick.skip_message or "").startswith("paused: /state/images can't be written to")
    night["unwritable"] = ""
    assert keys(observation_tick(instance)) == {
        image_job.name: [TARGET.key],
        solve_job.name: [CALIBRATOR.key],
    }


def test_without_room_on_the_disk_only_housekeeping_starts_and_that_once_an_hour(
    night: dict[str, object], instance: dg.DagsterInstance
) -> None:
    night["open"] = (TARGET, CALIBRATOR)
    night["shortage"] = "only 1.2 GB are free"
    result = observation_tick(instance)
    assert isinstance(result, dg.SensorResult)
    (request,) = result.run_requests or ()
    assert (request.job_name, request.partition_key) == ("housekeeping", None)
    assert not result.dynamic_partitions_requests
    submit(instance, request, dg.DagsterRunStatus.SUCCESS)
    again = observation_tick(instance)
    assert isinstance(again, dg.SkipReason)
    assert (again.skip_message or "").startswith("paused: only 1.2 GB are free; ")
    waiting = waiting_tick(instance)
    assert isinstance(waiting, dg.SkipReason)
    assert waiting.skip_message == "paused: only 1.2 GB are free"
    night["shortage"] = ""
    assert keys(observation_tick(instance)) == {
        image_job.name: [TARGET.key],
        solve_job.name: [CALIBRATOR.key],
    }
