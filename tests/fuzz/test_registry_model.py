"""The registry against a list that is searched from end to end.

Any order of registering, failing, retiring, altering tables, reopening and looking up gives the
answers of the model, which knows no SQL, no index and no bound of a search.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from contimg_resources.core.errors import (
    CaltableAltered,
    NoValidCaltables,
    RegistrationRefused,
    RegistryError,
    SetNotFound,
)
from contimg_resources.instrument.caltables import ArrayLayout, CaltableType
from contimg_resources.registry.lookup import Wanted
from contimg_resources.registry.model import NewCaltable, NewCaltableSet, SetStatus
from contimg_resources.registry.store import CalibrationRegistry
from tests.fuzz.mangling import counted, fuzzed, only_ours
from tests.registry.conftest import GAIN_WINDOWS, LAYOUT, MJD, read_made_up_tables, write_table

#: Times are sums of powers of two and few, so that there are ties.
STEP = 1 / 4
GRID = [MJD + n * STEP for n in range(-4, 5)]
TIMES = st.sampled_from(GRID)
SPANS = st.integers(0, 6).map(lambda n: n * STEP)
NAMES = st.sampled_from(("a", "b", "c", "d"))
STRIPS = st.sampled_from((None, 16.25, 16.5, 17.0))
LAYOUTS = (
    LAYOUT,
    ArrayLayout(("1", "2", "3", "105"), LAYOUT.spectral_windows_hz),
    # An antenna without data, and one that is missing at the end: both fit the first.
    ArrayLayout(("1", "", "3"), LAYOUT.spectral_windows_hz),
)
#: Which of these fit which, by hand.
FIT = {0: {0, 2}, 1: {1, 2}, 2: {0, 1, 2}}
TOLERANCE_DEG = 0.25


@dataclass
class Known:
    """A set as the model knows it."""

    name: str
    version: int
    mid: float
    start: float
    end: float
    strip: float | None
    layout: int
    table: Path
    status: SetStatus
    altered: bool = False


class RegistryModel(RuleBasedStateMachine):
    """Rules change the registry and the list alike."""

    registry: CalibrationRegistry

    def __init__(self) -> None:
        super().__init__()
        counted()
        self.directory = tempfile.TemporaryDirectory()
        self.root = Path(self.directory.name)
        self.known: list[Known] = []
        self.n_tables = 0
        self.last_event = 0
        self.reopen()

    def teardown(self) -> None:
        self.registry.close()
        self.directory.cleanup()

    @rule()
    def reopen(self) -> None:
        if hasattr(self, "registry"):
            self.registry.close()
        self.registry = CalibrationRegistry(
            str(self.root / "registry.sqlite3"), inspect=read_made_up_tables
        )

    def _new(
        self,
        name: str,
        mid: float,
        before: float,
        after: float,
        strip: float | None,
        layout: int,
    ) -> NewCaltableSet:
        self.n_tables += 1
        path = self.root / f"t{self.n_tables}.gp"
        names = LAYOUTS[layout].antenna_names
        write_table(path, CaltableType.GP, mid, layout=ArrayLayout(names, GAIN_WINDOWS))
        return NewCaltableSet(
            name=name,
            calibrator="3C286",
            refant="104",
            mid_mjd=mid,
            start_mjd=mid - before,
            end_mjd=mid + after,
            declination_deg=strip,
            layout=LAYOUTS[layout],
            tables=(NewCaltable(CaltableType.GP, path),),
        )

    def _newest(self, name: str) -> int:
        return max((k.version for k in self.known if k.name == name), default=0)

    def _active(self) -> list[Known]:
        return [k for k in self.known if k.status is SetStatus.ACTIVE]

    def _add(self, new: NewCaltableSet, layout: int, status: SetStatus) -> Known:
        added = Known(
            *(new.name, self._newest(new.name) + 1, new.mid_mjd, new.start_mjd, new.end_mjd),
            *(new.declination_deg, layout, new.tables[0].path, status),
        )
        self.known.append(added)
        return added

    @rule(name=NAMES, mid=TIMES, before=SPANS, after=SPANS, strip=STRIPS, layout=st.integers(0, 2))
    def register(
        self, name: str, mid: float, before: float, after: float, strip: Any, layout: int
    ) -> None:
        new = self._new(name, mid, before, after, strip, layout)
        found = self.registry.register(new)
        for other in self._active():
            if other.name == name:
                other.status = SetStatus.RETIRED
        added = self._add(new, layout, SetStatus.ACTIVE)
        assert (found.name, found.version, found.status) == (name, added.version, "active")

    @rule(name=NAMES, mid=TIMES, strip=STRIPS, how=st.sampled_from(("window", "name", "table")))
    def refuse(self, name: str, mid: float, strip: float | None, how: str) -> None:
        new = self._new(name, mid, 1.0, 1.0, strip, 0)
        wrong: dict[str, dict[str, Any]] = {
            "window": {"start_mjd": mid + STEP},
            "name": {"name": "../a"},
            "table": {"tables": (NewCaltable(CaltableType.GP, self.root / "none"),)},
        }
        changes = wrong[how]
        with pytest.raises(RegistrationRefused):
            self.registry.register(NewCaltableSet(**{**vars(new), **changes}))

    @rule(name=NAMES, mid=TIMES, strip=STRIPS)
    def register_failed(self, name: str, mid: float, strip: float | None) -> None:
        new = self._new(name, mid, 1.0, 1.0, strip, 0)
        found = self.registry.register_failed(new, ["SNR 1"])
        added = self._add(new, 0, SetStatus.FAILED)
        assert (found.version, found.status) == (added.version, SetStatus.FAILED)

    @rule(name=NAMES, version=st.none() | st.integers(1, 4), reason=st.sampled_from(("bad", " ")))
    def retire(self, name: str, version: int | None, reason: str) -> None:
        mine = [k for k in self.known if k.name == name]
        if version is None:
            chosen = next((k for k in mine if k.status is SetStatus.ACTIVE), None)
        else:
            chosen = next((k for k in mine if k.version == version), None)
        if reason.strip() and chosen is not None and chosen.status is SetStatus.ACTIVE:
            assert self.registry.retire(name, reason, version).version == chosen.version
            chosen.status = SetStatus.RETIRED
            return
        with pytest.raises(RegistryError) as refused:
            self.registry.retire(name, reason, version)
        unknown = not mine or (version is not None and chosen is None)
        assert isinstance(refused.value, SetNotFound) == (unknown and bool(reason.strip()))

    @rule(data=st.data())
    def alter_a_table(self, data: st.DataObject) -> None:
        if active := [k for k in self._active() if not k.altered]:
            chosen = data.draw(st.sampled_from(active))
            (chosen.table / "table.dat").write_bytes(b"something else, and longer than before")
            chosen.altered = True

    def _fits(self, known: Known, strip: float | None, layout: int | None) -> bool:
        return (
            known.status is SetStatus.ACTIVE
            and (strip is None or known.strip is None or abs(known.strip - strip) <= TOLERANCE_DEG)
            and (layout is None or known.layout in FIT[layout])
        )

    def _expected(
        self, mjd: float, strip: float | None, layout: int | None, borrow: bool
    ) -> tuple[Known, bool] | None:
        fitting = [k for k in enumerate(self.known) if self._fits(k[1], strip, layout)]
        inside = [k for k in fitting if k[1].start <= mjd <= k[1].end]
        if not (inside or (borrow and fitting)):
            return None
        # Of two that are equally near, the one that was registered later.
        nearest = min(inside or fitting, key=lambda k: (abs(k[1].mid - mjd), -k[0]))
        return nearest[1], not inside

    @rule(mjd=TIMES, strip=STRIPS, layout=st.none() | st.integers(0, 2), borrow=st.booleans())
    def look_up(self, mjd: float, strip: float | None, layout: int | None, borrow: bool) -> None:
        for verify in (True, False):
            self._compare(mjd, strip, layout, borrow, verify)

    @rule(layout=st.none() | st.integers(0, 2), borrow=st.booleans())
    def look_up_every_time(self, layout: int | None, borrow: bool) -> None:
        for mjd in GRID:
            self._compare(mjd, None, layout, borrow, False)

    def _compare(
        self, mjd: float, strip: float | None, layout: int | None, borrow: bool, verify: bool
    ) -> None:
        expected = self._expected(mjd, strip, layout, borrow)
        wanted = None if layout is None else LAYOUTS[layout]
        ask: dict[str, Any] = {
            "layout": wanted,
            "declination_deg": strip,
            "strip_tolerance_deg": TOLERANCE_DEG,
            "borrow": borrow,
        }
        answers = self.registry.active_for_all(
            [Wanted(mjd, wanted, strip, TOLERANCE_DEG)], borrow=borrow
        )
        (all_at_once,) = [a and (a[0].name, a[0].version, a[1]) for a in answers]
        if expected is None:
            assert all_at_once is None
            with (
                pytest.raises(NoValidCaltables) as hole,
                only_ours(f"{mjd:.5f}", ours=RegistryError),
            ):
                self.registry.active(mjd, verify=verify, **ask)
            self._check_hole(hole.value, mjd)
            return
        known, borrowed = expected
        assert all_at_once == (known.name, known.version, borrowed)
        if verify and known.altered:
            with pytest.raises(CaltableAltered, match=known.table.name):
                self.registry.active(mjd, verify=True, **ask)
            return
        found = self.registry.active(mjd, verify=verify, **ask)
        assert (found.set.name, found.set.version) == (known.name, known.version)
        assert found.borrowed == borrowed
        assert found.age_h == 24 * (mjd - known.mid)
        assert [t.path for t in found.set.tables] == [known.table]

    def _check_hole(self, hole: NoValidCaltables, mjd: float) -> None:
        active = list(enumerate(self._active()))
        before = sorted((k for k in active if k[1].mid <= mjd), key=lambda k: (-k[1].mid, -k[0]))
        after = sorted((k for k in active if k[1].mid > mjd), key=lambda k: (k[1].mid, -k[0]))
        for side, nearest in (("before", before), ("after", after)):
            named = [(n["name"], n["version"]) for n in hole.details[side]]
            assert named == [(k.name, k.version) for _, k in nearest[:3]]
            assert all(n["why_not"] for n in hole.details[side])
            if nearest:
                assert f"{nearest[0][1].name} v{nearest[0][1].version}" in hole.message

    @invariant()
    def both_hold_the_same_sets(self) -> None:
        found = {(s.name, s.version): s.status for s in self.registry.list_sets()}
        assert found == {(k.name, k.version): k.status for k in self.known}
        assert sum(self.registry.counts().values()) == len(self.known)
        active = [k.name for k in self._active()]
        assert len(set(active)) == len(active)
        for name in {k.name for k in self.known}:
            current = [k.version for k in self._active() if k.name == name]
            assert self.registry.get(name).version == (current or [self._newest(name)])[0]

    @invariant()
    def events_tell_every_change_once(self) -> None:
        events = self.registry.events()
        ids = [e.id for e in events]
        assert ids == sorted(set(ids))
        assert self.registry.last_event_id() == max(ids, default=0)
        told: dict[tuple[str, int], str] = {}
        for event in events:
            told[event.set_name, event.version] = event.event
        words = {"registered": "active", "retired": "retired", "failed": "failed"}
        assert {k: words[v] for k, v in told.items()} == {
            (k.name, k.version): k.status for k in self.known
        }

    @rule()
    def verify_names_what_was_altered(self) -> None:
        problems = {(p.set_name, p.version) for p in self.registry.verify()}
        assert problems == {(k.name, k.version) for k in self._active() if k.altered}


def test_the_registry_answers_as_a_list_would() -> None:
    run_state_machine_as_test(RegistryModel, settings=fuzzed(6))
