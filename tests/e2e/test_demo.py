"""The demo as its user runs it, then a day at its platform: what is shown, and what is made again.

A file's tests go to one worker, so that there is one demo.
"""

import base64
import json
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
from astropy.io import fits
from astropy.stats import mad_std
from PIL import Image

import contimg_resources as contimg
from contimg_resources.casa import Casa
from contimg_resources.cli.main import run
from contimg_resources.cutouts.places import cutouts_of
from contimg_resources.demo.ngc5921 import PUBLISHED_FLUX_PT99_JY, PUBLISHED_RATIO
from contimg_resources.demo.night import DEMO_NIGHT
from contimg_resources.imaging.model import ImageFiles
from contimg_resources.photometry.measurements import read_measurements
from contimg_resources.products.events import Mark
from contimg_resources.products.model import ObservationState
from contimg_resources.registry.model import NewCaltable, NewCaltableSet
from contimg_resources.registry.store import CalibrationRegistry
from contimg_resources.settings import Settings
from contimg_resources.steps.candidates import mark_candidate
from contimg_resources.steps.cards import card_path
from contimg_resources.steps.exporting import export_dashboard
from contimg_resources.steps.workshop import Workshop
from tests.conftest import needs_browser
from tests.dashboard.conftest import go, serving
from tests.e2e.conftest import Night, Played
from tests.e2e.e2e_steps import flagged_share

GROUPS = ("arrival", "calibration", "imaging", "mosaics", "photometry", "log")
ASSETS = (
    *("incoming_ms", "caltable_set", "calibrated_ms", "image_5min", "observation_log"),
    *("mosaic_60min", "forced_photometry", "found_sources", "image_photometry", "new_sources"),
)
#: The hour that holds the night's three observations.
MOSAIC = "60954.35417+33.2"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]


@pytest.mark.parametrize("written", ["imported by CASA", "written by pyuvdata"])
def test_real_data_end_at_the_published_figures(played: Played, written: str) -> None:
    real = played.told["ngc5921"][written]
    assert real["ratio"] == pytest.approx(PUBLISHED_RATIO, rel=1e-4)
    tables = [table["type"] for table in real["active"]["set"]["tables"]]
    assert tables == ["BA", "BP", "GP", "FLUX"], "FLUX in the place of GA"
    assert not real["active"]["borrowed"]
    assert real["image_peak_jy"] == pytest.approx(real["flux_jy"], rel=5e-3)
    assert real["image_peak_pt99_jy"] == pytest.approx(PUBLISHED_FLUX_PT99_JY, rel=5e-3)
    assert real["image_rms_jy"] < 0.01 * real["image_peak_jy"]
    assert fits.getheader(real["image"]["files"]["pbcor"])["TELESCOP"] == "VLA"
    # 1445+099, J2000: 14:45:16.465 +09:58:36.07.
    statistics = real["image"]["statistics"]
    assert statistics["peak_ra_deg"] == pytest.approx(221.31860, abs=2e-3)
    assert statistics["peak_dec_deg"] == pytest.approx(9.97669, abs=2e-3)


def test_an_image_that_casa_exports_becomes_an_epoch_with_the_published_flux(
    played: Played, workshop: Workshop
) -> None:
    real, measured = played.told["ngc5921"]["imported by CASA"], played.told["image_of_casa"]
    to_pt99 = real["image_peak_pt99_jy"] / real["image_peak_jy"]
    assert measured["flux_jy"] * to_pt99 == pytest.approx(PUBLISHED_FLUX_PT99_JY, rel=5e-3)
    assert measured["error_jy"] < 0.01 * measured["flux_jy"]
    assert workshop.products.get(measured["key"]).state is ObservationState.IMAGED
    assert measured["key"] in {e.epoch for e in workshop.products.mosaics.list_epochs()}


def test_every_observation_is_imaged_once(night: Night) -> None:
    assert set(night.materializations("incoming_sub_bands")) == night.keys
    assert set(night.materializations("calibrated_ms")) == night.keys
    assert set(night.materializations("image_5min")) >= night.keys
    ours = [run for run in night.of_observations() if run.partition in night.keys]
    # An alert that the end of the demo interrupted is sent by the next platform.
    assert {run.status for run in night.of_observations() if run.partition} == {"SUCCESS"}
    assert Counter(run.job for run in ours) == {
        "make_measurement_set": 1,
        "solve_calibration": 1,
        "image_observation": 3,
    }
    assert {run.partition for run in ours if run.job == "image_observation"} == night.keys
    assert {o.state for o in night.store.list_observations()} == {ObservationState.IMAGED}


def test_an_observation_before_the_calibrator_waits_and_says_for_what(night: Night) -> None:
    history = night.store.history(night.early)
    assert [e.state.value for e in history] == ["arrived", "waiting", "calibrated", "imaged"]
    assert "no active caltable set is valid for MJD" in history[1].message
    jobs = [run.job for run in reversed(night.platform.runs())]
    assert jobs.index("solve_calibration") < jobs.index("image_observation")


def test_the_calibrator_is_solved_first_and_serves_itself_and_the_targets(night: Night) -> None:
    (solve,) = night.runs("solve_calibration")
    assert solve.partition == night.calibrator
    assert set(night.materializations("caltable_set")) == {night.calibrator}
    applied = night.materializations("calibrated_ms")
    assert {m["caltable_set"] for m in applied.values()} == {f"3C48_{night.calibrator}"}
    assert {m["caltable_version"] for m in applied.values()} == {1}
    assert applied[night.early]["caltable_age_h"] < 0 < applied[night.late]["caltable_age_h"]
    assert applied[night.calibrator]["caltable_age_h"] == pytest.approx(0.0, abs=1e-6)


def test_an_image_shows_itself_and_its_numbers(night: Night) -> None:
    images = night.materializations("image_5min")
    for metadata in (images[key] for key in night.keys):
        assert "](data:image/svg+xml," in metadata["image"]
        assert len(metadata["image"]) < 1000
        # With its axes, at a size at which they can be read.
        finer = unquote(metadata["image_finer"])
        assert 3_000 < len(metadata["image_finer"]) < 15_100
        data = finer.partition("base64,")[2].partition("'")[0]
        with Image.open(BytesIO(base64.b64decode(data))) as opened:
            assert min(opened.size) >= 400
        assert metadata["bmaj_arcsec"] >= metadata["bmin_arcsec"] > 0
    for key in (night.early, night.late):
        # The calibrator's own image is limited by its dynamic range, not by the noise.
        metadata = images[key]
        assert 0.5 < metadata["rms_mjy"] / metadata["expected_rms_mjy"] < 3.0


def test_what_dagster_shows_of_an_image_is_what_its_files_hold(night: Night) -> None:
    images = night.materializations("image_5min")
    for key in night.keys:
        metadata = images[key]
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
    night: Night, casa: Casa
) -> None:
    shown = night.materializations("caltable_set")[night.calibrator]
    registry = CalibrationRegistry(Settings(state=night.platform.state).registry_address)
    whole = registry.get(f"3C48_{night.calibrator}")
    for kind, quality in whole.quality["tables"].items():
        told = shown[f"flag_fraction_{kind.lower()}"]
        assert told == pytest.approx(quality["flagged_fraction"], abs=1e-3), kind
    for metadata in night.materializations("calibrated_ms").values():
        request = Path(metadata["ms"]), DEMO_NIGHT.dead_antennas
        counted = casa.run(flagged_share, request, label="count")
        assert metadata["flag_fraction"] == pytest.approx(counted, abs=1e-3)
        assert metadata["flag_fraction_arrived"] <= metadata["flag_fraction"]
        assert 0 <= metadata["flag_fraction_rfi"] < 0.5


def test_each_step_says_how_long_its_engine_took(night: Night) -> None:
    runs = {run.partition: run.duration_s for run in night.runs("image_observation")}
    for key in night.keys:
        steps = [night.materializations(a)[key] for a in ("calibrated_ms", "image_5min")]
        assert all(step["engine_s"] > 0 for step in steps)
        assert sum(step["engine_s"] for step in steps) < runs[key]


def test_every_check_was_made_and_only_antennas_are_at_fault(night: Night) -> None:
    image = night.checks("image_5min")
    health = image.pop("antennas")["evaluation"]
    assert (health["success"], health["severity"]) == (False, "WARN")
    (dead,) = DEMO_NIGHT.dead_antennas
    assert f"antenna {dead}: no data" in health["description"]
    assert set(image) == {*("image_rms", "beam_sane", "known_fluxes", "astrometry", "primary_beam")}
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


def test_the_hour_is_put_together_and_its_sources_are_measured(night: Night) -> None:
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
    assert set(night.materializations("image_photometry")) >= night.keys
    epochs = night.store.mosaics.list_epochs()
    assert {e.epoch for e in epochs} >= {*night.keys, MOSAIC}


def test_the_commands_tell_of_mosaics_and_light_curves(
    night: Night, capsys: pytest.CaptureFixture[str], tmp_path: Path
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


def test_a_notebook_sees_the_night(night: Night) -> None:
    with contimg.open_state(night.platform.state) as state:
        assert set(state.observations()["key"]) >= night.keys
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


def test_the_log_of_the_day_sums_it_up(night: Night) -> None:
    log = night.materializations("observation_log")["2025-10-06"]
    n = len(night.keys)
    assert (log["n_observations"], log["n_imaged"], log["n_failed"]) == (n, n, 0)
    assert log["mjd_day"] == 60954
    assert log["n_caltable_sets"] == 1
    assert log["observed_h"] == pytest.approx(n * 309.24 / 3600, rel=1e-3)


def _records(table: dict[str, Any]) -> list[dict[str, Any]]:
    return [json.loads(record) for record in table["records"]]


@needs_browser
def test_the_lineage_page_shows_the_way_of_the_night(
    open_page: Callable[..., Any], night: Night, tmp_path: Path
) -> None:
    expanded = ",".join(f"global@global:{group}" for group in GROUPS)
    page = open_page(night, f"/asset-groups?expanded={expanded}")
    for asset in ASSETS:
        page.locator("foreignObject").get_by_text(asset, exact=True).first.wait_for()
    page.wait_for_timeout(1500)
    page.screenshot(path=tmp_path / "lineage.png")


@needs_browser
def test_the_page_of_an_image_shows_the_image(
    open_page: Callable[..., Any], night: Night, tmp_path: Path
) -> None:
    page = open_page(night, f"/assets/image_5min?view=partitions&partition={night.late}")
    at_once = page.locator("img[src^='data:image/svg+xml,']").first
    at_once.wait_for()
    assert at_once.evaluate("image => image.complete && image.naturalWidth") == 320
    sharp = page.get_by_alt_text(f"observations/{night.late}")
    sharp.wait_for()
    assert sharp.evaluate("image => image.decode().then(() => image.naturalWidth)") == 500
    page.get_by_text("rms_mjy", exact=True).first.wait_for()
    page.wait_for_timeout(1000)
    page.screenshot(path=tmp_path / "image.png")
    page.get_by_text("[Show Markdown]").first.click()
    finer = page.get_by_role("dialog").locator("img[src^='data:image/svg+xml,']")
    finer.wait_for()
    assert finer.evaluate("image => image.complete && image.naturalWidth") == 720


@needs_browser
def test_the_checks_page_lists_every_check(
    open_page: Callable[..., Any], night: Night, tmp_path: Path
) -> None:
    page = open_page(night, "/assets/image_5min?view=checks")
    for check in ("image_rms", "beam_sane", "known_fluxes", "astrometry"):
        page.get_by_text(check, exact=True).first.wait_for()
    page.screenshot(path=tmp_path / "checks.png")


@needs_browser
def test_no_sign_up_window_and_no_address_beyond_this_machine(browser: Any, night: Night) -> None:
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


def test_what_was_put_into_the_season_is_found_and_nothing_else(played: Played) -> None:
    season = played.told["season"]
    first, second = season["events"]
    for found, depth_error in ((first, 0.04), (second, 0.1)):
        depth = found["candidate"]["parameters"]["depth"]
        assert abs(depth - found["event"]["depth"]) < depth_error
    assert abs(first["candidate"]["mid_mjd"] - first["event"]["mid_mjd"]) < 1
    assert first["candidate"]["state"] == "complete"
    assert second["candidate"]["state"] == "in progress"
    assert season["false_candidates"] == []
    assert season["bad_published"] == season["good_refused"] == []
    assert season["variables_found"]
    assert not season["variables_missed"]


def test_events_are_cut_out_of_every_epoch(played: Played, workshop: Workshop) -> None:
    season = played.told["season"]
    for found in season["events"]:
        cut = cutouts_of(workshop.settings.layout.cutouts, found["event"]["source_id"])
        expected = {epoch["key"] for epoch in season["truth"]["epochs"]}
        assert {c.epoch for c in cut} == expected
        assert card_path(workshop, found["candidate"]["id"]).stat().st_size > 30_000


@needs_browser
def test_the_dashboard_shows_the_season(
    played: Played, workshop: Workshop, new_page: Callable[..., Any], tmp_path: Path
) -> None:
    season = played.told["season"]
    found = [one["candidate"] for one in season["events"]]
    for candidate in found:
        mark_candidate(workshop, candidate["id"], Mark.REAL, "<b>seen</b>", "ada")
    export_dashboard(workshop)
    # A page that is open when its server ends complains.
    with serving(played.state, "--state") as address, closing(new_page()) as page:
        for name in ("tonight", "sky", "quality", "calibration", "mosaics", "observations"):
            go(page, address, name)
        plane = go(page, address, "variables").text_content()
        for source_id in season["variables_found"]:
            assert source_id in plane
        for candidate in found:
            view = go(page, address, f"candidates/{candidate['id']}")
            text = view.text_content()
            assert candidate["source_id"] in text
            assert "<b>seen</b>" in text, "a note is text"
            view.get_by_text("The card as a picture").click()
            view.locator("#finding-chart").click()
            view.locator("img").first.wait_for()
            loaded = "[...document.images].every((i) => i.complete && i.naturalWidth > 0)"
            for image in view.locator("img").all():
                image.scroll_into_view_if_needed()
            # Not `wait_for_function`, which the page's own policy forbids.
            deadline = time.monotonic() + 120
            while not page.evaluate(loaded):
                assert time.monotonic() < deadline
                time.sleep(0.05)
            page.screenshot(path=tmp_path / f"{candidate['source_id']}.png", full_page=True)
            curve = go(page, address, f"lightcurves/{candidate['source_id']}").text_content()
            assert f"{season['n_published']} measurements" in curve


@needs_browser
def test_what_became_stale_is_made_again_as_one_backfill(
    night: Night, casa: Casa, open_page: Callable[..., Any], capsys: pytest.CaptureFixture[str]
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
    assert {s["key"] for s in contimg("status", "--stale")} == night.keys - {night.calibrator}
    night.wait_for("the check", lambda: check().startswith("2 observations have stale"), 180)
    page = open_page(night, f"/runs/b/{told['backfill_id']}")
    page.get_by_text("100% completed").first.wait_for()


def test_a_set_that_is_solved_again_is_followed_by_everything_after_it(
    night: Night, capsys: pytest.CaptureFixture[str]
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
    assert night.keys - {night.calibrator} <= {c["key"] for c in told["stale"]} <= night.keys

    def versions() -> set[int]:
        made = night.materializations("image_5min")
        return {made[key]["caltable_version"] for key in night.keys}

    night.wait_for("all to be made again", lambda: versions() == {3}, 900)
    assert run(["status", "--stale", "--state", state, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
