"""``contimg dashboard``: serve the documents of an export to a browser, until Ctrl-C.

Belongs here: arguments and waiting. Doesn't: pages and server (`contimg_resources.dashboard`),
writing documents (``contimg export``).
"""

import signal
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from contimg_resources.cli.arguments import StateDirectory
from contimg_resources.cli.console import remark
from contimg_resources.cli.given import given_settings


def dashboard(
    state: StateDirectory = None,
    directory: Annotated[
        Path | None,
        typer.Option(
            "--dir",
            metavar="EXPORT",
            help="Directory of an export. Default: that of the state directory.",
        ),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="TCP port; 0: a free port.")] = 8000,
    host: Annotated[
        str,
        typer.Option(help="Address to listen on; by default only this machine has access."),
    ] = "127.0.0.1",
) -> None:
    """Serve the dashboard: the night, the sky, light curves and candidates, until Ctrl-C.

    The dashboard shows the documents from `contimg export` and checks for a newer export every
    minute; it reads no database and needs no running platform. The command writes the dashboard's
    files beside the documents, so that any web server can serve that directory instead. Exit code 1
    when there is no export yet.

    Example: `contimg dashboard --state /data/contimg --port 8000`
    """
    from contimg_resources.dashboard.serving import DashboardServer, install_dashboard

    if state is not None and directory is not None:
        raise typer.BadParameter("give only one of the two", param_hint="--state, --dir")
    # A service manager's stop is as good an end as Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    shown = directory.absolute() if directory else given_settings(state=state).export_dir
    with suppress(KeyboardInterrupt), DashboardServer(shown, host, port) as server:
        install_dashboard(shown)
        named = f"[{host}]" if ":" in host else host
        remark(f"dashboard: http://{named}:{server.port}/ of {shown}; Ctrl-C stops it")
        server.serve_forever()
    remark("the dashboard has stopped")
