"""What goes wrong, through the real daemon: it is told, it leaves nothing, and others go on."""

import csv
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from contimg_resources.casa import Casa
from contimg_resources.catalogues.store import CatalogueStore
from contimg_resources.cli.platform import Platform
from contimg_resources.cli.webserver import DagsterRun
from contimg_resources.core.naming import StateLayout
from contimg_resources.products.model import ObservationState
from contimg_resources.products.store import ProductsStore
from contimg_resources.settings import Settings
from contimg_resources.simulation.truth import Truth
from contimg_resources.steps.arriving import arrive
from contimg_resources.steps.solving import solve_observation
from contimg_resources.steps.workshop import Workshop
from tests.conftest import TinyNight, needs_browser
from tests.e2e.at_work import inside
from tests.e2e.conftest import ENVIRONMENT, Night
from tests.e2e.e2e_steps import flag_most
from tests.processes import wait_until_gone

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]

BROKEN = "2025-10-06T07:00:00.ms"


@pytest.fixture(scope="module")
def mishaps(
    casa: Casa, short_night: TinyNight, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Night]:
    """A night with a set already there, in which five things go wrong.

    One MS is broken, one target is mostly flagged, the list of known sources is wrong for the
    other, and somebody terminates first the solve and then the calibration of the calibrator
    observation while CASA is at work, and thinks better of the second.
    """
    root = tmp_path_factory.mktemp("mishaps")
    known = root / "known.csv"
    _write_wrong_fluxes(known, short_night.target_truths[1])
    settings = Settings(state=root / "state")
    CatalogueStore(settings.layout.catalogues).add("known", known)
    # Its products store is another: to the platform the calibrator observation is new.
    before = settings.model_copy(
        update={
            "products_url": f"sqlite:///{root / 'before.sqlite3'}",
            "calibration": settings.calibration.model_copy(
                update={"plotms": False, "model_from_image": False}
            ),
        }
    )
    workshop = Workshop.from_settings(before)
    calibrator = workshop.settings.incoming_dir / short_night.calibrator.name
    shutil.copytree(short_night.calibrator, calibrator)
    key = arrive(workshop, calibrator).observation.key
    solve_observation(workshop, key)
    workshop.casa.close()
    flagged, other = short_night.targets
    spoiled = root / flagged.name
    shutil.copytree(flagged, spoiled)
    casa.run(flag_most, spoiled, label="flag")
    environment = {
        **ENVIRONMENT,
        # In memory a step is over before anybody could terminate it.
        "CONTIMG_CALIBRATION__ENGINE": "casa",
        # A small image, cheap, and noisy of the sources beside it.
        "CONTIMG_IMAGING__CELL_ARCSEC": "12",
        "CONTIMG_IMAGING__IMAGE_SIZE": "360",
        "CONTIMG_IMAGING__MAX_RMS_RATIO": "10",
        "CONTIMG_CATALOGUE__REFERENCE": "known",
    }
    broken = settings.incoming_dir / BROKEN
    broken.mkdir()
    (broken / "table.dat").write_bytes(b"\xbe\xbe\xbe\xbe not a table")
    with Platform(settings.state, environment=environment) as platform:
        platform.wait_until_ready()
        night = Night(
            platform,
            ProductsStore(settings.products_address),
            settings.incoming_dir,
            calibrator=key,
            early=f"{short_night.target_truths[0].mid_mjd:.5f}",
            late=f"{short_night.target_truths[1].mid_mjd:.5f}",
        )
        night.seen["registry"] = workshop.registry
        # The sensor starts the calibrator's own solve.
        night.seen["solve"] = _end_inside(night, "solve_calibration", "solve", "gaincal")
        # It goes on with the older set, perhaps before its history says why.
        night.seen["calibration"] = _end_inside(
            night, "image_observation", "calibrate", "phaseshift"
        )
        night.wait_for(
            "its history",
            lambda: _state(night, key) == "failed" and len(_told(night)) == 2,
            180,
        )
        night.seen["cancelled"] = night.store.get(key)
        night.launch("image_observation", key)
        night.wait_for(
            "the calibrator's image after all",
            lambda: night.calibrator in night.materializations("image_5min"),
            900,
        )
        # The page of a check shows its newest evaluation: one that failed.
        night.deliver(spoiled)
        night.deliver(other)
        for failing in (night.early, night.late):
            night.wait_for(f"{failing} to fail", partial(_failed, night, failing), 300)
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


def test_a_broken_delivery_stops_nobody_and_is_told(mishaps: Night) -> None:
    log = (mishaps.platform.logs / "dagster-daemon.log").read_text()
    assert "1 rejected" in log
    told = [line for line in log.splitlines() if BROKEN in line]
    assert any(f"{BROKEN} rejected: " in line for line in told)
    assert "its table.dat isn't that of a table" in told[-1]


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
    assert "known sources found, median flux ratio 0.3" in record.reason
    (run,) = [r for r in mishaps.runs("image_observation") if r.partition == mishaps.late]
    assert run.status == "FAILURE"
    said = mishaps.evaluations("image_5min", "known_fluxes", mishaps.late)
    assert [(e["success"], e["severity"]) for e in said] == [(False, "ERROR")]
    assert said[0]["description"] == record.reason
    assert mishaps.evaluations("image_5min", "image_rms", mishaps.late)[0]["success"]
    # The image is kept to be looked at.
    assert mishaps.late in mishaps.materializations("image_5min")


def test_a_run_that_somebody_terminates_takes_casa_with_it(mishaps: Night) -> None:
    for name in ("solve", "calibration"):
        ended = mishaps.seen[name]
        assert ended.run.status == "CANCELED"
        assert (ended.processes, ended.scratch) == ([], []), name
        assert ended.slots
        assert set(ended.slots.values()) == {0}, "its pool slot is free for others"
    assert len(mishaps.runs("solve_calibration")) == 1, "it isn't started again by itself"


def test_it_leaves_nothing_that_is_half_made(mishaps: Night) -> None:
    layout = Settings(state=mishaps.platform.state).layout
    assert len(mishaps.seen["calibration"].halves_before) == 1
    assert mishaps.seen["calibration"].halves == []
    (whole,) = mishaps.seen["registry"].list_sets()
    assert (whole.name, whole.version) == (f"3C48_{mishaps.calibrator}", 1)
    assert [d.name for d in layout.caltables.iterdir()] == [f"{whole.name}.v1"]


def test_a_cancelled_observation_says_so_and_waits_for_somebody(mishaps: Night) -> None:
    record = mishaps.seen["cancelled"]
    assert (record.state, record.step) == (ObservationState.FAILED, "calibrated_ms")
    assert record.reason == "cancelled by hand; materialize it to start it again"
    told = _told(mishaps)
    assert told[mishaps.seen["calibration"].run.run_id] == record.reason
    assert told[mishaps.seen["solve"].run.run_id] == f"waits for another set: {record.reason}"


def test_materialized_again_it_is_imaged_as_if_nothing_had_happened(mishaps: Night) -> None:
    runs = [r for r in mishaps.runs("image_observation") if r.partition == mishaps.calibrator]
    assert [run.status for run in runs] == ["CANCELED", "SUCCESS"]
    record = mishaps.store.get(mishaps.calibrator)
    assert (record.state, record.reason or "") == (ObservationState.IMAGED, "")
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


def _state(night: Night, key: str) -> str | None:
    return next((o.state for o in night.store.list_observations() if o.key == key), None)


def _told(night: Night) -> dict[str, str]:
    """What the calibrator's history says of each run that was terminated."""
    history = night.store.history(night.calibrator)
    return {e.run_id: e.message for e in history if "cancelled by hand" in e.message}


def _failed(night: Night, key: str) -> bool:
    records = night.store.list_observations(state=ObservationState.FAILED)
    over = all(run.over for run in night.platform.runs() if run.partition == key)
    return key in {record.key for record in records} and over


@dataclass(frozen=True)
class Ended:
    """What there was of a run before it was terminated, and what was left of it afterwards."""

    run: DagsterRun
    halves_before: list[Path]
    halves: list[Path]
    processes: list[int]
    scratch: list[Path]
    slots: dict[str, int]


_POOLS = """
query Pools {
  instance { concurrencyLimits { concurrencyKey activeSlotCount } }
}
"""


def _slots_in_use(night: Night) -> dict[str, int]:
    limits = night.platform.graphql.query(_POOLS, {})["instance"]["concurrencyLimits"]
    return {limit["concurrencyKey"]: limit["activeSlotCount"] for limit in limits}


def _end_inside(night: Night, job: str, label: str, task: str) -> Ended:
    """Terminate the run of a job on the calibrator while it is inside a task of CASA."""
    layout = Settings(state=night.platform.state).layout
    label = f"{night.calibrator}-{label}"
    child = inside(night, label, task)
    run_id = night.runs(job)[-1].run_id
    before = _halves(layout)
    assert sum(_slots_in_use(night).values()) == 1
    night.terminate(run_id)
    left = wait_until_gone([child])
    night.wait_for(f"the end of {run_id}", lambda: night.runs(job)[-1].over, 240)
    return Ended(
        night.runs(job)[-1],
        before,
        _halves(layout),
        left,
        list(layout.scratch.glob(f"{label}-*")),
        _slots_in_use(night),
    )


def _halves(layout: StateLayout) -> list[Path]:
    return [p for kind in ("calibrated", "images") for p in layout.root.glob(f"{kind}/*/.*")]


def _write_wrong_fluxes(path: Path, truth: Truth) -> None:
    """Write the sources of a sky at three times their flux density."""
    with path.open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(("name", "ra_deg", "dec_deg", "flux_jy", "reference_ghz", "spectral_index"))
        for s in truth.sources:
            rows.writerow(
                (s.name, s.ra_deg, s.dec_deg, 3 * s.flux_jy, s.reference_ghz, s.spectral_index)
            )
