"""What docs/how-to/command-line.md does: solve, register, look up, apply; the tutorial images."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Contimg = Callable[..., Any]


@pytest.fixture
def ms_dir(short_night: Any, tmp_path: Path) -> Path:
    """The calibrator observation and one target, complete."""
    directory = tmp_path / "ms"
    directory.mkdir()
    for ms in short_night.all[:2]:
        shutil.copytree(ms, directory / ms.name)
        (directory / f"{ms.name}.done").touch()
    return directory


def test_an_ms_says_what_it_is(contimg: Contimg, tiny_night: Any) -> None:
    answer = contimg("observation", "show", tiny_night.calibrator, "--json")
    assert answer.code == 0
    assert answer.json["key"] == f"{tiny_night.calibrator_truth.mid_mjd:.5f}"
    assert [c["name"] for c in answer.json["calibrators"]] == ["3C48"]
    assert len(answer.json["fields"]) == 24


@pytest.mark.slow
def test_a_set_is_solved_registered_found_and_applied_by_hand(
    contimg: Contimg, ms_dir: Path, tmp_path: Path
) -> None:
    db = tmp_path / "cal_registry.sqlite3"
    calibrator, target = sorted(ms_dir.glob("*.ms"))
    assert contimg("registry", "init", "--db", db).code == 0

    solved = contimg("calibrate", "--ms", calibrator, "--field", "3C48", "--refant", "104")
    assert solved.code == 0, solved.err
    tables = solved.out.splitlines()
    prefix = ms_dir / "solves" / calibrator.name.removesuffix(".ms")
    assert tables == [
        f"{prefix}_{kind}" for kind in ("kcal", "bacal", "bpcal", "gacal", "gpcal", "2gcal")
    ]

    register = ("registry", "register-prefix", "--db", db, "--set-name", "night")
    tried = contimg(*register, "--prefix", prefix, "--json", "--dry-run")
    assert (tried.code, tried.json["calibrator"]) == (0, "3C48"), tried.err
    assert contimg("registry", "list", "--db", db, "--json").json == []
    registered = contimg(*register, "--prefix", prefix, "--json")
    assert registered.code == 0, registered.err
    assert (registered.json["calibrator"], registered.json["refant"]) == ("3C48", "104")

    key = contimg("observation", "show", target, "--json").json["key"]
    active = contimg("registry", "active", "--db", db, "--mjd", key)
    assert active.out.splitlines() == tables

    by_hand = contimg(
        *("apply", "--ms", target, "--output", tmp_path / "by_hand.ms"),
        *(argument for table in reversed(tables) for argument in ("--table", table)),
    )
    assert by_hand.code == 0, by_hand.err
    assert by_hand.out == f"{tmp_path / 'by_hand.ms'}\n"
