"""The command ``contimg``: its groups, its exit codes, its one-line errors.

Belongs here: putting the groups together, turning exceptions into exit codes.
Doesn't: any command; and nothing heavy is imported before a command runs.

Exit codes: 0 done; 1 the answer is no, or the work failed; 2 usage or configuration; 3 CASA isn't
there; 130 interrupted, 143 terminated.
"""

import os
import signal
import sys
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

import typer

from contimg_resources import __version__
from contimg_resources.cli import (
    alerts,
    apply,
    backup,
    bench,
    bench_ese,
    bench_sky,
    calibrate,
    catalogue,
    cutout,
    dashboard,
    demo,
    export,
    housekeeping,
    images,
    mosaic,
    observation,
    photometry,
    registry,
    reprocess,
    simulate,
    simulate_season,
    status,
    up,
    variability,
    verify,
    why,
    years,
)
from contimg_resources.cli.console import print_error
from contimg_resources.errors import ContimgError

_TERMINATED = 143

app = typer.Typer(
    name="contimg",
    help="Continuous imaging for the DSA-110: calibrate, register, apply, image; with or without "
    "a running Dagster.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(registry.app, name="registry")
app.command("calibrate")(calibrate.calibrate)
app.command("apply")(apply.apply)
app.add_typer(images.app, name="images")
app.add_typer(catalogue.app, name="catalogue")
app.command("mosaic")(mosaic.mosaic)
app.command("photometry")(photometry.photometry)
app.command("lightcurve")(photometry.lightcurve)
app.command("cutout")(cutout.cutout)
app.add_typer(alerts.app, name="alerts")
app.command("variability")(variability.variability)
app.add_typer(variability.candidates, name="candidates")
app.add_typer(observation.app, name="observation")
app.command("simulate")(simulate.simulate)
app.command("export")(export.export)
app.command("simulate-season")(simulate_season.simulate_season)
app.command("status")(status.status)
app.command("reprocess")(reprocess.reprocess)
app.command("why")(why.why)
app.command("verify")(verify.verify)
app.command("backup")(backup.backup)
app.command("housekeeping")(housekeeping.housekeeping)
app.add_typer(housekeeping.partitions, name="partitions")
app.command("up")(up.up)
app.command("dashboard")(dashboard.dashboard)
app.command("demo")(demo.demo)
app.command("bench")(bench.bench)
app.command("bench-sky")(bench_sky.bench_sky)
app.command("bench-ese")(bench_ese.bench_ese)
app.command("bench-years")(years.bench_years)


def _print_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"contimg {__version__}\n")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    pass


def _raise_terminated(*_: Any) -> NoReturn:
    # An exception, so that every `finally` between here and the top stops what it started.
    raise SystemExit(_TERMINATED)


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; errors are told on stderr, in one line."""
    command = typer.main.get_command(app)
    try:
        # Typer tells usage errors (2) and turns Ctrl-C into 130; it always ends in SystemExit.
        command.main(args=list(arguments), prog_name="contimg")
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 0
    except Exception as error:
        if os.environ.get("CONTIMG_DEBUG"):
            raise
        print_error(error, as_json="--json" in arguments)
        return error.exit_code if isinstance(error, ContimgError) else 1
    return 0


def main() -> NoReturn:
    """Run the command that the arguments of this process name, and exit."""
    signal.signal(signal.SIGTERM, _raise_terminated)
    sys.exit(run(sys.argv[1:]))
