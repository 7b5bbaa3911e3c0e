"""What is removed from the disk, what stays, and that nothing names what is gone."""

import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from contimg_resources.core.errors import DiskShort
from contimg_resources.database import now_mjd
from contimg_resources.products.model import ArtefactKind, ObservationState
from contimg_resources.settings import RetentionSettings
from contimg_resources.steps import disk_space
from contimg_resources.steps import retention as module
from contimg_resources.steps.retention import Removal, choose_removals, remove
from contimg_resources.steps.verifying import verify_products
from tests.steps.conftest import MJD, Made

_DAY_S = 86_400.0


def set_retention(made: Made, **values: float | None) -> None:
    settings = made.workshop.settings
    kept = RetentionSettings(**{"free_gb": 0.0, "pause_below_gb": 0.0, **values})
    made.workshop = replace(made.workshop, settings=settings.model_copy(update={"retention": kept}))


def in_days(made: Made, days: float) -> tuple[Removal, ...]:
    return choose_removals(made.workshop, at_mjd=now_mjd() + days)


def names(removals: tuple[Removal, ...]) -> list[tuple[str, str]]:
    return [(r.made.key, r.made.artefact.kind) for r in removals if r.made]


def age(path: Path, days: float) -> None:
    then = time.time() - days * _DAY_S
    os.utime(path, (then, then))


def test_a_calibrated_ms_goes_by_age_its_image_stays_and_the_history_says_so(made: Made) -> None:
    set_retention(made, calibrated_ms_days=7.0)
    assert in_days(made, 6.9) == ()
    chosen = in_days(made, 7.1)
    assert names(chosen) == [(key, "calibrated_ms") for key in made.keys]
    assert {r.size_bytes for r in chosen} == {4}
    assert remove(made.workshop, chosen) == chosen
    products = made.workshop.products
    for key in made.keys:
        assert [a.kind for a in products.artefacts(key)] == ["image"]
        assert not (made.workshop.settings.state / key / "cal.ms").exists()
        last = products.history(key)[-1]
        assert (last.state, last.step) == (ObservationState.IMAGED, "housekeeping")
        assert last.message == "calibrated_ms removed: made more than 7 d ago"
    assert verify_products(made.workshop).problems == ()
    assert made.stale() == []
    assert in_days(made, 7.1) == ()


def test_the_last_copy_and_what_is_needed_next_stay(made: Made) -> None:
    set_retention(made, calibrated_ms_days=7.0)
    gone, undone, busy, _ = made.keys
    products = made.workshop.products
    shutil.rmtree(products.get(gone).path)
    products.set_state(undone, ObservationState.CALIBRATED, step="calibrated_ms", run_id="r2")
    later = now_mjd() + 8
    chosen = choose_removals(made.workshop, busy={busy}, at_mjd=later)
    assert names(chosen) == [(made.keys[3], "calibrated_ms")]


def test_what_lies_outside_of_the_state_directory_is_never_removed(
    made: Made, tmp_path: Path
) -> None:
    set_retention(made, calibrated_ms_days=7.0)
    key = made.keys[0]
    (mine,) = [a for a in made.workshop.products.artefacts(key) if a.kind == "calibrated_ms"]
    elsewhere = tmp_path / "thesis" / "cal.ms"
    elsewhere.mkdir(parents=True)
    made.workshop.products.put_artefacts(key, [replace(mine, path=elsewhere)])
    assert key not in [k for k, _ in names(in_days(made, 8.0))]


def test_what_was_made_again_since_it_was_chosen_stays(made: Made) -> None:
    set_retention(made, calibrated_ms_days=7.0)
    chosen = in_days(made, 8.0)
    time.sleep(0.01)
    made.remake(made.keys[0])
    assert names(remove(made.workshop, chosen)) == [(k, "calibrated_ms") for k in made.keys[1:]]
    assert (made.workshop.settings.state / made.keys[0] / "cal.ms").is_dir()


def test_for_want_of_room_the_oldest_go_before_their_time_and_no_more_than_needed(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_retention(made, calibrated_ms_days=None, free_gb=10.0)
    monkeypatch.setattr(module, "free_bytes", lambda _: 10_000_000_000 - 6)
    # 6 bytes are wanted; each calibrated MS has 4.
    chosen = choose_removals(made.workshop)
    assert names(chosen) == [(key, "calibrated_ms") for key in made.keys[:2]]
    assert {r.why for r in chosen} == {"less than 10 GB were free"}
    monkeypatch.setattr(module, "free_bytes", lambda _: 10_000_000_000)
    assert choose_removals(made.workshop) == ()


def test_companions_of_images_have_an_age_of_their_own(made: Made) -> None:
    set_retention(made, calibrated_ms_days=None, companion_days=30.0)
    key = made.keys[0]
    products, state = made.workshop.products, made.workshop.settings.state
    (image,) = [a for a in products.artefacts(key) if a.kind == "image"]
    psf = state / key / "psf.fits"
    psf.write_bytes(b"psf")
    products.put_artefacts(key, [replace(image, kind=ArtefactKind.PSF, path=psf)])
    assert names(in_days(made, 29.0)) == []
    assert names(in_days(made, 31.0)) == [(key, "psf")]
    remove(made.workshop, in_days(made, 31.0))
    assert not psf.exists()
    assert image.path.exists()


def test_what_killed_steps_left_behind_goes_after_a_day(made: Made) -> None:
    set_retention(made)
    layout = made.workshop.settings.layout
    old = [
        layout.scratch / "casa-abc",
        layout.calibrated / "61041" / ".x_cal.ms.q1.partial",
        layout.images / "61041" / ".61041.10000.q2.old",
        layout.calibrated / "61041" / "61041.99999_cal.ms",
    ]
    new = [layout.scratch / "casa-def", layout.calibrated / "61041" / "61041.88888_cal.ms"]
    for directory in (*old, *new):
        directory.mkdir(parents=True)
        (directory / "file").write_bytes(b"12345")
    elsewhere = layout.root / "precious"
    elsewhere.mkdir()
    (layout.scratch / "link").symlink_to(elsewhere)
    for directory in (*old, elsewhere):
        age(directory, 1.5)
    chosen = choose_removals(made.workshop)
    assert {r.path for r in chosen} == set(old)
    assert sum(r.size_bytes for r in chosen) == 5 * len(old)
    remove(made.workshop, chosen)
    assert not any(d.exists() for d in old)
    assert all(d.exists() for d in (*new, elsewhere))


def test_caltables_that_were_never_registered_go_after_a_day(made: Made) -> None:
    set_retention(made)
    caltables = made.workshop.settings.layout.caltables
    solved = made.new_set("3C48_61041.40000", MJD + 0.4)
    registered = caltables / "3C48_61041.40000.v1"
    shutil.copytree(solved.tables[0].path.parent, registered)
    tables = tuple(replace(t, path=registered / t.path.name) for t in solved.tables)
    made.workshop.registry.register(replace(solved, tables=tables))
    killed, recent, own = (
        caltables / name for name in ("3C48_61041.50000.v1", "3C48_61041.50000.v2", "my-own-tables")
    )
    for directory in (killed, recent, own, registered):
        (directory / "a_bpcal").mkdir(parents=True, exist_ok=True)
        age(directory, 0.5 if directory == recent else 2.0)
    removed = remove(made.workshop, choose_removals(made.workshop))
    assert [(r.path, r.why) for r in removed] == [(killed, "caltables that were never registered")]
    assert not killed.exists()
    assert recent.exists()
    assert own.exists()
    assert made.workshop.registry.verify() == []


def test_logs_are_kept_as_long_as_runs(made: Made) -> None:
    set_retention(made, run_days=10.0)
    logs = made.workshop.settings.layout.logs
    logs.mkdir(parents=True)
    for name, days in (("new", 9.0), ("old", 11.0)):
        (logs / f"{name}.log").write_text("said")
        age(logs / f"{name}.log", days)
    assert [r.path.name for r in choose_removals(made.workshop)] == ["old.log"]


def test_a_step_waits_for_room_and_says_so_then_fails(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_retention(made, pause_below_gb=5.0, wait_for_room_s=0.05)
    said: list[str] = []

    def note(message: str, _: float | None = None) -> None:
        said.append(message)

    monkeypatch.setattr(disk_space, "_POLL_S", 0.01)
    monkeypatch.setattr(disk_space, "free_bytes", lambda _: 4_200_000_000)
    with pytest.raises(DiskShort, match=r"only 4\.2 GB are free .* below 5 GB"):
        disk_space.wait_for_disk_space(made.workshop.settings, note)
    assert said
    assert said[0].startswith("waiting for the disk: only 4.2 GB")
    answers = iter([4_200_000_000, 6_000_000_000])
    monkeypatch.setattr(disk_space, "free_bytes", lambda _: next(answers))
    disk_space.wait_for_disk_space(made.workshop.settings)
