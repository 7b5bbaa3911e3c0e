"""Downloads, from a publisher that sends the bytes a test gives it."""

import gzip
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from contimg_resources.catalogues.fetching import fetched
from contimg_resources.core.errors import CatalogueError


@pytest.fixture
def publish() -> Iterator[Callable[[bytes], str]]:
    """Return a function that answers one request with some bytes, as they are."""
    threads: list[threading.Thread] = []

    def answer_with(answer: bytes) -> str:
        listening = socket.create_server(("127.0.0.1", 0))

        def serve() -> None:
            with listening, listening.accept()[0] as connection:
                connection.recv(65536)
                connection.sendall(answer)

        threads.append(threading.Thread(target=serve))
        threads[-1].start()
        return f"http://127.0.0.1:{listening.getsockname()[1]}/survey.csv.gz"

    yield answer_with
    for thread in threads:
        thread.join(30)


def test_a_compressed_file_stays_as_it_is(publish: Callable[[bytes], str]) -> None:
    body = gzip.compress(b"RA,DEC\n1,2\n")
    # Some servers call a compressed file an encoding.
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n"
    said: list[tuple[str, float | None]] = []
    with fetched(publish(head.encode() + body), lambda *what: said.append(what)) as path:
        assert path.name == "survey.csv.gz"
        assert path.read_bytes() == body
    assert not path.exists()
    assert said == [("0 MB of survey.csv.gz", 1.0)]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\nRA,DEC\n", "was cut off after 7 of 90"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\nRA",
            "has 10.0 GB: above the limit",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: few\r\n\r\nRA", "can't be fetched"),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", "can't be fetched: 503 Server Error"),
        (b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n", "can't be fetched"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nRA", "can't be fetched"),
        (b"what?\r\n\r\n", "can't be fetched"),
    ],
)
def test_what_does_not_come_whole_is_refused(
    publish: Callable[[bytes], str], answer: bytes, told: str
) -> None:
    url = publish(answer)
    with pytest.raises(CatalogueError, match=told), fetched(url):
        pytest.fail("it came")
