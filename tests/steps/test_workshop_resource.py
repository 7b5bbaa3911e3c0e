"""The parts of the workshop as Dagster hands them out, whole or some of them."""

from contextlib import closing
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from contimg_resources.casa import Casa
from contimg_resources.catalogues.store import CatalogueStore
from contimg_resources.cli.main import run
from contimg_resources.core.directories import whole_file
from contimg_resources.core.errors import (
    ConfigurationError,
    RunSuperseded,
    UnlistedPart,
    rejecting,
)
from contimg_resources.core.surroundings import published
from contimg_resources.products.store import ProductsStore
from contimg_resources.registry.store import CalibrationRegistry
from contimg_resources.settings import Settings
from contimg_resources.steps.resource import RESOURCES, uses
from contimg_resources.steps.workshop import PARTS, Workshop
from tests.catalogues.test_catalogues import facts, random_sources


def test_a_run_gets_the_stores_of_its_own_state_directory_and_they_are_closed_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONTIMG_STATE", str(tmp_path / "state"))
    seen: list[str] = []
    closed: list[type] = []
    for kind in (CalibrationRegistry, ProductsStore, Casa):
        close = kind.close

        def closing(self: Any, close: Any = close) -> None:
            closed.append(type(self))
            close(self)

        monkeypatch.setattr(kind, "close", closing)

    @dg.asset
    @uses(*PARTS)
    def asks(workshop: Workshop) -> None:
        seen.append(workshop.products.address)
        seen.append(str(workshop.settings.incoming_dir))
        assert workshop.products.list_observations() == []
        assert list(workshop.registry.list_sets()) == []
        assert workshop.calibrators.find("3C286") is not None
        assert closed == []

    assert dg.materialize([asks], resources=RESOURCES).success
    assert seen == [
        f"{tmp_path}/state/products.sqlite3",
        f"{tmp_path}/state/incoming",
    ]
    assert set(closed) == {CalibrationRegistry, ProductsStore, Casa}


def test_an_asset_asks_a_catalogue_for_a_piece_of_sky(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONTIMG_STATE", str(tmp_path))
    CatalogueStore(tmp_path / "catalogues").put(random_sources(2000), facts(2000))
    found: list[int] = []

    @dg.asset
    @uses("catalogues")
    def around(workshop: Workshop) -> None:
        """Count the sources of a cone."""
        found.append(len(workshop.catalogues.open("made").cone(180.0, 20.0, 10.0)))

    assert dg.materialize([around], resources=RESOURCES).success
    assert found[0] > 0


def test_dagster_knows_what_is_listed_and_the_rest_is_refused_by_both_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONTIMG_STATE", str(tmp_path))

    @dg.asset
    @uses("settings", "products")
    def asks(context: dg.AssetExecutionContext, workshop: Workshop) -> None:
        """Look something up."""
        assert workshop.products.list_observations() == []
        # It isn't the fault of one item of many.
        with rejecting({}, "an item"):
            workshop.registry.last_event_id()

    assert asks.op.required_resource_keys == {"settings", "products"}
    assert asks.op.description == "Look something up."
    with pytest.raises(UnlistedPart) as caught:
        dg.materialize([asks], resources=RESOURCES)
    assert caught.value.message == (
        "asks uses registry, but lists only settings, products: add 'registry' to its parts"
    )
    assert not (tmp_path / "registry.sqlite3").exists()
    with pytest.raises(ValueError, match="has no telescope"):
        uses("telescope")


@pytest.mark.parametrize("part", PARTS)
def test_nobody_can_type_a_path_into_the_launch_dialog(part: str) -> None:
    @dg.asset
    @uses(part)
    def asks(workshop: Workshop) -> None:
        raise AssertionError("it must not be reached")

    typed = {"resources": {part: {"config": {"state": "/etc"}}}}
    with pytest.raises(dg.DagsterInvalidConfigError):
        dg.materialize([asks], resources=RESOURCES, run_config=typed)


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
    @uses("products")
    def asks(workshop: Workshop) -> None:
        raise AssertionError("it must not be reached")

    with pytest.raises(dg.DagsterError) as caught:
        dg.materialize([asks], resources=RESOURCES)
    cause = caught.value.__cause__
    assert isinstance(cause, ConfigurationError)
    assert "imaging.robust" in cause.message


def test_a_run_supersedes_the_run_that_it_repeats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONTIMG_STATE", str(tmp_path))

    @dg.asset
    @uses("settings", "products")
    def asks(context: dg.AssetExecutionContext, workshop: Workshop) -> None:
        workshop.products.refuse_superseded()
        if "lost" in context.run.tags:
            # Another has repeated it meanwhile.
            with closing(ProductsStore(workshop.settings.products_address)) as others:
                others.supersede_run(context.run.run_id, "its host was lost")
        whole_file(tmp_path / "product", lambda file: file.write_text(context.run.run_id))

    first = dg.materialize([asks], resources=RESOURCES)
    address = Settings(state=tmp_path).products_address
    before = ProductsStore(address, run_id=first.run_id)
    before.refuse_superseded()
    again = dg.materialize(
        [asks], resources=RESOURCES, tags={"dagster/parent_run_id": first.run_id}
    )
    assert again.success
    with pytest.raises(RunSuperseded, match=again.run_id):
        before.refuse_superseded()
    before.close()
    # Its files are refused as well.
    lost = dg.materialize([asks], resources=RESOURCES, tags={"lost": "yes"}, raise_on_error=False)
    assert not lost.success
    assert (tmp_path / "product").read_text() == again.run_id
