"""``contimg export``: documents for dashboards, and downloads.

Belongs here: arguments and output. Doesn't: the step, which the asset calls too.
"""

from pathlib import Path
from typing import Annotated

import typer

from contimg_resources.cli.arguments import AsJson, StateDirectory
from contimg_resources.cli.console import print_json, progress, remark
from contimg_resources.cli.given import given_settings, opened_workshop


def export(
    state: StateDirectory = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="Output directory: empty, or with earlier documents. Default: from the settings.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the JSON documents for dashboards, and tables as Parquet and VOTable.

    Read `index.json` first: it lists all other documents, and summarizes the night. Unchanged pages
    are kept. Exit code 1 when the documents can't be written.

    Example: `contimg export --out /srv/contimg`
    """
    from contimg_resources.steps.exporting import export_dashboard

    settings = given_settings(state=state)
    # A copy for somebody else is no product of this state directory.
    recorded = out is None or out.absolute() == settings.export_dir
    if out is not None:
        told = settings.export.model_copy(update={"directory": out.absolute()})
        settings = settings.model_copy(update={"export": told})
    workshop = opened_workshop(settings)
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
