"""What Dagster shows of an asset's resources is what the asset uses."""

import ast
from pathlib import Path

import dagster as dg
import pytest

from contimg_assets.definitions import build_defs
from tests.assets.parts_used import functions_used, parts_used

ROOT = Path(__file__).parents[2]

#: Functions of assets, checks, ops and sensors that use a workshop, with their modules.
USERS = {
    node.name: f"contimg_assets.{path.stem}"
    for path in (ROOT / "contimg_assets").glob("*.py")
    for node in ast.walk(ast.parse(path.read_text()))
    if isinstance(node, ast.FunctionDef)
    and any("uses" in ast.unparse(decorator) for decorator in node.decorator_list)
}


@pytest.fixture(scope="module")
def required() -> dict[str, set[str]]:
    """Resources that each definition requires, as Dagster knows them."""
    definitions = build_defs()
    repository = definitions.get_repository_def()
    found: dict[str, set[str]] = {}
    for asset in definitions.resolve_asset_graph().assets_defs:
        if asset.is_executable:
            found[asset.op.name] = set(asset.op.required_resource_keys)
    for job in repository.get_all_jobs():
        for op in job.all_node_defs:
            if isinstance(op, dg.OpDefinition):
                found.setdefault(op.name, set(op.required_resource_keys))
    for sensor in repository.sensor_defs:
        found[sensor.name] = set(sensor.required_resource_keys)
    return {name: keys - {"io_manager"} for name, keys in found.items()}


def test_every_definition_lists_exactly_the_parts_that_its_steps_use(
    required: dict[str, set[str]],
) -> None:
    used = {name: set(parts_used(f"{module}.{name}")) for name, module in USERS.items()}
    renamed = {"caltable_set_caltables_current": "caltables_current"}
    found = {renamed.get(name, name): keys for name, keys in required.items()}
    assert found == used


def test_only_what_reads_or_solves_or_images_an_ms_asks_for_casa(
    required: dict[str, set[str]],
) -> None:
    assert {name for name, keys in required.items() if "casa" in keys} == {
        "measurement_set",
        "caltable_set",
        "calibrated_ms",
        "image_5min",
        "observation_sensor",
    }
    assert required["variability"] == {"settings", "products"}
    image = {"settings", "products", "casa", "calibrators", "catalogues"}
    assert required["image_5min"] == image


def test_cards_belong_to_one_asset() -> None:
    drawing = "contimg_resources.steps.cards.draw_candidate"
    users = {
        name for name, module in USERS.items() if drawing in functions_used(f"{module}.{name}")
    }
    assert users == {"candidate_cards"}
