"""`contimg backup`: copies of stores in use, that can be put back."""

import json
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from contimg_resources.cli.main import run
from contimg_resources.products.events import Mark, MarkRecord
from contimg_resources.settings import Settings
from contimg_resources.steps import Workshop
from tests.alerts.conftest import make_candidate
from tests.products.conftest import make_observation


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    found = Workshop.from_settings(Settings(state=tmp_path / "state"))
    candidate = make_candidate()
    found.products.events.put_candidates([candidate])
    found.products.events.put_mark(MarkRecord(candidate.id, Mark.REAL, "seen at 3 GHz", "ada"))
    return found


def test_stores_are_copied_while_they_are_written_and_can_be_put_back(
    workshop: Workshop, tmp_path: Path, capsys: Any
) -> None:
    state, copies = workshop.settings.state, tmp_path / "far" / "backup"
    stop = threading.Event()

    def observe() -> None:
        number = 0
        while not stop.is_set():
            mid_mjd = 61_041.0 + number / 288
            path = tmp_path / "ms" / f"{number}.ms"
            workshop.products.arrive(make_observation(path, mid_mjd, signature=f"{number}"))
            number += 1

    observer = threading.Thread(target=observe)
    observer.start()
    try:
        for _ in range(3):
            assert run(["backup", str(copies), "--state", str(state)]) == 0
            assert sorted(p.name for p in copies.iterdir()) == [
                "products.sqlite3",
                "registry.sqlite3",
            ]
    finally:
        stop.set()
        observer.join()
    capsys.readouterr()
    shutil.copytree(copies, tmp_path / "again")
    again = Workshop.from_settings(Settings(state=tmp_path / "again"))
    (candidate,) = again.products.events.list_candidates()
    (mark,) = again.products.events.list_marks(candidate.id)
    assert mark.note == "seen at 3 GHz"
    assert len(again.products.list_observations()) > 0
    # Readers and a writer don't stop each other there either.
    engine = sa.create_engine(again.settings.products_address)
    with engine.connect() as connection:
        assert connection.scalar(sa.text("pragma journal_mode")) == "wal"
    engine.dispose()
    assert run(["backup", str(copies), "--json", "--state", str(state)]) == 0
    assert json.loads(capsys.readouterr().out)["registry"] == str(copies / "registry.sqlite3")


def test_what_cannot_be_backed_up_is_said_and_the_last_copy_stays(
    workshop: Workshop, tmp_path: Path, capsys: Any
) -> None:
    state = workshop.settings.state
    assert run(["backup", str(state), "--state", str(state)]) == 2
    assert "can't be its own backup" in capsys.readouterr().err
    (tmp_path / "file").write_text("no directory")
    assert run(["backup", str(tmp_path / "file"), "--state", str(state)]) == 1
    assert f"{tmp_path / 'file'}" in capsys.readouterr().err
    assert run(["backup", str(tmp_path / "x"), "--state", str(tmp_path / "nowhere")]) == 1
    assert not (tmp_path / "x").exists()
    # A store with a damaged page gives no copy.
    copies = tmp_path / "copies"
    assert run(["backup", str(copies), "--state", str(state)]) == 0
    good = (copies / "products.sqlite3").read_bytes()
    workshop.products.close()
    damaged = tmp_path / "damaged"
    shutil.copytree(copies, damaged)
    with (damaged / "products.sqlite3").open("r+b") as file:
        file.seek(4096 * 3)
        file.write(b"\xff" * 4096 * 4)
    capsys.readouterr()
    assert run(["backup", str(copies), "--state", str(damaged)]) == 1
    assert "malformed" in capsys.readouterr().err
    assert (copies / "products.sqlite3").read_bytes() == good
    assert not list(copies.glob("*.writing*"))
