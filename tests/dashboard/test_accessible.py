"""Every view has no violation of WCAG AA that axe-core finds."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from contimg_resources.settings import ExportSettings, Settings
from contimg_resources.steps.workshop import Workshop
from tests.alerts.conftest import make_candidate
from tests.conftest import needs_browser
from tests.dashboard.conftest import CONTRAST, ask, go, serving_here, violations
from tests.dashboard.made_up_export import CANDIDATES, DIPPING, MadeUpExport
from tests.dashboard.test_views import VIEWS


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, export: MadeUpExport) -> Iterator[str]:
    """The made-up year with a store, so with all forms."""
    shown = ExportSettings(directory=export.directory)
    settings = Settings(state=tmp_path_factory.mktemp("live"), export=shown)
    workshop = Workshop.from_settings(settings)
    workshop.products.events.put_candidates([make_candidate(id=name) for name in CANDIDATES])
    with serving_here(settings) as address:
        for kind in ("tag", "comment", "favourite"):
            for subject, name in (("source", DIPPING), ("candidate", CANDIDATES[1])):
                body = {"subject": subject, "id": name, "kind": kind, "text": "blend"}
                assert ask(address, "POST", "annotations", body)[0] == 200
        yield address


@needs_browser
def test_axe_core_finds_nothing(live: str, new_page: Callable[..., Any]) -> None:
    # Colours that still change have the contrast of neither theme.
    page = new_page(reduced_motion="reduce")
    wrong: list[str] = []

    def look(where: str, **options: Any) -> None:
        wrong.extend(f"{where}: {text}" for text in violations(page, **options))

    for route in VIEWS:
        page.emulate_media(color_scheme="dark")
        go(page, live, route)
        look(route)
        page.emulate_media(color_scheme="light")
        look(f"{route}, light", runOnly=CONTRAST)
    # The rules are applied: these two mistakes are found.
    page.evaluate(
        """const faint = document.querySelector("main p").cloneNode();
        faint.append("faint", document.createElement("img"));
        faint.style.color = "#eee";
        document.querySelector("main").append(faint);"""
    )
    assert wrong == []
    look("a mistake")
    assert {text.split(": ")[1] for text in wrong} == {"image-alt", "color-contrast"}
