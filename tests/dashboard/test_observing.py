"""The page of one observation: its image at full resolution, as astropy reads it."""

import http.client
import json
from base64 import b64decode
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from PIL import Image

from contimg_resources.calibration.beam_record import ObservedBeam
from contimg_resources.products.model import Artefact, ArtefactKind, ImageRecord, ObservationState
from contimg_resources.settings import Settings
from contimg_resources.steps.exporting import export_dashboard
from contimg_resources.steps.workshop import Workshop
from tests.conftest import needs_browser
from tests.dashboard.conftest import go, violations
from tests.dashboard.test_vetting import serving
from tests.products.conftest import make_observation
from tests.products.test_antennas import DEAD, GOOD, record
from tests.steps.test_primary_beam import WIDE, measured

COLUMNS, ROWS = 96, 64
PEAK = (70, 20)
HOSTILE = "<img src=x onerror=alert(1)>"


def header() -> fits.Header:
    wcs = WCS(naxis=4)
    wcs.wcs.ctype = ["RA---SIN", "DEC--SIN", "FREQ", "STOKES"]
    wcs.wcs.crval = [359.99, 33.2, 1.4e9, 1]
    wcs.wcs.crpix = [49, 33, 1, 1]
    wcs.wcs.cdelt = [-0.02, 0.02, 1e8, 1]
    found = wcs.to_header()
    found["BUNIT"] = "Jy/beam"
    return found


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("observed")
    workshop = Workshop.from_settings(Settings(state=root / "state"))
    observation = make_observation(root / "a.ms")
    workshop.products.arrive(observation)
    pixels = np.random.default_rng(1).normal(0.0, 1e-3, (1, 1, ROWS, COLUMNS)).astype("f4")
    pixels[0, 0, PEAK[1], PEAK[0]] = 1.25
    pixels[0, 0, 0, 0] = np.nan
    files = {
        kind: root / f"{kind.value}.fits" for kind in (ArtefactKind.IMAGE, ArtefactKind.RESIDUAL)
    }
    for path in files.values():
        fits.writeto(path, pixels, header())
    secret = root / "secret.json"
    secret.write_text("{}")
    workshop.products.put_artefacts(
        observation.key,
        [
            *(Artefact(kind, path, checksum=f"c-{kind}") for kind, path in files.items()),
            Artefact(ArtefactKind.STATISTICS, secret),
            Artefact(ArtefactKind.PSF, root / "gone.fits"),
        ],
        image=ImageRecord(rms_mjy=1.0, expected_rms_mjy=0.8),
    )
    workshop.products.set_state(
        observation.key,
        ObservationState.IMAGED,
        step="image_5min",
        reason=HOSTILE,
        run_id="run-7",
    )
    for number, bad in enumerate([(), ("24",), ("24", "104"), ("24",)]):
        of = record(workshop.products, root, number, *bad, days=-0.5)
        found = measured(WIDE, np.random.default_rng(number))
        beam = ObservedBeam(of, HOSTILE, workshop.products.get(of).mid_mjd, 5.0, 54.0, found)
        workshop.products.primary_beams.put(beam)
    evidence = {"1": GOOD, HOSTILE: DEAD}
    workshop.products.antennas.put(
        observation.key, "OVRO_MMA", observation.mid_mjd, evidence, {HOSTILE: "why"}
    )
    export_dashboard(workshop)
    return workshop.settings.state


@pytest.fixture(scope="module")
def address(state: Path) -> Iterator[str]:
    url = "http://127.0.0.1:3000/"
    with serving(state, "--read-only", CONTIMG_DASHBOARD__DAGSTER_URL=url) as found:
        yield found


@pytest.fixture(scope="module")
def key() -> str:
    return make_observation(Path("/a.ms")).key


def ask(address: str, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=30)
    connection.request("GET", path, headers={k.replace("_", "-"): v for k, v in headers.items()})
    answer = connection.getresponse()
    found = answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    connection.close()
    return found


def test_a_picture_has_every_pixel_and_is_sent_once(address: str, key: str) -> None:
    where = f"/api/observations/{key}/image.webp"
    status, headers, body = ask(address, where)
    assert (status, headers["content-type"]) == (200, "image/webp")
    picture = np.asarray(Image.open(BytesIO(body)).convert("L"))
    assert picture.shape == (ROWS, COLUMNS)
    # The first row of the image is at the bottom.
    assert divmod(int(picture.argmax()), COLUMNS) == (ROWS - 1 - PEAK[1], PEAK[0])
    assert ask(address, where, If_None_Match=headers["etag"])[0] == 304
    # A smaller one shows the brightest pixels; Dagster's page one for sharp screens.
    status, smaller, body = ask(address, f"{where}?width=20")
    small = np.asarray(Image.open(BytesIO(body)).convert("L"))
    assert (status, small.shape[1]) == (200, 20)
    assert int(small.max()) == pytest.approx(int(picture.max()), abs=20)
    assert smaller["etag"] != headers["etag"]
    status, headers, body = ask(address, f"/api/observations/{key}/image.svg?width=15")
    assert (status, headers["content-type"]) == (200, "image/svg+xml")
    assert body.startswith(b"<svg xmlns='http://www.w3.org/2000/svg' width='15' height=")
    webp = b64decode(body.partition(b"base64,")[2].partition(b"'")[0])
    assert Image.open(BytesIO(webp)).width == 30
    for wrong in ("0", "-1", "x", "16384", "1" * 5000, "000001" + "1" * 5000):
        for kind in ("webp", "svg"):
            assert ask(address, where.replace("webp", f"{kind}?width={wrong}"))[0] == 400
    status, headers, body = ask(address, f"/api/observations/{key}/image.fits")
    assert (status, headers["content-type"]) == (200, "application/fits")
    assert fits.open(BytesIO(body))[0].data.shape == (1, 1, ROWS, COLUMNS)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("{key}/psf.webp", 404),
        ("{key}/statistics.fits", 404),
        ("{key}/secret.fits", 404),
        ("{key}/..%2fsecret.fits", 404),
        ("60000.00000", 404),
        ("%00", 404),
        ("{key}/image/pixel?x=1", 400),
        ("{key}/image/pixel?x=96&y=0", 400),
        ("{key}/image/pixel?x=-1&y=0", 400),
        ("{key}/image/pixel?x=1e3&y=0", 400),
    ],
)
def test_nothing_else_is_given_away(address: str, key: str, path: str, status: int) -> None:
    found, _, body = ask(address, f"/api/observations/{path.format(key=key)}")
    assert found == status
    assert body == b"Not Found" or json.loads(body)["error"]


def test_a_pixel_has_the_value_of_the_file(address: str, key: str) -> None:
    pixel = f"/api/observations/{key}/image/pixel"
    assert json.loads(ask(address, f"{pixel}?x={PEAK[0]}&y={PEAK[1]}")[2]) == {"value": 1.25}
    assert json.loads(ask(address, f"{pixel}?x=0&y=0")[2]) == {"value": None}


def test_antennas_have_the_state_after_any_observation(address: str, key: str) -> None:
    status, _, body = ask(address, "/api/antennas")
    last = json.loads(body)
    assert (status, set(last["bad"]), len(last["observations"])) == (200, {"24"}, 5)
    assert last["last"][HOSTILE]["fault"] == "dead"
    first = last["observations"][0]["key"]
    early = json.loads(ask(address, f"/api/antennas/{first}")[2])
    assert (early["bad"], len(early["observations"])) == ({}, 1)
    assert ask(address, "/api/antennas/61000.00000")[0] == 404
    shown = json.loads(ask(address, f"/api/observations/{key}")[2])["antennas"]
    assert shown["n_antennas"] == 2
    assert set(shown["faults"]) == {HOSTILE}


@needs_browser
def test_antennas_are_a_grid_that_an_observation_links_to(
    address: str, key: str, new_page: Callable[..., Any]
) -> None:
    page = new_page()
    go(page, address, f"observations/{key}")
    assert "1 of 2 antennas at fault" in page.locator("#antennas-observed").text_content()
    page.locator("#antennas-observed a").click()
    grid = page.locator("#antenna-grid")
    grid.locator("svg[role=img] .frame").wait_for()
    assert "Bad: 1 of 4 antennas" in page.locator("#antennas-bad").text_content()
    assert page.locator("table", has_text="antennas are bad").locator("tbody tr").count() == 1
    for kind, n in (("main", 15), ("bad", 5), ("chosen", 5)):
        drawn = grid.locator(f"path.{kind}").first.get_attribute("d")
        assert drawn.count("M") == n
    assert HOSTILE in page.locator("table", has_text="Evidence of").text_content()
    assert violations(page) == []


@needs_browser
def test_the_primary_beam_is_drawn_beside_the_model(
    address: str, new_page: Callable[..., Any]
) -> None:
    status, _, body = ask(address, "/api/primary-beam")
    told = json.loads(body)
    assert (status, len(told["observations"]), told["is_used"]) == (200, 4, False)
    assert [e["name"] for e in told["estimates"]] == ["whole band", "1335MHz"]
    at = told["cuts"]["angle_deg"].index(1.5)
    assert told["cuts"]["east"][at] > told["cuts"]["model"][at] > told["cuts"]["north"][at]
    page = new_page()
    go(page, address, "beam")
    page.locator("#beam-cuts svg[role=img] .frame").wait_for()
    assert "too few for a comparison" in page.locator("#beam-words").text_content()
    assert page.locator("#beam-cuts path.line").count() >= 3
    assert page.locator("#beam-width path.errors.main").get_attribute("d").count("M") == 4
    assert violations(page) == []


@needs_browser
def test_the_page_shows_coordinates_and_flux_density_under_the_pointer(
    address: str, key: str, new_page: Callable[..., Any]
) -> None:
    page = new_page()
    go(page, address, "observations")
    page.locator("tbody a", has_text=key).click()
    viewer = page.locator("#observed")
    viewer.wait_for()
    assert HOSTILE in page.locator(".marks").text_content()
    runs = page.locator(".marks a")
    assert runs.get_attribute("href") == "http://127.0.0.1:3000/runs/run-7"
    links = page.locator("#in-dagster a")
    assert links.last.get_attribute("href") == runs.get_attribute("href")
    partition = links.first.get_attribute("href")
    assert partition == f"http://127.0.0.1:3000/assets/image_5min?view=partitions&partition={key}"
    assert (
        "1.00 mJy/beam, 1.25 \N{MULTIPLICATION SIGN} the expected 0.800"
        in page.locator(".facts").text_content()
    )
    assert page.locator("#observed-layer option").all_text_contents() == ["image", "residual"]
    page.locator("#observed img").evaluate("(i) => i.decode()")
    assert violations(page) == []
    viewer.scroll_into_view_if_needed()

    def at(x: float, y: float) -> tuple[float, float]:
        box = viewer.bounding_box()
        return (
            box["x"] + box["width"] * (x + 0.5) / COLUMNS,
            box["y"] + box["height"] * (ROWS - 0.5 - y) / ROWS,
        )

    page.mouse.move(*at(*PEAK))
    said = page.locator("#observed-says")
    page.get_by_text("1250 mJy/beam").wait_for()
    assert said.text_content().endswith(f"pixel {PEAK[0]}, {PEAK[1]}: 1250 mJy/beam")
    # The same place stays under the pointer.
    for _ in range(6):
        page.mouse.wheel(0, -100)
    page.mouse.move(*(v + 1 for v in at(*PEAK)))
    page.wait_for_timeout(300)
    assert f"pixel {PEAK[0]}, {PEAK[1]}: 1250 mJy/beam" in said.text_content()
    viewer.press("0")
    page.mouse.move(*at(3, 60))
    page.wait_for_timeout(300)
    assert "pixel 3, 60" in said.text_content()
    page.locator("#observed-layer").select_option("residual")
    page.locator("#observed img").evaluate("(i) => i.decode()")
    assert "residual.webp" in page.locator("#observed img").get_attribute("src")
    # As astropy has it, also across 0 h.
    wcs = WCS(header()).celestial
    grid = {n: list(getattr(wcs.wcs, n)) for n in ("crval", "crpix", "cdelt")}
    pixels = [(0, 0), (95, 63), (48, 32), (3, 60)]

    def js(function: str, argument: Any) -> Any:
        module = f"import('{address}js/imageviewer.js')"
        call = f"([g, a]) => {module}.then((m) => m.{function}(g, ...a))"
        return page.evaluate(call, [grid, argument])

    for x, y in pixels:
        ra, dec = wcs.pixel_to_world_values(x, y)
        sky = js("skyOf", [x, y])
        assert (sky["ra"], sky["dec"]) == pytest.approx((float(ra), float(dec)), abs=1e-9)
        back = js("pixelOf", [sky])
        assert (back["x"], back["y"]) == pytest.approx((x, y), abs=1e-6)
