"""Names and paths: what may become one, and what is an observation."""

from pathlib import Path

import pytest

from contimg_resources.core import naming
from contimg_resources.core.errors import InvalidName
from contimg_resources.instrument.caltables import CaltableType, caltable_path


def test_what_a_user_calls_a_calibrator_becomes_a_name() -> None:
    assert naming.plain_name("J1234+5678") == "J1234+5678"
    plain = naming.plain_name("NVSS J1234+56/é")
    assert naming.check_name(plain) == "NVSS_J1234+56__"


@pytest.mark.parametrize(
    "name",
    ["2025-10-06T12:36:09.ms", "2025-10-06_J1234+5678.ms", "obs.with.dots.ms"],
)
def test_an_observation_is_recognised(name: str) -> None:
    assert naming.is_observation_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "2025-10-06T12:36:09_cal.ms",
        "2025-10-06T12:36:09_meridian.ms",
        "2025-10-06T12:36:09.phased.ms",
        "2025-10-06T12:36:09.ms.partial",
        "2025-10-06T12:36:09.partial.ms",
        ".2025-10-06T12:36:09.ms",
        "2025-10-06T12:36:09.MS.flagversions",
        ".ms",
        "notes.txt",
    ],
)
def test_intermediate_and_foreign_names_are_no_observations(name: str) -> None:
    assert not naming.is_observation_name(name)


@pytest.mark.parametrize(
    "name", ["..", "a..b", "a/b", "", "-x", "a b", "a'b", "ä", "a\n", "x" * 129]
)
def test_a_hostile_name_is_refused_and_named(name: str) -> None:
    with pytest.raises(InvalidName) as refusal:
        naming.check_name(name, "caltable set name")
    assert repr(name) in str(refusal.value)


def test_every_path_of_an_observation_lies_under_its_day() -> None:
    layout = naming.StateLayout(Path("/state"))
    assert layout.calibrated_ms("61041.00347") == Path("/state/calibrated/61041/61041.00347_cal.ms")
    assert layout.image_dir("61041.00347") == Path("/state/images/61041/61041.00347")
    assert layout.caltable_set("3C286_61041", 2) == Path("/state/caltables/3C286_61041.v2")
    with pytest.raises(InvalidName):
        layout.image_dir("../61041.00347")


def test_a_calibrated_ms_is_never_taken_for_an_observation() -> None:
    layout = naming.StateLayout(Path("/state"))
    assert not naming.is_observation_name(layout.calibrated_ms("61041.00347").name)


def test_tables_are_applied_in_the_order_of_their_types() -> None:
    assert [t.value for t in sorted(CaltableType, key=lambda t: t.apply_order)] == [
        "K", "BA", "BP", "GA", "GP", "2G", "FLUX",
    ]  # fmt: skip
    assert [t.apply_order for t in CaltableType] == [10, 20, 30, 40, 50, 60, 70]


def test_a_caltable_lies_beside_its_prefix() -> None:
    prefix = Path("/data/solves/2025-10-06_J1234+5678")
    assert caltable_path(prefix, CaltableType.G2) == Path(
        "/data/solves/2025-10-06_J1234+5678_2gcal"
    )


@pytest.mark.parametrize("name", ["night.ms", "night.MS", "night.Ms"])
def test_the_ending_of_an_ms_may_stand_in_any_case(name: str) -> None:
    assert naming.is_observation_name(name)
    assert naming.without_ms(name) == "night"
    assert naming.without_ms("notes.txt") == "notes.txt"
    assert not naming.is_observation_name("night_CAL.MS")
