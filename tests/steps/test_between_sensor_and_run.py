"""What happens to an MS or a caltable after the sensor looked and before the run does."""

import shutil
from collections.abc import Iterator

import pytest

from contimg_resources.core.errors import CaltableAltered, UnreadableObservation
from contimg_resources.observations.settling import content_signature
from contimg_resources.products.model import ObservationState
from contimg_resources.steps.calibrating import calibrate_observation
from tests.steps.conftest import Made


@pytest.fixture
def arrived(made: Made) -> Iterator[Made]:
    """An observation whose MS is what the store knows."""
    products = made.workshop.products
    observation = products.observation(made.keys[0])
    (observation.path / "table.dat").write_bytes(b"rows")
    digest = content_signature(observation.path).digest
    changed = type(observation)(**{**vars(observation), "signature": digest})
    products.arrive(changed)
    yield made
    made.workshop.casa.close()


def test_an_ms_that_vanished_is_named_and_its_products_stay(arrived: Made) -> None:
    workshop, key = arrived.workshop, arrived.keys[0]
    before = workshop.products.artefacts(key)
    shutil.rmtree(workshop.products.get(key).path)
    with pytest.raises(UnreadableObservation, match=r"0\.ms does not exist"):
        calibrate_observation(workshop, key)
    assert workshop.products.artefacts(key) == before


def test_an_ms_that_was_replaced_is_not_taken_for_what_arrived(arrived: Made) -> None:
    workshop, key = arrived.workshop, arrived.keys[0]
    (workshop.products.get(key).path / "table.dat").write_bytes(b"other rows")
    with pytest.raises(UnreadableObservation, match="has changed since it arrived as observation"):
        calibrate_observation(workshop, key)


@pytest.mark.parametrize("how", ["deleted", "altered"])
def test_a_caltable_that_is_not_what_was_registered_is_not_applied(arrived: Made, how: str) -> None:
    workshop, key = arrived.workshop, arrived.keys[0]
    table = workshop.registry.get("first").tables[0].path
    if how == "deleted":
        shutil.rmtree(table)
    else:
        next(p for p in table.rglob("*") if p.is_file() and p.name != "table.lock").write_bytes(
            b"something else"
        )
    with pytest.raises(CaltableAltered, match="may not be applied"):
        calibrate_observation(workshop, key)
    record = workshop.products.get(key)
    assert record.state is ObservationState.WAITING
    assert str(table) in (record.reason or "")
