"""``contimg bench``: what the platform's steps cost beside their peers.

Belongs here: arguments and output. Doesn't: measuring.
"""

import os
from pathlib import Path
from typing import Annotated

import typer

from contimg_resources.cli.arguments import AsJson
from contimg_resources.cli.console import jsonable, print_json, print_table, progress, remark
from contimg_resources.errors import ConfigurationError
from contimg_resources.simulation.spec import Size

_PICTURE = "benchmarks.png"


def bench(
    size: Annotated[Size, typer.Option(help="Size of the simulated observation.")] = Size.FULL,
    out_dir: Annotated[
        Path,
        typer.Option(metavar="DIR", help="Where MS, products and the results go (9 GB for full)."),
    ] = Path("bench"),
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each contest.")] = 2,
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="path, flagging, wsclean, solve or overhead; once for each. Default: all."
        ),
    ] = None,
    growth: Annotated[
        bool, typer.Option(help="Measure how the cost grows with antennas, channels and pixels.")
    ] = True,
    page: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a page (Markdown) with a picture beside it."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure the steps and plain CASA and WSClean in turns, and print a table.

    The results also go to DIR/bench.json; contests that aren't chosen stay there as they were
    measured before, on the same machine with the same software. At full size it takes most of an
    hour.

    Example: `contimg bench --size small --only path --only solve --no-growth`
    """
    from pydantic import TypeAdapter

    from contimg_resources.bench.report import (
        HEADINGS,
        BenchReport,
        draw,
        overhead_in_words,
        table_rows,
    )
    from contimg_resources.bench.report import page as page_of
    from contimg_resources.bench.running import CONTESTS, OVERHEAD, run_bench
    from contimg_resources.casa import Casa

    known = (*CONTESTS, OVERHEAD)
    chosen = tuple(only or known)
    if unknown := [name for name in chosen if name not in known]:
        raise ConfigurationError(
            f"there is no contest {', '.join(unknown)}; there are {', '.join(known)}"
        )
    where = out_dir.absolute()
    threads = len(os.sched_getaffinity(0))
    casa = Casa(where / "scratch", where / "logs", timeout_s=7200, threads=threads)
    with progress("bench") as say:
        report = run_bench(size, where, casa, say, rounds=rounds, chosen=chosen, growth=growth)
    import json

    results = where / "bench.json"
    if results.is_file():
        report = report.completed(TypeAdapter(BenchReport).validate_json(results.read_bytes()))
    results.write_text(json.dumps(jsonable(report), indent=2) + "\n")
    if page is not None:
        picture = page.parent / "images" / _PICTURE
        picture.parent.mkdir(parents=True, exist_ok=True)
        draw(report, picture)
        page.write_text(page_of(report, f"images/{_PICTURE}"))
    for note in report.notes:
        remark(note)
    if as_json:
        print_json(report)
    else:
        print_table(HEADINGS, table_rows(report.results), title=f"size {report.size}")
        if report.overhead is not None:
            remark(overhead_in_words(report.overhead))
