"""The pages of a mosaic and of a caltable set, by way of each other and of an observation."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.wcs import WCS
from astropy_healpix import HEALPix
from PIL import Image

from contimg_resources.calibration.antennas import AntennaSolutions, by_antenna
from contimg_resources.calibration.solutions import Solutions
from contimg_resources.core.times import SIDEREAL_DEG_PER_DAY
from contimg_resources.dashboard.caltable_sets import CaltableSetPages
from contimg_resources.dashboard.mosaicked import MosaicPages
from contimg_resources.dashboard.observing import ObservationPages
from contimg_resources.dashboard.serving import DashboardServer
from contimg_resources.imaging.png import celestial_wcs
from contimg_resources.mosaics.model import MosaicFiles, MosaicGrid
from contimg_resources.products.derived import DerivedKind
from contimg_resources.products.model import Artefact, ArtefactKind, ObservationState
from contimg_resources.products.store import ProductsStore
from contimg_resources.registry.store import CalibrationRegistry
from contimg_resources.settings import CalibrationSettings, Settings
from contimg_resources.steps.exporting import export_dashboard
from contimg_resources.steps.mapping_sky import map_sky
from contimg_resources.steps.verifying import verify_products
from contimg_resources.steps.workshop import Workshop
from tests.conftest import needs_browser
from tests.dashboard.conftest import go, shown, violations
from tests.dashboard.made_up_mosaics import add_mosaic
from tests.dashboard.test_observing import ask
from tests.products.conftest import make_observation
from tests.registry.conftest import Maker, read_made_up_tables

KEY, LATER, ELSEWHERE = "61041.52083+33.2", "61042.51806+33.2", "61041.70833+33.2"
GRID = MosaicGrid(600, 160, 60.0, 359.9, 33.2)
SOURCE = (0.4, 33.5, 1.0)
DAGSTER = "http://127.0.0.1:3000"
SET = "3C286_61041.5"
HOSTILE = "<img src=x onerror=alert(1)>"


class NoCasa:
    """Answers as CASA does about a delay and a gain table with a dead antenna."""

    def run(self, function: Any, paths: list[Path], **_: Any) -> list[AntennaSolutions]:
        ids = np.arange(4)
        gains = np.array([1.5, 0.7j, 1, -1])[None, None, :].repeat(2, 0)
        flags = np.zeros(gains.shape, bool)
        flags[:, :, 2] = True
        flags[1, :, 3] = True
        snr = np.full(gains.shape, 40.0)
        names = ("1", "2", "3", "104")
        made = Solutions(gains, flags, snr, ids, 0 * ids, np.zeros(4))
        late = Solutions(gains.real, flags, snr, ids, 0 * ids, np.zeros(4))
        kinds = ["K Jones" if "k" in path.name.split("_")[-1] else "G Jones" for path in paths]
        return [by_antenna(late if k[0] == "K" else made, k, names) for k in kinds]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shown")


@pytest.fixture(scope="module")
def store(files: Path) -> ProductsStore:
    return ProductsStore(str(files / "state" / "products.sqlite3"))


@pytest.fixture(scope="module")
def address(files: Path) -> Iterator[str]:
    settings = Settings(state=files / "state")
    workshop = replace(
        Workshop.from_settings(settings),
        registry=CalibrationRegistry(settings.registry_address, inspect=read_made_up_tables),
    )
    products = workshop.products
    observation = make_observation(files / "a.ms", mid_mjd=61_041.5)
    products.arrive(observation)
    new = Maker(files)(SET, 61_041.5)
    plot = new.tables[0].path.parent / "x_summary.png"
    Image.new("RGB", (40, 30), "white").save(plot)
    secret = files / "secret.png"
    secret.write_bytes(b"secret")
    found = {
        "flagged_fraction": 0.05,
        "working_antennas": 3,
        "tables": {"GA": {"median_snr": 2.0, "flagged_by_receptor": [0.1, 0.2]}},
    }
    plots = [str(plot), str(secret), str(plot.parent / "info")]
    origin = {"ms": str(observation.path), "plots": plots, "run_id": "run-9", "notes": [HOSTILE]}
    workshop.registry.register(replace(new, quality=found, origin=origin))
    products.put_artefacts(
        observation.key,
        [Artefact(ArtefactKind.CALIBRATED_MS, files / "a.cal.ms", set_name=SET, set_version=1)],
    )
    products.set_state(observation.key, ObservationState.CALIBRATED, step="calibrated_ms")
    tiles = {observation.key: "sha256:1"}
    day = 360 / SIDEREAL_DEG_PER_DAY
    at = 61_041.52083
    add_mosaic(products, files, KEY, at, GRID, [SOURCE], tiles=tiles)
    fainter = (*SOURCE[:2], 0.25)
    moved = replace(GRID, ra_deg=359.6)
    add_mosaic(products, files, LATER, at + day, moved, [fainter])
    add_mosaic(products, files, ELSEWHERE, at + 0.18, GRID, [])
    export_dashboard(workshop)
    mapped = map_sky(workshop)
    assert [one.name for one in mapped.layers] == ["deep", "night-61042", "night-61041"]
    assert map_sky(workshop).n_made == 0
    problems = verify_products(workshop).problems
    assert [p for p in problems if p.kind == DerivedKind.SKY_MAP] == []
    pages = (
        ObservationPages(products, lambda: DAGSTER),
        MosaicPages(products, lambda: DAGSTER),
        CaltableSetPages(
            workshop.registry,
            products,
            NoCasa(),  # type: ignore[arg-type]
            CalibrationSettings(),
            lambda: DAGSTER,
        ),
    )
    routes = [route for one in pages for route in one.routes]
    directory = settings.export_dir
    with DashboardServer(directory, "127.0.0.1", 0, routes, public_sky=True) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.port}/"
        server.stop()
        thread.join(30)


def get(address: str, path: str) -> Any:
    status, _, body = ask(address, f"/api/{path}")
    assert status == 200, body
    return json.loads(body)


def test_a_mosaic_is_told_with_its_inputs_and_the_same_sky_at_other_epochs(address: str) -> None:
    found = get(address, f"mosaics/{KEY}")
    observation = make_observation(Path("/a.ms"), mid_mjd=61_041.5).key
    assert [one["key"] for one in found["inputs"]] == [observation]
    # Four hours later another sky was above the array.
    assert [one["key"] for one in found["epochs"]] == [LATER]
    assert [one["kind"] for one in found["layers"]] == ["image", "sigma", "coverage"]
    assert get(address, f"observations/{observation}")["mosaics"] == [KEY]


def test_another_epoch_is_drawn_on_the_pixels_of_this_one(address: str, files: Path) -> None:
    x, y = (round(float(v)) for v in celestial_wcs(GRID).all_world2pix(*SOURCE[:2], 0))
    here = f"mosaics/{KEY}/image/pixel?x={x}&y={y}"
    file = fits.getdata(MosaicFiles.in_directory(files / KEY, KEY).image)
    assert get(address, here)["value"] == pytest.approx(float(file[y, x]))
    # The source is where it was, and a quarter as bright; the noise is a hundredth of that.
    there = get(address, f"{here}&at={quote(LATER)}")["value"]
    assert there / get(address, here)["value"] == pytest.approx(0.25, abs=0.02)
    for query in ("", f"?at={quote(LATER)}"):
        status, _, body = ask(address, f"/api/mosaics/{KEY}/image.webp{query}")
        picture = np.asarray(Image.open(BytesIO(body)).convert("L"))
        assert (status, picture.shape) == (200, (GRID.rows, GRID.columns))
        row, column = divmod(int(picture.argmax()), GRID.columns)
        assert np.hypot(column - x, GRID.rows - 1 - row - y) < 1.5, query
    # The other one lies further west.
    for at, is_seen in ((20, False), (580, True)):
        found = get(address, f"mosaics/{KEY}/image/pixel?x={at}&y=80&at={quote(LATER)}")
        assert (found["value"] is not None) == is_seen


def test_a_part_has_the_pixels_of_the_whole(address: str) -> None:
    query = "x=300&y=50&columns=120&rows=60"
    part = ask(address, f"/api/mosaics/{KEY}/sigma.webp?{query}")
    assert Image.open(BytesIO(part[2])).size == (120, 60)
    for wrong in ("x=500&y=0&columns=101&rows=9", "x=0&y=0&columns=0&rows=9", "x=a&columns=3"):
        assert ask(address, f"/api/mosaics/{KEY}/image.webp?{wrong}")[0] == 400
    assert ask(address, f"/api/mosaics/{KEY}/image.webp?at=60000.5%2B1.0")[0] == 404


def test_figures_have_their_limits_and_only_plots_of_the_set_are_given(address: str) -> None:
    found = get(address, f"caltables/{SET}/1")
    gains = next(t for t in found["tables"] if t["type"] == "GA")
    snr, flagged = ({f["name"]: f for f in gains["figures"]}[n] for n in ("median SNR", "flagged"))
    assert (snr["value"], snr["is_good"], flagged["is_good"]) == (2.0, False, True)
    assert snr["limit"] == CalibrationSettings().min_median_snr
    observation = make_observation(Path("/a.ms"), mid_mjd=61_041.5).key
    assert found["observation"] == observation
    assert [a["key"] for a in found["applied"]] == [observation]
    assert found["plots"] == ["x_summary.png"]
    assert ask(address, f"/api/caltables/{SET}/1/plots/0")[1]["content-type"] == "image/png"
    for gone in (f"{SET}/1/plots/1", f"{SET}/2", "other/1", f"..%2f{SET}/1", f"{SET}/-1"):
        assert ask(address, f"/api/caltables/{gone}")[0] == 404, gone


def test_antennas_are_summed_up_by_receptor() -> None:
    times = np.zeros(6)
    values = np.array([1, 1, 2, 4, 5, -5], complex)[None, None, :] * np.exp(0.5j)
    flags = np.array([False, False, False, True, True, True])[None, None, :]
    snr = np.arange(6.0)[None, None, :]
    antennas = np.array([0, 0, 2, 2, 3, 1])
    solutions = Solutions(values, flags, snr, antennas, 0 * antennas, times)
    found = by_antenna(solutions, "G Jones", ("a", "", "c", "d"))
    assert found.antennas == ["a", "c", "d"]
    assert found.flagged == [[0.0], [0.5], [1.0]]
    assert found.amplitude == [[1.0], [2.0], [None]]
    assert found.snr == [[0.5], [2.0], [None]]
    assert found.phase_deg[0][0] == pytest.approx(np.degrees(0.5))
    assert found.delay_ns == []
    assert found.of({"d", "a"}).amplitude == [[1.0], [None]]


@needs_browser
def test_the_way_from_a_mosaic_down_to_its_caltable_set(
    address: str, new_page: Callable[..., Any]
) -> None:
    page = new_page(device_scale_factor=2)
    go(page, address, "mosaics")
    # As many pixels as the screen has there.
    small = page.get_by_alt_text(f"Image of {KEY}")
    small.scroll_into_view_if_needed()
    small.evaluate("(i) => i.decode()")
    source = small.evaluate("(i) => i.currentSrc")
    pixels = Image.open(BytesIO(ask(address, source.replace(address, "/"))[2])).width
    assert pixels == 2 * small.evaluate("(i) => i.getBoundingClientRect().width") == 480
    page.get_by_role("link", name=KEY, exact=True).click()
    viewer = page.locator("#mosaicked")
    viewer.wait_for()
    image = viewer.locator("img").first
    image.evaluate("(i) => i.decode()")
    partition = page.locator("#in-dagster a").first.get_attribute("href")
    assert (
        partition == f"{DAGSTER}/assets/mosaic_60min?view=partitions&partition=61041.52083%2B33.2"
    )
    assert violations(page) == []
    # As astropy has it, also across 0 h.
    wcs = WCS(celestial_wcs(GRID).to_header())
    grid = {n: list(getattr(wcs.wcs, n)) for n in ("crval", "crpix", "cdelt")}
    module = f"import('{address}js/imageviewer.js')"
    for x, y in [(0, 0), (599, 159), (300, 80), (20, 140)]:
        call = f"([g, a]) => {module}.then((m) => m.skyOf(g, ...a))"
        sky = page.evaluate(call, [grid | {"projection": "ZEA"}, [x, y]])
        ra, dec = wcs.pixel_to_world_values(x, y)
        assert (sky["ra"], sky["dec"]) == pytest.approx((float(ra), float(dec)), abs=1e-9)
        back = page.evaluate(
            f"([g, a]) => {module}.then((m) => m.pixelOf(g, a))",
            [grid | {"projection": "ZEA"}, sky],
        )
        assert (back["x"], back["y"]) == pytest.approx((x, y), abs=1e-6)
    # A strip is shown in a frame that isn't as flat; what is under the pointer is right.
    x, y = (round(float(v)) for v in celestial_wcs(GRID).all_world2pix(*SOURCE[:2], 0))
    viewer.scroll_into_view_if_needed()
    said = page.locator("#mosaicked-says")

    def point() -> None:
        box = image.bounding_box()
        across = box["x"] + box["width"] * (x + 0.5) / GRID.columns
        page.mouse.move(across, box["y"] + box["height"] * (GRID.rows - 0.5 - y) / GRID.rows)
        said.get_by_text(f"pixel {x}, {y}: ").wait_for(timeout=20_000)

    point()
    for _ in range(5):
        page.mouse.wheel(0, -100)
    page.mouse.move(10, 10)
    point()
    viewer.press("b")
    page.wait_for_timeout(300)
    assert quote(LATER) in image.get_attribute("src")
    viewer.press("b")
    assert "at=" not in image.get_attribute("src")
    page.locator("table a", has_text="61041.5").first.click()
    page.locator("#sets-applied a").click()
    page.locator("#antennas-sort-0").wait_for()
    page.locator("#figures-sort-0").wait_for()
    text = page.locator("main").text_content()
    assert "2 of 4 antennas work; the others: 3 (dead), 104 (one receptor dead)" in text
    assert HOSTILE in text
    assert "at least 3" in text or "at least" in text
    assert page.locator("#antennas-k-delay").count() == 1
    assert page.locator("#antennas-gp-phase").count() == 1
    page.locator("details.solved img").evaluate("(i) => i.decode()")
    assert violations(page) == []
    route = f"calibration/{SET}/1"
    shown(page, route)
    page.locator("#solved-from a").click()
    page.locator("#in-mosaics a").click()
    shown(page, f"mosaics/{KEY}")


def test_the_map_is_served_for_programs_and_pages_of_other_sites(address: str) -> None:
    status, headers, body = ask(address, "/sky/deep/properties")
    assert (status, headers["content-type"]) == (200, "text/plain; charset=utf-8")
    assert b"hips_order           = 3" in body
    assert headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-origin" not in ask(address, "/index.json")[1]
    assert ask(address, "/sky/.lock")[0] == 404
    assert ask(address, "/sky/deep/.sums/1.npz")[0] == 404


@needs_browser
def test_the_map_shows_the_sky_with_flux_densities_under_the_pointer(
    address: str, new_page: Callable[..., Any]
) -> None:
    page = new_page()
    go(page, address, "map")
    frame = page.locator("#map[data-drawn]")
    frame.wait_for()
    page.locator("#map-go").fill(f"{SOURCE[0]} {SOURCE[1]}")
    page.locator("#map-go").press("Enter")
    box = frame.bounding_box()
    centre = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(*centre)
    said = page.locator("#map-says")
    said.get_by_text("mJy").wait_for()
    # Two mosaics of 1 and 0.25 Jy at equal noise, and one of four hours later without the source.
    value = float(said.text_content().split(": ")[1].split()[0])
    assert value == pytest.approx((1000 + 250 + 0) / 3, rel=0.05)
    assert said.text_content().startswith("00:01:36.0 +33:30:00")
    assert violations(page) == []
    middle = "c => [...c.getContext('2d').getImageData(c.width / 2, c.height / 2, 1, 1).data]"
    assert page.locator("#map canvas").evaluate(middle)[0] > 100
    # The place under the pointer stays there.
    for _ in range(5):
        page.mouse.wheel(0, -100)
    page.mouse.move(centre[0] + 1, centre[1])
    page.wait_for_timeout(400)
    assert said.text_content().startswith("00:01:3")
    page.locator("#map-layer").select_option("night-61042")
    page.wait_for_url("**map.layer=night-61042*")
    assert f"map.ra={SOURCE[0]}" in page.url.replace("0.29999", "0.3") or "map.ra=0." in page.url
    other = new_page()
    other.goto(page.url)
    shown(other, "map").wait_for()
    assert other.locator("#map-layer").input_value() == "night-61042"
    assert "61042" in other.locator("#map-address").text_content()
    # The last choice counts, also when the view is drawn again at once.
    other.locator("#map-layer").select_option("night-61041")
    other.locator("#map-address", has_text="61041").wait_for()
    # As astropy-healpix has it.
    module = f"import('{address}js/healpix.js')"
    order, depth = 3, 9
    fine = HEALPix(1 << (order + depth), "nested")
    rng = np.random.default_rng(2)
    ra, dec = rng.uniform(0, 360, 300), np.degrees(np.arcsin(rng.uniform(-1, 1, 300)))
    dec[:4] = 90, -90, 41.8103, -41.8103
    expected = fine.lonlat_to_healpix(ra * u.deg, dec * u.deg)
    places = [{"ra": float(a), "dec": float(d)} for a, d in zip(ra, dec, strict=True)]
    call = f"ps => {module}.then(m => ps.map(p => m.pixelAt({order}, {depth}, p)))"
    found = page.evaluate(call, places)
    numbers = [f["number"] * 4**depth + _spread(f["x"]) + 2 * _spread(f["y"]) for f in found]
    assert numbers == expected.tolist()
    some = [(0, 0.3, 0.8), (767, 0.5, 0.5), (400, 0.9, 0.1), (130, 0.01, 0.02)]
    call = f"ps => {module}.then(m => ps.map(([n, x, y]) => m.placeIn({order}, n, x, y)))"
    for (n, x, y), place in zip(some, page.evaluate(call, some), strict=True):
        lon, lat = HEALPix(1 << order, "nested").healpix_to_lonlat(n, dx=x, dy=y)
        assert place["ra"] == pytest.approx(lon.deg, abs=1e-9)
        assert place["dec"] == pytest.approx(lat.deg, abs=1e-9)


def _spread(number: int) -> int:
    """Return a number with a zero bit before each of its bits."""
    return int("0".join(f"{number:09b}"), 2)


@needs_browser
def test_a_copy_shows_the_map_without_a_server(
    files: Path, address: str, tmp_path: Path, new_page: Callable[..., Any]
) -> None:
    own = Settings(state=files / "state")
    export = own.export.model_copy(update={"directory": tmp_path / "copy"})
    workshop = Workshop.from_settings(own.model_copy(update={"export": export}))
    gone = tmp_path / "copy" / "sky" / "night-61000" / "Norder3"
    export_dashboard(workshop, original=own.export_dir)
    gone.mkdir(parents=True)
    tile = next((tmp_path / "copy" / "sky" / "deep").glob("Norder3/*/*.png"))
    began_ns = tile.stat().st_ctime_ns
    export_dashboard(workshop, original=own.export_dir)
    assert tile.stat().st_ctime_ns == began_ns
    assert not gone.exists()
    assert list((tmp_path / "copy" / "sky").glob("*/*/*/*.fits")) == []
    page = new_page()
    go(page, (tmp_path / "copy" / "index.html").as_uri(), "map")
    page.locator("#map-go").fill(f"{SOURCE[0]} {SOURCE[1]}")
    page.locator("#map-go").press("Enter")
    said = page.locator("#map-where")
    said.get_by_text("1 tile of order 3").or_(said.get_by_text("tiles of order 3")).wait_for()
    # The canvas of files can't be read by a script: is the source in the picture of the page?
    page.wait_for_timeout(500)
    picture = Image.open(BytesIO(page.locator("#map canvas").screenshot())).convert("L")
    assert np.asarray(picture)[picture.height // 2, picture.width // 2] > 100
