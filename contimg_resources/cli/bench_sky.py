"""``contimg bench-sky``: what mosaics, photometry, light curves and catalogues cost.

Belongs here: arguments and output. Doesn't: measuring.
"""

from pathlib import Path
from typing import Annotated

import typer

from contimg_resources.cli.arguments import AsJson
from contimg_resources.cli.console import jsonable, print_json, print_table, progress, remark


def bench_sky(
    tiles: Annotated[int, typer.Option(min=2, help="5-minute images in the mosaic.")] = 12,
    size: Annotated[
        int, typer.Option(min=200, help="Pixels a side of each; the sky that it covers stays.")
    ] = 2400,
    sources: Annotated[int, typer.Option(min=50, help="Sources that are measured.")] = 10_000,
    days: Annotated[int, typer.Option(min=1, help="Days of the light curves.")] = 365,
    catalogue: Annotated[
        int, typer.Option(min=10_000, help="Sources in the catalogue.")
    ] = 1_770_000,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of the mosaic and its peer.")] = 2,
    out_dir: Annotated[
        Path,
        typer.Option(
            metavar="DIR",
            help="Where the results go; what is made up for them lies there meanwhile (3 GB).",
        ),
    ] = Path("bench-sky"),
    page: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a page (Markdown).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure mosaics, forced photometry, light curves and catalogues, and print a table.

    Mosaics are measured beside reproject, photometry beside photutils. The results also go to
    DIR/bench-sky.json. At full size it takes some minutes.

    Example: `contimg bench-sky --tiles 4 --size 300 --sources 100 --days 30 --catalogue 20000`
    """
    import json
    from tempfile import TemporaryDirectory

    from contimg_resources.bench.sky_report import HEADINGS, sky_page, sky_rows
    from contimg_resources.bench.surveying import SkySize, run_sky_bench

    out_dir.mkdir(parents=True, exist_ok=True)
    asked = SkySize(tiles, size, sources, days, catalogue, rounds)
    with (
        TemporaryDirectory(prefix="made-up-", dir=out_dir.absolute()) as made_up,
        progress("bench-sky") as say,
    ):
        report = run_sky_bench(asked, Path(made_up), say)
    results = out_dir / "bench-sky.json"
    results.write_text(json.dumps(jsonable(report), indent=2, allow_nan=False) + "\n")
    if page is not None:
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(sky_page(report))
    for note in report.notes:
        remark(note)
    if as_json:
        print_json(report)
    else:
        print_table(HEADINGS, sky_rows(report.rows))
