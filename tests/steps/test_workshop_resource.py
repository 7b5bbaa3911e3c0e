"""The workshop as Dagster hands it out."""

from pathlib import Path

import dagster as dg
import pytest

from contimg_resources.errors import ConfigurationError
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
