"""Looks at a directory in which observations arrive."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from contimg_resources.core.errors import (
    CasaCrashed,
    DiskRefused,
    DiskShort,
    ProductsUnavailable,
    ReadingCutOff,
    ScratchLost,
    UnreadableObservation,
)
from contimg_resources.observations.settling import content_signature
from contimg_resources.products.model import ArrivalOutcome
from contimg_resources.settings import ArrivalSettings, Settings
from contimg_resources.steps import watching
from contimg_resources.steps.watching import MAX_READS, ScanCursor, ScanResult, scan_directory
from tests.hostile_trees import nested


class Incoming:
    """A directory, what is known of it, and what was read from it."""

    def __init__(self, root: Path, settle_age_s: float = 0.0) -> None:
        self.root = root
        self.known: dict[str, str] = {}
        self.read: list[str] = []
        self.memory = ScanCursor()
        #: Reasons of the rejections that stand, as the products store would have them.
        self.rejected: dict[str, str] = {}
        settings = Settings(
            state=root.parent, ms_dir=root, arrival=ArrivalSettings(settle_age_s=settle_age_s)
        )
        # Of a second delivery the first is elsewhere.
        first = SimpleNamespace(path=root, signature="first")
        self.known[str(first.path)] = first.signature
        products = SimpleNamespace(
            known_signatures=lambda paths: {p: s for p, s in self.known.items() if p in paths},
            get=lambda _key: first,
            rejections=SimpleNamespace(update=self._note),
        )
        # Any: it has what a scan uses of a workshop.
        self.workshop: Any = SimpleNamespace(settings=settings, products=products)

    def _note(self, directory: Path, rejected: dict[str, str], *, standing: list[str]) -> None:
        assert directory == self.root
        self.rejected = {n: w for n, w in self.rejected.items() if n in standing} | rejected

    def arrive(self, _workshop: Any, path: Path, run_id: str | None = None) -> SimpleNamespace:
        self.read.append(path.stem)
        if "bad" in path.stem:
            raise UnreadableObservation(f"{path} holds no rows", path=str(path))
        replaced = str(path.absolute()) in self.known
        outcome = ArrivalOutcome.REPLACED if replaced else ArrivalOutcome.NEW
        if "again" in path.stem:
            outcome = ArrivalOutcome.DUPLICATE
        else:
            self.known[str(path.absolute())] = content_signature(path).digest
        observation = SimpleNamespace(key="61041.00347", path=path)
        return SimpleNamespace(observation=observation, outcome=outcome)

    def put(self, stem: str, text: str = "rows", *, done: bool = False) -> None:
        ms = self.root / f"{stem}.ms"
        ms.mkdir(exist_ok=True)
        (ms / "table.dat").write_text(text)
        if done:
            (self.root / f"{stem}.ms.done").touch()

    def look(self, **options: Any) -> ScanResult:
        # Through text, as the memory travels in a cursor.
        found = scan_directory(
            self.workshop, ScanCursor.from_text(self.memory.to_text()), **options
        )
        self.memory = found.memory
        return found


def names(found: ScanResult) -> list[str]:
    return [arrived.observation.path.stem for arrived in found.arrivals]


@pytest.fixture
def incoming(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Incoming:
    root = tmp_path / "incoming"
    root.mkdir()
    directory = Incoming(root)
    monkeypatch.setattr(watching, "arrive", directory.arrive)
    return directory


def test_an_observation_is_read_at_the_second_equal_look_and_then_left_alone(
    incoming: Incoming,
) -> None:
    incoming.put("a")
    assert incoming.look().arrivals == ()
    assert names(incoming.look()) == ["a"]
    third = incoming.look()
    assert (third.arrivals, third.n_known, third.words) == ((), 1, "1 MS: 1 known")
    assert incoming.read == ["a"]


def test_a_growing_observation_is_not_touched(incoming: Incoming) -> None:
    for size in range(3):
        incoming.put("a", "x" * size)
        found = incoming.look()
        assert list(found.growing) == ["a.ms"]
    assert incoming.read == []


def test_a_done_marker_settles_it_at_once(incoming: Incoming) -> None:
    incoming.put("a", done=True)
    assert names(incoming.look()) == ["a"]


def test_an_unreadable_one_is_tried_once_until_it_changes(incoming: Incoming) -> None:
    incoming.put("bad", done=True)
    first = incoming.look()
    assert [u.reason for u in first.rejected] == [f"{incoming.root}/bad.ms holds no rows"]
    second = incoming.look()
    assert (second.rejected, second.words) == ((), "1 MS: 1 rejected")
    told = [f"bad.ms rejected: {incoming.root}/bad.ms holds no rows"]
    assert second.not_taken == told
    # Nor does a look forget it that had no time.
    assert incoming.look(budget_s=-1.0).n_left == 1
    assert incoming.look().not_taken == told
    assert incoming.read == ["bad"]
    incoming.put("bad", "more rows", done=True)
    assert len(incoming.look().rejected) == 1
    assert incoming.read == ["bad", "bad"]


def test_what_a_look_has_no_time_for_comes_with_the_next_ones(incoming: Incoming) -> None:
    for stem in ("a", "b", "c"):
        incoming.put(stem, done=True)
    first = incoming.look(max_arrivals=2)
    assert (names(first), first.n_left) == (["a", "b"], 1)
    assert names(incoming.look(max_arrivals=2)) == ["c"]
    incoming.put("d", done=True)
    assert incoming.look(budget_s=-1.0).n_left == 1


def test_a_cursor_of_another_version_is_forgotten_not_fatal() -> None:
    for text in (None, "", "nonsense", "[]", '{"growing": {"a": [1]}}', '{"growing": 3}'):
        assert ScanCursor.from_text(text) == ScanCursor()


def test_a_replaced_observation_is_read_again_once_it_has_settled(incoming: Incoming) -> None:
    incoming.put("a", done=True)
    incoming.look()
    incoming.put("a", "other rows")
    replaced = incoming.look()
    assert [a.outcome for a in replaced.arrivals] == [ArrivalOutcome.REPLACED]
    assert incoming.look().words == "1 MS: 1 known"


def test_a_second_delivery_is_read_once_and_set_aside(incoming: Incoming) -> None:
    incoming.put("again", done=True)
    assert "second delivery of observation 61041.00347" in incoming.look().rejected[0].reason
    assert incoming.look().words == "1 MS: 1 rejected"
    assert incoming.read == ["again"]


def test_replacements_are_found_though_a_look_has_time_for_a_few_only(
    incoming: Incoming, monkeypatch: pytest.MonkeyPatch
) -> None:
    for stem in ("a", "b", "c"):
        incoming.put(stem, done=True)
    incoming.look()
    ticks = iter(range(1000))
    monkeypatch.setattr(watching, "RECHECK_S", 1.0)
    tick = "contimg_resources.steps.watching.time.monotonic"
    monkeypatch.setattr(tick, lambda: float(next(ticks)))
    incoming.put("c", "other rows")
    assert any(names(incoming.look(budget_s=1e9)) == ["c"] for _ in range(4))


def test_two_names_that_differ_in_their_ending_alone_are_two_ms(incoming: Incoming) -> None:
    incoming.put("bad", done=True)
    (incoming.root / "bad.MS").mkdir()
    (incoming.root / "bad.MS" / "table.dat").write_text("other rows")
    (incoming.root / "bad.MS.done").touch()
    assert len(incoming.look().rejected) == 2
    assert incoming.look().n_aside == 2
    assert incoming.read == ["bad", "bad"]


def test_what_is_passed_over_is_named_with_the_reason(incoming: Incoming) -> None:
    incoming.put("a", done=True)
    (incoming.root / "night.uvh5").touch()
    found = incoming.look()
    assert found.words == "1 MS: 1 new (ignored: 1 UVH5)"
    assert found.not_taken == [
        "night.uvh5 is a sub-band file of the correlator: it belongs in the directory "
        "CONTIMG_UVH5_DIR"
    ]


def test_a_delivery_too_deep_to_walk_is_set_aside_alone(incoming: Incoming) -> None:
    incoming.put("a", done=True)
    incoming.put("z", done=True)
    (incoming.root / "e-deep.ms.done").touch()
    with nested(incoming.root / "e-deep.ms"):
        found = incoming.look()
        assert names(found) == ["a", "z"]
        (aside,) = found.rejected
        assert "holds directories nested more than 32 deep" in aside.reason
        assert aside.path.name == "e-deep.ms"
        again = incoming.look()
        assert (again.rejected, again.n_aside, again.n_known) == ((), 1, 2), "told once"
        assert again.not_taken == [f"e-deep.ms rejected: {aside.reason}"]
        assert incoming.look().n_aside == 1


@pytest.mark.parametrize(
    ("raised", "reason"),
    [
        (RecursionError("maximum recursion depth exceeded"), "unexpected RecursionError: maximum"),
        (KeyError("x"), "unexpected KeyError: 'x'"),
        (OSError(5, "Input/output error", "/in/e.ms/table.f0"), "/in/e.ms/table.f0: Input/output"),
    ],
)
def test_whatever_a_delivery_raises_rejects_it_alone_with_its_name(
    incoming: Incoming, monkeypatch: pytest.MonkeyPatch, raised: Exception, reason: str
) -> None:
    for stem in ("a", "e", "z"):
        incoming.put(stem, done=True)

    def arrive(workshop: Any, path: Path, run_id: str | None = None) -> SimpleNamespace:
        if path.stem == "e":
            raise raised
        return incoming.arrive(workshop, path)

    monkeypatch.setattr(watching, "arrive", arrive)
    found = incoming.look()
    assert names(found) == ["a", "z"]
    (aside,) = found.rejected
    assert reason in aside.reason
    assert "e.ms" in aside.reason
    assert incoming.look().n_aside == 1, "it isn't read again until it changes"


@pytest.mark.parametrize(
    "error",
    [
        ProductsUnavailable("database is locked"),
        DiskShort("only 0.1 GB are free"),
        DiskRefused("scratch can't be written to"),
        ScratchLost("its working directory was removed"),
    ],
)
def test_what_is_no_fault_of_a_delivery_does_not_reject_it(
    incoming: Incoming, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    incoming.put("a", done=True)

    def refuse(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(watching, "arrive", refuse)
    first = incoming.look()
    assert (first.rejected, first.growing) == ((), {"a.ms": str(error)})
    monkeypatch.setattr(watching, "arrive", incoming.arrive)
    assert names(incoming.look()) == ["a"]


def test_one_that_casa_crashes_on_is_read_three_times(
    incoming: Incoming, monkeypatch: pytest.MonkeyPatch
) -> None:
    crash = ReadingCutOff("a.ms: CASA crashed (SIGSEGV) while reading column DATA")
    killed = CasaCrashed("the CASA process died of SIGKILL")
    incoming.put("a", done=True)
    raised: list[Exception | None] = [crash, killed, None]

    def arrive(workshop: Any, path: Path, run_id: str | None = None) -> SimpleNamespace:
        error = raised.pop(0)
        if error is not None:
            raise error
        return incoming.arrive(workshop, path)

    monkeypatch.setattr(watching, "arrive", arrive)
    for error in (crash, killed):
        found = incoming.look()
        assert (found.rejected, found.growing) == ((), {"a.ms": str(error)})
    assert names(incoming.look()) == ["a"], "somebody had killed CASA"
    assert incoming.memory.cut_off == {}

    incoming.put("damaged", done=True)
    raised[:] = [crash] * MAX_READS
    assert [len(incoming.look().rejected) for _ in range(MAX_READS)] == [0, 0, 1]
    assert incoming.look().n_aside == 1
    incoming.put("damaged", "rows anew", done=True)
    raised[:] = [crash, None]
    assert [names(incoming.look()) for _ in range(2)] == [[], ["damaged"]]
