"""The command ``contimg``: its groups, its exit codes, its one-line errors.

Belongs here: combining the groups, converting exceptions into exit codes.
Doesn't: any command; no heavy module is imported before a command runs.

Exit codes: 0 done; 1 the answer is no, or the work failed; 2 usage or configuration; 3 CASA isn't
installed; 130 interrupted, 143 terminated.
"""

import functools
import inspect
import io
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from contimg_resources import __version__
from contimg_resources.cli import (
    alerts,
    antennas,
    beam,
    calibrate,
    calibrators,
    catalogue,
    cutout,
    demo,
    export,
    found,
    housekeeping,
    images,
    lightcurves,
    mosaic,
    observation,
    photometry,
    registry,
    reprocess,
    simulate,
    status,
    up,
    uvh5,
    variability,
    why,
    worker,
)
from contimg_resources.cli.arguments import StateDirectory
from contimg_resources.cli.console import print_error
from contimg_resources.core.errors import ContimgError
from contimg_resources.core.plain_text import PlainStream, keep_logs_plain
from contimg_resources.core.surroundings import restart_in_utf8

_TERMINATED = 143
_STATE_VARIABLE = "CONTIMG_STATE"

app = typer.Typer(
    name="contimg",
    help="Continuous imaging for the DSA-110: calibrate, register, apply, image; with or without "
    "a running Dagster.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)

#: The groups of ``contimg --help`` and their members: functions are commands, others are groups.
_PANELS: dict[str, dict[str, Any]] = {
    "Observe": {
        "status": status.status,
        "observation": observation.app,
        "uvh5": uvh5.app,
    },
    "Calibrate": {
        "calibrate": calibrate.calibrate,
        "apply": calibrate.apply,
        "registry": registry.app,
        "calibrators": calibrators.app,
        "antennas": antennas.app,
        "beam": beam.beam,
    },
    "Image": {"images": images.app, "mosaic": mosaic.mosaic},
    "Sky": {
        "catalogue": catalogue.app,
        "found": found.found,
        "new-sources": found.new_sources,
        "photometry": photometry.photometry,
        "cutout": cutout.cutout,
        "sky": export.sky,
    },
    "Variability": {
        "lightcurve": photometry.lightcurve,
        "lightcurves": lightcurves.app,
        "variability": variability.variability,
        "candidates": variability.candidates,
    },
    "Operate": {
        "up": up.up,
        "worker": worker.worker,
        "workers": worker.workers,
        "dashboard": export.dashboard,
        "export": export.export,
        "why": why.why,
        "verify": why.verify,
        "reprocess": reprocess.reprocess,
        "alerts": alerts.app,
        "backup": housekeeping.backup,
        "restore": housekeeping.restore,
        "migrate": housekeeping.migrate,
        "housekeeping": housekeeping.housekeeping,
        "partitions": housekeeping.partitions,
    },
    "Develop": {
        "demo": demo.demo,
        "simulate": simulate.simulate,
        "simulate-season": simulate.simulate_season,
    },
}


def _benchmarks() -> dict[str, Any]:
    """Return the commands of the benchmarks, which exist only in a checkout."""
    checkout = Path(__file__).parents[2]
    if not (checkout / "benchmarks" / "commands.py").is_file():
        return {}
    if str(checkout) not in sys.path:
        sys.path.append(str(checkout))
    from benchmarks import commands, platform_years

    return {
        "bench": commands.bench,
        "bench-sky": commands.bench_sky,
        "bench-ese": commands.bench_ese,
        "bench-cluster": commands.bench_cluster,
        "bench-real": commands.bench_real,
        "bench-years": platform_years.bench_years,
    }


def _fill(panels: dict[str, dict[str, Any]]) -> None:
    for panel, commands in panels.items():
        for name, command in commands.items():
            if isinstance(command, typer.Typer):
                of_group: list[Any] = (
                    [command.registered_callback] if command.registered_callback else []
                )
                for inner in (*of_group, *command.registered_commands):
                    inner.callback = _with_state(inner.callback)
                shows_help = command.registered_callback is None
                app.add_typer(command, name=name, rich_help_panel=panel, no_args_is_help=shows_help)
            else:
                app.command(name, rich_help_panel=panel)(_with_state(command))


def _with_state(command: Any) -> Any:
    """Add the option ``--state`` to a command that reads the state from the settings alone."""
    signature = inspect.signature(command)
    if "state" in signature.parameters:
        return command

    @functools.wraps(command)
    def with_state(*, state: Path | None = None, **arguments: Any) -> Any:
        if state is not None:
            os.environ[_STATE_VARIABLE] = str(state.absolute())
        return command(**arguments)

    added = inspect.Parameter(
        "state", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=StateDirectory
    )
    described: Any = with_state
    described.__signature__ = signature.replace(parameters=[*signature.parameters.values(), added])
    described.__annotations__ = {**command.__annotations__, "state": StateDirectory}
    return described


_fill({**_PANELS, "Develop": {**_PANELS["Develop"], **_benchmarks()}})


def _print_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"contimg {__version__}\n")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass


def _raise_terminated(*_: Any) -> NoReturn:
    # An exception, so that every `finally` between here and the top stops what it started.
    raise SystemExit(_TERMINATED)


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; errors go to stderr, in one line."""
    command = typer.main.get_command(app)
    keep_logs_plain()
    with _plain_output(), _own_state():
        return _run(command, arguments)


@contextmanager
def _own_state() -> Iterator[None]:
    """Restrict ``--state`` of a command to this command."""
    before = os.environ.get(_STATE_VARIABLE)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(_STATE_VARIABLE, None)
        else:
            os.environ[_STATE_VARIABLE] = before


@contextmanager
def _plain_output() -> Iterator[None]:
    """Keep control characters in names from the terminal, whichever code prints them."""
    out, err = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = PlainStream(out), PlainStream(err)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = out, err


def _run(command: Any, arguments: Sequence[str]) -> int:
    try:
        # Typer reports usage errors (2) and turns Ctrl-C into 130; it always ends in SystemExit.
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
    """Run the command in the arguments of this process, and exit."""
    restart_in_utf8()
    # A file name may hold bytes that are not UTF-8.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    signal.signal(signal.SIGTERM, _raise_terminated)
    sys.exit(run(sys.argv[1:]))
