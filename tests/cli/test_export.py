import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contimg_resources.cli.main import run
from contimg_resources.steps import exporting
from tests.export.made_up import light_curves
from tests.steps.conftest import make_stores


@pytest.fixture(autouse=True)
def measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "read_measures", lambda _: (light_curves(3, 5), None))
    monkeypatch.setattr(exporting, "_cutouts_of", lambda _: lambda source_id: ())


def test_documents_are_written_where_they_are_wanted(
    tmp_path: Path, contimg: Callable[..., Any]
) -> None:
    make_stores(tmp_path)
    out = tmp_path / "out"
    answer = contimg("export", "--out", out, "--json")
    assert (answer.code, answer.json["counts"]["observations"]) == (0, 4)
    assert answer.json["index"] == str(out / "index.json")
    assert json.loads((out / "index.json").read_bytes())["document"] == "index"
    told = contimg("export", "--state", tmp_path / "state", "--out", out)
    assert (told.code, told.out) == (0, "")
    assert "4 observations" in told.err
    assert "1 files were written" in told.err
    assert contimg("export").code == 0
    assert (tmp_path / "state" / "export" / "index.json").is_file()
    # A copy for somebody else opens without a server.
    assert (out / "index.json.js").is_file()
    assert list((tmp_path / "state").rglob("*.json.js")) == []


def test_a_directory_of_something_else_is_refused(
    tmp_path: Path, contimg: Callable[..., Any]
) -> None:
    make_stores(tmp_path)
    refused = contimg("export", "--out", tmp_path)
    assert refused.code == 1
    assert "isn't empty" in refused.err


def test_without_stores_nothing_is_made(tmp_path: Path, contimg: Callable[..., Any]) -> None:
    assert contimg("export", "--out", tmp_path / "out").code == 1
    assert list(tmp_path.iterdir()) == []


def test_the_dashboard_is_that_of_the_state_directory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["dashboard", "--state", str(tmp_path / "state")]) == 1
    assert f"no index.json in {tmp_path / 'state' / 'export'}" in capsys.readouterr().err
