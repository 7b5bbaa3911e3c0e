"""Antennas over observations: named, given back, marked by persons."""

import pytest

from contimg_resources.calibration.antenna_health import AntennaEvidence, Fault
from contimg_resources.calibration.antenna_record import (
    AntennaMark,
    AntennaReport,
    MarkedAntenna,
    ObservedAntennas,
    marks_at,
    spells,
)

MJD = 61_041.0
GOOD = AntennaEvidence(0.9, 0.0, 1.0, 0.01, 0.99, 0.01, 0.98, 0.01)


def seen(pattern: str) -> list[ObservedAntennas]:
    """Return observations of antenna 7: x is at fault, o is healthy, ? is not examined."""
    return [
        ObservedAntennas(
            key=f"k{i}",
            telescope="OVRO_MMA",
            mid_mjd=MJD + i / 288,
            n_antennas=96,
            faults={"7": f"dead {i}"} if one == "x" else {},
            unexamined=["7"] if one == "?" else [],
        )
        for i, one in enumerate(pattern)
    ]


@pytest.mark.parametrize(
    ("pattern", "start", "named", "recovered"),
    [
        ("oxx", 1, 2, None),
        ("oxxoo", 1, 2, 3),
        ("oxxo", 1, 2, None),
        # Without evidence nothing changes.
        ("ox?x??", 1, 3, None),
        ("oxx??", 1, 2, None),
        ("xoxoxo", 0, 2, None),
        ("xoxoo", 0, 2, 3),
    ],
)
def test_two_faults_name_an_antenna_and_two_healthy_observations_give_it_back(
    pattern: str, start: int, named: int, recovered: int | None
) -> None:
    (one,) = spells(seen(pattern))
    assert (one.antenna, one.start_key, one.named_key) == ("7", f"k{start}", f"k{named}")
    assert one.end_mjd == (None if recovered is None else MJD + recovered / 288)
    assert one.n_faulty == pattern.count("x")
    assert one.fault == f"dead {pattern.rindex('x')}"


@pytest.mark.parametrize("pattern", ["", "ooo", "x", "oxo", "xoox", "x?oox", "???"])
def test_one_fault_names_no_antenna(pattern: str) -> None:
    assert spells(seen(pattern)) == ()


def test_faults_before_a_recovery_do_not_name_an_antenna_again() -> None:
    first, second = spells(seen("xxooxoxx"))
    assert (first.start_key, first.end_mjd) == ("k0", MJD + 2 / 288)
    assert (second.start_key, second.named_key) == ("k4", "k6")


def test_the_mark_that_begins_last_counts_and_automatic_ends_it() -> None:
    def mark(antenna: str, mark: AntennaMark, after_days: float) -> MarkedAntenna:
        return MarkedAntenna(antenna, mark, MJD + after_days, "a note", "ada")

    marks = (
        mark("7", AntennaMark.GOOD, 0.5),
        mark("8", AntennaMark.BAD, 0.2),
        mark("7", AntennaMark.AUTOMATIC, 0.8),
        # Made later, for an earlier time.
        mark("7", AntennaMark.BAD, 0.1),
    )
    assert marks_at(marks, MJD) == {}
    assert marks_at(marks, MJD + 0.3) == {"7": marks[3], "8": marks[1]}
    assert marks_at(marks, MJD + 0.6) == {"7": marks[0], "8": marks[1]}
    assert marks_at(marks, MJD + 0.9) == {"8": marks[1]}
    report = AntennaReport("T", (), spells(seen("xxx")), marks_at(marks, MJD + 0.6))
    assert report.bad == {"8": "marked bad by ada: a note"}
    report = AntennaReport("T", (), spells(seen("xxx")), {})
    assert report.bad == {"7": "dead 2 (3 observations since 2026-01-01T00:00 UTC)"}


@pytest.mark.parametrize(
    ("changes", "fault", "useless"),
    [
        ({}, None, False),
        ({"data": 0.01}, Fault.NO_DATA, False),
        ({"lost": 0.6}, Fault.DEAD, False),
        ({"gain": 0.02}, Fault.DEAD, True),
        ({"gain": 0.3}, Fault.LOW_GAIN, True),
        ({"gain": 0.3, "gain_error": 0.1}, None, False),
        ({"coherence": 0.1, "kept": 0.3}, Fault.PHASES, True),
        # In-field calibration follows them.
        ({"coherence": 0.1, "kept": 0.97}, Fault.PHASES, False),
        ({"delay_ns": -6.0}, Fault.DELAY, False),
        ({"kept": 0.45, "kept_error": 0.02}, None, False),
        ({"kept": 0.4, "kept_error": 0.02}, None, True),
        ({"kept": 0.1, "kept_error": 0.02}, Fault.INCOHERENT, True),
    ],
)
def test_faults_follow_from_certain_evidence(
    changes: dict[str, float], fault: Fault | None, useless: bool
) -> None:
    one = AntennaEvidence(**{**vars(GOOD), **changes})
    assert one.fault is fault
    assert one.is_useless is useless
    assert one.is_examined
    assert not AntennaEvidence(data=1.0).is_examined
