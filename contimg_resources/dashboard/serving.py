"""Web server of an export directory with the dashboard.

Belongs here: copying the static files beside the documents; a server that serves only the files
of one directory. Doesn't: writing documents (see `contimg_resources.export`).

Any other web server can be used instead: the files load only files of the same directory.
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

#: Files that never change: their names end in a checksum of their content. A date (20251006)
#: also has hexadecimal digits, but no letter.
_CHECKSUM_IN_NAME = re.compile(r"[._-](?=[0-9]*[a-f])[0-9a-f]{8,64}\.[a-z]+$")

_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'; object-src 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def install_dashboard(directory: Path) -> None:
    """Copy the dashboard's files into an export directory; unchanged files stay.

    Parameters
    ----------
    directory : Path
        Directory of ``index.json``, also a future one; made if it doesn't exist.

    Raises
    ------
    ExportFailed
        If a file can't be written.
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
                f"can't write the dashboard's files into {directory}: {error.strerror or error}",
                directory=str(directory),
            ) from error


def dashboard_server(directory: Path, host: str, port: int) -> ThreadingHTTPServer:
    """Return a server for the files of `directory`, which answers GET and HEAD.

    Parameters
    ----------
    directory : Path
        Export directory.
    host : str
        Address to listen on.
    port : int
        TCP port; 0 for a free one, which is in `server_port`.

    Returns
    -------
    ThreadingHTTPServer
        Already listening; `serve_forever` answers requests.

    Raises
    ------
    ExportFailed
        If there is no ``index.json``, or the address can't be used.
    """
    if not (directory / INDEX).is_file():
        raise ExportFailed(
            f"no {INDEX} in {directory}: write it with `contimg export`", directory=str(directory)
        )
    try:
        return (_Server6 if ":" in host else _Server)(directory.resolve(), host, port)
    except OSError as error:
        raise ExportFailed(
            f"can't listen on {host}, port {port}: {error.strerror or error}", host=host, port=port
        ) from error


class _Server(ThreadingHTTPServer):
    """A server with one thread per connection, all of which end with the command."""

    def __init__(self, root: Path, host: str, port: int) -> None:
        super().__init__((host, port), partial(_Files, root))

    def server_bind(self) -> None:
        # Not HTTPServer's, which looks up the host name.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A browser that disconnects during a page is not an error.
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Server6(_Server):
    address_family = socket.AF_INET6


def _write(content: bytes, place: Path) -> None:
    place.write_bytes(content)


class _Files(BaseHTTPRequestHandler):
    """Serves the files of one directory: no listings, no hidden files, no files outside it."""

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
        # The terminal shows only the address; every open page sends a request each minute.
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
        # From the open file, since another may get its name meanwhile.
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
        """Return the requested file; None if there is none to serve."""
        try:
            words = unquote(urlsplit(self.path).path, errors="strict").split("/")[1:]
        except ValueError:
            return None
        if words[-1:] == [""]:
            words[-1] = "index.html"
        # Hidden files are being written; the other names don't occur in our directories.
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
