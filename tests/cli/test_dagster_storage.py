"""Dagster's databases that can't be read: the file is named, and the page on restoring."""

import sqlite3
from pathlib import Path

import pytest

from contimg_resources.cli.dagster_storage import damaged_databases, storage_trouble
from contimg_resources.cli.platform import Platform, running_address
from contimg_resources.core.errors import PlatformError

LINK = "(Background on this error at: https://sqlalche.me/e/20/4xp6)"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    for name in ("history/runs.db", "history/runs/index.db", "schedules/schedules.db"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with sqlite3.connect(path) as database:
            database.execute("CREATE TABLE runs (id INTEGER, body TEXT)")
            database.executemany(
                "INSERT INTO runs VALUES (?, ?)", [(n, "x" * 500) for n in range(99)]
            )
    return tmp_path


def test_databases_that_can_be_read_are_not_called_damaged(state: Path) -> None:
    assert list(damaged_databases(state)) == []
    printed = f"Traceback\nOperationalError: database is locked\n{LINK}\n"
    assert storage_trouble(state, printed) == (
        f"Dagster's storage in {state} can't be made or read: OperationalError: database is locked"
    )


@pytest.mark.parametrize("how", ["overwritten", "cut", "pages", "empty", "directory"])
def test_the_damaged_file_is_named_with_the_page_on_restoring(state: Path, how: str) -> None:
    path = state / "history" / "runs" / "index.db"
    content = path.read_bytes()
    if how == "directory":
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes(
            {
                "overwritten": b"\xbe\xef" * 4096,
                "cut": content[:5000],
                "pages": content[:4096] + bytes(len(content) - 4096),
                "empty": b"",
            }[how]
        )
    told = storage_trouble(state, LINK)
    assert f"{path} is damaged (" in told
    assert "runs.db" not in told
    assert "docs/restore.md" in told
    assert "sqlalche.me" not in told


def test_a_platform_on_a_damaged_storage_says_so_and_starts_nothing(state: Path) -> None:
    (state / "history" / "runs.db").write_bytes(b"\xbe\xef" * 4096)
    with pytest.raises(PlatformError, match=r"runs\.db is damaged .*docs/restore\.md"):
        Platform(state).start()
    assert running_address(state) is None
