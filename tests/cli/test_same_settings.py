"""Commands and assets open the same things with the same settings."""

import ast
from pathlib import Path
from typing import Any

import pytest

from contimg_resources.casa import Casa
from contimg_resources.cli.main import run
from contimg_resources.registry.store import CalibrationRegistry
from contimg_resources.settings import CasaSettings
from contimg_resources.steps import workshop

ROOT = Path(__file__).parents[2]


class Opened(Exception):
    """It was opened like this."""


def test_no_command_opens_casa_or_reads_caltables_in_a_way_of_its_own() -> None:
    names = {"Casa", "with_casa", "RegistrationLimits", "read_observation"}
    own = {
        f"{path.name}: {ast.unparse(node.func)}"
        for path in (ROOT / "contimg_resources" / "cli").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in names
    }
    assert own == set()


@pytest.mark.parametrize(
    "command",
    [
        ("observation", "show", "none.ms"),
        ("registry", "register-prefix", "--set-name", "night", "--prefix", "none"),
        ("simulate", "--size", "tiny"),
    ],
    ids=lambda command: command[0],
)
def test_a_command_s_casa_has_the_limits_of_the_settings(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[CasaSettings] = []

    def open_it(scratch: Path, logs: Path, settings: CasaSettings) -> Casa:
        opened.append(settings)
        raise Opened

    CalibrationRegistry(str(tmp_path / "registry.sqlite3")).close()
    monkeypatch.setattr(workshop, "Casa", open_it)
    monkeypatch.setenv("CONTIMG_STATE", str(tmp_path))
    monkeypatch.setenv("CONTIMG_CASA__STEP_TIMEOUT_S", "77")
    monkeypatch.setenv("CONTIMG_CASA__THREADS", "3")
    monkeypatch.setenv("CONTIMG_DEBUG", "1")
    with pytest.raises(Opened):
        run(list(command))
    assert opened == [CasaSettings(step_timeout_s=77, threads=3)]


@pytest.mark.parametrize(
    ("setting", "option", "borrows"),
    [("false", [], False), ("true", [], True), ("true", ["--no-borrow"], False)],
)
def test_the_look_up_of_a_command_borrows_as_the_platform_does(
    setting: str,
    option: list[str],
    borrows: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    CalibrationRegistry(str(tmp_path / "registry.sqlite3")).close()
    asked: list[bool] = []

    def active(_: Any, mjd: float, *, borrow: bool, **__: Any) -> None:
        asked.append(borrow)
        raise Opened

    monkeypatch.setattr(CalibrationRegistry, "active", active)
    monkeypatch.setenv("CONTIMG_STATE", str(tmp_path))
    monkeypatch.setenv("CONTIMG_CALIBRATION__BORROW", setting)
    monkeypatch.setenv("CONTIMG_DEBUG", "1")
    with pytest.raises(Opened):
        run(["registry", "active", "--mjd", "61041.0", *option])
    assert asked == [borrows]
