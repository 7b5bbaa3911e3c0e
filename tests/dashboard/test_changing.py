"""The dashboard while its export changes or can't be loaded, in a real browser."""

import json
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from contimg_resources.export import model
from tests.conftest import needs_browser
from tests.dashboard.conftest import go, hash_of, serving, shown
from tests.dashboard.made_up_export import (
    MadeUpExport,
)
from tests.dashboard.test_views import VIEWS


@pytest.fixture
def changing(export: MadeUpExport, tmp_path: Path) -> MadeUpExport:
    """Give a copy of the export that a test may change."""
    shutil.copytree(export.directory, tmp_path / "export", symlinks=True)
    return MadeUpExport(tmp_path / "export", export.now_mjd, dict(export.pages))


@needs_browser
def test_a_newer_export_comes_by_itself_and_nothing_jumps(
    changing: MadeUpExport, new_page: Callable[..., Any]
) -> None:
    # A page that is open when its server ends complains.
    with (
        serving(changing.directory) as address,
        closing(new_page(expected="Failed to load resource")) as page,
    ):
        page.clock.install()
        go(page, address, "tonight")
        changing.write_index(problems=("the correlator is on fire",))
        page.clock.fast_forward(61_000)
        page.get_by_text("the correlator is on fire").wait_for()
        # A view keeps its zoom, its place and its focus when its document has another page.
        go(page, address, "observations")
        page.locator("#observations-state").select_option("failed")
        page.locator("#observations-more").click()
        page.locator("#observations-sort-1").click()
        page.evaluate("scrollTo(0, 900)")
        seen = page.locator("tbody tr").first.text_content()
        _shorten(changing, "observations")
        changing.write_index()
        page.clock.fast_forward(61_000)
        page.get_by_text("of 2,999").wait_for()
        page.clock.run_for(100)
        assert page.locator("tbody tr").first.text_content() == seen
        assert page.locator("#observations-state").input_value() == "failed"
        assert page.evaluate("document.activeElement.id") == "observations-sort-1"
        assert page.evaluate("scrollY") == 900
        # Nobody who types is interrupted.
        page.locator("#observations-text").type("flag")
        _shorten(changing, "observations")
        changing.write_index()
        page.clock.fast_forward(61_000)
        page.wait_for_timeout(300)
        assert page.locator("#observations-text").input_value() == "flag"
        page.locator("#observations-text").blur()
        page.clock.fast_forward(61_000)
        page.get_by_text("of 2,998").wait_for()
        # The index goes away: what is shown stays, and a banner says so.
        (changing.directory / "index.json").unlink()
        page.clock.fast_forward(61_000)
        page.locator("#unreachable").wait_for()
        assert "of 2,998" in page.locator("main").text_content()
        changing.write_index()
        page.clock.fast_forward(61_000)
        page.locator("#unreachable").wait_for(state="detached")


def _shorten(export: MadeUpExport, name: str) -> None:
    """Write the last page of observations anew, without its last one, under another name."""
    *pages, last = export.pages[name]
    document = model.Observations.model_validate_json((export.directory / last.path).read_text())
    export.pages[name] = tuple(pages)
    shorter = document.model_copy(update={"observations": document.observations[:-1]})
    export.page(name, shorter, last.n_items - 1)


@needs_browser
def test_what_cant_be_loaded_is_told(changing: MadeUpExport, new_page: Callable[..., Any]) -> None:
    def page_of(name: str) -> Path:
        return changing.directory / changing.pages[name][0].path

    page_of("image_quality").unlink()
    page_of("calibration").write_text('{"schema_version": 3, "document": "calibration"}')
    page_of("mosaics").write_text('{"schema_version": 2, "document": "mos')
    page_of("candidates").write_text('{"schema_version": 2, "document": "variables"}')
    (changing.directory / "pictures" / "cutout-0.png").unlink()
    # A page that is open when its server ends complains.
    with (
        serving(changing.directory) as address,
        closing(new_page(expected="404 (Not Found)")) as page,
    ):
        for route, told in {
            "quality": "can't be loaded: the server answered 404",
            "calibration": "has schema version 3; this dashboard reads 2",
            "mosaics": "is not a complete JSON document",
            "candidates": "is not the document “candidates”",
        }.items():
            page.goto(address + hash_of(route))
            assert told in shown(page, route).locator("[role=alert]").text_content(), route
        # The others don't mind.
        assert "is not the document" in go(page, address, "tonight").text_content()
        go(page, address, "variables")
        # When it's there again, the button is enough.
        page.goto(address + hash_of("mosaics"))
        shown(page, "mosaics")
        text = json.dumps({"schema_version": 2, "document": "mosaics", "mosaics": []})
        page_of("mosaics").write_text(text)
        page.locator("#again").click()
        page.get_by_text("no mosaics yet").wait_for()
        # Nothing at all: still a message.
        (changing.directory / "index.json").unlink()
        page.reload()
        page.get_by_text("index.json can't be loaded: the server answered 404").wait_for()
        changing.pages.clear()
        nothing = model.Status().model_dump()
        changing.write_index(**nothing)
        page.reload()
        for route in VIEWS:
            page.goto(address + hash_of(route))
            assert shown(page, route).text_content()
