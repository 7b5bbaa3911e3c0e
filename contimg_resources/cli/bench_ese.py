"""``contimg bench-ese``: what the search for Extreme Scattering Events finds, and what it makes up.

Belongs here: arguments and output. Doesn't: measuring.
"""

from pathlib import Path
from typing import Annotated

import typer

from contimg_resources.cli.arguments import AsJson
from contimg_resources.cli.console import print_json, print_table, progress, remark


def bench_ese(
    events: Annotated[int, typer.Option(min=5, help="Events of each kind.")] = 200,
    sources: Annotated[
        int, typer.Option(min=50, help="Steady sources, watched for a year each.")
    ] = 10_000,
    seed: Annotated[int, typer.Option(help="Of all that is drawn.")] = 1,
    clegg: Annotated[
        bool, typer.Option("--clegg", help="Search with Clegg's templates, too.")
    ] = False,
    page: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a page (Markdown).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Inject events into made-up light curves, search, and count what is found.

    At full size it takes some minutes.

    Example: `contimg bench-ese --events 20 --sources 500`
    """
    from contimg_resources.bench.events import run_events_bench
    from contimg_resources.bench.events_report import (
        ALARM_HEADINGS,
        CELL_HEADINGS,
        alarm_rows,
        cell_rows,
        events_page,
        in_words,
    )

    with progress("bench-ese") as say:
        report = run_events_bench(events, sources, say, seed=seed, clegg_too=clegg)
    if page is not None:
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(events_page(report))
    if as_json:
        print_json(report)
        return
    print_table(CELL_HEADINGS, cell_rows(report.cells))
    print_table(ALARM_HEADINGS, alarm_rows(report.alarms))
    for words in in_words(report):
        remark(words)
