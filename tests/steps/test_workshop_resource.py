"""The workshop as Dagster hands it out."""

from pathlib import Path

import dagster as dg
import pytest

from contimg_resources.cli.main import run
from contimg_resources.core.errors import ConfigurationError
from contimg_resources.core.surroundings import published
from contimg_resources.settings import Settings
from contimg_resources.steps import Workshop
from contimg_resources.steps.resource import WorkshopParam, WorkshopResource


def test_a_run_gets_the_stores_of_its_own_state_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONTIMG_STATE", str(tmp_path / "state"))
    seen: list[str] = []

    @dg.asset
    def asks(workshop: WorkshopParam) -> None:
        seen.append(workshop.products.address)
        seen.append(str(workshop.settings.incoming_dir))
        assert workshop.products.list_observations() == []

    assert dg.materialize([asks], resources={"workshop": WorkshopResource()}).success
    assert seen == [
        f"{tmp_path}/state/products.sqlite3",
        f"{tmp_path}/state/incoming",
    ]


@pytest.mark.parametrize(("umask", "allowed"), [("077", 0o700), ("027", 0o750)])
def test_the_state_is_readable_only_as_far_as_the_setting_says(
    tmp_path: Path, umask: str, allowed: int
) -> None:
    settings = Settings(state=tmp_path / "a" / "state", umask=umask)
    workshop = Workshop.from_settings(settings)
    workshop.casa.log_file("x").write_text("a log")
    written = [settings.state, *settings.state.rglob("*")]
    assert {p.name for p in written} >= {"state", "registry.sqlite3", "products.sqlite3", "logs"}
    assert [p for p in written if p.stat().st_mode & 0o777 & ~allowed] == []
    assert run(["registry", "init", "--db", str(tmp_path / "b" / "r.sqlite3")]) == 0
    assert (tmp_path / "b" / "r.sqlite3").stat().st_mode & 0o077 == 0
    with published():
        (tmp_path / "index.json").write_text("{}")
    assert (tmp_path / "index.json").stat().st_mode & 0o777 == 0o644
    Workshop.from_settings(settings)
    (settings.state / "again").write_text("")
    assert (settings.state / "again").stat().st_mode & 0o777 & ~allowed == 0


def test_a_wrong_setting_fails_the_run_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONTIMG_STATE", str(tmp_path))
    monkeypatch.setenv("CONTIMG_IMAGING__ROBUST", "seven")

    @dg.asset
    def asks(workshop: WorkshopParam) -> None:
        raise AssertionError("it must not be reached")

    with pytest.raises(dg.DagsterError) as caught:
        dg.materialize([asks], resources={"workshop": WorkshopResource()})
    cause = caught.value.__cause__
    assert isinstance(cause, ConfigurationError)
    assert "imaging.robust" in cause.message
