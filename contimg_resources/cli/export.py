"""``contimg export``, ``sky``, ``dashboard``: documents, maps of the sky, and serving them.

Belongs here: arguments, output and waiting. Doesn't: the step, which the asset calls too; pages and
server (`contimg_resources.dashboard`).
"""

import signal
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from contimg_resources.cli.arguments import AsJson, StateDirectory, setting_help
from contimg_resources.cli.console import jsonable, print_json, progress, remark
from contimg_resources.cli.given import given_settings, opened_workshop


def export(
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help=setting_help("export.directory")),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="ADDRESS",
            help="Copy them to an address of fsspec too, such as s3://bucket/prefix (with "
            "contimg[bucket]); keys and endpoint come from the library's own variables, such as "
            "AWS_ACCESS_KEY_ID and AWS_ENDPOINT_URL.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the JSON documents for dashboards, and tables as Parquet and VOTable.

    Read `index.json` first: it lists all other documents, and summarizes the night. Unchanged pages
    are kept, also in a copy. With `--out`, `index.html` opens by a double click, without a server.
    Exit code 1 when the documents can't be written.

    Example: `contimg export --to s3://contimg/nights`
    """
    from contimg_resources.steps.exporting import export_dashboard

    directory = None if out is None else out.absolute()
    own = given_settings().export_dir
    original = None if directory in (None, own) else own
    workshop = opened_workshop(given_settings(export={"directory": directory}))
    with progress("export") as say:
        exported = export_dashboard(workshop, original=original, progress=say)
        copied = None
        if to is not None:
            from contimg_resources.export.bucket import copy_export
            from contimg_resources.export.directory import opened

            with opened(exported.directory):
                copied = copy_export(exported.directory, to, say)
    if as_json:
        print_json(jsonable(exported) | ({} if copied is None else {"copy": jsonable(copied)}))
        return
    items = ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in exported.counts.items() if n)
    remark(f"{exported.index}: {items or 'nothing yet'}")
    remark(
        f"{exported.n_pages} pages, {exported.size_bytes / 1e6:.1f} MB; {exported.n_written} files "
        "were written"
    )
    if copied is not None:
        remark(
            f"{copied.address}: {copied.n_files} files, {copied.size_bytes / 1e6:.1f} MB; "
            f"{copied.n_written} were copied, {copied.n_removed} removed"
        )


def sky(as_json: AsJson = False) -> None:
    """Update the maps of the sky: all mosaics, and those of each of the last nights, as HiPS.

    Only tiles whose mosaics changed are made again. The dashboard shows the maps (view Map); Aladin
    and other programs open the addresses of its directories, such as `sky/deep`. `Moc.fits` beside
    the tiles is the coverage.

    Example: `contimg sky`
    """
    from contimg_resources.steps.mapping_sky import map_sky

    workshop = opened_workshop(given_settings())
    with progress("sky") as say:
        mapped = map_sky(workshop, progress=say)
    if as_json:
        print_json(mapped)
        return
    if mapped.skipped:
        remark(f"nothing done: {mapped.skipped}")
    for layer in mapped.layers:
        left = f", {layer.n_left} left for the next update" if layer.n_left else ""
        remark(
            f"{mapped.directory / layer.name}: {layer.n_tiles} tiles, {layer.n_made} made{left}; "
            f"{layer.sky_fraction * 41_252.96:.1f} square degrees"
        )
    if not mapped.layers and not mapped.skipped:
        remark("there are no mosaics yet")


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
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Let nobody change anything in the browser.")
    ] = False,
) -> None:
    """Serve the dashboard: the night, the sky, light curves and candidates, until Ctrl-C.

    The dashboard shows the documents from `contimg export` and checks for a newer export every
    minute; it needs no running platform. Candidates are marked, sources tagged and days reprocessed
    in the browser: on this computer by its user, through a proxy or with tokens by others (settings
    `dashboard.*`); `logs/vetting.log` of the state directory records who did what. With `--dir` or
    `--read-only` nobody does. The command writes the dashboard's files beside the documents, so
    that any web server can serve that directory instead. Exit code 1 when there is no export yet.

    Example: `contimg dashboard --state /data/contimg --port 8000`
    """
    from contimg_resources.cli.platform import running_address
    from contimg_resources.cli.reprocess import day_launcher
    from contimg_resources.dashboard.programs import open_programs
    from contimg_resources.dashboard.serving import DashboardServer, install_dashboard

    if state is not None and directory is not None:
        raise typer.BadParameter("give only one of the two", param_hint="--state, --dir")
    # A service manager's stop is as good an end as Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    settings = given_settings(state=state)
    shown = directory.absolute() if directory else settings.export_dir
    programs = (
        []
        if directory
        else open_programs(
            settings,
            host,
            marks=not read_only,
            dagster=lambda: running_address(settings.state),
            launcher=day_launcher(settings),
        )
    )
    server = DashboardServer(shown, host, port, programs, public_sky=settings.sky.public)
    with suppress(KeyboardInterrupt), server:
        install_dashboard(shown)
        named = f"[{host}]" if ":" in host else host
        remark(f"dashboard: http://{named}:{server.port}/ of {shown}; Ctrl-C stops it")
        server.serve_forever()
    remark("the dashboard has stopped")
