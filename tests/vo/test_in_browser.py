"""Sources are found by name in the browser, and the selection is saved in other formats."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from astropy.table import Table

from tests.conftest import needs_browser
from tests.dashboard.conftest import go, shown
from tests.vo.conftest import N_SOURCES, Served


@needs_browser
def test_a_name_leads_to_sources_that_are_saved(
    served: Served, new_page: Callable[..., Any], tmp_path: Path
) -> None:
    page = new_page(accept_downloads=True, expected="404")
    go(page, served.address, "sources")

    def saved(button: str, name: str) -> Path:
        with page.expect_download() as waiting:
            page.locator(button).click()
        assert waiting.value.suggested_filename == name
        waiting.value.save_as(tmp_path / name)
        return tmp_path / name

    page.locator("#sources-text").fill("3C 48")
    assert page.locator("#sources-found").text_content().startswith("0 sources")
    page.locator("#sources-text").press("Enter")
    page.get_by_text("3C48 (the list of calibrators)").wait_for()
    page.locator("#sources-radius").fill("20")
    n = int(page.locator("#sources-found").text_content().split()[0])
    assert 1 < n < N_SOURCES
    rows = page.locator("tbody tr td:first-child").all_text_contents()
    table = pq.read_table(saved("#sources-parquet", "sources.parquet"))
    assert (set(table["source_id"].to_pylist()), len(rows)) == (set(rows), n)
    assert {"ra_deg", "eta", "intrinsic_tau_days"} < set(table.column_names)
    page.locator("#sources-text").fill("Field:S00")
    page.locator("#sources-metric").select_option("mean_flux_mjy")
    page.locator("#sources-least").fill("450")
    found = Table.read(saved("#sources-votable", "sources.vot"), format="votable")
    assert 0 < len(found) < 10
    assert len(found) == page.locator("tbody tr").count()
    assert found["mean_flux_mjy"].min() >= 450
    page.locator("#sources-text").fill("nobody's star")
    page.locator("#sources-text").press("Enter")
    page.get_by_text('no calibrator is called "nobody\'s star"').wait_for()
    # From the box of the light curves too.
    go(page, served.address, "lightcurves")
    page.locator("#source").fill("3C48")
    page.locator("#source").press("Enter")
    shown(page, "sources/3C48")
    page.get_by_text("3C48 (the list of calibrators)").wait_for()
    go(page, served.address, "lightcurves/field:S003")
    address = page.locator("#curve-votable").get_attribute("href")
    curve = Table.read(f"{served.address}{address}", format="votable")
    assert str(curve["flux_mjy"].unit) == "mJy"
