"""What a script sees: exit codes, one-line errors, and nothing but JSON on stdout."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from contimg_resources import __version__
from contimg_resources.cli.main import app
from contimg_resources.core.errors import UnreadableObservation

VERBS = [
    "registry init",
    "registry register-prefix",
    "registry active",
    "registry list",
    "registry show",
    "registry retire",
    "registry verify",
    "calibrate",
    "apply",
    "images scan",
    "images watch",
    "observation show",
    "observation list",
    "observation history",
    "simulate",
    "simulate-season",
    "status",
    "export",
    "sky",
    "found",
    "reprocess",
    "why",
    "verify",
    "up",
    "worker",
    "workers",
    "demo",
]


UNTIL_STOPPED = {"up", "worker", "dashboard", "images watch"}
READS_ONLY = {
    *("status", "why", "verify", "lightcurve", "catalogue list", "catalogue cone"),
    *("observation show", "observation list", "observation history", "calibrators list"),
    *("registry active", "registry list", "registry show", "registry verify", "alerts list"),
    *("lightcurves list", "lightcurves show", "candidates list", "candidates show"),
    *("uvh5 show", "uvh5 group", "workers", "antennas list", "antennas show", "new-sources"),
    "beam",
}
#: Their products are made from others, and the same command makes them again.
MAKES_PRODUCTS = {
    *("calibrate", "apply", "images scan", "mosaic", "photometry", "cutout", "variability"),
    *("export", "sky", "found", "simulate", "simulate-season", "demo", "uvh5 convert"),
    *("bench", "bench-sky", "bench-ese", "bench-real", "bench-cluster", "bench-years"),
}
#: They remove or replace nothing, or refuse to unless an option asks for it.
ADDS_ONLY = {
    "registry init": "an existing registry isn't changed",
    "images add": "another image of the same time is replaced with --replace alone",
    "catalogue fetch": "the download is the work",
    "candidates mark": "the earlier marks stay on record",
    "antennas mark": "the earlier marks stay on record",
    "alerts test": "it sends one message",
    "backup": "the earlier backup stays, and a fuller one is not replaced",
    "migrate": "an empty database is filled, another one isn't changed",
}


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(contimg: Callable[..., Any], verb: str) -> None:
    answer = contimg(*verb.split(), "--help")
    assert answer.code == 0
    assert f"contimg {verb}" in answer.out.partition("Example:")[2]


def leaves(command: Any, name: str = "") -> dict[str, Any]:
    """Return every command by its words."""
    found: dict[str, Any] = {}
    for word, inner in getattr(command, "commands", {}).items():
        found |= leaves(inner, f"{name} {word}".strip())
    return found or {name: command}


def test_every_command_takes_a_state_directory_and_means_the_same_by_it() -> None:
    commands = leaves(typer.main.get_command(app))
    assert {"registry list", "observation show", "simulate", "bench"} < set(commands)
    for name, command in commands.items():
        (option,) = [p for p in command.params if "--state" in p.opts]
        assert option.metavar == "DIR", name


def test_every_command_that_ends_prints_json() -> None:
    commands = leaves(typer.main.get_command(app))
    without = {n for n, c in commands.items() if not any("--json" in p.opts for p in c.params)}
    assert without == UNTIL_STOPPED


def test_every_command_that_removes_or_replaces_something_can_be_tried() -> None:
    commands = leaves(typer.main.get_command(app))
    without = {n for n, c in commands.items() if not any("--dry-run" in p.opts for p in c.params)}
    assert without == UNTIL_STOPPED | READS_ONLY | MAKES_PRODUCTS | ADDS_ONLY.keys()


def test_a_state_directory_that_a_command_is_given_is_that_commands_alone(
    contimg: Callable[..., Any], state: Path
) -> None:
    other = state.parent / "other"
    other.mkdir()
    assert contimg("registry", "init", "--state", other).code == 0
    assert contimg("registry", "list", "--state", other, "--json").json == []
    assert contimg("registry", "list").code == 1, "the state of the settings has no registry"


def test_the_help_has_groups(contimg: Callable[..., Any]) -> None:
    told = contimg("--help").out
    for group in ("Observe", "Calibrate", "Image", "Sky", "Variability", "Operate", "Develop"):
        assert f"─ {group} ─" in told


def test_a_directory_of_ms_that_is_not_there_is_an_error(
    contimg: Callable[..., Any], state: Path
) -> None:
    answer = contimg("images", "scan", "--ms-dir", "/nope")
    assert (answer.code, answer.err) == (2, "contimg: --ms-dir: /nope is not a directory\n")


def test_no_command_prints_the_help_and_is_a_usage_error(contimg: Callable[..., Any]) -> None:
    assert contimg().code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["no-such-verb"],
        ["registry", "active"],
        ["registry", "active", "--mjd", "yesterday"],
        ["registry", "list", "--status", "fine"],
        ["registry", "active", "--mjd", "5e9"],
    ],
)
def test_wrong_usage_is_2_and_leaves_stdout_empty(
    contimg: Callable[..., Any], state: Path, arguments: list[str]
) -> None:
    contimg("registry", "init", "--db", state.parent / "registry.sqlite3")
    answer = contimg(*arguments, "--db", state.parent / "registry.sqlite3")
    assert answer.code == 2
    assert answer.out == ""
    assert answer.err


def test_a_setting_that_is_wrong_is_2_and_named(
    contimg: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONTIMG_IMAGING__ROBUST", "9")
    answer = contimg("status")
    assert answer.code == 2
    assert "imaging.robust" in answer.err


def test_an_error_is_one_line_that_names_the_thing(
    contimg: Callable[..., Any], tmp_path: Path
) -> None:
    answer = contimg("observation", "show", tmp_path / "none.ms")
    assert answer.code == 1
    assert answer.out == ""
    (line,) = [x for x in answer.err.splitlines() if x.startswith("contimg:")]
    assert str(tmp_path / "none.ms") in line
    assert "Traceback" not in answer.err


def test_with_json_an_error_is_json_on_stderr(contimg: Callable[..., Any], tmp_path: Path) -> None:
    answer = contimg("observation", "show", tmp_path / "none.ms", "--json")
    assert answer.out == ""
    error = json.loads(answer.err.splitlines()[-1])["error"]
    assert error["type"] == "UnreadableObservation"
    assert str(tmp_path / "none.ms") in error["message"]


def test_debugging_shows_where_an_error_comes_from(
    contimg: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONTIMG_DEBUG", "1")
    with pytest.raises(UnreadableObservation, match=r"none\.ms"):
        contimg("observation", "show", tmp_path / "none.ms")


def test_python_m_is_the_same_command() -> None:
    said = subprocess.run(
        [sys.executable, "-m", "contimg_resources", "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == f"contimg {__version__}\n"


def test_help_loads_nothing_heavy() -> None:
    heavy = ["casatools", "dagster", "astropy", "scipy", "matplotlib", "sqlalchemy", "photutils"]
    heavy += ["requests", "uvicorn", "numpy"]
    code = (
        "import sys; from contimg_resources.cli.main import run; run(['--help']);"
        f"print('LOADED', *[m for m in {heavy} if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.splitlines()[-1] == "LOADED"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_command_ends_at_once_without_a_traceback(
    tmp_path: Path, number: int, code: int
) -> None:
    (tmp_path / "ms").mkdir()
    watching = subprocess.Popen(
        [sys.executable, "-m", "contimg_resources", "images", "watch", "--ms-dir", tmp_path / "ms"],
        env={**os.environ, "CONTIMG_STATE": str(tmp_path / "state")},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert watching.stderr is not None
    said = ""
    while "waiting for observations" not in said:
        line = watching.stderr.readline()
        assert line, said
        said += line
    time.sleep(0.2)
    watching.send_signal(number)
    _, rest = watching.communicate(timeout=60)
    assert watching.returncode == code
    assert "Traceback" not in said + rest


def test_an_output_never_replaces_another_observation(
    contimg: Callable[..., Any], tmp_path: Path
) -> None:
    other = tmp_path / "2025-10-06T12:36:09.ms"
    (other / "ANTENNA").mkdir(parents=True)
    answer = contimg("apply", "--ms", tmp_path / "2025-10-06T12:41:18.ms", "--output", other)
    assert answer.code == 2
    assert str(other) in answer.err
    assert (other / "ANTENNA").is_dir()
