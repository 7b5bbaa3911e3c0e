"""What `contimg bench-years` asks of the dashboard."""

from pathlib import Path
from typing import Any

import pytest
from starlette.routing import Route

from benchmarks import dashboard
from benchmarks.dashboard import api_costs, choose_addresses, choose_views, view_costs
from benchmarks.years import fill_stores
from benchmarks.years_sky import SkySize, fill_sky
from contimg_resources.dashboard.programs import open_programs
from contimg_resources.settings import Settings
from contimg_resources.steps.exporting import export_dashboard
from contimg_resources.steps.workshop import Workshop
from tests.conftest import needs_browser
from tests.dashboard.conftest import serving_here

SIZE = SkySize(
    sources=20, days=4, candidates=2, cutouts=1, annotations=1, images=2, side=64, mosaic=(96, 64)
)
#: Below these no address is asked: they need tables of CASA, a job of TAP, or reports.
NOT_ASKED = ("/caltables/{name}/{version:int}/", "/vo/tap/async/", "/vo/candidates/")
#: Capabilities and availability below each of the services are those above all.
REPEATED = ("/capabilities", "/availability")


@needs_browser
def test_every_address_and_view_of_a_filled_state_is_timed(
    tmp_path: Path, browser: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dashboard, "ASKED", 1)
    settings = Settings(state=tmp_path / "state")
    settings.incoming_dir.mkdir(parents=True)
    workshop = Workshop.from_settings(settings)
    fill_sky(workshop, fill_stores(workshop, 12, 4), SIZE)
    exported = export_dashboard(workshop)
    assert exported.counts["observations"] == 12
    assert exported.counts["sources"] == exported.counts["light_curves"] == 20
    assert exported.counts["candidates"] == 2

    addresses, views = choose_addresses(workshop), choose_views(workshop)
    routes = {
        route.path
        for route in open_programs(settings, "127.0.0.1", dagster=lambda: None)
        if isinstance(route, Route) and "GET" in (route.methods or ())
    }
    routes |= {"/reprocess"}
    left = {
        route
        for route in routes - set(addresses)
        if not route.startswith(NOT_ASKED)
        and not (route.count("/") > 2 and route.endswith(REPEATED))
    }
    assert left == set()
    with serving_here(settings) as address:
        costs = list(api_costs(address, addresses, lambda: 0.0))
        assert all(cost.n_bytes for cost in costs)
        assert all(0 < cost.seconds < 60 for cost in costs)
        some = {name: views[name] for name in ("mosaics",)}
        shown = list(view_costs(browser, address, some, lambda: 0.0))
    (cost,) = shown
    assert (cost.name, cost.goal_s) == ("view: mosaics", 2.0)
    assert (cost.n_bytes or 0) > 10_000
    assert (cost.cpu_s or 0) > 0
