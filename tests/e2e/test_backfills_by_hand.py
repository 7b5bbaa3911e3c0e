"""Backfills as somebody at the web interface starts and ends them.

The platform has no room on its disk, as it believes: so its runs wait, for as long as it takes to
look at them.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from contimg_resources.cli.launching import add_key
from contimg_resources.cli.platform import Platform
from contimg_resources.cli.webserver import DagsterRun
from tests.conftest import needs_browser
from tests.e2e.conftest import ENVIRONMENT, Night
from tests.steps.conftest import Made, make_stores

REPOSITORY = {"repositoryName": "__repository__", "repositoryLocationName": "contimg"}

_BACKFILLS = """
{ partitionBackfillsOrError(limit: 20) {
    ... on PartitionBackfills { results {
      id status title partitionNames assetSelection { path }
} } } }
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make_stores(tmp_path_factory.mktemp("by_hand"))


@pytest.fixture(scope="module")
def full(made: Made) -> Iterator[Night]:
    """A platform that waits for room, with three observations of a day and one of the next."""
    environment = {
        **ENVIRONMENT,
        "CONTIMG_RETENTION__PAUSE_BELOW_GB": "1e6",
        "CONTIMG_RETENTION__FREE_GB": "0",
        # These observations are of the past.
        "CONTIMG_RETENTION__PARTITION_DAYS": "1e5",
    }
    with Platform(made.workshop.settings.state, environment=environment) as platform:
        platform.wait_until_ready()
        for key in made.keys:
            add_key(platform.graphql, REPOSITORY, "observation_mjd", key)
        yield Night(platform, made.workshop.products, made.workshop.settings.incoming_dir)


def backfills(night: Night) -> list[dict[str, Any]]:
    answer = night.platform.graphql.query(_BACKFILLS)["partitionBackfillsOrError"]
    return list(answer["results"])


def runs(night: Night) -> list[DagsterRun]:
    return [r for r in night.platform.runs() if "image_5min" in r.assets]


@needs_browser
def test_an_mjd_is_typed_and_all_its_observations_selected_then_cancelled_as_one(
    full: Night, made: Made, open_page: Callable[..., Any], tmp_path: Path
) -> None:
    page = open_page(full, "/assets/image_5min?view=partitions")
    page.get_by_text(made.keys[3]).first.wait_for()
    page.get_by_role("button", name="Materialize").first.click()
    page.get_by_role("button", name="Confirm").click()
    page.get_by_text("Select a partition or create one").click()
    # The list comes after its frame; what is typed before is forgotten.
    page.get_by_role("menu").get_by_text(made.keys[3]).first.wait_for()
    page.get_by_placeholder("Filter partitions").fill("61041.")
    page.get_by_text("Select all").first.click()
    page.screenshot(path=tmp_path / "select_all.png")
    page.get_by_role("button", name="Launch backfill").click()
    page.get_by_text("Created backfill").wait_for()
    (backfill,) = backfills(full)
    assert set(backfill["partitionNames"]) == set(made.keys[:3])

    full.wait_for("its runs", lambda: len(runs(full)) == 3, 600)
    full.wait_for("two to start", lambda: _count(full, "STARTED") == 2, 600)
    started = next(r for r in runs(full) if r.status == "STARTED")
    page = open_page(full, f"/runs/{started.run_id}")
    page.get_by_text("waiting for the disk: only").first.wait_for()

    page = open_page(full, f"/runs/b/{backfill['id']}")
    page.get_by_text("% completed").first.wait_for()
    page.locator("button:has([aria-label='expand_more'])").last.click()
    page.get_by_role("menuitem", name="Cancel backfill").click()
    begin = time.monotonic()
    page.get_by_role("dialog").get_by_role("button", name="Cancel backfill").click()
    full.wait_for("the end", lambda: all(r.status == "CANCELED" for r in runs(full)), 600)
    assert time.monotonic() - begin < 90
    full.wait_for("its state", lambda: backfills(full)[0]["status"] == "CANCELED", 600)
    # What had an image keeps it.
    assert {made.workshop.products.get(k).state for k in made.keys} == {"imaged"}


@needs_browser
def test_a_range_of_days_is_picked_and_fans_out_to_its_observations(
    full: Night, made: Made, open_page: Callable[..., Any], tmp_path: Path
) -> None:
    before = len(backfills(full))
    page = open_page(full, "/assets/reprocessed_day?view=partitions")
    page.get_by_text("Missing (").first.wait_for()
    page.get_by_role("button", name="Materialize").first.click()
    page.get_by_text("Show all partitions").click()
    days = page.get_by_role("dialog").locator("input[type=text]").last
    days.fill("[2026-01-01...2026-01-02]")
    days.press("Enter")
    page.screenshot(path=tmp_path / "days.png")
    page.get_by_role("button", name="Launch backfill").click()
    page.get_by_text("Created backfill").wait_for()
    full.wait_for("a backfill a day", lambda: len(backfills(full)) == before + 3, 300)
    found = {b["title"]: set(b["partitionNames"]) for b in backfills(full) if b["title"]}
    assert found == {
        "all of 2026-01-01, observations: 3": set(made.keys[:3]),
        "all of 2026-01-02, observations: 1": {made.keys[3]},
    }
    page = open_page(full, "/runs?view=backfills")
    page.get_by_text("contimg/reprocess: all of 2026-01-02").first.wait_for()
    page.screenshot(path=tmp_path / "backfills.png")
    # A day is done a moment after its backfill is launched.
    full.wait_for("both days", lambda: len(full.materializations("reprocessed_day")) == 2, 600)
    said = full.materializations("reprocessed_day")
    assert {day: m["n_observations"] for day, m in said.items()} == {
        "2026-01-01": 3,
        "2026-01-02": 1,
    }


def _count(night: Night, status: str) -> int:
    return sum(r.status == status for r in runs(night))
