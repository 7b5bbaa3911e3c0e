"""The set that is applied is the nearest in time among those that fit."""

import random
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from contimg_resources.core.errors import CaltableAltered, InvalidName, NoValidCaltables
from contimg_resources.instrument.caltables import ArrayLayout, CaltableType
from contimg_resources.registry.lookup import Wanted
from contimg_resources.registry.store import CalibrationRegistry
from contimg_resources.registry.tables import caltable_sets, caltables, layouts, metadata
from tests.registry.conftest import LAYOUT, MJD, Maker, read_made_up_tables

OTHER = ArrayLayout(("1", "2", "4"), LAYOUT.spectral_windows_hz)
GP = [CaltableType.GP]


def test_the_nearest_wins_not_the_newest(registry: CalibrationRegistry, new_set: Maker) -> None:
    registry.register(new_set("near", MJD, types=GP))
    registry.register(new_set("far", MJD + 0.5, types=GP))
    found = registry.active(MJD + 0.2, layout=LAYOUT, declination_deg=16.4)
    assert found.set.name == "near"
    assert found.age_h == pytest.approx(4.8)
    assert not found.borrowed
    assert registry.active(MJD + 0.3).set.name == "far"
    assert registry.active(MJD + 0.3).age_h == pytest.approx(-4.8)


def test_of_two_equally_near_the_newer_wins(registry: CalibrationRegistry, new_set: Maker) -> None:
    registry.register(new_set("a", MJD - 0.25, types=GP))
    registry.register(new_set("b", MJD + 0.25, types=GP))
    assert registry.active(MJD).set.name == "b"
    registry.register(new_set("c", MJD - 0.25, types=GP))
    assert registry.active(MJD).set.name == "c"


def test_both_ends_of_the_window_belong_to_it(
    registry: CalibrationRegistry, new_set: Maker
) -> None:
    registry.register(new_set(types=GP, before=0.25, after=0.5))
    assert registry.active(MJD - 0.25).set.name == "cal"
    assert registry.active(MJD + 0.5).set.name == "cal"
    for outside in (MJD - 0.25 - 1e-9, MJD + 0.5 + 1e-9):
        with pytest.raises(NoValidCaltables):
            registry.active(outside)


def test_a_hole_is_a_hole_and_names_what_is_near(
    registry: CalibrationRegistry, new_set: Maker
) -> None:
    registry.register(new_set("before", MJD - 2, types=GP, after=0.5))
    registry.register(new_set("after", MJD + 3, types=GP, before=0.25))
    with pytest.raises(NoValidCaltables) as hole:
        registry.active(MJD, layout=LAYOUT, declination_deg=16.3)
    message = hole.value.message
    assert "MJD 61041.00000 (2026-01-01T00:00:00.000 UTC)" in message
    assert "declination 16.30 +- 0.5 deg, 4 antennas and 4 spectral windows" in message
    assert "before v1 of MJD 61039.00000, window 61038.00000 to 61039.50000" in message
    assert "its window ended 36.00 h earlier" in message
    assert "after v1 of MJD 61044.00000" in message
    assert "its window begins 2.8 d later" in message
    assert hole.value.details["before"][0]["name"] == "before"
    assert hole.value.details["after"][0]["start_mjd"] == MJD + 2.75


def test_borrowing_happens_only_when_asked_and_is_marked(
    registry: CalibrationRegistry, new_set: Maker
) -> None:
    registry.register(new_set("wrong_strip", MJD - 1.5, types=GP, declination_deg=54.6))
    registry.register(new_set("right", MJD - 3, types=GP))
    found = registry.active(MJD, declination_deg=16.3, layout=LAYOUT, borrow=True)
    assert (found.set.name, found.borrowed) == ("right", True)
    assert found.age_h == pytest.approx(72)
    with pytest.raises(NoValidCaltables):
        registry.active(MJD, declination_deg=16.3)
    inside = registry.active(MJD - 3, declination_deg=16.3, borrow=True)
    assert not inside.borrowed


def test_of_a_foreign_array_a_few_antennas_are_named_and_the_rest_counted(
    registry: CalibrationRegistry, new_set: Maker
) -> None:
    registry.register(new_set("array", types=GP))
    foreign = ArrayLayout(tuple(f"ea{n:02d}" for n in range(1, 28)), LAYOUT.spectral_windows_hz)
    with pytest.raises(NoValidCaltables) as refused:
        registry.active(MJD, layout=foreign)
    assert (
        "antennas differ (missing: ea01, ea02, ea03, ea04, ea05 and 22 more; "
        "extra: 1, 104, 2, 3; 4 against 27)"
    ) in refused.value.message
    fewer = ArrayLayout(LAYOUT.antenna_names, LAYOUT.spectral_windows_hz[1:])
    with pytest.raises(NoValidCaltables, match="spectral windows differ"):
        registry.active(MJD, layout=fewer)


def test_a_set_of_another_strip_or_array_is_never_applied(
    registry: CalibrationRegistry, new_set: Maker
) -> None:
    registry.register(new_set("strip", types=GP, declination_deg=54.6))
    registry.register(new_set("array", MJD + 0.5, types=GP))
    with pytest.raises(NoValidCaltables, match=r"it is of declination 54\.60 deg") as refused:
        registry.active(MJD, layout=OTHER, declination_deg=16.3, borrow=True)
    assert "antennas differ" in refused.value.message
    assert registry.active(MJD, layout=LAYOUT, declination_deg=16.3).set.name == "array"
    assert registry.active(MJD, declination_deg=54.2).set.name == "strip"
    with pytest.raises(NoValidCaltables):
        registry.active(MJD, declination_deg=54.2, strip_tolerance_deg=0.1)


def test_a_retired_set_gives_way_and_its_reason_is_told(
    registry: CalibrationRegistry, new_set: Maker
) -> None:
    registry.register(new_set("old", MJD - 0.5, types=GP))
    registry.register(new_set("bad", MJD, types=GP))
    registry.register(new_set("bad", MJD, types=GP))
    assert registry.active(MJD).set.name == "bad"
    registry.retire("bad", "refant was flagged")
    assert registry.active(MJD).set.name == "old"
    registry.retire("old", "stale")
    with pytest.raises(NoValidCaltables, match="bad v2 is retired: refant was flagged") as hole:
        registry.active(MJD)
    assert "bad v1" not in hole.value.message


def test_a_new_version_takes_over_with_its_own_window(
    registry: CalibrationRegistry, new_set: Maker
) -> None:
    registry.register(new_set("cal", types=GP))
    registry.register(new_set("cal", types=GP, before=0.1, after=0.1))
    assert registry.active(MJD).set.version == 2
    with pytest.raises(NoValidCaltables):
        registry.active(MJD + 0.5)


@pytest.mark.parametrize("mjd", [float("nan"), float("inf"), 5.2e9, -1.0])
def test_a_time_that_is_none_is_refused(registry: CalibrationRegistry, mjd: float) -> None:
    with pytest.raises(InvalidName):
        registry.active(mjd)


@pytest.mark.parametrize("declination_deg", [float("nan"), 91.0])
def test_a_declination_that_is_none_is_refused(
    registry: CalibrationRegistry, declination_deg: float
) -> None:
    with pytest.raises(InvalidName):
        registry.active(MJD, declination_deg=declination_deg)


def test_an_empty_registry_says_so(registry: CalibrationRegistry) -> None:
    with pytest.raises(NoValidCaltables, match="nearest before: none; nearest after: none"):
        registry.active(MJD)


def test_altered_and_missing_tables_are_not_applied(
    registry: CalibrationRegistry, new_set: Maker
) -> None:
    registered = registry.register(new_set())
    assert registry.verify() == []
    registry.active(MJD)
    table = registered.tables[2]
    (table.path / "table.lock").write_bytes(b"CASA was here")
    assert registry.active(MJD).set == registered
    data = (table.path / "table.dat").read_bytes()
    (table.path / "table.dat").write_bytes(bytes(reversed(data)))
    with pytest.raises(CaltableAltered, match=f"cal v1: BP table {table.path} was changed"):
        registry.active(MJD)
    assert registry.active(MJD, verify=False).set == registered
    (table.path / "table.dat").write_bytes(data)
    assert registry.active(MJD).set == registered
    (table.path / "extra").write_bytes(b"")
    assert [str(p) for p in registry.verify("cal")] == [
        f"cal v1: BP table {table.path} was changed after it was registered"
    ]
    shutil.rmtree(table.path)
    with pytest.raises(CaltableAltered, match="is gone"):
        registry.active(MJD)
    assert [p.type for p in registry.verify()] == [CaltableType.BP]


def test_a_day_lists_the_sets_of_its_calibrator_observations(
    registry: CalibrationRegistry, new_set: Maker
) -> None:
    for name, offset in (("b", 0.9), ("a", 0.0), ("c", 1.0)):
        registry.register(new_set(name, MJD + offset, types=GP))
    day = registry.list_sets(start_mjd=MJD, end_mjd=MJD + 1)
    assert [s.name for s in day] == ["b", "a"]
    assert [s.name for s in registry.list_sets(limit=1)] == ["c"]


@dataclass(frozen=True)
class Row:
    mid: float
    before: float
    after: float
    strip: float | None
    layout: ArrayLayout
    status: str


# A coarse grid makes ties and windows that just touch frequent.
steps = st.integers(0, 24).map(lambda i: i / 8)
rows = st.builds(
    Row,
    mid=steps.map(lambda d: MJD + d),
    before=st.integers(0, 8).map(lambda i: i / 8),
    after=st.integers(0, 8).map(lambda i: i / 8),
    strip=st.sampled_from([None, 16.0, 16.5, 33.0]),
    layout=st.sampled_from([LAYOUT, OTHER]),
    status=st.sampled_from(["active", "active", "active", "retired", "failed"]),
)


@pytest.fixture(scope="module")
def filled(
    new_address: Callable[[], str], tmp_path_factory: pytest.TempPathFactory
) -> CalibrationRegistry:
    root: Path = tmp_path_factory.mktemp("oracle")
    registry = CalibrationRegistry(new_address(), inspect=read_made_up_tables)
    make = Maker(root)
    for layout in (LAYOUT, OTHER):
        registry.register_failed(make(layout=layout, types=GP), ["seed"])
    return registry


def put(registry: CalibrationRegistry, content: list[Row]) -> None:
    with registry.write() as connection:
        seed = connection.execute(sa.select(caltable_sets)).first()
        assert seed is not None
        ids = list(connection.scalars(sa.select(layouts.c.id).order_by(layouts.c.id)))
        for table in reversed(metadata.sorted_tables):
            if table is not layouts:
                connection.execute(sa.delete(table))
        for i, row in enumerate(content or [Row(50_000.0, 0, 0, None, LAYOUT, "failed")]):
            values = {
                **seed._mapping,
                "id": i + 1,
                "name": f"n{i}",
                "mid_mjd": row.mid,
                "start_mjd": row.mid - row.before,
                "end_mjd": row.mid + row.after,
                "reach_days": max(row.before, row.after),
                "declination_deg": row.strip,
                "layout_id": ids[0] if row.layout is LAYOUT else ids[1],
                "status": row.status,
            }
            connection.execute(sa.insert(caltable_sets).values(**values))
        connection.execute(sa.delete(caltables))
    registry._sets.clear()


@settings(max_examples=150, deadline=None)
@given(
    content=st.lists(rows, max_size=12),
    mjd=steps.map(lambda d: MJD + d),
    layout=st.sampled_from([None, LAYOUT, OTHER]),
    strip=st.sampled_from([None, 16.0, 16.25, 33.0]),
    borrow=st.booleans(),
)
def test_the_answer_is_the_one_that_looking_at_every_set_gives(
    filled: CalibrationRegistry,
    content: list[Row],
    mjd: float,
    layout: ArrayLayout | None,
    strip: float | None,
    borrow: bool,
) -> None:
    put(filled, content)
    fits = [
        (i, r)
        for i, r in enumerate(content)
        if r.status == "active"
        and (layout is None or r.layout == layout)
        and (strip is None or r.strip is None or abs(r.strip - strip) <= 0.25)
    ]
    inside = [(i, r) for i, r in fits if r.mid - r.before <= mjd <= r.mid + r.after]
    candidates = inside or (fits if borrow else [])
    ask = {"layout": layout, "declination_deg": strip, "strip_tolerance_deg": 0.25}
    wanted = [Wanted(mjd, layout, strip, 0.25)]
    (at_once,) = filled.active_for_all(wanted, borrow=borrow, span=(mjd, mjd))
    if not candidates:
        assert at_once is None
        with pytest.raises(NoValidCaltables):
            filled.active(mjd, borrow=borrow, **ask)  # type: ignore[arg-type]
        return
    expected = min(candidates, key=lambda c: (abs(c[1].mid - mjd), -c[0]))[0]
    found = filled.active(mjd, borrow=borrow, **ask)  # type: ignore[arg-type]
    assert (found.set.id, found.borrowed) == (expected + 1, not inside)
    assert at_once is not None
    assert (at_once[0].id, at_once[1]) == (expected + 1, not inside)


@pytest.mark.parametrize("reach", [1.0, 4000.0])
def test_a_look_up_among_ten_thousand_sets_takes_little_longer_than_among_one(
    filled: CalibrationRegistry, reach: float
) -> None:
    generator = random.Random(5)

    def least_s() -> float:
        durations = []
        for _ in range(300):
            mjd = MJD + generator.uniform(-0.9, 0.9)
            begin = time.perf_counter()
            filled.active(mjd, layout=LAYOUT, declination_deg=16.1)
            durations.append(time.perf_counter() - begin)
        # The best tenth: what the look-up costs when nobody else uses the computer.
        return sorted(durations)[30]

    put(filled, [Row(MJD, reach, reach, 16.0, LAYOUT, "active")])
    among_one_s = least_s()
    with filled.write() as connection:
        seed = connection.execute(sa.select(caltable_sets)).one()._mapping
        sets = []
        for i in range(10_000):
            mid = MJD + generator.uniform(-4000, 4000)
            window = {"mid_mjd": mid, "start_mjd": mid - reach, "end_mjd": mid + reach}
            strip = generator.choice([16.0, 33.0, 54.6])
            sets.append({**seed, **window, "id": i + 2, "name": f"m{i}", "declination_deg": strip})
        connection.execute(sa.insert(caltable_sets), sets)
        # Postgres itself does it a minute after many rows were inserted.
        connection.execute(sa.text("ANALYZE"))
    assert least_s() < 4 * among_one_s
