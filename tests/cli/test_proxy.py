"""The example configuration of nginx, with the real nginx and the real webservers behind it."""

import base64
import json
import shutil
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from contimg_resources.cli.platform import Platform, free_port
from tests.cli.small_platform import make_home

CONFIGURATION = Path(__file__).parents[2] / "docs" / "examples" / "nginx.conf"
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin") or ""
OPERATORS, ONLOOKERS = "contimg.example.org", "watch.contimg.example.org"
PASSWORD = "observer:tau"

pytestmark = pytest.mark.skipif(not NGINX, reason="nginx is not installed")

QUERY = json.dumps({"query": "{ version }"})
MUTATION = json.dumps(
    {"query": 'mutation { terminateRun(runId: "none") { __typename } }', "variables": {}}
)


@dataclass(frozen=True)
class Proxy:
    """The proxy at work."""

    port: int

    def ask(
        self,
        host: str,
        path: str = "/graphql",
        *,
        body: str | None = None,
        password: str | None = None,
        method: str | None = None,
        **headers: str,
    ) -> tuple[int, str]:
        """Return the status and the text of an answer."""
        request = urllib.request.Request(
            f"https://127.0.0.1:{self.port}{path}",
            data=None if body is None else body.encode(),
            headers={"Host": host, "Content-Type": "application/json", **headers},
            method=method,
        )
        if password is not None:
            coded = base64.b64encode(password.encode()).decode()
            request.add_header("Authorization", f"Basic {coded}")
        trusting = ssl.create_default_context()
        trusting.check_hostname = False
        trusting.verify_mode = ssl.CERT_NONE
        try:
            with urllib.request.urlopen(request, context=trusting, timeout=30) as answer:
                return answer.status, answer.read().decode(errors="replace")
        except urllib.error.HTTPError as refusal:
            return refusal.code, refusal.read().decode(errors="replace")


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    root = tmp_path_factory.mktemp("proxy")
    port, onlookers = free_port(), free_port()
    for command in (
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj",
         f"/CN={OPERATORS}", "-keyout", root / "key.pem", "-out", root / "cert.pem"],
    ):  # fmt: skip
        subprocess.run(command, check=True, capture_output=True)
    user, _, word = PASSWORD.partition(":")
    coded = subprocess.run(
        ["openssl", "passwd", "-apr1", word], check=True, capture_output=True, text=True
    ).stdout.strip()
    (root / "htpasswd").write_text(f"{user}:{coded}\n")
    with Platform(
        root / "state", home=make_home(root / "home"), onlookers_port=onlookers
    ) as platform:
        platform.wait_until_ready()
        example = CONFIGURATION.read_text()
        for theirs, ours in (
            ("listen 443 ", f"listen 127.0.0.1:{port} "),
            ("/etc/ssl/certs/contimg.pem", str(root / "cert.pem")),
            ("/etc/ssl/private/contimg.key", str(root / "key.pem")),
            ("/etc/nginx/contimg.htpasswd", str(root / "htpasswd")),
            # A slow machine asks slowly: what counts here is how much may come at once.
            ("rate=5r/s", "rate=1r/m"),
            ("127.0.0.1:3000", f"127.0.0.1:{platform.port}"),
            ("127.0.0.1:3001", f"127.0.0.1:{onlookers}"),
        ):
            assert theirs in example
            example = example.replace(theirs, ours)
        scratch = "".join(
            f"{kind}_temp_path {root}/{kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        main = root / "nginx.conf"
        main.write_text(
            f"user root;\ndaemon off;\npid {root}/pid;\nerror_log {root}/error.log;\nevents {{}}\n"
            f"http {{\naccess_log off;\n{scratch}{example}\n}}\n"
        )
        command = [NGINX, "-p", str(root), "-c", str(main)]
        subprocess.run([*command, "-t"], check=True, capture_output=True)
        serving = subprocess.Popen(command)
        try:
            made = Proxy(port)
            _wait_for(made)
            yield made
        finally:
            serving.terminate()
            serving.wait(20)


def _wait_for(proxy: Proxy) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            if proxy.ask(ONLOOKERS, body=QUERY)[0] == 200:
                return
        except OSError:
            pass
        assert time.monotonic() < deadline, "nginx never answered"
        time.sleep(0.3)


def test_operators_need_their_password(proxy: Proxy) -> None:
    assert proxy.ask(OPERATORS, body=QUERY)[0] == 401
    assert proxy.ask(OPERATORS, "/")[0] == 401
    assert proxy.ask(OPERATORS, body=QUERY, password="observer:guess")[0] == 401
    status, text = proxy.ask(OPERATORS, body=QUERY, password=PASSWORD)
    assert status == 200
    assert "version" in json.loads(text)["data"]
    status, page = proxy.ask(OPERATORS, "/", password=PASSWORD)
    assert status == 200
    assert "<html" in page


def test_operators_may_change_something_from_the_site_s_own_pages_only(proxy: Proxy) -> None:
    def status(origin: str) -> int:
        return proxy.ask(OPERATORS, body=MUTATION, password=PASSWORD, Origin=origin)[0]

    assert status(f"https://{OPERATORS}") == 200
    for foreign in (
        "https://evil.example.com",
        "null",
        f"http://{OPERATORS}",
        f"https://{OPERATORS}.evil.example.com",
    ):
        assert status(foreign) == 403, foreign


@pytest.mark.parametrize("host", [OPERATORS, ONLOOKERS])
@pytest.mark.parametrize("path", ["/graphql", "/graphql/", "//graphql", "/%67raphql"])
def test_get_changes_nothing(proxy: Proxy, host: str, path: str) -> None:
    mutation = "?query=mutation%7BterminateRun(runId%3A%22none%22)%7B__typename%7D%7D"
    assert proxy.ask(host, path + mutation, password=PASSWORD)[0] == 405
    assert proxy.ask(host, path, method="PUT", password=PASSWORD)[0] == 405


def test_another_host_name_gets_nothing(proxy: Proxy) -> None:
    for host in ("127.0.0.1", "evil.example.com", "contimg.example.org.evil.example.com"):
        assert proxy.ask(host, body=QUERY, password=PASSWORD)[0] == 421, host


def test_onlookers_look_and_change_nothing(proxy: Proxy) -> None:
    assert proxy.ask(ONLOOKERS, body=QUERY)[0] == 200
    assert "<html" in proxy.ask(ONLOOKERS, "/")[1]
    status, text = proxy.ask(ONLOOKERS, body=MUTATION)
    assert status == 200
    answer: dict[str, Any] = json.loads(text)["data"]["terminateRun"]
    assert answer["__typename"] == "UnauthorizedError"
    for path in ("/report_asset_materialization/long_work", "/download_debug/none"):
        assert proxy.ask(ONLOOKERS, path, body="{}")[0] == 403, path


def test_a_web_socket_is_for_the_site_s_own_pages(proxy: Proxy) -> None:
    def status(host: str, origin: str) -> int:
        return proxy.ask(
            host,
            password=PASSWORD,
            Origin=origin,
            Upgrade="websocket",
            Connection="Upgrade",
            **{
                "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
                "Sec-WebSocket-Version": "13",
                "Sec-WebSocket-Protocol": "graphql-ws",
            },
        )[0]

    for host in (OPERATORS, ONLOOKERS):
        assert status(host, "https://evil.example.com") == 403
    assert status(OPERATORS, f"https://{OPERATORS}") == 101


def test_an_onlooker_asks_for_no_more_than_a_person_can_look_at(proxy: Proxy) -> None:
    # The last test: it uses up what this address may ask.
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(proxy.ask, ONLOOKERS, body=QUERY) for _ in range(100)]
        answers = Counter(one.result()[0] for one in asked)
    assert set(answers) == {200, 429}
    assert answers[200] >= 30, "a page may open with some dozen queries at once"
    assert answers[429] >= 39
    assert proxy.ask(ONLOOKERS, body=QUERY + " " * 70_000)[0] == 413
    # Operators have a password, and no limit.
    assert proxy.ask(OPERATORS, body=QUERY, password=PASSWORD)[0] == 200
