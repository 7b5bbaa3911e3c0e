"""The dashboard of a large state: exports, the server's answers, and views in a browser.

Belongs here: timing `contimg export`, each address that `contimg dashboard` answers, and each view
in headless Chromium. Doesn't: filling the state (see `.years_sky`).
"""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from benchmarks.measure import processor_s
from benchmarks.platform_years import Cost
from contimg_resources.casa import Progress
from contimg_resources.core.errors import BenchFailed
from contimg_resources.cutouts.places import cutouts_of
from contimg_resources.settings import Settings
from contimg_resources.steps.workshop import Workshop

FIRST_GOAL_S, VIEW_GOAL_S, EXPORT_GOAL_S = 1.0, 2.0, 10.0
#: Requests for each address, the first included.
ASKED = 3
_WAIT_S, _POLL_S = 300.0, 0.03

#: Whether a view is shown: its charts, and the pictures in the window. The time since navigation.
_SHOWN = """(view) => {
  const main = document.querySelector("main");
  const seen = (one) => { const box = one.getBoundingClientRect(); return box.top < innerHeight && box.bottom > 0; };
  return main?.dataset.shown === view && !main.hasAttribute("aria-busy")
    && [...main.querySelectorAll(".plot")].every((plot) => plot.querySelector("svg[role=img] .frame"))
    && [...main.querySelectorAll("img")].filter(seen).every((image) => image.complete)
    && performance.now();
}"""  # noqa: E501
#: Size of all that was loaded, bytes.
_LOADED = (
    """performance.getEntriesByType("resource").reduce((n, one) => n + one.encodedBodySize, 0)"""
)


def measure_dashboard(settings: Settings, progress: Progress) -> list[Cost]:
    """Return the costs of exports, of each address, and of each view where there is Chromium."""
    progress("exporting", None)
    costs = [_export(settings, "export of everything"), _export(settings, "export, nothing new")]
    workshop = Workshop.from_settings(settings)
    addresses, views = choose_addresses(workshop), choose_views(workshop)
    workshop.products.close()
    with _serving(settings) as (address, pid):
        progress("asking the dashboard's server", None)
        costs += api_costs(address, addresses, lambda: processor_s(pid))
        progress("opening the dashboard's views", None)
        with _chromium() as browser:
            if browser is not None:
                costs += view_costs(browser, address, views, lambda: processor_s(pid))
    return costs


def choose_addresses(workshop: Workshop) -> dict[str, str]:
    """Return an address of each route that answers GET, by the route's path below ``api``.

    Plots and solutions of caltable sets are left out: CASA reads them from tables, of which a
    filled state has none.
    """
    store = workshop.products
    key = store.list_observations(limit=1)[0].key
    mosaic = store.mosaics.list()[-1].key
    one = store.events.list_candidates()[0]
    epoch = next(iter(cutouts_of(workshop.settings.layout.cutouts, one.source_id))).epoch
    calibration = workshop.registry.list_sets()[-1]
    cone = urlencode({"RA": one.ra_deg, "DEC": one.dec_deg, "SR": 3.0})
    source = urlencode({"ID": one.source_id})
    images = {
        f"/{what}/{{key}}{ending}": f"/{what}/{quote(name)}{ending.format(layer='image')}{asked}"
        for what, name in (("observations", key), ("mosaics", mosaic))
        for ending, asked in (
            ("", ""),
            ("/{layer}.webp", "?width=240"),
            ("/{layer}.svg", "?width=240"),
            ("/{layer}.fits", ""),
            ("/{layer}/pixel", "?x=9&y=9"),
        )
    }
    vo = {
        "scs/sources": cone,
        "scs/candidates": cone,
        "": "",
        "sia2/query": urlencode({"POS": "CIRCLE 20 16.3 1"}),
        "tap/sync": urlencode(
            {"LANG": "ADQL", "QUERY": "SELECT TOP 10 * FROM contimg.sources ORDER BY eta DESC"}
        ),
        "tap/tables": "",
        "tap/async": "",
        "links/images": urlencode({"ID": key}),
        "links/sources": source,
        "links/candidates": urlencode({"ID": one.id}),
        "light_curve": source,
        "cutout": urlencode({"ID": one.source_id, "EPOCH": epoch, "KIND": "png"}),
        "capabilities": "",
        "availability": "",
    }
    return {
        **{f"/{name}": f"/{name}" for name in ("session", "marks", "annotations", "reprocess")},
        **images,
        "/antennas": "/antennas",
        "/antennas/{key}": f"/antennas/{key}",
        "/primary-beam": "/primary-beam",
        "/caltables/{name}/{version:int}": f"/caltables/{calibration.name}/{calibration.version}",
        "/names": "/names?" + urlencode({"name": "3C48"}),
        **{f"/vo/{place}": f"/vo/{place}?{asked}" for place, asked in vo.items()},
        "/vo/mosaics/{key}.fits": f"/vo/mosaics/{quote(mosaic)}.fits",
        "/vo/mosaics/{key}/{layer}": f"/vo/mosaics/{quote(mosaic)}/sigma.fits",
    }


def choose_views(workshop: Workshop) -> dict[str, str]:
    """Return the addresses of the views and of one page of each kind, by what they show."""
    store = workshop.products
    one = store.events.list_candidates()[0]
    calibration = workshop.registry.list_sets()[-1]
    names = (
        *("sky", "map", "quality", "calibration", "antennas", "sources", "variables"),
        *("lightcurves", "candidates", "observations", "mosaics"),
    )
    return {
        "tonight": "tonight",
        **dict(zip(names, names, strict=True)),
        "a light curve": f"lightcurves/{one.source_id}",
        "a candidate": f"candidates/{one.id}",
        "an observation": f"observations/{store.list_observations(limit=1)[0].key}",
        "a mosaic": f"mosaics/{store.mosaics.list()[-1].key}",
        "a caltable set": f"calibration/{calibration.name}/{calibration.version}",
    }


def api_costs(
    address: str, addresses: Mapping[str, str], used_s: Callable[[], float]
) -> Iterator[Cost]:
    """Yield the cost of each address: the longest of some requests, the mean processor time.

    Raises
    ------
    BenchFailed
        If the server refuses one.
    """
    for route, place in addresses.items():
        before_s, took, n_bytes = used_s(), [], 0
        for _ in range(ASKED):
            began_s = time.perf_counter()
            n_bytes = _asked(address, f"/api{place}")
            took.append(time.perf_counter() - began_s)
        cpu_s = (used_s() - before_s) / ASKED
        yield Cost(f"GET api{route}", max(took), VIEW_GOAL_S, cpu_s, n_bytes)


def view_costs(
    browser: Any, address: str, views: Mapping[str, str], used_s: Callable[[], float]
) -> Iterator[Cost]:
    """Yield the cost of each view, opened by its address in a browser that has loaded nothing.

    The time is that from navigation until the view has its charts and the pictures in the window;
    `used_s` returns the processor time of the server, to which that of the browser is added.

    Raises
    ------
    BenchFailed
        If a view isn't shown.
    """
    for name, place in views.items():
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        try:
            page = context.new_page()
            before_s, before = used_s(), _used_by_processes(browser)
            hash_ = "/".join(quote(part, safe="") for part in place.split("/", 1))
            page.goto(f"{address}#/{hash_}", wait_until="commit")
            seconds = _shown_s(page, place)
            after = _used_by_processes(browser)
            cpu_s = used_s() - before_s + sum(t - before.get(i, 0.0) for i, t in after.items())
            heading = page.locator("main h1").inner_text()
            if heading in ("View unavailable", "Not found"):
                raise BenchFailed(f"{name}: {page.locator('main').inner_text()}")
            loaded = page.evaluate(_LOADED)
            goal_s = FIRST_GOAL_S if name == "tonight" else VIEW_GOAL_S
            yield Cost(f"view: {name}", seconds, goal_s, cpu_s, int(loaded))
        finally:
            context.close()


def _shown_s(page: Any, view: str) -> float:
    """Wait until a view is shown; return the time since navigation, seconds."""
    deadline = time.monotonic() + _WAIT_S
    while not (passed_ms := page.evaluate(_SHOWN, view)):
        if time.monotonic() > deadline:
            raise BenchFailed(f"{view} isn't shown after {_WAIT_S:g} s: {page.inner_text('body')}")
        time.sleep(_POLL_S)
    return 1e-3 * float(passed_ms)


def _used_by_processes(browser: Any) -> dict[int, float]:
    """Return the processor time of each of the browser's processes so far, seconds."""
    session = browser.new_browser_cdp_session()
    info = session.send("SystemInfo.getProcessInfo")["processInfo"]
    session.detach()
    return {process["id"]: process["cpuTime"] for process in info}


def _asked(address: str, place: str) -> int:
    """Send a request and return the size of the answer, bytes."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=_WAIT_S)
    try:
        # As the page itself asks.
        connection.request("GET", place, headers={"X-Contimg": "1"})
        answer = connection.getresponse()
        content = answer.read()
    finally:
        connection.close()
    if answer.status != http.HTTPStatus.OK:
        raise BenchFailed(f"{place}: the server answered {answer.status}: {content[:200]!r}")
    return len(content)


def _export(settings: Settings, name: str) -> Cost:
    """Return the cost of ``contimg export``, and the size of the documents."""
    before, began_s = os.times(), time.perf_counter()
    command = [sys.executable, "-m", "contimg_resources", "export", "--json"]
    done = subprocess.run(
        [*command, "--state", str(settings.state)], stdout=subprocess.PIPE, check=True
    )
    seconds, after = time.perf_counter() - began_s, os.times()
    cpu_s = sum(after[2:4]) - sum(before[2:4])
    return Cost(name, seconds, EXPORT_GOAL_S, cpu_s, int(json.loads(done.stdout)["size_bytes"]))


@contextmanager
def _serving(settings: Settings) -> Iterator[tuple[str, int]]:
    """Run ``contimg dashboard``; yield its address and process id."""
    command = [sys.executable, "-m", "contimg_resources", "dashboard", "--port", "0"]
    process = subprocess.Popen(
        [*command, "--state", str(settings.state)], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    try:
        line = process.stderr.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+/", line)
        if found is None:
            raise BenchFailed(f"the dashboard didn't start: {line}{process.stderr.read()}")
        yield found[0], process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


@contextmanager
def _chromium() -> Iterator[Any]:
    """Start Chromium; None where it or Playwright is missing."""
    from tests.conftest import CHROMIUM, CHROMIUM_FLAGS

    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        yield None
        return
    if not CHROMIUM.exists():
        yield None
        return
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=list(CHROMIUM_FLAGS))
        yield browser
        browser.close()
