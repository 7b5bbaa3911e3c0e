"""An export's directory with the dashboard in it, over HTTP.

Belongs here: putting the static files beside the documents; a server that gives files of one
directory and nothing else. Doesn't: writing documents (see `contimg_resources.export`).

Any other web server does as well: the files ask for nothing but their neighbours.
"""

import os
import re
import shutil
import socket
import socketserver
import sys
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote, urlsplit

from contimg_resources.core.directories import whole_file
from contimg_resources.core.errors import ExportFailed

_STATIC = Path(__file__).parent / "static"

INDEX = "index.json"

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".csv": "text/csv; charset=utf-8",
    ".fits": "application/fits",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json; charset=utf-8",
    ".parquet": "application/vnd.apache.parquet",
    ".png": "image/png",
    ".svg": "image/svg+xml",
}

#: What never changes under its name: it ends in a checksum of what is in it. A date (20251006)
#: has hexadecimal digits too, but no letter.
_CHECKSUM_IN_NAME = re.compile(r"[._-](?=[0-9]*[a-f])[0-9a-f]{8,64}\.[a-z]+$")

_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'; object-src 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def install_dashboard(directory: Path) -> None:
    """Put the dashboard's files into an export's directory; those that are the same stay.

    Parameters
    ----------
    directory : Path
        Where ``index.json`` is, or will be; made if it isn't there.

    Raises
    ------
    ExportFailed
        If something has to be written there and can't be.
    """
    for source in sorted(p for p in _STATIC.rglob("*") if p.suffix in _TYPES):
        place = directory / source.relative_to(_STATIC)
        content = source.read_bytes()
        if place.is_file() and place.read_bytes() == content:
            continue
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            whole_file(place, partial(_write, content))
        except OSError as error:
            raise ExportFailed(
                f"can't put the dashboard's files into {directory}: {error.strerror or error}",
                directory=str(directory),
            ) from error


def dashboard_server(directory: Path, host: str, port: int) -> ThreadingHTTPServer:
    """Return a server that gives the files of `directory` to whoever asks with GET or HEAD.

    Parameters
    ----------
    directory : Path
        An export's directory.
    host : str
        Address to listen on.
    port : int
        TCP port; 0 takes a free one, which `server_port` tells.

    Returns
    -------
    ThreadingHTTPServer
        Listening already; `serve_forever` answers.

    Raises
    ------
    ExportFailed
        If there is no ``index.json``, or nobody can listen there.
    """
    if not (directory / INDEX).is_file():
        raise ExportFailed(
            f"no {INDEX} in {directory}: `contimg export` writes it", directory=str(directory)
        )
    try:
        return (_Server6 if ":" in host else _Server)(directory.resolve(), host, port)
    except OSError as error:
        raise ExportFailed(
            f"can't listen on {host}, port {port}: {error.strerror or error}", host=host, port=port
        ) from error


class _Server(ThreadingHTTPServer):
    """A thread a connection; none of them outlives the command."""

    def __init__(self, root: Path, host: str, port: int) -> None:
        super().__init__((host, port), partial(_Files, root))

    def server_bind(self) -> None:
        # Not HTTPServer's, which asks the name service who we are.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A browser that leaves in the middle of a page is no error.
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Server6(_Server):
    address_family = socket.AF_INET6


def _write(content: bytes, place: Path) -> None:
    place.write_bytes(content)


class _Files(BaseHTTPRequestHandler):
    """Answers with files of one directory: no listings, nothing hidden, nothing outside."""

    protocol_version = "HTTP/1.1"
    server_version = "contimg"
    sys_version = ""
    error_content_type = "text/plain; charset=utf-8"
    error_message_format = "%(code)d %(message)s\n"
    #: Seconds until a silent connection is closed.
    timeout = 60

    def __init__(self, root: Path, *args: Any) -> None:
        self._root = root
        super().__init__(*args)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def end_headers(self) -> None:
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *args: Any) -> None:
        # The terminal belongs to the address; a request a minute from every open page isn't news.
        pass

    def _answer(self, *, with_body: bool) -> None:
        path = self._file()
        try:
            stream = path.open("rb") if path else None
        except OSError:
            stream = None
        if path is None or stream is None:
            self.send_error(HTTPStatus.NOT_FOUND, "No such file")
            return
        with stream:
            self._give(path, stream, with_body=with_body)

    def _give(self, path: Path, stream: BinaryIO, *, with_body: bool) -> None:
        # Of the open file: a new one may take its name meanwhile.
        facts = os.fstat(stream.fileno())
        tag = f'"{facts.st_mtime_ns:x}-{facts.st_size:x}"'
        unchanged = self.headers.get("If-None-Match") == tag
        self.send_response(HTTPStatus.NOT_MODIFIED if unchanged else HTTPStatus.OK)
        self.send_header("ETag", tag)
        self.send_header("Cache-Control", _caching(path.name))
        if not unchanged:
            self.send_header("Content-Type", _TYPES.get(path.suffix, "application/octet-stream"))
            self.send_header("Content-Length", str(facts.st_size))
        self.end_headers()
        if with_body and not unchanged:
            shutil.copyfileobj(stream, self.wfile)

    def _file(self) -> Path | None:
        """Return the file that is asked for; None when there is none to give."""
        try:
            words = unquote(urlsplit(self.path).path, errors="strict").split("/")[1:]
        except ValueError:
            return None
        if words[-1:] == [""]:
            words[-1] = "index.html"
        # Hidden files are those being written; the rest isn't a name in any of our directories.
        if any(not w or w.startswith(".") or "\\" in w or "\0" in w for w in words):
            return None
        try:
            path = self._root.joinpath(*words).resolve()
            inside = path.is_relative_to(self._root) and path.is_file()
        except (OSError, RuntimeError):  # links in a circle are the latter before Python 3.13
            return None
        return path if inside else None


def _caching(name: str) -> str:
    immutable = _CHECKSUM_IN_NAME.search(name)
    return "public, max-age=31536000, immutable" if immutable else "no-cache"
