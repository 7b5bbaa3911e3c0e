"""What the tests of the command line share."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from contimg_resources.cli.main import run


@dataclass(frozen=True)
class Answer:
    """What one command said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Contimg = Callable[..., Answer]


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a state directory of this test's own."""
    monkeypatch.setenv("CONTIMG_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def contimg(state: Path, capfd: pytest.CaptureFixture[str]) -> Contimg:
    """Run a command in this process."""

    def call(*arguments: object) -> Answer:
        capfd.readouterr()
        code = run([str(a) for a in arguments])
        return Answer(code, *capfd.readouterr())

    return call
