"""The benchmarks' commands: ``contimg bench``, ``bench-sky``..., in a checkout only.

Belongs here: arguments and output. Doesn't: measuring; nor ``bench-years`` (see `.platform_years`).
"""

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from contimg_resources.cli.arguments import AsJson
from contimg_resources.cli.console import jsonable, print_json, print_table, progress, remark
from contimg_resources.core.errors import ConfigurationError
from contimg_resources.settings import CasaSettings
from contimg_resources.simulation.spec import Size

_PICTURE = "benchmarks.png"


def bench(
    size: Annotated[Size, typer.Option(help="Size of the simulated observation.")] = Size.FULL,
    out_dir: Annotated[
        Path,
        typer.Option(metavar="DIR", help="Directory of MS, products and results (9 GB for full)."),
    ] = Path("bench"),
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each comparison.")] = 2,
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="path, flagging, wsclean, solve, uvh5, direct or overhead; repeatable. "
            "Default: all."
        ),
    ] = None,
    growth: Annotated[
        bool, typer.Option(help="Measure the cost against antennas, channels and pixels.")
    ] = True,
    page: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a page (Markdown) with a plot."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Time the steps and plain CASA, WSClean and pyuvdata in turns, and print a table.

    The results are also written to DIR/bench.json. It keeps the earlier results of comparisons that
    aren't selected, if machine and software are the same. At full size the benchmark takes most of
    an hour.

    Example: `contimg bench --size small --only path --only solve --no-growth`
    """
    from pydantic import TypeAdapter

    from benchmarks.report import (
        HEADINGS,
        BenchReport,
        draw,
        overhead_in_words,
        table_rows,
    )
    from benchmarks.report import page as page_of
    from benchmarks.running import CONTESTS, OVERHEAD, run_bench
    from contimg_resources.casa import Casa

    known = (*CONTESTS, OVERHEAD)
    chosen = tuple(only or known)
    if unknown := [name for name in chosen if name not in known]:
        raise ConfigurationError(
            f"there is no comparison {', '.join(unknown)}; there are {', '.join(known)}"
        )
    where = out_dir.absolute()
    threads = len(os.sched_getaffinity(0))
    casa = Casa(
        where / "scratch", where / "logs", CasaSettings(step_timeout_s=7200, threads=threads)
    )
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


def bench_sky(
    tiles: Annotated[int, typer.Option(min=2, help="5-minute images in the mosaic.")] = 12,
    size: Annotated[
        int,
        typer.Option(
            min=200, help="Pixels per side of each image; its area on the sky stays the same."
        ),
    ] = 2400,
    sources: Annotated[int, typer.Option(min=50, help="Number of sources to measure.")] = 10_000,
    days: Annotated[int, typer.Option(min=1, help="Length of the light curves, days.")] = 365,
    catalogue: Annotated[
        int, typer.Option(min=10_000, help="Sources in the catalogue.")
    ] = 1_770_000,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of the mosaic and its peer.")] = 2,
    out_dir: Annotated[
        Path,
        typer.Option(
            metavar="DIR",
            help="Directory of the results, and of the simulated data meanwhile (3 GB).",
        ),
    ] = Path("bench-sky"),
    page: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a page (Markdown).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Time mosaics, forced photometry, light curves and catalogues, and print a table.

    Mosaics are compared with reproject, photometry with photutils. The results are also written to
    DIR/bench-sky.json. At full size the benchmark takes some minutes.

    Example: `contimg bench-sky --tiles 4 --size 300 --sources 100 --days 30 --catalogue 20000`
    """
    import json
    from tempfile import TemporaryDirectory

    from benchmarks.sky_report import HEADINGS, sky_page, sky_rows
    from benchmarks.surveying import SkySize, run_sky_bench

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


def bench_ese(
    quick: Annotated[bool, typer.Option("--quick", help="One sky of each population.")] = False,
    events: Annotated[int, typer.Option(min=1, help="Events of each kind on each sky.")] = 6,
    seed: Annotated[int, typer.Option(help="Seed of the random numbers.")] = 1,
    out_dir: Annotated[
        Path,
        typer.Option(
            metavar="DIR", help="Directory of finished parts; a run that was stopped continues."
        ),
    ] = Path("bench/ese"),
    page: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a page (Markdown).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Search simulated light curves for events, beside an ideal observer, and replay four years.

    In full it takes some 20 minutes on two cores, quickly four; with `--events 24` an hour.

    Example: `contimg bench-ese --quick`
    """
    from benchmarks.events import FULL, QUICK, run_events_bench
    from benchmarks.events_report import SKY_HEADINGS, events_page, goal_rows, sky_rows

    size = replace(QUICK if quick else FULL, n_events=events)
    with progress("bench-ese") as say:
        report = run_events_bench(size, out_dir.absolute(), say, seed)
    if page is not None:
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(events_page(report))
    if as_json:
        print_json(report)
        return
    print_table(SKY_HEADINGS, sky_rows(report.skies))
    print_table(("measured", "result", "goal", "met"), goal_rows(report))


def bench_real(
    size: Annotated[
        list[Size] | None,
        typer.Option(
            help="Size of a realistic night; repeatable, the last one also of a kind night. "
            "Default: full and small."
        ),
    ] = None,
    targets: Annotated[int, typer.Option(min=1, help="Targets of each simulated night.")] = 2,
    plain: Annotated[
        int, typer.Option(min=0, help="Targets of each night that the plain chain images, too.")
    ] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the simulated nights.")] = 5,
    given: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR",
            help="MS of another simulator (the first is of 3C48) with their truth.npz; repeatable.",
        ),
    ] = None,
    out_dir: Annotated[
        Path,
        typer.Option(
            metavar="DIR",
            help="Directory of the simulated MS, which later runs use again, and of the results "
            "(10 GB).",
        ),
    ] = Path("bench/real"),
    page: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a page (Markdown).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Image skies as unkind as the real one, beside plain CASA and WSClean, and compare with truth.

    The results are also written to DIR/bench-real.json. Simulating the nights takes most of the
    time of a first run.

    Example: `contimg bench-real --size small --targets 1`
    """
    import json
    from importlib.metadata import version

    from benchmarks.real_chains import run_real_bench
    from benchmarks.real_flaggers import compare_flaggers, contaminated
    from benchmarks.real_outside import outside_effects
    from benchmarks.real_report import (
        GOAL_HEADINGS,
        SUMMARY_HEADINGS,
        RealReport,
        goal_rows,
        real_page,
        summary_rows,
    )
    from benchmarks.report import describe_machine

    sizes = tuple(size or (Size.FULL, Size.SMALL))
    others = tuple(directory.absolute() for directory in given or ())
    with progress("bench-real") as say:
        observed = tuple(
            run_real_bench(sizes, targets, seed, others, plain, out_dir.absolute(), say)
        )
        outside = tuple(outside_effects(lambda message: say(message, None)))
        scene = contaminated(Size.SMALL)
        flagged = compare_flaggers(scene, lambda message: say(message, None))
    report = RealReport(
        machine=describe_machine(len(os.sched_getaffinity(0))),
        software={name: version(name) for name in ("contimg", "casatasks", "ducc0", "numba")},
        observed=observed,
        outside=outside,
        flagged=flagged,
    )
    out_dir.mkdir(parents=True, exist_ok=True)
    (out_dir / "bench-real.json").write_text(json.dumps(jsonable(report), indent=2) + "\n")
    if page is not None:
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(real_page(report))
    if as_json:
        print_json(report)
        return
    print_table(SUMMARY_HEADINGS, summary_rows(report))
    print_table(GOAL_HEADINGS, goal_rows(report))


#: What `bench_cluster` measures.
_PARTS = ("stores", "workers", "curves")


def bench_cluster(
    only: Annotated[
        list[str] | None,
        typer.Option(help=f"{', '.join(_PARTS)}; repeatable. Default: all."),
    ] = None,
    blocks: Annotated[
        int, typer.Option(min=1, help="Size of the stores, in blocks of 26,000 observations.")
    ] = 39,
    run_s: Annotated[
        float, typer.Option(min=1, help="Time that a run of the workers waits, seconds.")
    ] = 30.0,
    most: Annotated[int, typer.Option(min=1, help="Maximum number of runs at once.")] = 16,
    sources: Annotated[int, typer.Option(min=100, help="Sources with light curves.")] = 100_000,
    epochs: Annotated[int, typer.Option(min=2, help="Epochs of the light curves.")] = 3650,
    out_dir: Annotated[
        Path,
        typer.Option(
            metavar="DIR",
            help="Directory of the results, and of the simulated data meanwhile (25 GB).",
        ),
    ] = Path("bench-cluster"),
    page: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a page (Markdown) with a plot.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Time a million observations in Postgres, runs on workers, and light curves of ten years.

    It starts its own Postgres and Redis. The results are also written to DIR/bench-cluster.json,
    which keeps the earlier results of parts that aren't selected.

    Example: `contimg bench-cluster --only stores --blocks 4`
    """
    import json
    from importlib.metadata import version
    from tempfile import TemporaryDirectory

    from pydantic import TypeAdapter

    from benchmarks.cluster_curves import measure_curves
    from benchmarks.cluster_report import (
        ClusterReport,
        cluster_page,
        curve_rows,
        draw_cluster,
        store_rows,
        worker_rows,
    )
    from benchmarks.cluster_stores import measure_stores
    from benchmarks.cluster_workers import measure_workers
    from benchmarks.report import describe_machine

    chosen = tuple(only or _PARTS)
    if unknown := [name for name in chosen if name not in _PARTS]:
        raise ConfigurationError(f"there is no part {', '.join(unknown)} of {', '.join(_PARTS)}")
    out_dir.mkdir(parents=True, exist_ok=True)
    report = ClusterReport(
        machine=describe_machine(len(os.sched_getaffinity(0))),
        software={
            name: version(name)
            for name in ("contimg", "dagster", "celery", "psycopg2-binary", "duckdb", "pyarrow")
        },
    )
    sizes = tuple(n for n in (1, 4, 12) if n < blocks)
    numbers = tuple(n for n in (1, 4, 16, 32) if n <= most)
    results = out_dir / "bench-cluster.json"

    def keep(found: ClusterReport) -> ClusterReport:
        """Write the results, and return them with the earlier ones of other parts."""
        if results.is_file():
            before = TypeAdapter(ClusterReport).validate_json(results.read_bytes())
            found = found.completed(before)
        results.write_text(json.dumps(jsonable(found), indent=2, allow_nan=False) + "\n")
        return found

    with (
        TemporaryDirectory(prefix="made-up-", dir=out_dir.absolute()) as made_up,
        progress("bench-cluster") as say,
    ):
        place = Path(made_up)
        # Each size is kept when it is measured: a part may take an hour.
        if "stores" in chosen:
            for size in measure_stores(place / "stores", (*sizes, blocks), say):
                report = replace(report, stores=(*report.stores, size))
                keep(report)
        if "workers" in chosen:
            for number in measure_workers(place / "workers", numbers, run_s, say):
                report = replace(report, workers=(*report.workers, number))
                keep(report)
        if "curves" in chosen:
            curves = (measure_curves(place / "curves", sources, epochs, say),)
            report = replace(report, curves=curves)
    report = keep(report)
    if page is not None:
        picture = page.parent / "images" / "cluster-benchmarks.png"
        picture.parent.mkdir(parents=True, exist_ok=True)
        draw_cluster(report, picture)
        page.write_text(cluster_page(report, f"images/{picture.name}"))
    if as_json:
        print_json(report)
        return
    for headings, rows in (
        store_rows(report.stores),
        worker_rows(report.workers),
        curve_rows(report.curves),
    ):
        if rows:
            print_table(headings, rows)
