"""What a user sees: the lineage of the night and an image on its partition's page."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
GROUPS = ("arrival", "calibration", "imaging", "log")
ASSETS = ("incoming_ms", "caltable_set", "calibrated_ms", "image_5min", "observation_log")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is not installed"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=str(CHROMIUM), args=list(FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser: Any, night: Any) -> Iterator[Callable[[str], Any]]:
    """Open pages of the platform; afterwards nothing may have gone wrong in any of them."""
    page = browser.new_page(viewport={"width": 1840, "height": 900})
    wrong: list[str] = []
    page.on("console", lambda m: wrong.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))

    def go(path: str) -> Any:
        page.goto(f"{night.platform.address}{path}")
        return page

    yield go
    page.close()
    assert wrong == []


def test_the_lineage_page_shows_the_way_of_the_night(
    open_page: Callable[[str], Any], tmp_path: Path
) -> None:
    expanded = ",".join(f"global@global:{group}" for group in GROUPS)
    page = open_page(f"/asset-groups?expanded={expanded}")
    for asset in ASSETS:
        page.locator("foreignObject").get_by_text(asset, exact=True).first.wait_for()
    page.wait_for_timeout(1500)
    page.screenshot(path=tmp_path / "lineage.png")


def test_the_page_of_an_image_shows_the_image(
    open_page: Callable[[str], Any], night: Any, tmp_path: Path
) -> None:
    page = open_page(f"/assets/image_5min?view=partitions&partition={night.late}")
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


def test_the_checks_page_lists_every_check(open_page: Callable[[str], Any], tmp_path: Path) -> None:
    page = open_page("/assets/image_5min?view=checks")
    for check in ("image_rms", "beam_sane", "known_fluxes", "astrometry"):
        page.get_by_text(check, exact=True).first.wait_for()
    page.screenshot(path=tmp_path / "checks.png")


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
