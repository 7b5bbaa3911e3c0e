"""Web server of an export directory with the dashboard.

Belongs here: copying the static files beside the documents; serving the files of one directory
with Starlette and uvicorn. Doesn't: writing documents (see `contimg_resources.export`).

Any other web server can be used instead: the files load only files of the same directory.
"""

import os
import re
import socket
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Scope

from contimg_resources.core.directories import whole_file
from contimg_resources.core.errors import ExportFailed
from contimg_resources.dashboard import MAPS, SKY
from contimg_resources.dashboard.from_files import (
    BUNDLE,
    one_script,
    page_from_files,
    write_documents_as_scripts,
)

_STATIC = Path(__file__).parent / "static"

INDEX = "index.json"
#: Address of what answers requests, below that of the dashboard.
PROGRAMS = "api"

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".csv": "text/csv; charset=utf-8",
    ".fits": "application/fits",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".webp": "image/webp",
    ".json": "application/json; charset=utf-8",
    ".parquet": "application/vnd.apache.parquet",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    # The description of a HiPS.
    "properties": "text/plain; charset=utf-8",
}
_OTHER_TYPE = "application/octet-stream"

#: Files that never change: their names end in a checksum of their content. A date (20251006)
#: also has hexadecimal digits, but no letter.
_CHECKSUM_IN_NAME = re.compile(r"[._-](?=[0-9]*[a-f])[0-9a-f]{8,64}\.[a-z]+$")

_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'; object-src 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def install_dashboard(directory: Path, *, from_files: bool = False) -> None:
    """Copy the dashboard's files into an export directory; unchanged files stay.

    The directory is that of ``index.json``, also a future one; it is made if it doesn't exist. The
    list of the maps of the sky is empty before the first one is made. With `from_files` the page
    opens without a server, too, now and after later exports into this directory.

    Raises
    ------
    ExportFailed
        If a file can't be written.
    """
    files = sorted(p for p in _STATIC.rglob("*") if p.suffix in _TYPES)
    contents = {p.relative_to(_STATIC): p.read_bytes() for p in files}
    if not (directory / SKY / MAPS).exists():
        contents[Path(SKY, MAPS)] = b"[]"
    from_files = from_files or (directory / BUNDLE).exists()
    if from_files:
        page = Path("index.html")
        contents[page] = page_from_files(contents[page].decode()).encode()
        contents[Path(BUNDLE)] = one_script(_STATIC / "js").encode()
    try:
        for name, content in contents.items():
            place = directory / name
            if place.is_file() and place.read_bytes() == content:
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            whole_file(place, partial(_write, content))
        if from_files:
            write_documents_as_scripts(directory)
    except OSError as error:
        raise ExportFailed(
            f"can't write the dashboard's files into {directory}: {error.strerror or error}",
            directory=str(directory),
        ) from error


class DashboardServer(uvicorn.Server):
    """A server for the files of an export directory, and of the requests in `programs`.

    Without these it answers GET and HEAD, and the dashboard shows the export alone. With
    `public_sky` pages of other sites may read the maps of the sky from a person's browser.

    The address is in use from the beginning, and free again at the end of the context. Port 0 is a
    free one, which is in `port`.

    Raises
    ------
    ExportFailed
        If there is no ``index.json``, or the address can't be used.
    """

    def __init__(
        self,
        directory: Path,
        host: str,
        port: int,
        programs: Sequence[Route] = (),
        *,
        public_sky: bool = False,
    ) -> None:
        if not (directory / INDEX).is_file():
            raise ExportFailed(
                f"no {INDEX} in {directory}: write it with `contimg export`",
                directory=str(directory),
            )
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._listening = socket.create_server((host, port), family=family)
        except OSError as error:
            raise ExportFailed(
                f"can't listen on {host}, port {port}: {error.strerror or error}",
                host=host,
                port=port,
            ) from error
        self.port = int(self._listening.getsockname()[1])
        super().__init__(
            uvicorn.Config(
                _application(directory.resolve(), programs, public_sky),
                # The parser in Python refuses what the other one repairs.
                http="h11",
                ws="none",
                lifespan="off",
                proxy_headers=False,
                server_header=False,
                # The terminal shows only the address; every open page sends a request each minute.
                access_log=False,
                log_config=None,
                log_level="error",
            )
        )

    def __enter__(self) -> "DashboardServer":
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.close()

    def serve_forever(self) -> None:
        """Answer requests until `stop`, or in the main thread until Ctrl-C."""
        self.run(sockets=[self._listening])

    def stop(self) -> None:
        """End `serve_forever`, from another thread."""
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End, without waiting for downloads in progress."""
        for connection in tuple(self.server_state.connections):
            connection.transport.abort()
        await super().shutdown(sockets)


def _write(content: bytes, place: Path) -> None:
    place.write_bytes(content)


def _application(directory: Path, programs: Sequence[Route], public_sky: bool) -> ASGIApp:
    files = _Files(directory, public_sky)
    if not programs:
        return files
    return Starlette(
        routes=[
            Mount(f"/{PROGRAMS}", routes=programs),
            Route("/", _live_page, methods=["GET", "HEAD"]),
            Route("/index.html", _live_page, methods=["GET", "HEAD"]),
            Mount("/", files),
        ]
    )


def _live_page(request: Request) -> Response:
    """Return the page with the address of the programs: a copy of the files has none."""
    page = (_STATIC / "index.html").read_text()
    known = f'<meta name="contimg-programs" content="{PROGRAMS}/">\n</head>'
    return HTMLResponse(
        page.replace("</head>", known, 1), headers={**_HEADERS, "Cache-Control": "no-cache"}
    )


class _Files(StaticFiles):
    """Serves the files of one directory: no listings, no hidden files, no files outside it."""

    def __init__(self, directory: Path, public_sky: bool) -> None:
        super().__init__(directory=directory)
        self._public_sky = public_sky

    def get_path(self, scope: Scope) -> str:
        # As it was asked for, without removing `..`: `lookup_path` refuses that.
        path = str(scope["path"]).removeprefix("/")
        return path + "index.html" if path.endswith("/") or not path else path

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        # Hidden files are being written; the other names don't occur in our directories.
        if any(not w or w.startswith(".") or "\\" in w for w in path.split("/")):
            return "", None
        try:
            return super().lookup_path(path)
        except (OSError, ValueError):  # links in a circle, no permission, impossible names
            return "", None

    async def get_response(self, path: str, scope: Scope) -> Response:
        try:
            response = await super().get_response(path, scope)
            if response.status_code == 200:
                kind = _TYPES.get(Path(path).suffix or Path(path).name, _OTHER_TYPE)
                response.headers["Content-Type"] = kind
            response.headers["Cache-Control"] = _caching(path)
        except HTTPException as error:
            word = "No such file" if error.status_code == 404 else error.detail
            response = PlainTextResponse(
                f"{error.status_code} {word}\n", error.status_code, error.headers
            )
        response.headers.update(_HEADERS)
        if self._public_sky and path.startswith(f"{SKY}/"):
            response.headers["Access-Control-Allow-Origin"] = "*"
        return response


def _caching(name: str) -> str:
    immutable = _CHECKSUM_IN_NAME.search(name)
    return "public, max-age=31536000, immutable" if immutable else "no-cache"
