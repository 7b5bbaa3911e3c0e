"""``contimg lightcurves``: light curves that were measured elsewhere.

Belongs here: arguments and output. Doesn't: reading, storing, measuring or searching them.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from contimg_resources.cli.arguments import AsJson, DryRun
from contimg_resources.cli.console import print_json, print_table, progress, remark, removed
from contimg_resources.cli.given import given_settings, opened_workshop, rehearsed
from contimg_resources.cli.variability import metrics_line, print_candidates, print_metrics
from contimg_resources.core.errors import ConfigurationError

if TYPE_CHECKING:
    from contimg_resources.steps.added_light_curves import AddedSearch
    from contimg_resources.variability.foreign import RejectedRows
    from contimg_resources.variability.foreign_columns import GivenColumn

app = typer.Typer(
    help="Light curves of your own: they get variability metrics, the search for events, cards and "
    "dashboard pages, like those of the platform.",
)

_SHOWN_REJECTED = 20
_MAY_BE_NONE = ("flag", "good", "limit", "frequency", "ra", "dec")
ListName = Annotated[str, typer.Argument(metavar="NAME", help="Name of a list.")]


@app.command()
def add(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="CSV, ECSV, VOTable, FITS, Parquet or another table; may be compressed.",
        ),
    ],
    name: Annotated[
        str | None,
        typer.Option(help="Name of the list. Default: the name of the first file."),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROLE=NAME[:UNIT]",
            help="Column of a quantity, where the file doesn't state it: `flux=S:mJy`, "
            "`time=t:jd`, `time=bjd:jd:tdb`. Roles: source, time, flux, error, ra, dec, "
            "frequency, flag, good, limit; `flag=` also uses flagged rows.",
        ),
    ] = None,
    source: Annotated[
        str, typer.Option(help="Name of the source in a file without a column of source names.")
    ] = "",
    error: Annotated[
        str, typer.Option(help="Error of each flux density in a file without errors: `5%`, `2mJy`.")
    ] = "",
    table: Annotated[
        str, typer.Option(help="Name or number of the table in a file with several.")
    ] = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Add light curves as a list, compute their variability metrics, and search them for events.

    A file holds one source, or many in a long table. Times are MJD, JD, ISO dates or decimal years
    in the stated scale, flux densities in the stated unit or in the unit at the end of the column's
    name. A list of the same name is replaced. Rejected rows and files are listed with the reason.

    Example: `contimg lightcurves add agn.csv --name agn --column flux=S:mJy`
    """
    from contimg_resources.core.naming import plain_name
    from contimg_resources.steps.added_light_curves import add_light_curves
    from contimg_resources.steps.workshop import Workshop

    plain = plain_name(files[0].name.split(".")[0]).replace(":", "_").strip("._+-")
    chosen = name if name is not None else plain or "list"
    given = _given(column or [])
    with (
        progress(f"lightcurves {chosen}") as say,
        rehearsed(given_settings(), dry_run) as settings,
    ):
        added = add_light_curves(
            Workshop.from_settings(settings),
            chosen,
            files,
            given,
            source=source,
            error=error,
            table=table,
            progress=say,
        )
    searched = added.searched
    facts = searched.facts
    if as_json:
        print_json(
            {
                "list": facts,
                "path": None if dry_run else added.path,
                "replaced": added.replaced,
                "refused_files": added.refused,
                "sources": [metrics_line(searched.table, i) for i in range(len(searched.table))],
                "candidates": searched.found.candidates,
                "rejected_dips": searched.found.rejected,
                "not_searched": searched.found.unsearched,
            }
        )
    else:
        for file in facts.files:
            how = "; ".join(f"{role}: {words}" for role, words in file.read_as.items())
            remark(f"{file.path}: {file.n_rows} rows; {how}")
        lines = [metrics_line(searched.table, i) for i in range(len(searched.table))]
        print_metrics(lines, f"{chosen}: {len(lines)} sources")
        _tell_rejected(facts.rejected)
        _tell_search(searched)
        if not dry_run:
            remark(f"{'replaced' if added.replaced else 'added'}: {added.path}")
    for reason in added.refused.values():
        remark(f"not added: {reason}")
    if added.refused:
        raise typer.Exit(1)


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the added lists of light curves.

    Example: `contimg lightcurves list`
    """
    from contimg_resources.core.errors import UnreadableMeasurements
    from contimg_resources.core.times import utc_day
    from contimg_resources.variability.added import added_names, read_added_facts

    root = given_settings().layout.added_light_curves
    found, damaged = [], []
    for name in added_names(root):
        try:
            found.append(read_added_facts(root, name))
        except UnreadableMeasurements as error:
            damaged.append(error.message)
    if as_json:
        print_json(found)
    else:
        print_table(
            ("list", "sources", "measurements", "from", "to", "added", "files"),
            [
                (
                    f.name,
                    f.n_sources,
                    f.n_points,
                    utc_day(f.first_mjd),
                    utc_day(f.last_mjd),
                    utc_day(f.added_mjd),
                    ", ".join(file.path for file in f.files),
                )
                for f in found
            ],
            title="Lists of added light curves",
        )
    for reason in damaged:
        remark(reason)
    if damaged:
        raise typer.Exit(1)


@app.command()
def show(name: ListName, as_json: AsJson = False) -> None:
    """Show the variability metrics of a list's sources, and the rejected rows.

    Example: `contimg lightcurves show agn`
    """
    from contimg_resources.variability.added import read_added_facts
    from contimg_resources.variability.tables import added_variability_path, read_variability

    layout = given_settings().layout
    facts = read_added_facts(layout.added_light_curves, name)
    table = read_variability(added_variability_path(layout.variability, name))
    rows = [metrics_line(table, i) for i in range(len(table))]
    if as_json:
        print_json({"list": facts, "sources": rows})
        return
    print_metrics(rows, f"{name}: {len(rows)} sources")
    _tell_rejected(facts.rejected)


@app.command()
def remove(
    name: ListName,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Remove a list; its candidates are withdrawn, and their marks stay.

    Example: `contimg lightcurves remove agn`
    """
    from contimg_resources.steps.added_light_curves import remove_light_curves

    workshop = opened_workshop(given_settings())
    withdrawn = remove_light_curves(workshop, name, dry_run=dry_run)
    if as_json:
        print_json({"list": name, "removed": not dry_run, "withdrawn": withdrawn})
    else:
        remark(f"{removed(dry_run)} {name}, and {len(withdrawn)} candidates are withdrawn")


def _given(texts: list[str]) -> "dict[str, GivenColumn]":
    from contimg_resources.variability.foreign_columns import ROLES, GivenColumn

    given = {}
    for text in texts:
        role, equals, rest = text.partition("=")
        column, _, unit = rest.partition(":")
        if not equals or role not in ROLES or not (column or role in _MAY_BE_NONE):
            raise ConfigurationError(
                f"--column {text!r}: ROLE=NAME or ROLE=NAME:UNIT was expected, with a role of "
                f"{', '.join(ROLES)}"
            )
        given[role] = GivenColumn(column.strip(), unit.strip())
    return given


def _tell_rejected(rejected: "tuple[RejectedRows, ...]") -> None:
    for r in rejected[:_SHOWN_REJECTED]:
        rows = ", ".join(map(str, r.rows)) + (", ..." if r.n > len(r.rows) else "")
        remark(f"rejected: {r.source or '(no source)'}: {r.n} rows ({rows}): {r.reason}")
    if (left := len(rejected) - _SHOWN_REJECTED) > 0:
        n = sum(r.n for r in rejected[_SHOWN_REJECTED:])
        remark(f"rejected: {n} more rows for {left} more reasons (`--json` lists all)")


def _tell_search(searched: "AddedSearch") -> None:
    found = searched.found
    print_candidates(found.candidates, {})
    for u in found.unsearched[:_SHOWN_REJECTED]:
        remark(f"not searched: {u.source_id}: {u.reason}")
    for dip in found.rejected[:_SHOWN_REJECTED]:
        remark(f"no event: {dip.source_id}: the dip at MJD {dip.mid_mjd:.1f} {dip.outcome.value}")
    remark(searched.words)
