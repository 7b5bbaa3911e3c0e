"""The command ``contimg``: its groups, its exit codes, its one-line errors.

Belongs here: putting the groups together, turning exceptions into exit codes.
Doesn't: any command; and nothing heavy is imported before a command runs.

Exit codes: 0 done; 1 the answer is no, or the work failed; 2 usage or configuration; 3 CASA isn't
there; 130 interrupted, 143 terminated.
"""

import io
import os
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
    calibrators,
    catalogue,
    cutout,
    dashboard,
    demo,
    export,
    housekeeping,
    images,
    lightcurves,
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
from contimg_resources.plain_text import PlainStream, keep_logs_plain
from contimg_resources.surroundings import restart_in_utf8

_TERMINATED = 143
_NEGATIVE_NUMBER = re.compile(r"-\.?\d")

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
app.add_typer(calibrators.app, name="calibrators")
app.command("mosaic")(mosaic.mosaic)
app.command("photometry")(photometry.photometry)
app.command("lightcurve")(photometry.lightcurve)
app.add_typer(lightcurves.app, name="lightcurves")
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
app.command("restore")(backup.restore)
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


def _take_negative_numbers(command: Any) -> None:
    """Let commands have negative numbers among their arguments: a declination isn't an option."""
    for inner in getattr(command, "commands", {}).values():
        _take_negative_numbers(inner)
    if not hasattr(command, "commands"):
        parse = command.parse_args
        command.parse_args = lambda ctx, args: parse(ctx, _arguments_last(command, args))


def _arguments_last(command: Any, args: list[str]) -> list[str]:
    """Return the options first and the arguments behind ``--`` where one is a negative number."""
    if not any(_NEGATIVE_NUMBER.match(a) for a in args):
        return args
    with_value = {
        name
        for p in command.params
        if p.param_type_name == "option" and not p.is_flag
        for name in (*p.opts, *p.secondary_opts)
    }
    options: list[str] = []
    positional: list[str] = []
    left = list(args)
    while left:
        word = left.pop(0)
        if word == "--":
            positional += left
            break
        if word.startswith("-") and word != "-" and not _NEGATIVE_NUMBER.match(word):
            options += [word, *([left.pop(0)] if word in with_value and left else [])]
        else:
            positional.append(word)
    return [*options, "--", *positional]


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; errors are told on stderr, in one line."""
    command = typer.main.get_command(app)
    _take_negative_numbers(command)
    keep_logs_plain()
    with _plain_output():
        return _run(command, arguments)


@contextmanager
def _plain_output() -> Iterator[None]:
    """Let no control character of a name reach the terminal, whoever prints it."""
    out, err = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = PlainStream(out), PlainStream(err)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = out, err


def _run(command: Any, arguments: Sequence[str]) -> int:
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
    restart_in_utf8()
    # A name of a file may hold bytes that are no UTF-8.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    signal.signal(signal.SIGTERM, _raise_terminated)
    sys.exit(run(sys.argv[1:]))
