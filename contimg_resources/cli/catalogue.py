"""``contimg catalogue``: surveys and lists of sources.

Belongs here: arguments and output. Doesn't: reading or storing them.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from contimg_resources.cli.arguments import (
    AsJson,
    ColumnOption,
    DryRun,
    FrameOption,
    FrequencyOption,
    TableOption,
)
from contimg_resources.cli.console import print_json, print_table, progress, remark, removed
from contimg_resources.cli.given import given_settings, rehearsed
from contimg_resources.core.errors import CatalogueError, rejecting

if TYPE_CHECKING:
    from contimg_resources.catalogues.model import CatalogueFacts
    from contimg_resources.catalogues.store import CatalogueStore
    from contimg_resources.settings import Settings

app = typer.Typer(
    help="Catalogues of sources: surveys, lists of source finders, and lists of your own."
)

_SHOWN = 40
Name = Annotated[str, typer.Argument(help="Name of the catalogue.")]


@app.command()
def fetch(
    survey: Annotated[str, typer.Argument(help="`nvss` or `first`.")],
    url: Annotated[str | None, typer.Option(help="Another URL of the same table.")] = None,
    as_json: AsJson = False,
) -> None:
    """Download a survey as a catalogue.

    Example: `contimg catalogue fetch nvss`
    """
    from contimg_resources.catalogues.fetching import PUBLISHED, fetched

    if survey not in PUBLISHED:
        raise CatalogueError(
            f"{survey!r} can't be fetched, only {', '.join(PUBLISHED)}; add a file of any other "
            "catalogue with `contimg catalogue add`"
        )
    address = url or PUBLISHED[survey].url
    with progress(f"fetch {survey}") as say, fetched(address, say) as file:
        say("reading", None)
        facts = _store().add(survey, file, PUBLISHED[survey].survey, origin=address)
    _tell(facts, as_json)


@app.command()
def add(
    name: Name,
    file: Annotated[
        Path,
        typer.Argument(
            help="FITS, VOTable, Parquet, CSV, ECSV, HEASARC's tdat or other text; may be gzipped."
        ),
    ],
    survey: Annotated[
        str,
        typer.Option(
            help="Survey or source finder, where the columns don't identify it: nvss, first, "
            "racs, racs-mid, racs-high, vlass, tgss, lotss, gleam, sumss, vlssr, selavy, aegean, "
            "pybdsf, list."
        ),
    ] = "auto",
    column: ColumnOption = None,
    frequency: FrequencyOption = None,
    frame: FrameOption = "",
    table: TableOption = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Add a file as a catalogue; a catalogue of the same name is replaced.

    A list of your own has the columns `name` (optional), `ra_deg`, `dec_deg`, `flux_jy`,
    `reference_ghz` and, if known, `flux_error_jy` and `spectral_index`. Any other table works with
    `--column`. Units and frames that the file states are converted; rows without a position or
    a flux density are rejected, and reported.

    Example: `contimg catalogue add mine sources.csv`, or `contimg catalogue add mine s.fits
    --column ra=RAJ2000 --column dec=DEJ2000 --column flux=S1400:mJy --frequency 1400MHz`
    """
    from contimg_resources.catalogues.columns import Given

    given = Given.parse(column or (), frequency, frame, table)
    with (
        progress(f"add {name}") as say,
        rehearsed(given_settings(), dry_run) as settings,
    ):
        say(f"reading {file}", None)
        facts = _store(settings).add(name, file.absolute(), survey, given=given)
    _tell(facts, as_json)


@app.command("list")
def list_catalogues(as_json: AsJson = False) -> None:
    """List the catalogues.

    Example: `contimg catalogue list`
    """
    store = _store()
    facts: list[CatalogueFacts] = []
    damaged: dict[str, str] = {}
    for name in store.names():
        with rejecting(damaged, name):
            facts.append(store.open(name).facts)
    if as_json:
        print_json(facts)
    else:
        print_table(
            ("name", "survey", "sources", "from"),
            [(f.name, f.survey, f.n_sources, f.origin) for f in facts],
        )
    for name, why in damaged.items():
        remark(f"catalogue {name}: {why}")
    if damaged:
        raise typer.Exit(1)


# A negative declination isn't an option.
@app.command(context_settings={"ignore_unknown_options": True})
def cone(
    name: Name,
    ra_deg: Annotated[float, typer.Argument(help="ICRS, degrees.")],
    dec_deg: Annotated[float, typer.Argument(help="ICRS, degrees.")],
    radius_deg: Annotated[float, typer.Argument(help="Degrees.")],
    min_flux_mjy: Annotated[float, typer.Option(min=0, help="Leave out fainter sources.")] = 0.0,
    as_json: AsJson = False,
) -> None:
    """List the sources around a direction, the brightest first.

    Example: `contimg catalogue cone nvss 24.42 33.16 0.5`, or
    `contimg catalogue cone nvss 97.5 -31.5 0.5`
    """
    import numpy as np

    found = _store().open(name).cone(ra_deg, dec_deg, radius_deg, 1e-3 * min_flux_mjy)
    found = found.select(np.argsort(-found.flux_jy, kind="stable"))
    if as_json:
        print_json(
            [
                {
                    "source_id": str(found.source_id[i]),
                    "ra_deg": float(found.ra_deg[i]),
                    "dec_deg": float(found.dec_deg[i]),
                    "flux_jy": float(found.flux_jy[i]),
                    "reference_ghz": float(found.reference_ghz[i]),
                }
                for i in range(len(found))
            ]
        )
        return
    print_table(
        ("source", "RA (deg)", "Dec (deg)", "flux (mJy)", "at (GHz)"),
        [
            (
                found.source_id[i],
                f"{found.ra_deg[i]:.5f}",
                f"{found.dec_deg[i]:+.5f}",
                f"{1e3 * found.flux_jy[i]:.1f}",
                f"{found.reference_ghz[i]:g}",
            )
            for i in range(min(_SHOWN, len(found)))
        ],
        title=f"The first {min(_SHOWN, len(found))} of {len(found)}",
    )


@app.command()
def remove(
    name: Name,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Remove a catalogue.

    Example: `contimg catalogue remove mine`
    """
    store = _store()
    if dry_run:
        store.open(name)
    else:
        store.remove(name)
    if as_json:
        print_json({"catalogue": name, "removed": not dry_run})
    else:
        remark(f"{removed(dry_run)} {name}")


def _store(settings: "Settings | None" = None) -> "CatalogueStore":
    from contimg_resources.catalogues.store import CatalogueStore

    return CatalogueStore((settings or given_settings()).layout.catalogues)


def _tell(facts: "CatalogueFacts", as_json: bool) -> None:
    if as_json:
        print_json(facts)
    else:
        remark(f"{facts.name}: {facts.n_sources} sources of {facts.origin} ({facts.survey})")
    for note in facts.notes:
        remark(f"  {note}")
