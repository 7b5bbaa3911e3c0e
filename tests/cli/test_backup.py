"""`contimg backup`: copies of stores in use, that can be put back."""

import gc
import json
import shutil
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from contimg_resources.cli.main import run
from contimg_resources.cli.platform import without_platform
from contimg_resources.core.errors import StoreDamaged
from contimg_resources.products.events import Mark, MarkRecord
from contimg_resources.registry.store import CalibrationRegistry
from contimg_resources.settings import Settings, load_settings
from contimg_resources.steps.workshop import Workshop
from tests.alerts.conftest import make_candidate
from tests.products.conftest import make_observation
from tests.registry.conftest import Maker, read_made_up_tables
from tests.steps.conftest import make_stores


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

    with ThreadPoolExecutor(1) as pool:
        observer = pool.submit(observe)
        try:
            for _ in range(3):
                assert run(["backup", str(copies), "--state", str(state)]) == 0
                assert sorted(p.name for p in copies.iterdir() if p.name != "earlier") == [
                    "caltables",
                    "products.sqlite3",
                    "registry.sqlite3",
                    "settings.toml",
                ]
        finally:
            stop.set()
    # No write failed for a copy.
    observer.result()
    capsys.readouterr()
    assert len(list((copies / "earlier").iterdir())) == 2, "three generations by default"
    shutil.copytree(copies, tmp_path / "again")
    again = Workshop.from_settings(Settings(state=tmp_path / "again"))
    (candidate,) = again.products.events.list_candidates()
    (mark,) = again.products.events.list_marks(candidate.id)
    assert mark.note == "seen at 3 GHz"
    assert len(again.products.list_observations()) > 0
    # Readers and a writer don't stop each other there either.
    with sqlite3.connect(again.settings.products_address) as connection:
        assert connection.execute("pragma journal_mode").fetchone() == ("wal",)
    connection.close()
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
    assert not list(copies.glob(".*"))


def test_an_emptied_store_is_damage_to_every_command_and_never_replaces_a_backup(
    tmp_path: Path, capsys: Any
) -> None:
    (tmp_path / "night").mkdir()
    workshop = make_stores(tmp_path / "night").workshop
    state, copies = workshop.settings.state, tmp_path / "copies"
    assert run(["backup", str(copies), "--state", str(state)]) == 0
    good = (copies / "products.sqlite3").read_bytes()
    close(workshop)
    for emptied in ("products", "registry"):
        kept = (state / f"{emptied}.sqlite3").read_bytes()
        (state / f"{emptied}.sqlite3").write_bytes(b"")
        at = ["--state", str(state)]
        file = str(state / f"{emptied}.sqlite3")
        for command in (
            ["status", *at],
            ["verify", *at],
            ["backup", str(copies), *at],
            ["observation", "list", "--products-db", file]
            if emptied == "products"
            else ["registry", "list", "--db", file],
            ["housekeeping", *at],
            ["up", *at],
        ):
            capsys.readouterr()
            assert run(command) == 1, command
            said = capsys.readouterr().err
            assert "holds 0 bytes, but it was there before" in said, command
            assert "`contimg restore`" in said
            assert "docs/restore.md" in said
        with pytest.raises(StoreDamaged, match="0 bytes"):
            Workshop.from_settings(workshop.settings)
        (state / f"{emptied}.sqlite3").write_bytes(kept)
    assert (copies / "products.sqlite3").read_bytes() == good
    (state / "products.sqlite3").unlink()
    assert run(["status", "--state", str(state)]) == 1
    assert "products.sqlite3 is gone, but it was there before" in capsys.readouterr().err


def test_a_fuller_backup_is_not_replaced_unless_asked(
    workshop: Workshop, tmp_path: Path, capsys: Any
) -> None:
    copies = tmp_path / "copies"
    for n in range(3):
        workshop.products.arrive(make_observation(tmp_path / f"{n}.ms", 61_041.0 + n))
    assert run(["backup", str(copies), "--state", str(workshop.settings.state)]) == 0
    good = (copies / "products.sqlite3").read_bytes()
    # Another state, whose stores hold less: as after a new beginning.
    less = Workshop.from_settings(Settings(state=tmp_path / "less"))
    less.products.arrive(make_observation(tmp_path / "a.ms"))
    asked = ["backup", str(copies), "--state", str(less.settings.state), "--keep", "2"]
    capsys.readouterr()
    assert run(asked) == 1
    said = capsys.readouterr().err
    assert "holds 5 rows and" in said, said
    assert "only 1: it isn't replaced" in said
    assert (copies / "products.sqlite3").read_bytes() == good
    assert not list(copies.glob(".*"))
    assert run([*asked, "--replace-fuller"]) == 0
    (earlier,) = (copies / "earlier").iterdir()
    assert (earlier / "products.sqlite3").read_bytes() == good
    assert run(asked) == 0
    (kept,) = (copies / "earlier").iterdir()
    assert (kept / "products.sqlite3").read_bytes() != good, "the oldest of two goes"


def test_a_backup_is_put_back_and_what_was_damaged_is_kept(
    workshop: Workshop, tmp_path: Path, capsys: Any
) -> None:
    state, copies = workshop.settings.state, tmp_path / "copies"
    layout = workshop.settings.layout
    layout.added_light_curves.mkdir()
    (layout.added_light_curves / "mine.parquet").write_bytes(b"points")
    workshop.products.arrive(make_observation(tmp_path / "a.ms"))
    assert run(["backup", str(copies), "--state", str(state)]) == 0
    close(workshop)
    (state / "products.sqlite3").write_bytes(b"")
    (state / "registry.sqlite3").write_bytes(b"\xff" * 8192)
    (layout.added_light_curves / "mine.parquet").unlink()
    with without_platform(state):
        capsys.readouterr()
        assert run(["restore", str(copies), "--state", str(state)]) == 1
        assert "a platform is running" in capsys.readouterr().err
    assert run(["restore", str(copies), "--state", str(state), "--dry-run"]) == 0
    assert f"would restore {state / 'registry.sqlite3'}" in capsys.readouterr().err
    assert (state / "products.sqlite3").read_bytes() == b""
    assert not (state / "damaged").exists()
    assert run(["restore", str(copies), "--state", str(state)]) == 0
    (aside,) = (state / "damaged").iterdir()
    assert (aside / "registry.sqlite3").read_bytes() == b"\xff" * 8192
    again = Workshop.from_settings(workshop.settings)
    assert [r.key for r in again.products.list_observations()] == ["61041.00347"]
    assert len(again.products.events.list_marks()) == 1
    assert (layout.added_light_curves / "mine.parquet").read_bytes() == b"points"
    assert run(["status", "--state", str(state)]) == 0
    capsys.readouterr()
    # Dagster's own are moved aside, never removed.
    (state / "history").mkdir()
    (state / "history" / "runs.db").write_bytes(b"")
    assert run(["restore", "--dagster", "--state", str(state), "--json", "--dry-run"]) == 0
    assert json.loads(capsys.readouterr().out)["dagster_aside"] is not None
    assert (state / "history" / "runs.db").is_file()
    assert run(["restore", "--dagster", "--state", str(state), "--json"]) == 0
    moved = Path(json.loads(capsys.readouterr().out)["dagster_aside"])
    assert (moved / "history" / "runs.db").is_file()
    assert not (state / "history").exists()


def test_a_state_is_begun_elsewhere_from_a_backup(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONTIMG_IMAGING__ROBUST", "-0.5")
    monkeypatch.setenv("CONTIMG_ALERTS__WEBHOOK", "https://chat.example/secret")
    state, copies = workshop.settings.state, tmp_path / "copies"
    registry = CalibrationRegistry(workshop.settings.registry_address, inspect=read_made_up_tables)
    registry.register(Maker(workshop.settings.layout.caltables)("inside"))
    outside = registry.register(Maker(tmp_path / "elsewhere")("outside")).tables[0].path
    assert run(["backup", str(copies), "--state", str(state)]) == 0
    assert run(["backup", str(copies), "--state", str(state)]) == 0
    copied = Path("caltables", "tables1", outside.name, "table.dat")
    (generation,) = (copies / "earlier").iterdir()
    assert (copies / copied).samefile(generation / copied), "what is there already is linked"
    assert "secret" not in (copies / "settings.toml").read_text().replace("secrets", "")
    state.rename(tmp_path / "lost")
    assert run(["restore", str(copies), "--state", str(tmp_path / "new")]) == 0
    new = Settings(state=tmp_path / "new")
    again = CalibrationRegistry(new.registry_address, inspect=read_made_up_tables)
    assert again.verify() == []
    first = {s.name: s.tables[0].path for s in again.list_sets()}
    assert first == {"inside": new.state / copied.parent, "outside": outside}
    monkeypatch.delenv("CONTIMG_IMAGING__ROBUST")
    monkeypatch.setenv("CONTIMG_CONFIG", str(new.state / "settings.toml"))
    assert load_settings().imaging.robust == -0.5


def test_what_is_no_sound_backup_is_not_put_back(
    workshop: Workshop, tmp_path: Path, capsys: Any
) -> None:
    state, copies = workshop.settings.state, tmp_path / "copies"
    assert run(["restore", str(tmp_path), "--state", str(state)]) == 1
    assert "holds no products.sqlite3 and no registry.sqlite3" in capsys.readouterr().err
    assert run(["restore", "--state", str(state)]) == 2
    assert run(["backup", str(copies), "--state", str(state)]) == 0
    close(workshop)
    before = {p: p.read_bytes() for p in state.glob("*.sqlite3")}
    (copies / "registry.sqlite3").write_bytes(b"no database at all" * 100)
    capsys.readouterr()
    assert run(["restore", str(copies), "--state", str(state), "--dry-run"]) == 1
    assert run(["restore", str(copies), "--state", str(state)]) == 1
    assert "the backup's registry.sqlite3 is damaged: " in capsys.readouterr().err
    assert {p: p.read_bytes() for p in state.glob("*.sqlite3")} == before
    assert not list(state.glob(".*restoring*"))
    assert not (state / "damaged").exists()


def close(workshop: Workshop) -> None:
    workshop.products.close()
    workshop.registry.close()
    # Those of commands in this process: the last to close writes into the file.
    gc.collect()
