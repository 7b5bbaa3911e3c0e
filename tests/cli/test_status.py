"""`contimg status` says what is wrong now: silence, no valid set, rejected deliveries."""

import json
from pathlib import Path
from typing import Any

import pytest

from contimg_resources.cli.main import run
from contimg_resources.cli.up import _Ping
from contimg_resources.database import now_mjd
from contimg_resources.settings import Settings
from contimg_resources.steps.present import present_problems
from contimg_resources.steps.watching import ScanCursor, scan_directory
from contimg_resources.steps.workshop import Workshop
from tests.alerts.conftest import hook
from tests.alerts.servers import Hook
from tests.products.conftest import make_observation
from tests.steps.conftest import Made, made

__all__ = ["hook", "made"]


def test_an_ms_that_cannot_be_read_is_a_row_until_it_is_gone(tmp_path: Path, capsys: Any) -> None:
    settings = Settings(state=tmp_path / "state", ms_dir=tmp_path / "ms")
    workshop = Workshop.from_settings(settings)
    (tmp_path / "ms" / "bad.ms").mkdir(parents=True)
    (tmp_path / "ms" / "bad.ms" / "table.dat").write_bytes(b"no table")
    (tmp_path / "ms" / "bad.ms.done").touch()
    arguments = ["status", "--state", str(settings.state), "--json"]
    memory = ScanCursor()
    for _ in range(2):
        memory = scan_directory(workshop, memory).memory
        assert run(arguments) == 0
        told = json.loads(capsys.readouterr().out)
        (rejected,) = told["rejected"]
        assert (rejected["name"], rejected["directory"]) == ("bad.ms", str(tmp_path / "ms"))
        assert rejected["reason"]
        assert any(
            p.startswith("1 delivery rejected, the last one bad.ms") for p in told["problems"]
        )
    assert run(arguments[:-1]) == 0
    assert "bad.ms" in capsys.readouterr().out
    (tmp_path / "ms" / "bad.ms" / "table.dat").unlink()
    (tmp_path / "ms" / "bad.ms").rmdir()
    (tmp_path / "ms" / "bad.ms.done").unlink()
    scan_directory(workshop, memory)
    assert run(arguments) == 0
    assert json.loads(capsys.readouterr().out)["rejected"] == []


def test_silence_and_an_expired_set_are_problems_of_now(made: Made) -> None:
    workshop = made.workshop
    products, registry, settings = workshop.products, workshop.registry, workshop.settings
    (last,) = products.list_observations(limit=1)

    def problems(minutes: float) -> str:
        at_mjd = last.end_mjd + minutes / 1440
        return "\n".join(present_problems(settings, products, registry, now_mjd=at_mjd))

    assert problems(10) == ""
    assert f"no observation for 40 min; the last one, {last.key}" in problems(40)
    assert "no caltable set" not in problems(40)
    assert "no caltable set is valid now: no active caltable set is valid for" in problems(9e4)


@pytest.mark.parametrize("answers", [True, False])
def test_a_sign_of_life_goes_out_and_harms_nothing_without_an_answer(
    hook: Hook, answers: bool
) -> None:
    from pydantic import SecretStr

    url = SecretStr(hook.url if answers else "http://127.0.0.1:9/SECRET")
    ping = _Ping(url)
    ping._ask()
    assert hook.asked == (["/services/SECRET-TOKEN"] if answers else [])
    _Ping(None).send()


def test_the_latest_observation_is_recent(tmp_path: Path) -> None:
    workshop = Workshop.from_settings(Settings(state=tmp_path / "state"))
    workshop.products.arrive(make_observation(tmp_path / "a.ms", now_mjd()))
    said = list(present_problems(workshop.settings, workshop.products, workshop.registry))
    assert len(said) == 1
    assert said[0].startswith("no caltable set is valid now")
