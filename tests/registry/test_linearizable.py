"""Sixteen processes at once: every answer is that of some moment while it was asked."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contimg_resources.core.errors import NoValidCaltables, RegistryError
from contimg_resources.instrument.caltables import CaltableType
from contimg_resources.registry.model import NewCaltableSet
from contimg_resources.registry.store import CalibrationRegistry
from tests.processes import APART
from tests.registry.conftest import MJD, Maker, read_made_up_tables

N_PROCESSES = 16
#: Of two sets the first is nearer to what is asked for.
NAMES = ("near", "far")
OPERATIONS = st.sampled_from(
    [("look", ""), *(("register", n) for n in NAMES), *(("retire", n) for n in NAMES)]
)

Answer = tuple[str, int] | None


@dataclass(frozen=True)
class Done:
    """One operation: when it was asked, when it was answered, and the answer."""

    kind: str
    name: str
    began: float
    ended: float
    answer: Answer


def _work(
    address: str,
    sets: dict[str, NewCaltableSet],
    operations: list[tuple[str, str]],
    barrier: Any,
    results: Any,
) -> None:
    try:
        registry = CalibrationRegistry(address, inspect=read_made_up_tables)
        barrier.wait(300)
        done = []
        for kind, name in operations:
            began = time.monotonic()
            answer = _ask(registry, sets, kind, name)
            done.append(Done(kind, name, began, time.monotonic(), answer))
        results.put(done)
    except Exception as error:
        results.put(repr(error))


def _ask(
    registry: CalibrationRegistry, sets: dict[str, NewCaltableSet], kind: str, name: str
) -> Answer:
    try:
        if kind == "look":
            found = registry.active(MJD, verify=False).set
        elif kind == "register":
            found = registry.register(sets[name])
        else:
            found = registry.retire(name, "by hand")
    except (NoValidCaltables, RegistryError):
        return None
    return found.name, found.version


def check_linearizable(done: list[Done], events: list[tuple[str, int, str]]) -> None:
    """Fail when no order of the operations explains every answer.

    The registry's events are the order of the writes. Each look must be explained by what was true
    after some number of them, none of which began after the look had ended, and after which none
    had ended before it began; and a later look never by fewer than one that ended before it began.
    """
    began: list[float] = []
    ended: list[float] = []
    states: list[Answer] = [None]
    active: dict[str, int] = {}
    for name, version, event in events:
        # The predecessor of a new version is retired within the same registration.
        by_hand = [d for d in done if d.kind == "retire" and d.answer == (name, version)]
        # Without, it made room for its successor, within the same registration.
        registered = version + (event == "retired")
        (write,) = (by_hand if event == "retired" else []) or [
            d for d in done if d.kind == "register" and d.answer == (name, registered)
        ]
        began.append(write.began)
        ended.append(write.ended)
        if event == "registered":
            active[name] = version
        else:
            active.pop(name, None)
        states.append(next(((n, active[n]) for n in NAMES if n in active), None))
    assert all(ended[j] >= began[i] for i in range(len(events)) for j in range(i, len(events)))
    explained: list[tuple[float, int]] = []
    for look in sorted((d for d in done if d.kind == "look"), key=lambda d: d.began):
        least = max((n for end, n in explained if end < look.began), default=0)
        possible = [
            n
            for n in range(least, len(states))
            if states[n] == look.answer
            and all(b <= look.ended for b in began[:n])
            and all(e >= look.began for e in ended[n:])
        ]
        assert possible, f"nothing explains {look}"
        explained.append((look.ended, possible[0]))


@settings(
    # For each kind of database.
    max_examples=2,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    work=st.lists(
        st.lists(OPERATIONS, min_size=2, max_size=6),
        min_size=N_PROCESSES,
        max_size=N_PROCESSES,
    )
)
def test_every_answer_was_true_while_it_was_asked(
    new_address: Callable[[], str], new_set: Maker, work: list[list[tuple[str, str]]]
) -> None:
    sets = {
        name: new_set(name, MJD + 0.1 * i, types=[CaltableType.GP]) for i, name in enumerate(NAMES)
    }
    address = new_address()
    registry = CalibrationRegistry(address, inspect=read_made_up_tables)
    barrier, results = APART.Barrier(N_PROCESSES), APART.Queue()
    processes = [
        APART.Process(target=_work, args=(address, sets, operations, barrier, results), daemon=True)
        for operations in work
    ]
    for process in processes:
        process.start()
    told = [results.get(timeout=120) for _ in processes]
    for process in processes:
        process.join()
    assert [t for t in told if isinstance(t, str)] == []
    done = [d for mine in told for d in mine]
    events = [(e.set_name, e.version, e.event) for e in registry.events(limit=10_000)]
    registry.close()
    n_registered = sum(d.kind == "register" for d in done)
    assert sum(event == "registered" for _, _, event in events) == n_registered
    check_linearizable(done, events)


def test_the_check_would_see_a_stale_answer() -> None:
    first = Done("register", "near", 0.0, 1.0, ("near", 1))
    retired = Done("retire", "near", 2.0, 3.0, ("near", 1))
    events = [("near", 1, "registered"), ("near", 1, "retired")]
    during = Done("look", "", 2.5, 2.6, ("near", 1))
    after = Done("look", "", 4.0, 5.0, ("near", 1))
    check_linearizable([first, retired, during], events)
    for wrong in ([after], [Done("look", "", 2.1, 2.2, None), during]):
        with pytest.raises(AssertionError, match="nothing explains"):
            check_linearizable([first, retired, *wrong], events)
