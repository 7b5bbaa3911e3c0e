"""Sources are found by place, name and metrics, and taken away as CSV."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import astropy.units as u
import pytest
from astropy.coordinates import SkyCoord

from tests.conftest import needs_browser
from tests.dashboard.conftest import go, shown
from tests.dashboard.made_up_export import DIPPING, N_SOURCES

#: What people type, and what astropy makes of it.
POSITIONS = {
    "24.4221 33.1597": SkyCoord(24.4221, 33.1597, unit="deg"),
    "24.4221, -33.1597": SkyCoord(24.4221, -33.1597, unit="deg"),
    "01:37:41.3 +33:09:35": SkyCoord("01:37:41.3 +33:09:35", unit=(u.hourangle, u.deg)),
    "01 37 41.3 \N{MINUS SIGN}00 09 35.2": SkyCoord(
        "01:37:41.3 -00:09:35.2", unit=(u.hourangle, u.deg)
    ),
    "1h37m41.3s +33d09m35s": SkyCoord("1h37m41.3s +33d09m35s"),
    "G 134.0 -28.7": SkyCoord(134.0, -28.7, unit="deg", frame="galactic").icrs,
    "galactic 0 90": SkyCoord(0, 90, unit="deg", frame="galactic").icrs,
    "l,b = 359.9, 0.1": SkyCoord(359.9, 0.1, unit="deg", frame="galactic").icrs,
    "NVSS J013741+330935": SkyCoord("01:37:41 +33:09:35", unit=(u.hourangle, u.deg)),
    "j0137-3309": SkyCoord("01:37 -33:09", unit=(u.hourangle, u.deg)),
}
NO_POSITIONS = (
    "",
    "3C48",
    "25:00:00 +10:00:00",
    "10 95",
    "370 10",
    "DSA J0123",
    "1 2 3",
    "G 10 95",
)


@needs_browser
def test_positions_are_read_as_astropy_reads_them(
    address: str, new_page: Callable[..., Any]
) -> None:
    page = new_page()
    go(page, address, "tonight")

    def js(function: str, *arguments: Any) -> Any:
        call = f"(a) => import('{address}js/places.js').then((m) => m.{function}(...a))"
        return page.evaluate(call, list(arguments))

    for text, expected in POSITIONS.items():
        found = js("readPosition", text)
        assert found is not None, text
        off = SkyCoord(found["ra"], found["dec"], unit="deg").separation(expected)
        assert off < 0.05 * u.arcsec, text
    for text in NO_POSITIONS:
        assert js("readPosition", text) is None, text
    pairs = [
        ((10.0, 20.0), (10.001, 20.001)),
        ((0.1, 89.0), (180.0, 89.5)),
        ((350.0, -5.0), (10.0, 5.0)),
    ]
    for one, other in pairs:
        a, b = (SkyCoord(*place, unit="deg") for place in (one, other))
        measured = js("separation", *({"ra": p[0], "dec": p[1]} for p in (one, other)))
        assert measured == pytest.approx(a.separation(b).deg, rel=1e-9)


@needs_browser
def test_a_source_is_found_by_its_place_and_its_curve_saved(
    address: str, new_page: Callable[..., Any], tmp_path: Path
) -> None:
    page = new_page(accept_downloads=True)
    go(page, address, f"lightcurves/{DIPPING}")
    assert page.locator("#elsewhere a").all_text_contents() == [
        *("Sources nearby", "Map", "SIMBAD", "NED", "VizieR", "Aladin")
    ]
    page.locator("#elsewhere a").first.click()
    page.locator("#sources-near-more").wait_for(state="attached")
    rows = page.locator("tbody tr")
    assert rows.first.locator("td").nth(0).text_content() == DIPPING
    assert rows.first.locator("td").nth(1).text_content() == "0.0\N{DOUBLE PRIME}"
    page.locator("#sources-radius").fill("1800")
    within_30_deg = rows.count()
    page.locator("#sources-radius").fill("0.01")
    assert (rows.count(), within_30_deg > 1) == (1, True)
    rows.first.locator("a").click()
    shown(page, f"lightcurves/{DIPPING}")
    with page.expect_download() as waiting:
        page.locator("#curve-csv").click()
    waiting.value.save_as(tmp_path / "curve.csv")
    content = list(csv.DictReader((tmp_path / "curve.csv").open()))
    assert len(content) == 300
    assert {"mid_mjd", "flux_mjy", "error_mjy", "flags"} <= set(content[0])
    # From the box of the light curves too.
    page.locator("#source").fill("00:00:00 +16:18:00")
    page.locator("#source").press("Enter")
    shown(page, "sources/00:00:00 +16:18:00")


@needs_browser
def test_sources_are_chosen_by_a_metric_and_saved(
    address: str, new_page: Callable[..., Any], tmp_path: Path
) -> None:
    page = new_page(accept_downloads=True)
    go(page, address, "sources")
    found = page.locator("#sources-found")
    page.locator("#sources-metric").select_option("v")
    page.locator("#sources-least").fill("0.1")
    with page.expect_download() as waiting:
        page.locator("#sources-csv").click()
    waiting.value.save_as(tmp_path / "sources.csv")
    content = list(csv.DictReader((tmp_path / "sources.csv").open()))
    assert 0 < len(content) < N_SOURCES
    assert min(float(row["v"]) for row in content) >= 0.1
    assert found.text_content().startswith(f"{len(content):,} source")
    page.locator("#sources-least").fill("")
    page.locator("#sources-variable").check()
    assert int(found.text_content().split()[0]) < N_SOURCES
    # What a spreadsheet would run is text.
    cell = page.evaluate(
        f"""import('{address}js/saving.js').then(async (m) => {{
            let text;
            URL.createObjectURL = (blob) => {{ text = blob.text(); return "#"; }};
            m.saveCsv("x", [["=1+1", ["@a", 'b"', null, -1]]]);
            return text;
        }})"""
    )
    assert cell == '\'=1+1\n\'@a\n"b"""\n\n-1\n'
