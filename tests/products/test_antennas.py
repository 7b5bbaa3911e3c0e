"""The evidence about antennas in the products store, and what follows from it."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from contimg_resources.calibration.antenna_health import AntennaEvidence
from contimg_resources.calibration.antenna_record import AntennaMark, MarkedAntenna
from contimg_resources.core.errors import InvalidName, ProductsError
from contimg_resources.products.store import ProductsStore
from contimg_resources.products.tables import antenna_evidence
from tests.products.conftest import MJD, make_observation

GOOD = AntennaEvidence(1.0, 0.0, 1.0, 0.01, 0.99, 0.01, 0.98, 0.01)
DEAD = AntennaEvidence(data=1.0, lost=1.0)
STEP = 0.0036


def record(store: ProductsStore, root: Path, number: int, *bad: str, days: float = 0.0) -> str:
    one = make_observation(
        root / f"{number}_{days}.ms", MJD + days + number * STEP, signature=f"{number} {days}"
    )
    store.arrive(one)
    evidence = {name: DEAD if name in bad else GOOD for name in ("1", "24", "104")}
    store.antennas.put(one.key, one.telescope, one.mid_mjd, evidence, dict.fromkeys(bad, "why"))
    return one.key


def bad(store: ProductsStore) -> set[str]:
    return set(store.antennas.present(3.0).bad)


def test_the_order_of_processing_and_repetitions_change_nothing(
    store: ProductsStore, tmp_path: Path
) -> None:
    for number in (3, 0, 2, 1, 2):
        record(store, tmp_path, number, *(["24"] if number in (1, 2) else []))
    (one,) = store.antennas.present(3.0).spells
    assert (one.antenna, one.n_faulty, one.end_mjd) == ("24", 2, None)
    assert len(store.antennas.observed()) == 4
    # The second is made again, and its antenna is healthy now.
    key = record(store, tmp_path, 2)
    assert bad(store) == set()
    assert store.antennas.evidence_of(key)["24"] == GOOD
    # Without evidence it has no record any more.
    store.antennas.put(key, "OVRO_MMA", MJD + 2 * STEP, {}, {})
    assert len(store.antennas.observed()) == 3
    assert store.antennas.evidence_of(key) == {}


def test_older_days_have_a_record_of_their_own(store: ProductsStore, tmp_path: Path) -> None:
    for number in range(3):
        record(store, tmp_path, number, "24")
    for number in range(3):
        record(store, tmp_path, number, "1", days=-20.0)
    assert bad(store) == {"24"}
    assert set(store.antennas.before(MJD - 19.5, 3.0).bad) == {"1"}
    # What is known before an observation doesn't come from itself or later ones.
    assert store.antennas.before(MJD + STEP, 3.0).bad == {}


def test_telescopes_are_apart(store: ProductsStore, tmp_path: Path) -> None:
    for number in range(2):
        key = record(store, tmp_path, number, "24")
        mid_mjd = store.get(key).mid_mjd
        store.antennas.put(key, "VLA", mid_mjd, {"24": DEAD}, {})
    record(store, tmp_path, 2)
    assert bad(store) == set()
    assert set(store.antennas.before(MJD + 1, 3.0, telescope="VLA").bad) == {"24"}


def test_persons_override_and_all_marks_are_kept(store: ProductsStore, tmp_path: Path) -> None:
    for number in range(3):
        record(store, tmp_path, number, "24")

    def mark(antenna: str, mark: AntennaMark, note: str = "a note") -> None:
        store.antennas.mark(MarkedAntenna(antenna, mark, MJD - 1, note, "ada"))

    mark("24", AntennaMark.GOOD)
    mark("1", AntennaMark.BAD)
    assert store.antennas.present(3.0).bad == {"1": "marked bad by ada: a note"}
    mark("24", AntennaMark.AUTOMATIC)
    assert bad(store) == {"1", "24"}
    assert [m.mark.value for m in store.antennas.marks()] == ["good", "bad", "automatic"]
    assert all(m.created_mjd > 0 for m in store.antennas.marks())
    for wrong in ("", "a\nb", "x" * 3000, "\x1b[2J"):
        with pytest.raises(InvalidName, match="a note is one line"):
            mark("24", AntennaMark.BAD, wrong)
    assert len(store.antennas.marks()) == 3


def test_damaged_evidence_is_one_error_that_names_the_observation(
    store: ProductsStore, tmp_path: Path
) -> None:
    key = record(store, tmp_path, 0, "24")
    damages: tuple[object, ...] = ({}, [], {"antenna": ["1"]}, "x")
    for damaged in damages:
        with store.write() as connection:
            connection.execute(sa.update(antenna_evidence).values(evidence=damaged))
        with pytest.raises(ProductsError, match=f"of observation {key} .* is damaged"):
            store.antennas.evidence_of(key)
    assert store.antennas.observed()[0].faults == {
        "24": "dead: no signal in 100% of the observation"
    }
