"""A made-up export, the real command that serves it, and a browser to look at it."""

import http.client
import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from starlette.routing import Route

from contimg_resources.cli.reprocess import day_launcher
from contimg_resources.dashboard.people import log
from contimg_resources.dashboard.programs import open_programs
from contimg_resources.dashboard.serving import DashboardServer, install_dashboard
from contimg_resources.settings import Settings
from tests.dashboard.made_up_export import MadeUpExport, write_export

WIDTHS = {"desk": 1280, "phone": 360}


def now_mjd() -> float:
    return time.time() / 86400 + 40587


@contextmanager
def serving(directory: Path, option: str = "--dir") -> Iterator[str]:
    """Run the command on an export; its address. It ends well when it's told to."""
    command = [sys.executable, "-m", "contimg_resources", "dashboard", option]
    process = subprocess.Popen(
        [*command, str(directory), "--port", "0"], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    line = process.stderr.readline()
    found = re.search(r"http://127\.0\.0\.1:\d+/", line)
    assert found, line + process.stderr.read()
    try:
        yield found[0]
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert process.stderr.read() == "the dashboard has stopped\n"


@contextmanager
def files_served_here(directory: Path, programs: Sequence[Route] = ()) -> Iterator[str]:
    """Serve an export in a thread of this process; its address."""
    with DashboardServer(directory, "127.0.0.1", 0, programs) as server:
        install_dashboard(directory)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.port}/"
        finally:
            server.stop()
            thread.join()


@contextmanager
def serving_here(
    settings: Settings, *, read_only: bool = False, host: str = "127.0.0.1"
) -> Iterator[str]:
    """Serve a state directory in a thread of this process, as the command does; its address.

    It is always reached on this computer alone; `host` decides who may do what.
    """
    launcher = day_launcher(settings)
    programs = open_programs(
        settings, host, marks=not read_only, dagster=lambda: None, launcher=launcher
    )
    kept = log.handlers.copy()
    with files_served_here(settings.export_dir, programs) as address:
        yield address
    for handler in set(log.handlers) - set(kept):
        log.removeHandler(handler)
        handler.close()


def ask(
    address: str, method: str, what: str, body: Any = None, **headers: str | None
) -> tuple[int, dict[str, Any], str]:
    """Ask as the page does, but for the headers given; status, content and cookie."""
    netloc = urlsplit(address).netloc
    connection = http.client.HTTPConnection(netloc, timeout=30)
    ours = {"x_contimg": "1", "origin": f"http://{netloc}", **headers}
    sent = {k.replace("_", "-"): v for k, v in ours.items() if v is not None}
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    connection.request(method, f"/api/{what}", content, sent)
    answer = connection.getresponse()
    cookie = (answer.getheader("set-cookie") or "").partition(";")[0]
    text = answer.read()
    connection.close()
    return answer.status, json.loads(text) if text.startswith(b"{") else {}, cookie


@pytest.fixture(scope="session")
def export(tmp_path_factory: pytest.TempPathFactory) -> MadeUpExport:
    return write_export(tmp_path_factory.mktemp("export"), now_mjd() - 3 / 1440)


@pytest.fixture(scope="session")
def address(export: MadeUpExport) -> Iterator[str]:
    with serving(export.directory) as found:
        yield found


def hash_of(route: str) -> str:
    name, _, argument = route.partition("/")
    return f"#/{name}" + (f"/{quote(argument, safe='')}" if argument else "")


def shown(page: Any, route: str) -> Any:
    """Wait until a view is there."""
    view = page.locator(f"main[data-shown={json.dumps(route)}]")
    view.wait_for()
    return view


def go(page: Any, address: str, route: str) -> Any:
    page.goto(address + hash_of(route))
    view = shown(page, route)
    for chart in page.locator(".plot").all():
        chart.locator("svg[role=img] .frame").wait_for()
    return view


#: Rows like those before cost time only.
_CONTEXT = {"exclude": [["tbody tr:nth-child(n + 4)"]]}
#: One rule alone, for a theme of other colours.
CONTRAST = {"type": "rule", "values": ["color-contrast"]}


def violations(page: Any, **options: Any) -> list[str]:
    """Return what axe-core finds on a page: rule, element, why."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found = axe.run(page, _CONTEXT, {"resultTypes": ["violations"], **options}).response
    return [
        f"{one['id']}: {node['html'][:200]}: {node['failureSummary']}"
        for one in found["violations"]
        for node in one["nodes"]
    ]
