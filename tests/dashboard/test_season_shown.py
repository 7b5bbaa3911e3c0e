"""A simulated season from its mosaics to the dashboard: found, cut out, exported and looked at."""

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from contimg_resources.cutouts.places import cutouts_of
from contimg_resources.demo.season import SeasonResult, run_season
from contimg_resources.products.events import Mark
from contimg_resources.settings import Settings
from contimg_resources.simulation.season_spec import SeasonSpec
from contimg_resources.steps.candidates import mark_candidate, watched_sources
from contimg_resources.steps.cards import card_path, draw_cards
from contimg_resources.steps.cutouts import cut_many
from contimg_resources.steps.exporting import export_dashboard
from contimg_resources.steps.workshop import Workshop
from tests.dashboard.conftest import WIDTHS, go, needs_browser, serving

SPEC = SeasonSpec(n_days=150, size_deg=0.45, n_sources=30)
#: A picture takes a quarter of a second: of the last days only.
CUT_FROM_MJD = SPEC.last_day_mjd - 25.0
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop.from_settings(Settings(state=tmp_path_factory.mktemp("season") / "state"))


@pytest.fixture(scope="module")
def season(workshop: Workshop) -> SeasonResult:
    found = run_season(workshop, spec=SPEC)
    events = workshop.products.events
    watched = watched_sources(workshop)
    cut_many(workshop, sorted(watched), start_mjd=CUT_FROM_MJD)
    assert draw_cards(workshop, events.list_candidates()).failed == {}
    for event in found.events:
        if event.candidate is not None:
            mark_candidate(workshop, event.candidate.id, Mark.REAL, "<b>seen</b>", "ada")
    export_dashboard(workshop)
    return found


def test_what_was_put_in_is_found_and_nothing_else(season: SeasonResult) -> None:
    assert [e.found for e in season.events] == [True, True]
    first, second = season.events
    assert first.candidate is not None
    assert second.candidate is not None
    assert abs(first.mid_offset_days or 99) < 1
    assert abs(first.candidate.parameters.depth - first.event.depth) < 0.04
    assert first.candidate.state.value == "complete"
    assert second.candidate.state.value == "in progress"
    assert season.false_candidates == ()
    assert season.bad_published == season.good_refused == ()
    assert season.variables_found
    assert not season.variables_missed


def test_events_are_cut_out_of_every_epoch_that_was_asked_for(
    workshop: Workshop, season: SeasonResult
) -> None:
    for event in season.events:
        cut = cutouts_of(workshop.settings.layout.cutouts, event.event.source_id)
        expected = [e.key for e in season.truth.epochs if e.mid_mjd >= CUT_FROM_MJD]
        assert [c.epoch for c in cut] == expected
        assert event.candidate is not None
        assert card_path(workshop, event.candidate.id).stat().st_size > 30_000


@needs_browser
@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS.keys())
def test_the_dashboard_shows_the_season(
    workshop: Workshop,
    season: SeasonResult,
    new_page: Callable[..., Any],
    width: int,
    tmp_path: Path,
) -> None:
    # A page that is open when its server ends complains.
    with serving(workshop.settings.state, "--state") as address, closing(new_page(width)) as page:
        assert "no observation" in go(page, address, "tonight").text_content().lower()
        for name in ("sky", "quality", "calibration", "mosaics", "observations"):
            go(page, address, name)
        plane = go(page, address, "variables").text_content()
        for source_id in season.variables_found:
            assert source_id in plane
        for event in season.events:
            assert event.candidate is not None
            view = go(page, address, f"candidates/{event.candidate.id}")
            text = view.text_content()
            assert event.event.source_id in text
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
            page.screenshot(path=tmp_path / f"{event.event.source_id}.png", full_page=True)
            curve = go(page, address, f"lightcurves/{event.event.source_id}").text_content()
            assert f"{season.n_published} measurements" in curve
