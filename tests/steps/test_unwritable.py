"""A directory of products that lets nobody write: nothing begins, and it goes on afterwards."""

import errno
import os
import threading
from pathlib import Path

import pytest

from contimg_resources.core.errors import DiskRefused
from contimg_resources.settings import RetentionSettings, Settings
from contimg_resources.steps import disk_space
from contimg_resources.steps.workshop import Workshop, check_host
from tests.soak.site import read_only


def settings_of(state: Path, wait_s: float) -> Settings:
    return Settings(
        state=state,
        retention=RetentionSettings(pause_below_gb=0.0, free_gb=0.0, wait_for_room_s=wait_s),
    )


def test_a_step_waits_until_products_can_be_written_and_says_for_what(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(tmp_path / "state", 60.0)
    images = settings.layout.images
    images.mkdir(parents=True)
    assert disk_space.unwritable(settings) == ""
    if os.geteuid() == 0:
        give_back = read_only(images)
        if give_back is None:
            pytest.skip("root may write everywhere, and nothing may be mounted here")
    else:
        images.chmod(0o500)

        def give_back() -> None:
            images.chmod(0o700)

    monkeypatch.setattr(disk_space, "_POLL_S", 0.05)
    told: list[str] = []
    try:
        assert disk_space.unwritable(settings).startswith(f"{images} can't be written to")
        with pytest.raises(DiskRefused, match="images can't be written to"):
            disk_space.wait_for_disk_space(settings_of(settings.state, 0.1))
        timer = threading.Timer(0.3, give_back)
        timer.start()
        disk_space.wait_for_disk_space(settings, lambda message, _: told.append(message))
        timer.join()
    finally:
        give_back()
    assert told[0].startswith(f"waiting for the disk: {images} can't be written to")
    assert disk_space.unwritable(settings) == ""


def test_a_host_without_the_shared_disk_is_refused_and_makes_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(tmp_path / "shared" / "contimg", 0.0)
    with pytest.raises(DiskRefused, match=r"contimg: No such file .*isn't the shared file system"):
        check_host(settings)
    assert list(tmp_path.iterdir()) == []
    made = Workshop.from_settings(settings)
    made.products.close()
    made.registry.close()
    check_host(settings)

    def stale(path: Path, **_: object) -> os.stat_result:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "stat", stale)
        with pytest.raises(DiskRefused, match="shared/contimg: Stale file handle"):
            check_host(settings)
