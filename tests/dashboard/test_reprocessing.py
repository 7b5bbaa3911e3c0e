"""A day is reprocessed from the browser, by people who are known, where a platform runs."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partialmethod
from getpass import getuser
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from contimg_resources.cli.graphql import GraphQL
from contimg_resources.settings import DashboardSettings, Settings
from contimg_resources.steps.exporting import export_dashboard
from contimg_resources.steps.workshop import Workshop
from tests.conftest import needs_browser
from tests.dashboard.conftest import ask, go, serving_here

BODY = {"day": "2026-01-02", "only": "stale", "step": "image_5min"}


class Dagster(HTTPServer):
    """A stand-in for Dagster's GraphQL server that records the launched runs."""

    def __init__(self) -> None:
        self.launched: list[dict[str, Any]] = []
        self.refuses = False
        self.pause_s = 0.0
        super().__init__(("127.0.0.1", 0), _Handler)

    def answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        if "launchRun" not in asked["query"]:
            jobs = [{"name": "__ASSET_JOB"}]
            node = {"name": "__repository__", "location": {"name": "contimg"}, "jobs": jobs}
            return {"repositoriesOrError": {"nodes": [node]}}
        self.launched.append(asked["variables"]["params"])
        if self.refuses:
            return {"launchRun": {"__typename": "UnauthorizedError", "message": "read-only"}}
        return {"launchRun": {"__typename": "LaunchRunSuccess", "run": {"runId": "run-7"}}}


class _Handler(BaseHTTPRequestHandler):
    server: Dagster

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        time.sleep(self.server.pause_s)
        content = json.dumps({"data": self.server.answer(asked)}).encode()
        with suppress(BrokenPipeError, ConnectionResetError):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def answering() -> Iterator[Dagster]:
    with Dagster() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    workshop = Workshop.from_settings(Settings(state=tmp_path_factory.mktemp("reprocessed")))
    export_dashboard(workshop)
    return workshop.settings.state


def settings_of(state: Path, dagster_url: str) -> Settings:
    return Settings(state=state, dashboard=DashboardSettings(dagster_url=dagster_url))


@needs_browser
def test_the_form_launches_a_run_in_dagster(
    state: Path, new_page: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with answering() as dagster:
        url = f"http://127.0.0.1:{dagster.server_port}/"
        with serving_here(settings_of(state, url)) as address:
            page = new_page(expected="504")
            go(page, address, "observations")
            page.locator("#reprocess").click()
            page.locator("#reprocess-day").fill(BODY["day"])
            page.locator("#reprocess-step").select_option("image_5min")
            page.locator("#reprocess-launch").click()
            run = page.locator("#reprocess-said a")
            assert run.get_attribute("href") == f"{url}runs/run-7"
            (params,) = dagster.launched
            config = {"only": "STALE", "step": "IMAGE_5MIN"}
            assert params["runConfigData"] == {"ops": {"reprocessed_day": {"config": config}}}
            assert params["selector"]["assetSelection"] == [{"path": ["reprocessed_day"]}]
            assert params["executionMetadata"]["tags"] == [
                {"key": "dagster/partition", "value": "2026-01-02"}
            ]
            log = (state / "logs" / "vetting.log").read_text()
            assert f"{getuser()} reprocessed 2026-01-02: stale, from image_5min: {url}" in log
            dagster.refuses = True
            status, told, _ = ask(address, "POST", "reprocess", BODY)
            assert status == 503
            assert told["error"].endswith("refused: read-only. Nothing was launched")
            # A busy server launches the run later.
            dagster.pause_s = 0.5
            monkeypatch.setattr(GraphQL, "__init__", partialmethod(GraphQL.__init__, timeout_s=0.1))
            page.locator("#reprocess-launch").click()
            page.get_by_text("Perhaps a run was launched").wait_for()
            assert "did not answer within 0.1 s" in page.locator("#reprocess-said").inner_text()
            # It would go on asking the server that ends.
            page.close()


def test_nobody_else_reprocesses_anything(state: Path) -> None:
    today = datetime.now(UTC).date()
    with answering() as dagster:
        settings = settings_of(state, f"http://127.0.0.1:{dagster.server_port}")
        with serving_here(settings) as address:
            for headers in ({"x_contimg": None}, {"origin": "http://evil.example"}):
                assert ask(address, "POST", "reprocess", BODY, **headers)[0] == 403
            for wrong in (
                {"day": "2024-12-31"},  # before the first day of the settings
                {"day": today.replace(year=today.year + 1, day=1).isoformat()},
                {"day": "yesterday"},
                {"day": 5},
                {"only": "most"},
                {"step": "caltable_set"},
            ):
                assert ask(address, "POST", "reprocess", BODY | wrong)[0] == 400, wrong
        with serving_here(settings, read_only=True) as address:
            assert ask(address, "POST", "reprocess", BODY)[0] == 403
            assert ask(address, "GET", "reprocess")[1]["steps"] == []
        assert dagster.launched == []
    with serving_here(Settings(state=state)) as address:
        assert ask(address, "GET", "reprocess")[1]["steps"] == []
        assert "no platform runs on" in ask(address, "POST", "reprocess", BODY)[1]["error"]
