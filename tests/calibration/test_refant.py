"""The reference antenna is chosen by name, and never one without data."""

import shutil
from pathlib import Path

import pytest

from contimg_resources.calibration.ms.health import AntennaHealth
from contimg_resources.calibration.solve.chain import choose_refant
from contimg_resources.casa import Casa
from contimg_resources.core.errors import CalibrationFailed
from tests.calibration.casa_steps import NamesRequest, select_antennas
from tests.conftest import TinyNight

PREFERRED = ("104", "105", "103")


def antenna(id_: int, name: str, flagged: float = 0.0, distance_m: float = 100.0) -> AntennaHealth:
    return AntennaHealth(id_, name, distance_m, flagged)


def test_auto_takes_the_first_preferred_antenna_that_is_present_and_good() -> None:
    antennas = [antenna(0, "103"), antenna(1, "105"), antenna(2, "104", flagged=1.0)]
    choice = choose_refant(antennas, "auto", PREFERRED)
    assert (choice.id, choice.name) == (1, "105")
    assert "not: 104" in choice.reason


def test_a_name_that_looks_like_an_id_is_a_name() -> None:
    antennas = [antenna(0, "5"), antenna(1, "0"), antenna(5, "7")]
    assert choose_refant(antennas, "0", ()).id == 1
    assert choose_refant(antennas, "5", ()).id == 0


def test_without_preferred_antennas_auto_takes_the_most_data_then_the_nearest() -> None:
    antennas = [
        antenna(0, "1", flagged=0.3, distance_m=1),
        antenna(1, "2", flagged=0.101, distance_m=500),
        antenna(2, "3", flagged=0.099, distance_m=50),
    ]
    choice = choose_refant(antennas, "auto", PREFERRED)
    assert choice.name == "3"
    assert "no preferred antenna" in choice.reason


@pytest.mark.parametrize("requested", ["104", "999"])
def test_a_named_antenna_that_is_dead_or_absent_is_an_error_naming_good_ones(
    requested: str,
) -> None:
    antennas = [antenna(0, "103"), antenna(2, "104", flagged=1.0)]
    with pytest.raises(CalibrationFailed, match=rf"{requested}.*good ones: 103") as failed:
        choose_refant(antennas, requested, PREFERRED)
    assert failed.value.details["reasons"]


def test_an_array_without_data_has_no_reference() -> None:
    with pytest.raises(CalibrationFailed, match="none of 1"):
        choose_refant([antenna(0, "104", flagged=1.0)], "auto", PREFERRED)


def test_a_name_that_stands_for_several_antennas_is_never_taken() -> None:
    antennas = [
        antenna(0, ""),
        antenna(1, "A"),
        antenna(2, "A"),
        antenna(3, 'a"b'),
        antenna(4, "7"),
    ]
    assert choose_refant(antennas, "auto", ("A",)).name == "7"
    for name in ("", "A", 'a"b'):
        with pytest.raises(CalibrationFailed, match=r"can't be named to CASA.*good ones: 7"):
            choose_refant(antennas, name, ())


def test_casa_takes_a_name_for_a_name_whatever_it_looks_like(
    casa: Casa, tiny_night: TinyNight, tmp_path: Path
) -> None:
    ms = tmp_path / "n.ms"
    shutil.copytree(tiny_night.calibrator, ms)
    names = ("1c", "1km", "5m", "a b", "7~9", "1,2", "x*", "-3", "!4", "1e3", "2.5", "é1", "3:4")
    selected = casa.run(select_antennas, NamesRequest(ms, names), label="names")
    assert selected == [[i] for i in range(len(names))]
