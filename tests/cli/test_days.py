"""The platform's code server knows the days of earlier data."""

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from contimg_resources.cli import up
from contimg_resources.cli.children import Restart
from contimg_resources.cli.up import _Days
from contimg_resources.cli.webserver import DagsterRun
from contimg_resources.core.errors import PlatformError
from contimg_resources.products.store import ProductsStore
from contimg_resources.settings import Settings
from tests.products.conftest import make_observation


class Platform:
    """A stand-in for a platform with runs, which records that its code server was restarted."""

    def __init__(self) -> None:
        self.statuses: tuple[str, ...] = ()
        self.answers = True
        self.restarted: list[str] = []

    def runs(self) -> tuple[DagsterRun, ...]:
        if not self.answers:
            raise PlatformError("no answer")
        return tuple(DagsterRun("id", "job", s, "", (), None) for s in self.statuses)

    def load_code_again(self, why: str) -> Restart:
        self.restarted.append(why)
        return Restart("code", why, 0)


def test_earlier_data_are_followed_once_no_run_would_be_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(up, "_DAYS_S", 0.0)
    settings = Settings(state=tmp_path, first_day=None)
    days, platform = _Days(settings), Platform()
    follow: Any = days.follow
    with closing(ProductsStore(settings.products_address)) as store:
        assert follow(platform) is None
        store.arrive(make_observation(tmp_path / "early.ms", 60_369.5))
        platform.statuses = ("QUEUED", "STARTED")
        assert follow(platform) is None
        platform.answers = False
        assert follow(platform) is None
        platform.answers, platform.statuses = True, ("QUEUED", "SUCCESS")
        assert follow(platform) == Restart("code", "didn't know the days from 2024-02-29", 0)
        # Later data change nothing.
        store.arrive(make_observation(tmp_path / "late.ms", 60_370.5))
        assert follow(platform) is None
    assert len(platform.restarted) == 1
