"""Many processes register, retire and look up at once; a killed one leaves nothing half-done."""

import os
import signal
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from contimg_resources.instrument.caltables import CaltableType
from contimg_resources.registry.model import NewCaltableSet, SetStatus
from contimg_resources.registry.store import CalibrationRegistry
from contimg_resources.registry.tables import metadata
from tests.processes import APART
from tests.registry.conftest import MJD, Maker, read_made_up_tables

EACH = 6


def _open(address: str) -> CalibrationRegistry:
    return CalibrationRegistry(address, inspect=read_made_up_tables)


def _register(address: str, new: NewCaltableSet, barrier: Any, results: Any) -> None:
    try:
        barrier.wait(300)
        registry = _open(address)
        for _ in range(EACH):
            registry.register(new)
        results.put("")
    except Exception as error:
        results.put(repr(error))


def _look_up(address: str, barrier: Any, results: Any) -> None:
    try:
        barrier.wait(300)
        registry = _open(address)
        last = 0
        for _ in range(60):
            # The seed guarantees an answer: replacing a version never opens a hole.
            version = registry.active(MJD).set.version
            assert version >= last, f"{version} after {last}"
            last = version
        results.put("")
    except Exception as error:
        results.put(repr(error))


def _retire_and_register(address: str, new: NewCaltableSet, barrier: Any, results: Any) -> None:
    try:
        barrier.wait(300)
        registry = _open(address)
        for i in range(EACH):
            registry.register(new)
            registry.retire(new.name, f"round {i}")
        results.put("")
    except Exception as error:
        results.put(repr(error))


def test_nothing_is_lost_and_no_look_up_ever_sees_a_hole(address: str, new_set: Maker) -> None:
    new = new_set("shared", types=[CaltableType.K, CaltableType.GP])
    _open(address).register(new)
    barrier, results = APART.Barrier(10), APART.Queue()
    elsewhere = [replace(new, name=f"own{i}", mid_mjd=MJD + 0.5) for i in range(2)]
    processes = [
        *(
            APART.Process(target=_register, args=(address, new, barrier, results), daemon=True)
            for _ in range(4)
        ),
        *(
            APART.Process(target=_look_up, args=(address, barrier, results), daemon=True)
            for _ in range(4)
        ),
        *(
            APART.Process(
                target=_retire_and_register, args=(address, other, barrier, results), daemon=True
            )
            for other in elsewhere
        ),
    ]
    for process in processes:
        process.start()
    assert [results.get(timeout=60) for _ in processes] == [""] * 10
    for process in processes:
        process.join()
    registry = _open(address)
    versions = sorted(s.version for s in registry.list_sets(name="shared"))
    assert versions == list(range(1, 4 * EACH + 2))
    assert [s.version for s in registry.list_sets(status=SetStatus.ACTIVE)] == [4 * EACH + 1]
    # In the order of the events each version is registered once, and retired by the next.
    story = [(e.version, e.event) for e in registry.events(name="shared")]
    expected = [(1, "registered")]
    for version in versions[1:]:
        expected += [(version - 1, "retired"), (version, "registered")]
    assert story == expected
    for other in elsewhere:
        retired = registry.list_sets(name=other.name, status=SetStatus.RETIRED)
        assert sorted(s.reasons[0] for s in retired) == [f"round {i}" for i in range(EACH)]


def _register_and_die(address: str, new: NewCaltableSet, statement: int) -> None:
    seen = 0

    def die(*_: Any) -> None:
        nonlocal seen
        seen += 1
        if seen > statement:
            os.kill(os.getpid(), signal.SIGKILL)

    registry = _open(address)
    sa.event.listen(registry._writer, "after_cursor_execute", die)
    registry.register(new)
    os._exit(0)


def _rows(address: str) -> dict[str, int]:
    with _open(address).read() as connection:
        return {
            t.name: connection.scalar(sa.select(sa.func.count()).select_from(t)) or 0
            for t in metadata.sorted_tables
        }


def test_kill_9_after_any_statement_of_a_registration_leaves_nothing_of_it(
    address: str, new_set: Maker
) -> None:
    first = _open(address).register(new_set(types=[CaltableType.K]))
    before = _rows(address)
    new = new_set(declination_deg=33.0)
    killed = 0
    while True:
        process = APART.Process(target=_register_and_die, args=(address, new, killed), daemon=True)
        process.start()
        process.join()
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
        assert _rows(address) == before
        assert _open(address).active(MJD).set == first
        killed += 1
    assert killed >= 6
    assert _open(address).active(MJD).set.version == 2
