"""The servers of a platform: asked by onlookers, behind the example's nginx, and killed.

One platform serves all: first it is asked, directly and through the real nginx; last its code
server is killed with runs in the queue.
"""

import base64
import json
import os
import shutil
import signal
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from contimg_resources.cli.graphql import GraphQL
from contimg_resources.cli.platform import Platform, free_port
from tests.cli.small_platform import make_home

CONFIGURATION = Path(__file__).parents[2] / "docs" / "examples" / "nginx.conf"
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin") or ""
OPERATORS, ONLOOKERS = "contimg.example.org", "watch.contimg.example.org"
PASSWORD = "observer:tau"

needs_nginx = pytest.mark.skipif(not NGINX, reason="nginx is not installed")

QUERY = json.dumps({"query": "{ version }"})
MUTATION = json.dumps(
    {"query": 'mutation { terminateRun(runId: "none") { __typename } }', "variables": {}}
)

DEFINITIONS = """
import os
import dagster as dg

N_RUNS = 5

def tell(what):
    with open(os.environ["CONTIMG_STATE"] + "/evaluated", "a") as told:
        told.write(what + "\\n")

@dg.op
def work():
    pass

@dg.job
def job():
    work()

@dg.static_partitioned_config(partition_keys=["a"])
def of_partition(key):
    tell("partition")
    return {}

@dg.job(config=of_partition)
def partitioned():
    work()

@dg.sensor(job=job, minimum_interval_seconds=2)
def starter():
    for number in range(N_RUNS):
        yield dg.RunRequest(run_key=str(number))

@dg.sensor(
    job=job, minimum_interval_seconds=3600, default_status=dg.DefaultSensorStatus.RUNNING
)
def looked_at():
    tell("sensor")
    yield dg.SkipReason("nothing")

@dg.schedule(job=job, cron_schedule="0 0 * * *")
def daily():
    tell("schedule")
    return {}

defs = dg.Definitions(
    jobs=[job, partitioned], sensors=[starter, looked_at], schedules=[daily]
)
"""


@dataclass
class Served:
    """A platform at work, and its two servers."""

    platform: Platform
    onlookers_port: int
    evaluated: Path

    @property
    def onlookers(self) -> GraphQL:
        """The server for onlookers."""
        return GraphQL(f"http://127.0.0.1:{self.onlookers_port}")

    def wait_for(self, what: str, condition: Callable[[], bool], timeout_s: float) -> list[str]:
        """Wait as `contimg up` does, and return what was started again."""
        restarts = []
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, f"{what}: {self.platform.runs()}"
            restarts += [r.name for r in self.platform.keep_alive()]
            time.sleep(0.5)
        return restarts


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    root = tmp_path_factory.mktemp("served")
    home = make_home(root / "home")
    (home / "made_up_definitions.py").write_text(DEFINITIONS)
    port = free_port()
    with Platform(root / "state", home=home, onlookers_port=port) as platform:
        platform.wait_until_ready()
        served = Served(platform, port, root / "state" / "evaluated")
        served.wait_for("the server for onlookers", lambda: _loaded(served.onlookers), 60)
        # A sensor has a next tick once it had a first one.
        served.wait_for("a tick", lambda: _has_next_tick(platform.graphql), 90)
        yield served


def _loaded(server: GraphQL) -> bool:
    query = "{ repositoriesOrError { ... on RepositoryConnection { nodes { name } } } }"
    try:
        return bool(server.query(query)["repositoriesOrError"].get("nodes"))
    except Exception:
        return False


def _has_next_tick(server: GraphQL) -> bool:
    selector = f'sensorSelector: {{{_REPOSITORY}, sensorName: "looked_at"}}'
    query = f"{{ sensorOrError({selector}) {{ ... on Sensor {{ nextTick {{ timestamp }} }} }} }}"
    return bool(server.query(query)["sensorOrError"].get("nextTick"))


_REPOSITORY = 'repositoryLocationName: "made_up_definitions", repositoryName: "__repository__"'

#: Every kind of query by which a webserver asks the code server to evaluate something.
QUERIES = {
    "sensor": """
      sensorOrError(sensorSelector: {%s, sensorName: "looked_at"}) { ... on Sensor {
        nextTick { evaluationResult { skipReason error { message } } } } }""",
    "schedule": """
      scheduleOrError(scheduleSelector: {%s, scheduleName: "daily"}) { ... on Schedule {
        futureTicks(limit: 1) { results { evaluationResult { error { message } } } } } }""",
    "one of a schedule": """
      scheduleOrError(scheduleSelector: {%s, scheduleName: "daily"}) { ... on Schedule {
        futureTick(tickTimestamp: 1767225600) { evaluationResult { error { message } } } } }""",
    "partition": """
      partitionSetsOrError(repositorySelector: {%s}, pipelineName: "partitioned") {
        ... on PartitionSets { results { partitionsOrError { ... on Partitions { results {
          runConfigOrError { ... on PythonError { message } } } } } } } }""",
    "tags of a partition": """
      partitionSetsOrError(repositorySelector: {%s}, pipelineName: "partitioned") {
        ... on PartitionSets { results { partitionsOrError { ... on Partitions { results {
          tagsOrError { ... on PythonError { message } } } } } } } }""",
    "plan": """
      executionPlanOrError(
        mode: "default", runConfigData: {},
        pipeline: {%s, pipelineName: "job"}
      ) { ... on PythonError { message } }""",
    "part of a job": """
      pipelineOrError(params: {%s, pipelineName: "job", solidSelection: ["work"]}) {
        ... on Error { message } ... on Pipeline { name } }""",
}


@pytest.mark.parametrize("what", QUERIES)
def test_no_query_of_an_onlooker_has_anything_evaluated(served: Served, what: str) -> None:
    served.evaluated.unlink(missing_ok=True)
    query = f"{{ {QUERIES[what] % _REPOSITORY} }}"
    assert "PERMISSION_DENIED" in _said(served.onlookers, query)
    assert not served.evaluated.exists()
    # It is a query that has something evaluated.
    assert "PERMISSION_DENIED" not in _said(served.platform.graphql, query)
    if what in ("sensor", "schedule", "partition"):
        assert served.evaluated.read_text() == f"{what}\n"


def _said(server: GraphQL, query: str) -> str:
    try:
        return str(server.query(query))
    except Exception as error:
        return str(error)


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
def proxy(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """Put nginx, with the example configuration, before both webservers."""
    root = tmp_path_factory.mktemp("proxy")
    port = free_port()
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj",
         f"/CN={OPERATORS}", "-keyout", root / "key.pem", "-out", root / "cert.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    user, _, word = PASSWORD.partition(":")
    coded = subprocess.run(
        ["openssl", "passwd", "-apr1", word], check=True, capture_output=True, text=True
    ).stdout.strip()
    (root / "htpasswd").write_text(f"{user}:{coded}\n")
    example = CONFIGURATION.read_text()
    for theirs, ours in (
        ("listen 443 ", f"listen 127.0.0.1:{port} "),
        ("/etc/ssl/certs/contimg.pem", str(root / "cert.pem")),
        ("/etc/ssl/private/contimg.key", str(root / "key.pem")),
        ("/etc/nginx/contimg.htpasswd", str(root / "htpasswd")),
        # A slow machine asks slowly: what counts here is how much may come at once.
        ("rate=5r/s", "rate=1r/m"),
        ("127.0.0.1:3000", f"127.0.0.1:{served.platform.port}"),
        ("127.0.0.1:3001", f"127.0.0.1:{served.onlookers_port}"),
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
        serving.wait(300)


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


@needs_nginx
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


@needs_nginx
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


@needs_nginx
@pytest.mark.parametrize("host", [OPERATORS, ONLOOKERS])
@pytest.mark.parametrize("path", ["/graphql", "/graphql/", "//graphql", "/%67raphql"])
def test_get_changes_nothing(proxy: Proxy, host: str, path: str) -> None:
    mutation = "?query=mutation%7BterminateRun(runId%3A%22none%22)%7B__typename%7D%7D"
    assert proxy.ask(host, path + mutation, password=PASSWORD)[0] == 405
    assert proxy.ask(host, path, method="PUT", password=PASSWORD)[0] == 405


@needs_nginx
def test_another_host_name_gets_nothing(proxy: Proxy) -> None:
    for host in ("127.0.0.1", "evil.example.com", "contimg.example.org.evil.example.com"):
        assert proxy.ask(host, body=QUERY, password=PASSWORD)[0] == 421, host


@needs_nginx
def test_onlookers_look_and_change_nothing(proxy: Proxy) -> None:
    assert proxy.ask(ONLOOKERS, body=QUERY)[0] == 200
    assert "<html" in proxy.ask(ONLOOKERS, "/")[1]
    status, text = proxy.ask(ONLOOKERS, body=MUTATION)
    assert status == 200
    answer: dict[str, Any] = json.loads(text)["data"]["terminateRun"]
    assert answer["__typename"] == "UnauthorizedError"
    for path in ("/report_asset_materialization/long_work", "/download_debug/none"):
        assert proxy.ask(ONLOOKERS, path, body="{}")[0] == 403, path


@needs_nginx
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


@needs_nginx
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


def _main_process(platform: Platform) -> int:
    """Return the code server itself, below the process that watches it."""
    found: list[int] = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().split(b"\0")
            state = f"CONTIMG_STATE={platform.state}".encode()
            mine = state in (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if mine and command[1:5] == [b"-m", b"dagster", b"api", b"grpc"]:
            found.append(int(entry.name))
    (pid,) = found
    return pid


def test_runs_in_the_queue_outlive_the_code_server(served: Served) -> None:
    platform = served.platform
    platform.start_sensors(["starter"])
    served.wait_for("the runs", lambda: len(platform.runs()) == 5, 60)
    os.kill(_main_process(platform), signal.SIGKILL)
    # One that was just being launched may die with the code server; those in the queue don't.
    queued = {r.run_id for r in platform.runs() if r.status == "QUEUED"}
    assert len(queued) > 1

    def succeeded() -> bool:
        runs: tuple[Any, ...] = platform.runs()
        done = {r.run_id for r in runs if r.status == "SUCCESS"}
        return queued <= done and all(r.over for r in runs)

    restarts = served.wait_for("the end of the runs", succeeded, 300)
    assert restarts == ["dagster-code-server"]


def test_a_code_server_that_hangs_is_replaced(served: Served) -> None:
    hanging = _main_process(served.platform)
    os.kill(hanging, signal.SIGSTOP)
    restarts = served.wait_for("its successor", lambda: not Path(f"/proc/{hanging}").exists(), 60)
    assert restarts == ["dagster-code-server"]
    served.wait_for(
        "its answer",
        lambda: (
            "nothing" in _said(served.platform.graphql, f"{{ {QUERIES['sensor'] % _REPOSITORY} }}")
        ),
        60,
    )
