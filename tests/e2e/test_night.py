"""A night through the real daemon: what arrives is calibrated and imaged, and nothing is lost.

What a user sees of it in the browser is here too: a file's tests go to one worker, so that there is
one night.
"""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.stats import mad_std

import contimg_resources as contimg
from contimg_resources.casa import Casa
from contimg_resources.cli.main import run
from contimg_resources.imaging.model import ImageFiles
from contimg_resources.observations.settling import content_signature
from contimg_resources.photometry.measurements import read_measurements
from contimg_resources.products.model import ObservationState
from contimg_resources.registry.model import NewCaltable, NewCaltableSet
from contimg_resources.registry.store import CalibrationRegistry
from contimg_resources.settings import Settings
from tests.e2e.conftest import MOSAIC, needs_browser
from tests.e2e.e2e_steps import flagged_share

GROUPS = ("arrival", "calibration", "imaging", "mosaics", "photometry", "log")
ASSETS = (
    *("incoming_ms", "caltable_set", "calibrated_ms", "image_5min", "observation_log"),
    *("mosaic_60min", "forced_photometry", "found_sources", "image_photometry"),
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]


def test_every_observation_is_imaged_once(night: Any) -> None:
    assert set(night.materializations("incoming_ms")) == night.keys
    assert set(night.materializations("calibrated_ms")) == night.keys
    assert set(night.materializations("image_5min")) == night.keys
    assert sorted(run.partition for run in night.runs("image_observation")) == sorted(night.keys)
    assert {run.status for run in night.of_observations()} == {"SUCCESS"}
    others = [run for run in night.of_observations() if run.job != "make_mosaic"]
    assert len(others) == 5, "one solve, three images, one log"
    assert {o.state for o in night.store.list_observations()} == {ObservationState.IMAGED}


def test_an_observation_before_the_calibrator_waits_and_says_for_what(night: Any) -> None:
    assert "no active caltable set is valid for MJD" in night.seen["reason"]
    assert night.seen["runs_without_calibration"] == []
    states = [event.state.value for event in night.store.history(night.early)]
    assert states == ["arrived", "waiting", "calibrated", "imaged"]


def test_the_calibrator_is_solved_first_and_serves_itself_and_the_targets(night: Any) -> None:
    (solve,) = night.runs("solve_calibration")
    assert solve.partition == night.calibrator
    assert set(night.materializations("caltable_set")) == {night.calibrator}
    applied = night.materializations("calibrated_ms")
    assert {m["caltable_set"] for m in applied.values()} == {f"3C48_{night.calibrator}"}
    assert {m["caltable_version"] for m in applied.values()} == {1}
    assert applied[night.early]["caltable_age_h"] < 0 < applied[night.late]["caltable_age_h"]
    assert applied[night.calibrator]["caltable_age_h"] == pytest.approx(0.0, abs=1e-6)


def test_an_image_shows_itself_and_its_numbers(night: Any) -> None:
    for metadata in night.materializations("image_5min").values():
        assert "](data:image/svg+xml," in metadata["image"]
        assert len(metadata["image"]) < 1000
        head, _, data = metadata["image_finer"].partition("base64,")
        assert head.endswith("(data:image/png;")
        assert len(metadata["image_finer"]) < 15_100
        assert base64.b64decode(data.rstrip(")")).startswith(b"\x89PNG")
        assert metadata["bmaj_arcsec"] >= metadata["bmin_arcsec"] > 0
    for key in (night.early, night.late):
        # The calibrator's own image is limited by its dynamic range, not by the noise.
        metadata = night.materializations("image_5min")[key]
        assert 0.5 < metadata["rms_mjy"] / metadata["expected_rms_mjy"] < 3.0


def test_what_dagster_shows_of_an_image_is_what_its_files_hold(night: Any) -> None:
    for key, metadata in night.materializations("image_5min").items():
        files = ImageFiles.in_directory(Path(metadata["files"]), key)
        pixels, header = fits.getdata(files.image).squeeze(), fits.getheader(files.image)
        quarter = pixels.shape[0] // 4
        inner = pixels[quarter:-quarter, quarter:-quarter]
        assert metadata["rms_mjy"] == pytest.approx(1e3 * mad_std(inner), rel=0.01)
        assert metadata["peak_jy"] == pytest.approx(pixels.max(), rel=1e-3)
        assert metadata["bmaj_arcsec"] == pytest.approx(3600 * header["BMAJ"], rel=1e-3)
        assert metadata["frequency_mhz"] == pytest.approx(header["CRVAL3"] / 1e6, rel=1e-3)
        assert (metadata["image_size_pixels"], metadata["caltable_set"]) == (
            pixels.shape[0],
            header["CALSET"],
        )


def test_what_dagster_shows_of_calibration_is_what_its_tables_and_ms_hold(
    night: Any, casa: Casa
) -> None:
    shown = night.materializations("caltable_set")[night.calibrator]
    registry = CalibrationRegistry(Settings(state=night.platform.state).registry_address)
    (whole,) = registry.list_sets()
    for kind, quality in whole.quality["tables"].items():
        told = shown[f"flag_fraction_{kind.lower()}"]
        assert told == pytest.approx(quality["flagged_fraction"], abs=1e-3), kind
    for metadata in night.materializations("calibrated_ms").values():
        counted = casa.run(flagged_share, Path(metadata["ms"]), label="count")
        assert metadata["flag_fraction"] == pytest.approx(counted, abs=1e-3)
        assert metadata["flag_fraction_arrived"] <= metadata["flag_fraction"]


def test_each_step_says_how_long_its_engine_took(night: Any) -> None:
    runs = {run.partition: run.duration_s for run in night.runs("image_observation")}
    for key in night.keys:
        steps = [night.materializations(a)[key] for a in ("calibrated_ms", "image_5min")]
        assert all(step["engine_s"] > 0 for step in steps)
        assert sum(step["engine_s"] for step in steps) < runs[key]


def test_every_check_was_made_and_none_failed(night: Any) -> None:
    image = night.checks("image_5min")
    assert set(image) == {"image_rms", "beam_sane", "known_fluxes", "astrometry"}
    solve = night.checks("caltable_set")
    assert solve.pop("caltables_current")["evaluation"]["success"]
    assert set(solve) == {"solve_quality"}
    for name, execution in {**image, **solve}.items():
        assert execution["status"] == "SUCCEEDED", name
        assert execution["evaluation"]["partition"] in night.keys
    assert (
        "known sources found, median flux ratio"
        in (image["known_fluxes"]["evaluation"]["description"])
    )


def test_the_hour_is_put_together_and_its_sources_are_measured(night: Any) -> None:
    mosaic = night.materializations("mosaic_60min")[MOSAIC]
    assert (mosaic["n_tiles"], mosaic["n_refused"]) == (3, 0)
    assert "](data:image/svg+xml," in mosaic["mosaic"]
    assert 0.7 < mosaic["rms_ratio"] < 1.5
    assert {r["observation"] for r in _records(mosaic["tiles"])} == night.keys
    for name in ("mosaic_noise", "mosaic_seams"):
        assert night.evaluations("mosaic_60min", name, MOSAIC)[0]["success"], name
    measured = night.materializations("forced_photometry")[MOSAIC]
    columns, _ = read_measurements(Path(measured["measurements"]))
    assert measured["n_measured"] == np.isfinite(columns["raw_flux_jy"]).sum() > 30
    assert measured["catalogue"].startswith("simulated@")
    assert set(night.materializations("image_photometry")) == night.keys
    epochs = night.store.mosaics.list_epochs()
    assert {e.epoch for e in epochs} >= {*night.keys, MOSAIC}


def test_the_commands_tell_of_mosaics_and_light_curves(
    night: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    state = ["--state", str(night.platform.state)]
    assert run(["mosaic", *state, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert MOSAIC in {m["key"] for m in told["mosaics"]}
    assert run(["photometry", *state, "--json"]) == 0
    (epoch,) = [e for e in json.loads(capsys.readouterr().out) if e["epoch"] == MOSAIC]
    columns, _ = read_measurements(Path(epoch["path"]))
    source = str(columns["source_id"][columns["raw_flux_jy"].argmax()])
    png = tmp_path / "curve.png"
    assert run(["lightcurve", source, "--plot", str(png), *state, "--json"]) == 0
    curve = json.loads(capsys.readouterr().out)
    assert MOSAIC in {row["epoch"] for row in curve}
    assert png.read_bytes().startswith(b"\x89PNG")
    assert run(["lightcurve", "simulated-nobody' OR 1=1 --", *state]) == 1
    assert "was never measured" in capsys.readouterr().err


def test_a_notebook_sees_the_night(night: Any) -> None:
    with contimg.open_state(night.platform.state) as state:
        assert set(state.observations()["key"]) == night.keys
        image = state.image(night.late)
        ra_deg, dec_deg = (image.header[name] for name in ("CRVAL1", "CRVAL2"))
        center = image.wcs.world_to_pixel_values(ra_deg, dec_deg)
        assert center == pytest.approx([image.pixels.shape[0] // 2] * 2, abs=1e-3)
        mosaic = state.mosaic(MOSAIC)
        assert mosaic.header["BUNIT"] == "Jy/beam"
        columns, _ = read_measurements(
            Path(night.materializations("forced_photometry")[MOSAIC]["measurements"])
        )
        brightest = np.nanargmax(columns["raw_flux_jy"])
        curve = state.light_curve(str(columns["source_id"][brightest]))
        (flux,) = curve["raw_flux_jy"][curve["epoch"] == MOSAIC]
        assert flux.to_value("Jy") == columns["raw_flux_jy"][brightest]


def test_the_incoming_observations_are_as_they_came(night: Any) -> None:
    for key in night.keys:
        record = night.store.get(key)
        assert record.path.parent == night.incoming
        assert record.signature == content_signature(record.path).digest
        left = [p.name for p in record.path.parent.iterdir() if not p.name.endswith(".ms")]
        assert left == []


def test_a_broken_delivery_stops_nobody_and_is_told(night: Any) -> None:
    log = (night.platform.logs / "dagster-daemon.log").read_text()
    assert "1 rejected" in log
    told = [line for line in log.splitlines() if "2025-10-06T07:00:00.ms" in line]
    assert any("2025-10-06T07:00:00.ms rejected: " in line for line in told)
    assert "its table.dat isn't that of a table" in told[-1]


def test_the_log_of_the_day_sums_it_up(night: Any) -> None:
    log = night.materializations("observation_log")["2025-10-06"]
    assert (log["n_observations"], log["n_imaged"], log["n_failed"]) == (3, 3, 0)
    assert log["mjd_day"] == 60954
    assert log["n_caltable_sets"] == 1
    # Each lasts a third of an observation of 24 integrations.
    assert log["observed_h"] == pytest.approx(309.24 / 3600, rel=1e-3)


def _records(table: dict[str, Any]) -> list[dict[str, Any]]:
    return [json.loads(record) for record in table["records"]]


@needs_browser
def test_the_lineage_page_shows_the_way_of_the_night(
    open_page: Callable[..., Any], night: Any, tmp_path: Path
) -> None:
    expanded = ",".join(f"global@global:{group}" for group in GROUPS)
    page = open_page(night, f"/asset-groups?expanded={expanded}")
    for asset in ASSETS:
        page.locator("foreignObject").get_by_text(asset, exact=True).first.wait_for()
    page.wait_for_timeout(1500)
    page.screenshot(path=tmp_path / "lineage.png")


@needs_browser
def test_the_page_of_an_image_shows_the_image(
    open_page: Callable[..., Any], night: Any, tmp_path: Path
) -> None:
    page = open_page(night, f"/assets/image_5min?view=partitions&partition={night.late}")
    at_once = page.locator("img[src^='data:image/svg+xml,']").first
    at_once.wait_for()
    assert at_once.evaluate("image => image.complete && image.naturalWidth") == 320
    page.get_by_text("rms_mjy", exact=True).first.wait_for()
    page.wait_for_timeout(1000)
    page.screenshot(path=tmp_path / "image.png")
    page.get_by_text("[Show Markdown]").first.click()
    finer = page.locator("img[src^='data:image/png;base64,']").first
    finer.wait_for()
    assert finer.evaluate("image => image.complete && image.naturalWidth") > 100


@needs_browser
def test_the_checks_page_lists_every_check(
    open_page: Callable[..., Any], night: Any, tmp_path: Path
) -> None:
    page = open_page(night, "/assets/image_5min?view=checks")
    for check in ("image_rms", "beam_sane", "known_fluxes", "astrometry"):
        page.get_by_text(check, exact=True).first.wait_for()
    page.screenshot(path=tmp_path / "checks.png")


@needs_browser
def test_no_sign_up_window_and_no_address_beyond_this_machine(browser: Any, night: Any) -> None:
    page = browser.new_page()
    elsewhere: list[str] = []
    page.on(
        "request",
        lambda r: (
            None
            if r.url.startswith((night.platform.address, "data:", "blob:"))
            else elsewhere.append(r.url)
        ),
    )
    page.goto(f"{night.platform.address}/asset-groups")
    page.locator("foreignObject").first.wait_for()
    assert page.get_by_text("Sign up", exact=False).count() == 0
    page.close()
    assert elsewhere == []


@needs_browser
def test_what_became_stale_is_made_again_as_one_backfill(
    night: Any, casa: Casa, open_page: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Comes last, for it changes what the others look at."""
    settings = Settings(state=night.platform.state)
    registry = CalibrationRegistry.with_casa(settings.registry_address, casa)
    old = registry.get(f"3C48_{night.calibrator}")
    registry.register(
        NewCaltableSet(
            name=old.name,
            calibrator=old.calibrator,
            refant=old.refant,
            mid_mjd=old.mid_mjd,
            start_mjd=old.mid_mjd - 0.001,
            end_mjd=old.mid_mjd + 0.001,
            declination_deg=old.declination_deg,
            layout=old.layout,
            tables=tuple(NewCaltable(t.type, t.path) for t in old.tables),
        )
    )

    def contimg(*arguments: str) -> Any:
        capsys.readouterr()
        assert run([*arguments, "--state", str(settings.state), "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    assert {s["key"] for s in contimg("status", "--stale")} == night.keys

    def check() -> str:
        said = night.checks("caltable_set")["caltables_current"].get("evaluation") or {}
        return str(said.get("description"))

    night.wait_for("the check", lambda: check().startswith("3 observations have stale"), 180)
    page = open_page(night, "/assets/caltable_set?view=checks&checkDetail=caltables_current")
    page.get_by_text("3 observations have stale products").first.wait_for()
    told = contimg("reprocess", "--only", "stale", "--from", "2025-10-06")
    left_out = {c["key"]: c["hindrance"] for c in told["observations"]}
    assert left_out.pop(night.calibrator) == ""
    assert set(left_out.values()) == {"no caltable set is valid for it"}

    def again() -> list[Any]:
        return [r for r in night.platform.runs() if r.job.startswith("__ASSET_JOB")]

    night.wait_for("the backfill", lambda: bool(again()) and all(r.over for r in again()), 900)
    (made,) = again()
    assert (made.partition, made.status) == (night.calibrator, "SUCCESS")
    assert night.materializations("image_5min")[night.calibrator]["caltable_version"] == 2
    assert {s["key"] for s in contimg("status", "--stale")} == {night.early, night.late}
    night.wait_for("the check", lambda: check().startswith("2 observations have stale"), 180)
    page = open_page(night, f"/runs/b/{told['backfill_id']}")
    page.get_by_text("100% completed").first.wait_for()


def test_a_set_that_is_solved_again_is_followed_by_everything_after_it(
    night: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """After the one before: the calibrator carries version 2, the targets version 1."""
    state = str(night.platform.state)
    again = ["reprocess", "--step", "caltable_set", "--state", state, "--json"]

    def unhindered() -> bool:
        # What is in progress is left out.
        capsys.readouterr()
        run([*again, "--dry-run"])
        told = json.loads(capsys.readouterr().out)
        return not any(c["hindrance"] for c in told["observations"])

    night.wait_for(
        "the runs before",
        lambda: all(r.over for r in night.platform.runs()) and unhindered(),
        600,
    )
    assert run(again) == 0
    told = json.loads(capsys.readouterr().out)
    assert [(c["key"], c["why"]) for c in told["observations"]] == [
        (night.calibrator, "3C48 crossed the beam")
    ]
    # The sensor may have been faster with the calibrator's own.
    assert {night.early, night.late} <= {c["key"] for c in told["stale"]} <= night.keys

    def versions() -> set[int]:
        made = night.materializations("image_5min")
        return {made[key]["caltable_version"] for key in night.keys}

    night.wait_for("all to be made again", lambda: versions() == {3}, 900)
    assert run(["status", "--stale", "--state", state, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
