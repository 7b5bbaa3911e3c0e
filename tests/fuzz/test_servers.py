"""What comes over HTTP: requests to the dashboard's server, and answers to our questions."""

import json
import logging
import re
import socket
import threading
import urllib.request
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from contimg_resources.cli.graphql import GraphQL
from contimg_resources.core.errors import PlatformError
from contimg_resources.dashboard.serving import DashboardServer
from tests.fuzz.mangling import WORD, counted, fuzzed, mangled, only_ours

SECRET = b"nobody may read this"
REQUESTS = {
    "get": b"GET /js/main.js?again=1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    "head": b"HEAD / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    b'If-None-Match: "0-0"\r\nRange: bytes=0-5\r\n\r\n',
    "outside": b"GET /../secret.txt HTTP/1.0\r\n\r\n",
    "post": b"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
}
PATHS = st.lists(
    st.sampled_from(
        (
            *("..", ".", "", "js", "main.js", "index.json", "secret.txt", "%2e%2e", "%2F", "%00"),
            *("loop", "out", ".hidden", "%5C..", "%c0%ae", "a" * 300, "%", "[", "?x", "#", "//x"),
        )
    )
    | WORD.map(lambda w: quote(w, errors="replace")),
    max_size=6,
).map(lambda words: "/" + "/".join(words))
REQUEST = mangled(REQUESTS).map(lambda r: r[1]) | PATHS.map(
    lambda p: f"GET {p} HTTP/1.0\r\n\r\n".encode("latin-1", "replace")
)


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, list[str]]]:
    root = tmp_path_factory.mktemp("served")
    (root / "secret.txt").write_bytes(SECRET)
    directory = root / "export"
    (directory / "js").mkdir(parents=True)
    (directory / "index.json").write_text("{}")
    (directory / "index.html").write_text("<p>")
    (directory / "js" / "main.js").write_text("0")
    (directory / ".hidden").write_bytes(SECRET)
    (directory / "loop").symlink_to(directory / "loop")
    (directory / "out").symlink_to(root / "secret.txt")
    raised: list[str] = []
    handler = logging.Handler(logging.ERROR)
    handler.emit = lambda record: raised.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("uvicorn.error").addHandler(handler)
    with DashboardServer(directory, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        # What it imports at its first answer is compiled here: in a test, Hypothesis changes the
        # limit of recursion meanwhile, and CPython 3.11 refuses to compile ("depth mismatch").
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/index.json") as answer:
            assert answer.read() == b"{}"
        yield server.port, raised
        server.stop()
        thread.join()
    logging.getLogger("uvicorn.error").removeHandler(handler)


@fuzzed(100)
@given(request_=REQUEST)
@example(request_=b"GET /loop HTTP/1.0\r\n\r\n")
@example(request_=b"GET /loop/x HTTP/1.0\r\n\r\n")
def test_the_dashboard_answers_any_request_and_gives_nothing_away(
    dashboard: tuple[int, list[str]], request_: bytes
) -> None:
    counted()
    port, raised = dashboard
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(request_)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        try:
            while piece := connection.recv(65536):
                answer += piece
        except ConnectionResetError:
            pass
    assert raised == []
    assert SECRET not in answer
    if answer.startswith(b"HTTP/"):
        assert re.match(rb"HTTP/1\.[01] (200|206|304|400|404|405|408|416|431) ", answer)


ANSWERS = {
    "data": b'{"data": {"instance": {"x": [1, 2]}}}',
    "errors": b'{"errors": [{"message": "no such field"}], "data": null}',
    "page": b"<html>502 Bad Gateway</html>",
}


@pytest.fixture(scope="module")
def answering() -> Iterator[tuple[str, list[bytes]]]:
    """Give an address that answers each request with the last of some bytes, as they are."""
    answers: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.5)
        done = threading.Event()

        def serve() -> None:
            while not done.is_set():
                try:
                    connection, _ = listening.accept()
                except TimeoutError:
                    continue
                with connection:
                    connection.recv(65536)
                    connection.sendall(answers[-1])

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", answers
        done.set()
        thread.join()


def _whole(body: bytes, status: str) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


OK = _whole(b'{"data": {}}', "200 OK")


@fuzzed(60)
@given(
    st.builds(
        _whole,
        mangled(ANSWERS).map(lambda a: a[1])
        | st.dictionaries(
            st.sampled_from(("data", "errors")),
            st.none() | WORD | st.lists(WORD | st.none()) | st.dictionaries(WORD, WORD),
        ).map(lambda v: json.dumps(v).encode()),
        st.sampled_from(("200 OK", "200 OK", "200 OK", "502 Bad Gateway", "404 No")),
    )
    | mangled({"answer": OK}).map(lambda a: a[1])
)
@example(_whole(b"[]", "200 OK"))
@example(_whole(b'{"errors": ["no"]}', "200 OK"))
@example(_whole(b"[" * 100_000, "200 OK"))
@example(b"what?\r\n\r\n")
@example(b"HTTP/1.1 300 OK\r\nContent-Length: 12")
def test_an_answer_of_the_webserver_is_data_or_refused(
    answering: tuple[str, list[bytes]], answer: bytes
) -> None:
    address, answers = answering
    answers.append(answer)
    with only_ours(address, ours=PlatformError):
        assert isinstance(GraphQL(address, timeout_s=20).query("{ x }"), dict)
    answers.clear()
