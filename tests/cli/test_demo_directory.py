"""Where a demonstration goes: never over anything that it did not make."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contimg_resources.cli.demo import _fresh_directory, _settings_of_a_demo
from contimg_resources.core.errors import ConfigurationError


def test_a_directory_with_other_files_is_refused_and_left_as_it_is(
    contimg: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("text")
    answer = contimg("demo", "--state", tmp_path / "mine")
    assert answer.code == ConfigurationError.exit_code
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "text"


def test_the_last_demonstration_is_replaced(tmp_path: Path) -> None:
    first = _fresh_directory(tmp_path / "demo")
    (first / "left over").touch()
    assert _fresh_directory(tmp_path / "demo") == first
    assert not (first / "left over").exists()


def test_the_users_own_settings_do_not_reach_into_a_demonstration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(os, "environ", os.environ.copy())
        os.environ["CONTIMG_REGISTRY_URL"] = "postgresql+psycopg2://observatory/registry"
        os.environ["CONTIMG_MS_DIR"] = "/data/ms"
        settings = _settings_of_a_demo(tmp_path)
    assert settings.registry_address == str(tmp_path / "registry.sqlite3")
    assert settings.incoming_dir == tmp_path / "incoming"
