"""What the assets make of a step's outcome; the steps themselves are substituted."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
from PIL import Image

from contimg_assets import (
    calibration,
    failures,
    imaging,
    measurement_sets,
    mosaics,
    new_sources,
    photometry,
    telling,
)
from contimg_assets.definitions import build_defs
from contimg_assets.descriptions import describe_measurement_set
from contimg_assets.failures import Cause, FailedStep, failed_steps
from contimg_assets.jobs import IMAGE_ASSETS
from contimg_assets.sensors import run_failures
from contimg_resources.core.errors import (
    CalibrationFailed,
    CasaCrashed,
    NoValidCaltables,
    UnreadableObservation,
)
from contimg_resources.imaging.acceptance import Verdict
from contimg_resources.observations.model import ObservationOrigin, SubBandFile
from contimg_resources.products.model import ObservationState
from contimg_resources.settings import AlertSettings, Settings
from contimg_resources.steps.converting import MeasurementSetMade
from contimg_resources.steps.photometry import Unmeasured
from tests.assets.parts import parts_of
from tests.products.conftest import make_observation

KEY = "61041.00347"
GOOD = tuple(
    Verdict(name, True, "as it should be", measures={"ratio": 1.0})
    for name in ("image_rms", "beam_sane", "known_fluxes", "astrometry")
)

GOOD_MOSAIC = tuple(
    Verdict(name, True, "as it should be") for name in ("mosaic_noise", "mosaic_seams")
)
MOSAIC, EARLIER = "61041.02083+54.6", "61040.02083+54.6"


class Steps:
    """Stands in for the steps: remembers what was asked, and fails when told to."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.failures: dict[str, list[BaseException]] = {}
        self.verdicts = GOOD
        self.health = Verdict("antennas", True, "none of 96 antennas is at fault")
        self.primary_beam = Verdict("primary_beam", True, "as the model")
        self.measured: Any = SimpleNamespace(
            record=SimpleNamespace(checksum="e"),
            verdicts=(
                Verdict("flux_scale", False, "too few references"),
                Verdict("positions", True, "as they should be"),
            ),
        )

    def _step(self, name: str, result: Any) -> Any:
        def step(_workshop: object, key: str, *, run_id: str, progress: Any) -> Any:
            self.calls.append((name, key))
            progress("half of it", 0.5)
            if self.failures.get(name):
                raise self.failures[name].pop(0)
            return result() if callable(result) else result

        return step

    def install(self, patch: pytest.MonkeyPatch) -> None:
        tables = (SimpleNamespace(checksum="sha256:aa"), SimpleNamespace(checksum="sha256:bb"))
        caltables = SimpleNamespace(tables=tables)
        solved = SimpleNamespace(set=caltables)
        calibrated = SimpleNamespace(
            active=SimpleNamespace(set=caltables), observation=SimpleNamespace(signature="1234")
        )
        ms = SimpleNamespace(
            observation=SimpleNamespace(signature="5678", notes=("a note",)),
            verdict=Verdict("matches_headers", True, "as it should be"),
        )
        patch.setattr(
            measurement_sets,
            "make_measurement_set",
            self._step("measurement_set", ms),
        )
        patch.setattr(measurement_sets, "describe_measurement_set", lambda _: {"n_rows": 9})
        patch.setattr(calibration, "solve_observation", self._step("solve", solved))
        patch.setattr(calibration, "calibrate_observation", self._step("calibrate", calibrated))
        patch.setattr(
            imaging,
            "image_observation",
            self._step(
                "image",
                lambda: SimpleNamespace(
                    checksums=("c",),
                    verdicts=self.verdicts,
                    health=self.health,
                    primary_beam=self.primary_beam,
                ),
            ),
        )
        for name in ("measure_image", "measure_mosaic"):
            patch.setattr(photometry, name, self._step(name, lambda: self.measured))
        made = SimpleNamespace(record=SimpleNamespace(checksum="d"), verdicts=GOOD_MOSAIC)
        patch.setattr(mosaics, "mosaic_observations", self._step("mosaic", made))
        patch.setattr(mosaics, "describe_mosaic", lambda _: {"n_tiles": 11})
        spectra = Verdict("spectral_indices", True, "as they should be")
        patch.setattr(
            photometry,
            "measure_sub_bands",
            self._step("measure_sub_bands", SimpleNamespace(verdict=spectra)),
        )
        listed = SimpleNamespace(
            product=SimpleNamespace(checksum="f"), verdict=Verdict("found_sources", True, "good")
        )
        patch.setattr(photometry, "find_in_mosaic", self._step("find", listed))
        again = SimpleNamespace(n_sources=82, n_measured=81, path=Path("again.parquet"))
        candidates = SimpleNamespace(words="1 new", measured={EARLIER: again})
        patch.setattr(new_sources, "find_new", self._step("find_new", candidates))
        patch.setattr(new_sources, "describe_new", lambda _: {"n_candidates": 1})
        patch.setattr(photometry, "describe_found", lambda _: {"dagster/row_count": 7})
        patch.setattr(photometry, "describe_measured", lambda *_: {"n_measured": 80})
        patch.setattr(calibration, "describe_set", lambda _: {"flag_fraction": 0.1})
        patch.setattr(calibration, "describe_calibrated", lambda _: {"caltable_age_h": 1.5})
        patch.setattr(imaging, "describe_image", lambda _: {"rms_mjy": 2.0})


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Steps:
    substitutes = Steps()
    substitutes.install(monkeypatch)
    return substitutes


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def execute(
    instance: dg.DagsterInstance, job: str, key: str = KEY, *, of_sub_bands: bool = False
) -> dg.ExecuteInProcessResult:
    """Execute a job, that of an image as the sensor requests it."""
    instance.add_dynamic_partitions("observation_mjd", [key])
    instance.add_dynamic_partitions("calibration_mjd", [key])
    instance.add_dynamic_partitions("mosaic_mjd", [key])
    alerts = AlertSettings(dashboard_url="https://example.org/contimg/")
    settings = Settings(state=Path("/nowhere"), alerts=alerts)
    definitions = build_defs(parts_of(SimpleNamespace(settings=settings)))
    return definitions.resolve_job_def(job).execute_in_process(
        partition_key=key,
        instance=instance,
        raise_on_error=False,
        asset_selection=None if job != "image_observation" or of_sub_bands else [*IMAGE_ASSETS],
    )


def failure(result: dg.ExecuteInProcessResult) -> str:
    (event,) = [e for e in result.all_events if e.is_step_failure]
    told = event.step_failure_data.user_failure_data
    assert told is not None
    return str(told.description)


def latest(instance: dg.DagsterInstance, asset: str) -> dg.AssetMaterialization:
    event = instance.get_latest_materialization_event(dg.AssetKey(asset))
    assert event is not None
    assert event.asset_materialization is not None
    return event.asset_materialization


def test_an_observation_is_calibrated_then_imaged(
    stand_in: Steps, instance: dg.DagsterInstance
) -> None:
    result = execute(instance, "image_observation")
    assert result.success
    assert stand_in.calls == [("calibrate", KEY), ("image", KEY), ("measure_image", KEY)]
    materialization = latest(instance, "image_5min")
    assert materialization.partition == KEY
    assert materialization.metadata["rms_mjy"].value == 2.0
    link = materialization.metadata["dashboard"].value
    assert link == f"https://example.org/contimg/#/observations/{KEY}"
    assert (materialization.tags or {})["dagster/data_version"]


def test_the_ms_of_sub_bands_is_made_first(stand_in: Steps, instance: dg.DagsterInstance) -> None:
    result = execute(instance, "image_observation", of_sub_bands=True)
    assert result.success
    assert [name for name, _ in stand_in.calls] == [
        *("measurement_set", "calibrate", "image", "measure_image"),
    ]
    assert latest(instance, "measurement_set").metadata["n_rows"].value == 9
    (check,) = [
        e.asset_check_evaluation_data
        for e in result.all_events
        if e.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION
        and e.asset_check_evaluation_data.check_name == "matches_headers"
    ]
    assert check.passed


def test_an_ms_that_differs_from_its_headers_fails_its_check_and_stops_the_run(
    stand_in: Steps, instance: dg.DagsterInstance
) -> None:
    differs = UnreadableObservation("it differs from the headers", check="matches_headers")
    stand_in.failures["measurement_set"] = [differs]
    result = execute(instance, "image_observation", of_sub_bands=True)
    assert failure(result) == "it differs from the headers"
    assert [name for name, _ in stand_in.calls] == ["measurement_set"]
    (check,) = [
        e.asset_check_evaluation_data
        for e in result.all_events
        if e.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION
    ]
    assert (check.check_name, check.passed) == ("matches_headers", False)


def test_the_same_caltables_and_content_give_the_same_data_version(
    stand_in: Steps, instance: dg.DagsterInstance
) -> None:
    versions = set()
    for _ in range(2):
        assert execute(instance, "image_observation").success
        tags = latest(instance, "calibrated_ms").tags or {}
        versions.add(tags["dagster/data_version"])
    assert len(versions) == 1


@pytest.mark.parametrize("key", ["../../etc", "61041.1", "61041.00347 ", "nan", "99999.00000"])
@pytest.mark.parametrize("job", ["image_observation", "solve_calibration", "make_mosaic"])
def test_a_key_that_a_user_typed_is_parsed_before_anything_is_done(
    stand_in: Steps, instance: dg.DagsterInstance, job: str, key: str
) -> None:
    result = execute(instance, job, key)
    assert not result.success
    assert stand_in.calls == []
    assert "expected" in failure(result)


def test_an_observation_without_valid_caltables_is_tried_once(
    stand_in: Steps, instance: dg.DagsterInstance
) -> None:
    sentence = "no active caltable set is valid for MJD 61041.00347; nearest before: none"
    stand_in.failures["calibrate"] = [NoValidCaltables(sentence)]
    result = execute(instance, "image_observation")
    assert failure(result) == sentence
    assert stand_in.calls == [("calibrate", KEY)]


def test_a_crash_of_casa_is_tried_again(
    stand_in: Steps, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failures, "RETRY_DELAY_S", 0)
    stand_in.failures["image"] = [CasaCrashed("the CASA process died of SIGSEGV")]
    assert execute(instance, "image_observation").success
    assert stand_in.calls[:3] == [("calibrate", KEY), ("image", KEY), ("image", KEY)]


def test_a_step_that_a_user_ends_is_not_started_again(
    stand_in: Steps, instance: dg.DagsterInstance
) -> None:
    stand_in.failures["image"] = [KeyboardInterrupt()]
    assert not execute(instance, "image_observation").success
    assert stand_in.calls == [("calibrate", KEY), ("image", KEY)]


def test_a_casa_that_crashes_every_time_fails_with_its_last_words(
    stand_in: Steps, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failures, "RETRY_DELAY_S", 0)
    stand_in.failures["image"] = [CasaCrashed("CASA died of SIGSEGV") for _ in range(3)]
    result = execute(instance, "image_observation")
    assert failure(result) == "CASA died of SIGSEGV"
    assert stand_in.calls.count(("image", KEY)) == 3


def test_a_bad_image_fails_its_run_and_its_history_says_why(
    stand_in: Steps, instance: dg.DagsterInstance
) -> None:
    words = "rms 9.0 mJy/beam, 4.5 times the 2.0 mJy/beam that the noise predicts"
    stand_in.verdicts = (Verdict("image_rms", False, words), *GOOD[1:])
    result = execute(instance, "image_observation")
    assert not result.success
    # The run's failure has the figure and the limit, and the partition's page has them on top.
    assert failure(result) == f"check image_rms failed: {words}"
    name, shown = next(iter(latest(instance, "image_5min").metadata.items()))
    assert name == "checks"
    assert str(shown.value).splitlines()[0] == f"- **FAILED**, image\\_rms: {words}"
    context = dg.build_run_status_sensor_context(
        sensor_name="run_failures",
        dagster_instance=instance,
        dagster_run=result.dagster_run,
        dagster_event=next(e for e in result.all_events if e.is_run_failure),
    ).for_run_failure()
    assert failed_steps(context) == [
        FailedStep("image_5min", f"check image_rms: {words}", Cause.ITS_OWN)
    ]

    said: list[dict[str, Any]] = []
    store = SimpleNamespace(
        get=lambda _: SimpleNamespace(
            state=ObservationState.IMAGED, origin=ObservationOrigin.MEASUREMENT_SET
        ),
        history=lambda _: [],
        set_state=lambda key, state, **rest: said.append({"key": key, "state": state, **rest}),
    )
    run_failures(context, products=store)
    (entry,) = said
    assert (entry["key"], entry["state"]) == (KEY, ObservationState.FAILED)
    assert (entry["step"], entry["reason"]) == ("image_5min", f"check image_rms: {words}")
    assert entry["run_id"] == result.run_id


def test_a_check_without_anything_to_compare_with_passes_as_a_warning(
    stand_in: Steps, instance: dg.DagsterInstance
) -> None:
    stand_in.verdicts = (
        *GOOD[:2],
        Verdict("known_fluxes", True, "not evaluated: no reference catalogue", evaluated=False),
        GOOD[3],
    )
    result = execute(instance, "image_observation")
    evaluations = {e.check_name: e for e in result.get_asset_check_evaluations()}
    assert result.success
    assert evaluations["known_fluxes"].passed
    assert evaluations["known_fluxes"].severity == dg.AssetCheckSeverity.WARN
    assert evaluations["known_fluxes"].metadata["evaluated"].value is False
    assert evaluations["image_rms"].severity == dg.AssetCheckSeverity.ERROR
    assert {e.partition for e in evaluations.values()} == {KEY}


def test_an_antenna_at_fault_is_a_warning(stand_in: Steps, instance: dg.DagsterInstance) -> None:
    stand_in.health = Verdict("antennas", False, "antenna 24: dead")
    result = execute(instance, "image_observation")
    (check,) = (e for e in result.get_asset_check_evaluations() if e.check_name == "antennas")
    assert result.success
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)


def test_a_bad_solve_shows_as_a_failed_check_and_gives_no_set(
    stand_in: Steps, instance: dg.DagsterInstance
) -> None:
    sentence = "the solve of a.ms on 3C48 is not good: BA: median SNR 4.1, 10 is asked for"
    stand_in.failures["solve"] = [CalibrationFailed(sentence)]
    result = execute(instance, "solve_calibration")
    assert failure(result) == sentence
    (evaluation,) = result.get_asset_check_evaluations()
    assert (evaluation.check_name, evaluation.passed) == ("solve_quality", False)
    assert evaluation.description == sentence
    assert instance.get_latest_materialization_event(dg.AssetKey("caltable_set")) is None


def test_a_mistake_in_our_own_code_is_not_tried_again(
    stand_in: Steps, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imaging, "describe_image", lambda _: 1 / 0)
    result = execute(instance, "image_observation")
    assert failure(result) == "ZeroDivisionError: division by zero"
    assert stand_in.calls == [("calibrate", KEY), ("image", KEY)]


def test_checks_are_short_enough_to_be_shown_at_once_and_cannot_write_markdown() -> None:
    long = [
        Verdict(f"c{i}", i != 7, "![x](http://evil.example/) <b>" + "y" * 150) for i in range(9)
    ]
    shown = telling.checks_on_top(long)["checks"].value
    assert shown is not None
    assert len(shown) < 1000
    lines = shown.splitlines()
    assert lines[0].startswith("- **FAILED**, c7: !\\[x\\](http://evil.example/) \\<b\\>")
    assert lines[-1] == f"- and {10 - len(lines)} more checks"


def test_a_picture_is_shown_at_once_and_a_finer_one_on_a_click(tmp_path: Path) -> None:
    small = tmp_path / "small.png"
    Image.effect_noise((64, 64), 60).save(small)
    at_once = telling.preview(small, KEY).value
    assert at_once.startswith(f"![{KEY}](data:image/svg+xml,")
    assert len(at_once) < 1000
    finer = telling.drawing(small, KEY).value
    assert finer.startswith(f"![{KEY}](data:image/svg+xml,")
    assert len(at_once) < len(finer) < 15_100


def test_a_mosaic_is_made_and_measured_and_a_bad_epoch_is_told_but_kept(
    stand_in: Steps, instance: dg.DagsterInstance
) -> None:
    result = execute(instance, "make_mosaic", MOSAIC)
    assert result.success
    assert stand_in.calls[0] == ("mosaic", MOSAIC)
    assert stand_in.calls[-1] == ("find_new", MOSAIC)
    assert sorted(stand_in.calls[1:-1]) == [
        ("find", MOSAIC),
        ("measure_mosaic", MOSAIC),
        ("measure_sub_bands", MOSAIC),
    ]
    assert latest(instance, "found_sources").metadata["dagster/row_count"].value == 7
    assert latest(instance, "new_sources").metadata["n_candidates"].value == 1
    # That of an earlier mosaic, whose measurements gained a row, came last.
    assert latest(instance, "forced_photometry").metadata["n_measured"].value == 81
    (own,) = instance.fetch_materializations(
        dg.AssetRecordsFilter(dg.AssetKey("forced_photometry"), asset_partitions=[MOSAIC]), limit=9
    ).records
    assert own.asset_materialization is not None
    assert own.asset_materialization.metadata["n_measured"].value == 80
    said = {e.check_name: e.passed for e in result.get_asset_check_evaluations()}
    assert said == {
        "mosaic_noise": True,
        "mosaic_seams": True,
        "flux_scale": False,
        "positions": True,
        "spectral_indices": True,
        "found_sources": True,
    }


def test_without_a_catalogue_nothing_is_measured_and_nothing_fails(
    stand_in: Steps, instance: dg.DagsterInstance
) -> None:
    stand_in.measured = Unmeasured("the settings name no catalogue")
    result = execute(instance, "make_mosaic", MOSAIC)
    assert result.success
    said = [e for e in result.get_asset_check_evaluations() if e.check_name == "flux_scale"]
    assert "the settings name no catalogue" in (said[0].description or "")
    assert ("measure_sub_bands", MOSAIC) not in stand_in.calls
    assert instance.get_latest_materialization_event(dg.AssetKey("forced_photometry")) is None
    assert instance.get_latest_materialization_event(dg.AssetKey("mosaic_60min")) is not None


def test_an_observation_that_needs_no_ms_shows_no_path_of_one(tmp_path: Path) -> None:
    files = tuple(SubBandFile(n, tmp_path / f"sb{n:02d}.hdf5", 1, 1) for n in range(16))
    arrived = make_observation(tmp_path / "a.ms")
    direct = make_observation(tmp_path / "b.ms", sub_bands=files)
    verdict = Verdict("matches_headers", True, "nothing to compare", evaluated=False)
    shown = [
        describe_measurement_set(MeasurementSetMade(observation, None, None, verdict))
        for observation in (arrived, direct)
    ]
    assert [s["origin"] for s in shown] == [
        "arrived as an MS",
        "no MS: sub-bands calibrated directly",
    ]
    assert shown[0]["path"] == dg.MetadataValue.path(arrived.path)
    assert "path" not in shown[1]
