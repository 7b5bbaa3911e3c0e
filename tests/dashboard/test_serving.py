"""The server of the dashboard's files, asked by whoever knows HTTP."""

import http.client
import json
import shutil
import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from contimg_resources.cli.main import run
from contimg_resources.core.errors import ExportFailed
from contimg_resources.dashboard.serving import install_dashboard
from tests.dashboard.conftest import serving
from tests.dashboard.made_up_export import MadeUpExport


class Server:
    def __init__(self, address: str) -> None:
        self.host = urlsplit(address).netloc

    def ask(
        self, path: str, method: str = "GET", **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(self.host, timeout=10)
        connection.putrequest(method, path)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        answer = connection.getresponse()
        found = answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        connection.close()
        return found


@pytest.fixture
def server(address: str) -> Server:
    return Server(address)


@pytest.mark.parametrize(
    ("path", "kind", "caching"),
    [
        ("/", "text/html; charset=utf-8", "no-cache"),
        ("/index.html", "text/html; charset=utf-8", "no-cache"),
        ("/js/main.js?again", "text/javascript; charset=utf-8", "no-cache"),
        ("/style.css", "text/css; charset=utf-8", "no-cache"),
        ("/icon.svg", "image/svg+xml", "no-cache"),
        ("/index.json", "application/json; charset=utf-8", "no-cache"),
        ("/pictures/card.png", "image/png", "no-cache"),
    ],
)
def test_files_have_their_type(server: Server, path: str, kind: str, caching: str) -> None:
    status, headers, body = server.ask(path)
    assert status == 200
    assert headers["content-type"] == kind
    assert headers["cache-control"] == caching
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"].startswith("default-src 'self';")
    assert int(headers["content-length"]) == len(body) > 0


def test_pages_with_a_checksum_are_kept_by_browsers(server: Server, export: MadeUpExport) -> None:
    _, headers, body = server.ask(f"/{export.pages['sources'][0].path}")
    assert "immutable" in headers["cache-control"]
    assert json.loads(body)["document"] == "sources"


def test_what_is_unchanged_is_not_sent_again(server: Server) -> None:
    _, headers, _ = server.ask("/index.json")
    status, _, body = server.ask("/index.json", If_None_Match=headers["etag"])
    assert (status, body) == (304, b"")


def test_a_part_of_a_file_is_sent_alone(server: Server) -> None:
    _, headers, whole = server.ask("/index.json")
    status, part, body = server.ask("/index.json", Range="bytes=2-9", If_Range=headers["etag"])
    assert (status, body) == (206, whole[2:10])
    assert part["content-range"] == f"bytes 2-9/{len(whole)}"
    assert server.ask("/index.json", Range=f"bytes={len(whole)}-")[0] == 416


def test_only_get_and_head(server: Server) -> None:
    status, headers, body = server.ask("/index.json", "HEAD")
    assert (status, body) == (200, b"")
    assert int(headers["content-length"]) > 0
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        status, headers, _ = server.ask("/index.json", method)
        assert (status, headers["allow"]) == (405, "GET, HEAD")


def test_nothing_outside_hidden_or_listed(server: Server, export: MadeUpExport) -> None:
    secret = export.directory.parent / "secret.json"
    secret.write_text("{}")
    (export.directory / ".index.json.partial").write_text("{")
    (export.directory / "leads-out.json").symlink_to(secret)
    (export.directory / "leads-up").symlink_to(export.directory.parent)
    for path in (
        *("/../secret.json", "/%2e%2e/secret.json", "/js/../../secret.json", "/..%2fsecret.json"),
        *("/js/%2e%2e/%2e%2e/secret.json", "//secret.json", str(secret), f"/{secret}", "/..\\x"),
        *("/leads-out.json", "/leads-up/secret.json", "/.index.json.partial", "/js/", "/pictures"),
        *("/%00", "/index.json%00.png", "/%ff", "/none", f"/{'a' * 5000}", "/index.json/"),
    ):
        status, headers, body = server.ask(path)
        assert status == 404, path
        assert body.startswith(b"404 No such file"), path
        assert headers["content-type"].startswith("text/plain"), path


def test_a_broken_request_is_answered(server: Server) -> None:
    host, port = server.host.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(b"GET <script>alert(1)</script> HTTP/9.9\r\n\r\n")
        assert b"text/html" not in connection.recv(4096)
    assert server.ask("/")[0] == 200


def test_installing_again_writes_only_what_differs(tmp_path: Path) -> None:
    install_dashboard(tmp_path)
    made = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file()}
    assert {"index.html", "style.css", "main.js"} <= {p.name for p in made}
    (tmp_path / "style.css").write_text("changed")
    install_dashboard(tmp_path)
    again = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file()}
    assert [p.name for p in made if made[p] != again[p]] == ["style.css"]
    assert made.keys() == again.keys()
    assert "changed" not in (tmp_path / "style.css").read_text()
    assert (tmp_path / "style.css").stat().st_mode & 0o444 == 0o444


def test_a_place_for_its_files_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "js").write_text("a file")
    with pytest.raises(ExportFailed, match="can't write the dashboard's files into"):
        install_dashboard(tmp_path)


def test_without_an_export_it_says_what_makes_one(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["dashboard", "--dir", str(tmp_path), "--port", "0"]) == 1
    said = capfd.readouterr().err.splitlines()
    assert said == [f"contimg: no index.json in {tmp_path}: write it with `contimg export`"]
    assert list(tmp_path.iterdir()) == []


def test_usage(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(["dashboard", "--dir", str(tmp_path), "--state", str(tmp_path)]) == 2
    monkeypatch.setenv("COLUMNS", "120")
    capfd.readouterr()
    assert run(["dashboard", "--help"]) == 0
    assert "contimg dashboard --state /data/contimg --port 8000" in capfd.readouterr().out


def test_a_port_that_is_taken(address: str, export: MadeUpExport, tmp_path: Path,
                              capfd: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    port = urlsplit(address).port
    (tmp_path / "index.json").write_text("{}")
    assert run(["dashboard", "--dir", str(tmp_path), "--port", str(port)]) == 1
    assert f"can't listen on 127.0.0.1, port {port}" in capfd.readouterr().err


def test_the_export_of_a_state(export: MadeUpExport, tmp_path: Path) -> None:
    state = tmp_path / "state"
    (state / "export").mkdir(parents=True)
    shutil.copy(export.directory / "index.json", state / "export")
    with serving(state, option="--state") as address:
        assert Server(address).ask("/index.json")[0] == 200


def test_a_download_in_progress_does_not_keep_it_from_ending(tmp_path: Path) -> None:
    (tmp_path / "index.json").write_text("{}")
    with (tmp_path / "large.fits").open("wb") as file:
        file.truncate(1 << 28)
    with serving(tmp_path) as address:
        at = urlsplit(address)
        connection = socket.create_connection((str(at.hostname), at.port or 0), timeout=10)
        connection.sendall(b"GET /large.fits HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 200 OK")
    # The command ended, without any further word, while the rest was waiting to be read.
    connection.close()


def test_static_files_are_in_the_package() -> None:
    import tomllib

    import contimg_resources.dashboard.serving as serving_module

    root = Path(__file__).parents[2]
    told = tomllib.loads((root / "pyproject.toml").read_text())
    patterns = told["tool"]["setuptools"]["package-data"]["contimg_resources"]
    packaged = {p for pattern in patterns for p in (root / "contimg_resources").glob(pattern)}
    static = {p for p in serving_module._STATIC.rglob("*") if p.is_file()}
    assert static
    assert static <= packaged
