"""A file system without any free space: it is named, and housekeeping gets out of it."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from contimg_resources.cli.main import run
from contimg_resources.core import disk_space
from contimg_resources.core.errors import DiskShort, ProductsUnavailable
from contimg_resources.products.store import ProductsStore
from contimg_resources.settings import RetentionSettings, Settings
from contimg_resources.steps.disk_space import keep_reserve
from contimg_resources.steps.retention import free_without_stores
from contimg_resources.steps.workshop import Workshop
from tests.products.conftest import make_observation

mounted = pytest.mark.skipif(os.geteuid() != 0, reason="a small disk is mounted by root")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


def fill(disk: Path) -> None:
    with (disk / "filling").open("wb") as file:
        while free := shutil.disk_usage(disk).free:
            os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), free)


def make_state(disk: Path) -> Settings:
    settings = Settings(state=disk / "state", retention=RetentionSettings(reserve_mb=1))
    workshop = Workshop.from_settings(settings)
    workshop.products.arrive(make_observation(disk / "a.ms"))
    workshop.products.close()
    workshop.registry.close()
    return settings


@mounted
def test_every_command_names_the_full_file_system_and_what_to_do(disk: Path, capsys: Any) -> None:
    settings = make_state(disk)
    fill(disk)
    at = ["--state", str(settings.state)]
    for command in (
        ["status", *at],
        ["observation", "list", "--products-db", settings.products_address],
        ["housekeeping", "--dry-run", *at],
    ):
        capsys.readouterr()
        assert run(command) == 1, command
        said = capsys.readouterr().err
        assert f"the file system {disk} is full: 0 bytes are free" in said, said
        assert "`contimg housekeeping`" in said
    with pytest.raises(ProductsUnavailable):
        ProductsStore(settings.products_address, create=False)
    # Without a reserve nothing is left but to say so, in whatever command frees space.
    for command in (["housekeeping", *at], ["up", *at]):
        assert run(command) == 1, command
        said = capsys.readouterr().err
        assert f"the file system {disk} is full: 0 bytes are free, and nothing in" in said, said


@mounted
def test_housekeeping_gives_the_reserve_up_before_it_opens_a_store(
    disk: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONTIMG_RETENTION__RESERVE_MB", "1")
    settings = make_state(disk)
    keep_reserve(settings)
    assert settings.layout.reserve.stat().st_size == 1_000_000
    fill(disk)
    at = ["--state", str(settings.state)]
    assert run(["status", *at]) == 1
    assert run(["housekeeping", *at]) == 0
    assert "reserve: 1.0 MB, kept for a full disk" in capsys.readouterr().err
    assert run(["status", *at]) == 0
    assert "1 arrived" in capsys.readouterr().out
    (disk / "filling").unlink()
    assert run(["housekeeping", *at]) == 0
    assert settings.layout.reserve.stat().st_size == 1_000_000, "put back where there is room"


def test_scratch_of_killed_steps_goes_before_the_reserve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_state(tmp_path)
    keep_reserve(settings)
    old, new = settings.layout.scratch / "old", settings.layout.scratch / "new"
    for place in (old, new):
        place.mkdir()
    a_day_ago = time.time() - 25 * 3600
    os.utime(old, (a_day_ago, a_day_ago))
    full_while: list[Path] = [old]
    words = "the file system / is full: 0 bytes are free"
    monkeypatch.setattr(
        "contimg_resources.steps.retention.fullness",
        lambda _: words if any(p.exists() for p in full_while) else "",
    )
    assert [r.path for r in free_without_stores(settings)] == [old]
    assert (new.exists(), settings.layout.reserve.exists()) == (True, True)
    full_while[:] = [settings.layout.reserve]
    assert [r.path for r in free_without_stores(settings)] == [settings.layout.reserve]
    full_while[:] = [new]
    with pytest.raises(DiskShort, match=r"is full: 0 bytes are free, and nothing in .*/state"):
        free_without_stores(settings)
    full_while[:] = []
    assert free_without_stores(settings) == ()


def test_a_file_system_is_full_by_its_bytes_or_by_its_number_of_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert disk_space.fullness(tmp_path / "not" / "there") == ""
    real = os.statvfs(tmp_path)

    def but(**changed: int) -> Callable[[Any], Any]:
        class Found:
            f_files, f_favail = real.f_files, real.f_favail
            f_bavail, f_frsize = real.f_bavail, real.f_frsize

        for name, value in changed.items():
            setattr(Found, name, value)
        return lambda _: Found

    monkeypatch.setattr(os, "statvfs", but(f_bavail=1, f_frsize=4096))
    assert disk_space.fullness(tmp_path).endswith(" is full: 4096 bytes are free")
    monkeypatch.setattr(os, "statvfs", but(f_files=9, f_favail=0))
    assert disk_space.fullness(tmp_path).endswith(" is full: it can hold no more files")
