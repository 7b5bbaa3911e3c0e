"""What goes wrong, through the real daemon: it is told, it leaves nothing, and others go on."""

import csv
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from contimg_resources.casa import Casa
from contimg_resources.cli.platform import Platform
from contimg_resources.products.model import ObservationState
from contimg_resources.products.store import ProductsStore
from contimg_resources.settings import Settings
from contimg_resources.simulation.truth import Truth
from contimg_resources.steps import Workshop, arrive, solve_observation
from tests.conftest import TinyNight
from tests.e2e.conftest import ENVIRONMENT, Night, needs_browser
from tests.e2e.e2e_steps import flag_most

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def mishaps(
    casa: Casa, tiny_night: TinyNight, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Night]:
    """A night with a set already there, in which three things go wrong.

    One target is mostly flagged, the list of known sources is wrong for the other, and somebody
    terminates the solve of the calibrator while CASA is at work.
    """
    root = tmp_path_factory.mktemp("mishaps")
    known = root / "known.csv"
    _write_wrong_fluxes(known, tiny_night.target_truths[1])
    settings = Settings(state=root / "state")
    # Its products store is another: to the platform the calibrator observation is new.
    before = settings.model_copy(update={"products_url": f"sqlite:///{root / 'before.sqlite3'}"})
    workshop = Workshop.from_settings(before)
    calibrator = workshop.settings.incoming_dir / tiny_night.calibrator.name
    shutil.copytree(tiny_night.calibrator, calibrator)
    key = arrive(workshop, calibrator).observation.key
    solve_observation(workshop, key)
    flagged, other = tiny_night.targets
    spoiled = root / flagged.name
    shutil.copytree(flagged, spoiled)
    casa.run(flag_most, spoiled, label="flag")
    environment = {
        **ENVIRONMENT,
        "CONTIMG_IMAGING__CELL_ARCSEC": "12",
        "CONTIMG_IMAGING__IMAGE_SIZE": "360",
        "CONTIMG_IMAGING__REFERENCE_CATALOGUE": str(known),
    }
    with Platform(settings.state, environment=environment) as platform:
        platform.wait_until_ready()
        night = Night(
            platform,
            ProductsStore(settings.products_address),
            settings.incoming_dir,
            calibrator=key,
            early=f"{tiny_night.target_truths[0].mid_mjd:.5f}",
            late=f"{tiny_night.target_truths[1].mid_mjd:.5f}",
        )
        night.seen["registry"] = workshop.registry
        # The sensor starts the calibrator's own solve; it is ended while CASA is inside.
        night.wait_for("CASA at work", lambda: bool(_solving(settings.state)), 120)
        (solve,) = night.runs("solve_calibration")
        night.terminate(solve.run_id)
        night.wait_for("the end of the solve", lambda: night.runs("solve_calibration")[0].over, 90)
        night.seen["solve"] = night.runs("solve_calibration")[0]
        night.seen["left"] = _solving(settings.state)
        night.seen["scratch"] = [p.name for p in settings.layout.scratch.glob(f"{key}-solve-*")]
        night.deliver(spoiled)
        night.deliver(other)
        for failing in (night.early, night.late):
            night.wait_for(
                f"{failing} to fail", lambda failing=failing: _failed(night, failing), 300
            )
        night.wait_for(
            "the calibrator's image with the older set",
            lambda: night.calibrator in night.materializations("image_5min"),
            300,
        )
        yield night


def test_a_run_that_fails_tells_observation_step_and_reason(mishaps: Night) -> None:
    record = mishaps.store.get(mishaps.early)
    assert (record.state, record.step) == (ObservationState.FAILED, "calibrated_ms")
    assert record.reason is not None
    assert "of the data of working antennas is flagged" in record.reason
    assert "at most 60.0% is allowed" in record.reason
    (run,) = [r for r in mishaps.runs("image_observation") if r.partition == mishaps.early]
    assert run.status == "FAILURE"
    assert record.reason in mishaps.store.explain(mishaps.early)
    assert run.run_id in mishaps.store.explain(mishaps.early)


def test_it_leaves_no_product_behind(mishaps: Night) -> None:
    assert mishaps.early not in mishaps.materializations("calibrated_ms")
    assert [a for a in mishaps.store.artefacts(mishaps.early) if a.path.exists()] == []
    layout = Settings(state=mishaps.platform.state).layout
    assert not layout.calibrated_ms(mishaps.early).exists()
    assert not layout.image_dir(mishaps.early).exists()


def test_a_check_that_fails_fails_the_observation_and_says_by_how_much(mishaps: Night) -> None:
    record = mishaps.store.get(mishaps.late)
    assert (record.state, record.step) == (ObservationState.FAILED, "image_5min")
    assert record.reason is not None
    assert "median flux ratio 0.3" in record.reason
    (run,) = [r for r in mishaps.runs("image_observation") if r.partition == mishaps.late]
    assert run.status == "FAILURE"
    said = mishaps.evaluations("image_5min", "known_fluxes", mishaps.late)
    assert [(e["success"], e["severity"]) for e in said] == [(False, "ERROR")]
    assert said[0]["description"] in record.reason
    # The image is kept to be looked at.
    assert mishaps.late in mishaps.materializations("image_5min")


def test_a_run_that_somebody_terminates_takes_casa_with_it(mishaps: Night) -> None:
    assert mishaps.seen["solve"].status == "CANCELED"
    assert mishaps.seen["left"] == []
    assert mishaps.seen["scratch"] == []
    sets = mishaps.seen["registry"].list_sets()
    assert [(s.name, s.version) for s in sets] == [(f"3C48_{mishaps.calibrator}", 1)]


def test_what_was_cancelled_is_in_the_history_and_not_started_again(mishaps: Night) -> None:
    told = [e.message for e in mishaps.store.history(mishaps.calibrator) if e.message]
    assert any("cancelled by hand" in message for message in told)
    assert len(mishaps.runs("solve_calibration")) == 1


def test_the_others_go_on(mishaps: Night) -> None:
    runs = [r for r in mishaps.runs("image_observation") if r.partition == mishaps.calibrator]
    assert len(runs) == 1
    applied = mishaps.materializations("calibrated_ms")[mishaps.calibrator]
    assert (applied["caltable_set"], applied["caltable_version"]) == (
        f"3C48_{mishaps.calibrator}",
        1,
    )


@needs_browser
def test_the_run_s_page_shows_the_reason(
    open_page: Callable[..., Any], mishaps: Night, tmp_path: Path
) -> None:
    (run,) = [r for r in mishaps.runs("image_observation") if r.partition == mishaps.early]
    page = open_page(mishaps, f"/runs/{run.run_id}")
    page.get_by_text("of the data of working antennas is flagged").first.wait_for()
    page.screenshot(path=tmp_path / "failed_run.png")


@needs_browser
def test_the_checks_page_shows_which_check_failed(
    open_page: Callable[..., Any], mishaps: Night, tmp_path: Path
) -> None:
    page = open_page(mishaps, "/assets/image_5min?view=checks&checkDetail=known_fluxes")
    page.get_by_text("median flux ratio 0.3").first.wait_for()
    page.screenshot(path=tmp_path / "failed_check.png")


def _failed(night: Night, key: str) -> bool:
    records = night.store.list_observations(state=ObservationState.FAILED)
    over = all(run.over for run in night.platform.runs() if run.partition == key)
    return key in {record.key for record in records} and over


def _solving(state: Path) -> list[str]:
    """Return the command lines of CASA processes that solve below a state directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = process.read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if "casa.child" in command and str(state) in command and "-solve-" in command:
            found.append(command)
    return found


def _write_wrong_fluxes(path: Path, truth: Truth) -> None:
    """Write the sources of a sky at three times their flux density."""
    with path.open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(("name", "ra_deg", "dec_deg", "flux_jy", "reference_ghz", "spectral_index"))
        for s in truth.sources:
            rows.writerow(
                (s.name, s.ra_deg, s.dec_deg, 3 * s.flux_jy, s.reference_ghz, s.spectral_index)
            )
