"""``contimg export``: documents for dashboards, and downloads.

Belongs here: arguments and output. Doesn't: the step, which the asset calls too.
"""

from pathlib import Path
from typing import Annotated

import typer

from contimg_resources.cli.arguments import AsJson, StateDirectory, setting_help
from contimg_resources.cli.console import print_json, progress, remark
from contimg_resources.cli.given import given_settings, opened_workshop


def export(
    state: StateDirectory = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help=setting_help("export.directory")),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the JSON documents for dashboards, and tables as Parquet and VOTable.

    Read `index.json` first: it lists all other documents, and summarizes the night. Unchanged pages
    are kept. Exit code 1 when the documents can't be written.

    Example: `contimg export --out /srv/contimg`
    """
    from contimg_resources.steps.exporting import export_dashboard

    directory = None if out is None else out.absolute()
    # A copy for somebody else is no product of this state directory.
    recorded = directory is None or directory == given_settings(state=state).export_dir
    workshop = opened_workshop(given_settings(state=state, export={"directory": directory}))
    with progress("export") as say:
        exported = export_dashboard(workshop, recorded=recorded, progress=say)
    if as_json:
        print_json(exported)
        return
    items = ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in exported.counts.items() if n)
    remark(f"{exported.index}: {items or 'nothing yet'}")
    remark(
        f"{exported.n_pages} pages, {exported.size_bytes / 1e6:.1f} MB; {exported.n_written} files "
        "were written"
    )
