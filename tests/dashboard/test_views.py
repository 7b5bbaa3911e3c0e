"""The dashboard as observers use it, in a real browser."""

import re
import threading
import time
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from contimg_resources.export import model
from contimg_resources.photometry.model import Flag, words
from tests.conftest import needs_browser
from tests.dashboard.conftest import WIDTHS, go, shown
from tests.dashboard.made_up_export import (
    CANDIDATES,
    DIPPING,
    HOSTILE,
    N_SETS,
    MadeUpExport,
)

#: Routes, and words that each must show.
VIEWS = {
    "tonight": ("Needs attention: 2 problems", "the expected rms", "valid for 7.", CANDIDATES[0]),
    "map": ("There is no map of the sky yet",),
    "sky": ("3,000 observations in 2 strips (+16.3°, +33.2°)", "2 candidates in view"),
    "quality": ("3,000 images", "median 2.2"),
    "calibration": (f"{N_SETS} sets", "2 gaps with 75 observations without a valid set"),
    "variables": ("1,999 sources, 23 flagged as variable", "at S/N 200", "place in the mosaic"),
    "lightcurves": ("Sources with candidates", DIPPING),
    f"lightcurves/{DIPPING}": (
        "299 measurements, 8 of them flagged",
        "fitted template",
        CANDIDATES[0],
        "21.0 ± 3.0 % (90 %: 17.0 to 26.0)",
        "13 lags, 1 of them not above zero and not drawn",
    ),
    f"lightcurves/{HOSTILE}": (HOSTILE, "299 measurements"),
    "candidates": ("2 candidates of 2",),
    f"candidates/{CANDIDATES[0]}": (
        "the threshold of 15.5",
        "44.2 ± 1.9 days",
        "report as JSON, VOEvent 2.0, finding chart",
    ),
    f"candidates/{CANDIDATES[1]}": ("real (current) by ada", "follow up by ben", "ask for L band"),
    "sources": ("2,000 sources of 2,000", "Save as CSV"),
    "observations": ("3,000 observations of 3,000",),
    "mosaics": ("292 mosaics", "epochs with failed checks"),
}
LATE_S = 7200  # after an export that is 3 min old


@needs_browser
@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS.keys())
def test_every_view_shows_what_it_is_for(
    address: str, new_page: Callable[..., Any], width: int
) -> None:
    page = new_page(width)
    n_charts = 0
    for route, expected in VIEWS.items():
        view = go(page, address, route)
        text = view.text_content()
        for some in expected:
            assert some in text, f"{route}: {some}"
        assert page.locator("h1").count() == 1, route
        seen = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert seen[0] <= seen[1] == width, f"{route} is {seen[0]} px wide"
        assert page.evaluate("[...document.images].every((i) => i.alt.length > 10)"), route
        assert "undefined" not in text, route
        assert "NaN" not in page.locator("main").inner_html(), route
        # Every picture in words too, and every chart of data as a table.
        for chart in page.locator("figure.chart").all():
            n_charts += 1
            said = chart.locator("svg[role=img] > desc").text_content()
            assert len(said) > 20, route
            assert chart.locator("svg[role=img] > title").text_content(), route
            assert chart.locator("details summary").text_content() == "Show as table", route
        for name in ("banner", "navigation", "main", "contentinfo"):
            roles = {"banner": "header", "navigation": "nav", "main": "main"}
            assert page.locator(roles.get(name, "footer")).count() == 1
        ids = page.evaluate("[...document.querySelectorAll('[id]')].map((e) => e.id)")
        assert len(ids) == len(set(ids)), route
    assert n_charts > len(VIEWS) / 2


@needs_browser
def test_choices_are_in_the_address_and_shown_to_whom_it_is_sent(
    address: str, new_page: Callable[..., Any]
) -> None:
    page = new_page()
    go(page, address, f"lightcurves/{DIPPING}")
    assert "?" not in page.url
    page.locator("#curve-scale").select_option("log")
    page.locator("#curve-period").fill("7.5")
    page.locator("#curve-period").press("Enter")
    folded = page.locator("#folded-curve")
    folded.locator(".frame").wait_for()
    page.wait_for_url("**curve.period=7.5*")
    assert "curve.scale=log" in page.url
    other = new_page()
    other.goto(page.url)
    other.locator("#folded-curve .frame").wait_for()
    assert other.locator("#curve-scale").input_value() == "log"
    assert "folded with 7.50000 days" in other.locator("main").text_content()
    # Choices that don't exist do no harm.
    for wrong in ("sources.metric=nothing", "sources.metric=__proto__&sources.least=%22", "x.y=1"):
        other.goto(f"{address}#/sources?{wrong}")
        shown(other, "sources").get_by_text("2,000 sources of 2,000").wait_for()
    go(page, address, "variables")
    plane = page.locator("#plane")
    plane.scroll_into_view_if_needed()
    box = plane.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.98, box["y"] + box["height"] * 0.4, steps=3)
    page.mouse.up()
    part = page.get_by_text("in the part of the plane that is shown")
    part.wait_for()
    n = int(part.text_content().split()[0].replace(",", ""))
    assert 0 < n < 1999
    page.wait_for_url("**plane.x1=*")
    page.locator("#plane-whole").click()
    assert part.count() == 0


@needs_browser
def test_an_export_that_is_opened_as_a_file_tells_how_to_serve_it(
    address: str, export: MadeUpExport, browser: Any
) -> None:
    # The server has put the page beside the documents.
    page = browser.new_page()
    page.goto((export.directory / "index.html").as_uri())
    page.get_by_text("contimg dashboard --dir DIRECTORY").wait_for(timeout=60_000)
    page.close()


@needs_browser
def test_a_hostile_id_is_only_text(address: str, new_page: Callable[..., Any]) -> None:
    page = new_page()
    for route in ("variables", "sky", f"lightcurves/{HOSTILE}"):
        go(page, address, route)
        assert page.locator("img[src=x], main script").count() == 0
    assert page.locator("main h2.id").text_content() == HOSTILE
    page.goto(f"{address}#/{quote(HOSTILE, safe='')}")
    page.get_by_text("There is no view").wait_for()
    page.goto(f"{address}#/candidates/%E0%A4%A")
    page.get_by_text("no candidate “%E0%A4%A”").wait_for()
    page.goto(f"{address}#/constructor")
    page.get_by_text("no view “constructor”").wait_for()


@needs_browser
def test_everything_by_keyboard(address: str, new_page: Callable[..., Any]) -> None:
    page = new_page()
    go(page, address, "tonight")

    def focused() -> str:
        return str(page.evaluate("document.activeElement.id"))

    page.keyboard.press("Tab")
    assert focused() == "skip"
    page.keyboard.press("Enter")
    assert focused() == "main"
    for _ in range(30):
        page.keyboard.press("Shift+Tab")
        if focused() == "to-lightcurves":
            break
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    shown(page, "lightcurves")
    assert page.evaluate("document.activeElement.tagName") == "H1"
    page.keyboard.press("Tab")
    assert focused() == "source"
    page.keyboard.type("j0123+33")
    page.locator("[role=option]").first.wait_for()
    page.keyboard.press("ArrowDown")
    assert page.locator("[role=option][aria-selected=true]").text_content() == DIPPING
    assert page.locator("#source").get_attribute("aria-activedescendant") == "offered-0"
    page.keyboard.press("Enter")
    view = shown(page, f"lightcurves/{DIPPING}")
    page.locator("#light-curve .frame").wait_for()
    page.locator("#light-curve").focus()
    page.keyboard.press("ArrowRight")
    first = view.locator("figure .readout").first.text_content()
    assert re.match(
        r"20\d\d-\d\d-\d\d \d\d:\d\d UTC \(MJD \d{5}\.\d{3}\): [\d.]+ ± 0.60 mJy", first
    )
    page.keyboard.press("ArrowRight")
    assert view.locator("figure .readout").first.text_content() != first
    assert page.locator("#light-curve .cursor").get_attribute("visibility") == "visible"
    # The plane: the selected source with the largest eta first; Enter opens it.
    go(page, address, "variables")
    page.locator("#plane").focus()
    page.keyboard.press("ArrowRight")
    told = page.locator("figure .readout").text_content()
    assert "; variable" in told
    page.keyboard.press("Enter")
    shown(page, f"lightcurves/{told.split(':')[0]}")


@needs_browser
def test_tables_stand_under_the_charts_and_can_be_sorted(
    address: str, new_page: Callable[..., Any]
) -> None:
    page = new_page()
    go(page, address, "variables")
    page.locator("#plane-table").click()
    rows = page.locator("details[open] tbody tr")
    rows.nth(49).wait_for()
    assert rows.count() == 50
    page.locator("#plane-rows-more").click()
    assert rows.count() == 250
    etas = page.locator("#variables-sort-1")
    column = ".table:has(#variables-sort-1) tbody td:nth-child(2)"
    largest = float(page.locator(column).first.text_content())
    etas.click()
    assert page.locator("th[aria-sort=ascending]").text_content() == "η"
    assert float(page.locator(column).first.text_content()) < largest
    page.locator(".table:has(#variables-sort-1) tbody a").first.click()
    page.locator("main[data-shown^='lightcurves/']").wait_for()


@needs_browser
def test_pointing_zooming_and_what_stays(address: str, new_page: Callable[..., Any]) -> None:
    page = new_page()
    go(page, address, "quality")
    page.locator("#quality-measure").select_option("flux_ratio")
    assert "Flux ratio to the catalogue" in page.locator("figcaption").text_content()
    page.locator("#quality .frame").wait_for()
    edge = page.locator("#quality").bounding_box()
    middle = edge["y"] + edge["height"] / 2
    page.mouse.move(edge["x"] + 400, middle)
    page.mouse.down()
    page.mouse.move(edge["x"] + 600, middle, steps=4)
    page.mouse.up()
    assert page.locator("#quality-span-length").input_value() == "own"
    zoomed = page.locator("figcaption").text_content()
    assert "3,000 images" not in zoomed
    page.locator("#quality-span-from").fill("not a day")
    page.locator("#quality-span-from").press("Enter")
    assert page.locator("#quality-span-from").get_attribute("aria-invalid") == "true"
    page.locator("#to-sky").click()
    shown(page, "sky")
    page.go_back()
    shown(page, "quality")
    assert page.locator("figcaption").text_content() == zoomed
    # Something is told of whatever lies under the pointer.
    go(page, address, "sky")
    page.locator("#layer-sources").uncheck()
    page.locator("#sky .frame").wait_for()
    edge = page.locator("#sky .shape.event").bounding_box()
    page.mouse.move(edge["x"] + 9, edge["y"] + edge["height"] - 9)
    page.get_by_text(re.compile("^Candidate ")).first.wait_for()


@needs_browser
def test_light_curves_are_loaded_when_one_is_looked_at(
    address: str, new_page: Callable[..., Any]
) -> None:
    page = new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for route in ("variables", "lightcurves", "candidates"):
        go(page, address, route)
    assert [url for url in asked if "/light_curves/" in url] == []
    for _ in range(2):
        go(page, address, f"lightcurves/{DIPPING}")
        go(page, address, f"candidates/{CANDIDATES[0]}")
    assert len([url for url in asked if "/light_curves/" in url]) == 1
    assert all(url.startswith(address) for url in asked)


@needs_browser
def test_a_candidates_card(address: str, new_page: Callable[..., Any]) -> None:
    page = new_page()
    go(page, address, "candidates")
    page.locator("#candidates-state").select_option("complete")
    page.locator("#candidates-mark").select_option("real")
    page.get_by_text("1 candidate of 2").wait_for()
    page.locator("main a", has_text=CANDIDATES[1]).click()
    shown(page, f"candidates/{CANDIDATES[1]}")
    page.locator("#mark-as").select_option("follow up")
    page.locator("#mark-note").fill("it's deep; $(reboot)")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator("#mark-command-copy").click()
    page.get_by_text("Copied.").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == (
        f"contimg candidates mark {CANDIDATES[1]} 'follow up' --note 'it'\\''s deep; $(reboot)'"
    )
    strip = page.locator(".strip img")
    assert strip.count() == 6
    strip.last.scroll_into_view_if_needed()
    page.wait_for_timeout(200)
    assert strip.last.evaluate("(image) => image.naturalWidth") == 64
    assert page.locator("#neighbours .frame").count() == 1
    assert page.locator("#candidate-curve .template").count() >= 1


@needs_browser
@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_words_can_be_read(address: str, new_page: Callable[..., Any], scheme: str) -> None:
    page = new_page(color_scheme=scheme)
    for route in ("tonight", "calibration", f"lightcurves/{DIPPING}"):
        go(page, address, route)
        worst = page.evaluate(_CONTRAST)
        assert worst["ratio"] >= 4.5, f"{route}: {worst}"


_CONTRAST = """() => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => numbers(colour).slice(0, 3).map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = getComputedStyle(e).backgroundColor;
      if (numbers(colour)[3] !== 0) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  let worst = { ratio: 21 };
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !element.checkVisibility()) continue;
    const style = getComputedStyle(element);
    const colour = element.ownerSVGElement ? style.fill : style.color;
    if (!/^rgb/.test(colour)) continue;
    const [a, b] = [light(colour), light(behind(element))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < worst.ratio) {
      worst = { ratio, text: element.textContent.slice(0, 40), colour, on: behind(element) };
    }
  }
  return worst;
}"""


@needs_browser
def test_the_menu_of_a_phone(address: str, new_page: Callable[..., Any]) -> None:
    page = new_page(360, has_touch=True)
    go(page, address, "tonight")
    menu = page.locator("#menu")
    assert not page.locator("#to-sky").is_visible()
    menu.click()
    assert menu.get_attribute("aria-expanded") == "true"
    page.keyboard.press("Escape")
    assert not page.locator("#to-sky").is_visible()
    menu.click()
    page.locator("#to-sky").click()
    shown(page, "sky")
    assert menu.get_attribute("aria-expanded") == "false"


@needs_browser
def test_an_old_export_says_so(
    address: str, new_page: Callable[..., Any], export: MadeUpExport
) -> None:
    page = new_page()
    go(page, address, "tonight")
    assert page.locator("#old").count() == 0
    page.clock.set_fixed_time(time.time() + LATE_S)
    go(page, address, "sky")
    page.reload()
    shown(page, "sky")
    assert "This export is 2.1 h old" in page.locator("#old").text_content()
    go(page, address, "tonight")
    said = page.locator("#problems").text_content()
    assert "This page shows an export that is 2.1 h old" in said
    assert "good" not in page.locator("#problems").get_attribute("class")


@needs_browser
def test_nothing_is_green_beside_an_expired_set_a_silence_or_a_rejected_delivery(
    address: str, new_page: Callable[..., Any], export: MadeUpExport
) -> None:
    page = new_page()

    def problems(**status: Any) -> str:
        export.write_index(problems=(), silence_min=30.0, **status)
        go(page, address, "observations")
        page.reload()
        go(page, address, "tonight")
        return str(page.locator("#problems").text_content())

    now = export.now_mjd
    try:
        good = {"end_mjd": now, "active_set": "3C48_1", "active_set_until_mjd": now + 1}
        assert problems(**good) == "No problems"
        expired = problems(**good | {"active_set_until_mjd": now - 4.0})
        assert "No caltable set is valid now: 3C48_1 expired 4.0 days ago." in expired
        silent = problems(**good | {"end_mjd": now - 4.0})
        assert "No observation for 4.0 days: is the correlator running?" in silent
        rejection = model.RejectionItem(name="bad<b>.ms", reason="no rows", since_mjd=now)
        problems(**good | {"rejections": (rejection,)})
        go(page, address, "observations")
        page.locator("#observations-state").select_option("rejected")
        row = page.locator("tbody tr")
        assert "bad<b>.ms" in row.text_content()
        assert "no rows" in row.text_content()
    finally:
        export.write_index()


@needs_browser
def test_numbers_and_flags_in_words(address: str, new_page: Callable[..., Any]) -> None:
    page = new_page()
    go(page, address, "tonight")

    def js(module: str, expression: str) -> Any:
        return page.evaluate(f"import('{address}js/{module}').then((m) => {expression})")

    for flags in (0, *Flag, Flag.BLEND | Flag.POOR_FIT):
        assert js("flags.js", f"m.flagWords({int(flags)})") == ", ".join(words(int(flags)))
    assert js("numbers.js", "m.withError(13.1234, 0.0561, ' mJy')") == "13.123 ± 0.056 mJy"
    assert js("numbers.js", "m.position(359.99999, -0.0001)") == "00:00:00.0 \N{MINUS SIGN}00:00:00"
    assert js("numbers.js", "[null, 0, 1.5e-7, -0.0234].map((v) => m.digits(v))") == [
        *("\N{EN DASH}", "0", "1.50e\N{MINUS SIGN}7", "\N{MINUS SIGN}0.0234")
    ]
    assert js("times.js", "m.utcText(61041.25)") == "2026-01-01 06:00"
    assert js("times.js", "[m.lengthText(0.01), m.lengthText(0.5), m.lengthText(20)]") == [
        *("14 min", "12.0 h", "20 days")
    ]
    ticks = "m.ticksOf({kind: 'time', domain: [61041, 61406]}, 4).map((t) => [t.text, t.below])"
    assert js("charts/scales.js", ticks)[1] == ["2026-04-01", "61131"]
    ticks = "m.ticksOf({kind: 'log', domain: [0.09, 12]}, 4).map((t) => t.text)"
    assert js("charts/scales.js", ticks) == ["0.1", "1", "10"]


@needs_browser
def test_deep_links_and_any_server_under_any_path(
    export: MadeUpExport, address: str, new_page: Callable[..., Any]
) -> None:
    del address  # it has put the files there
    page = new_page()
    with PlainServer(export.directory.parent) as root:
        deep = f"{root}{export.directory.name}/"
        go(page, deep, f"candidates/{CANDIDATES[0]}")
        page.reload()
        shown(page, f"candidates/{CANDIDATES[0]}")
        page.locator("#candidate-curve .template").first.wait_for()


class PlainServer:
    """Python's own file server, which knows nothing of the dashboard."""

    def __init__(self, directory: Path) -> None:
        class Quiet(SimpleHTTPRequestHandler):
            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=directory))

    def __enter__(self) -> str:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self._server.server_port}/"

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
