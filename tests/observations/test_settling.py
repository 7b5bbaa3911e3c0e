"""Claims about when an incoming MS may be touched."""

import os
from pathlib import Path

import pytest

from contimg_resources.core.errors import ObservationNotSettled, UnreadableObservation
from contimg_resources.observations import settling
from contimg_resources.observations.settling import (
    Signature,
    content_signature,
    decide_settled,
    done_marker,
)
from tests.hostile_trees import nested

NOW_S = 1_000_000.0
QUIET = Signature(int((NOW_S - 100) * 1e9), 1000, 3, "a")


@pytest.fixture
def ms(tmp_path: Path) -> Path:
    """Give a directory that looks like an MS."""
    path = tmp_path / "2025-10-06T12:36:09.ms"
    (path / "ANTENNA").mkdir(parents=True)
    (path / "table.dat").write_bytes(b"main")
    (path / "ANTENNA" / "table.f0").write_bytes(b"antennas")
    return path


def test_the_first_look_never_settles() -> None:
    decision = decide_settled(None, QUIET, NOW_S, done_marker=False, settle_age_s=30)
    assert not decision.settled
    assert "first time" in decision.reason


def test_settles_only_after_two_equal_looks() -> None:
    grown = Signature(QUIET.newest_mtime_ns, 2000, 4, "b")
    assert decide_settled(QUIET, QUIET, NOW_S, False, 30).settled
    decision = decide_settled(QUIET, grown, NOW_S, False, 30)
    assert not decision.settled
    assert "+1 files, +1000 bytes" in decision.reason


def test_equal_looks_at_fresh_files_do_not_settle() -> None:
    decision = decide_settled(QUIET, QUIET, NOW_S, False, settle_age_s=101)
    assert not decision.settled
    assert "100 s ago" in decision.reason


def test_a_done_marker_settles_at_once() -> None:
    assert decide_settled(None, QUIET, NOW_S, done_marker=True, settle_age_s=1e9).settled


def test_an_empty_directory_never_settles_even_with_a_marker() -> None:
    empty = Signature(0, 0, 0, "e")
    assert not decide_settled(empty, empty, NOW_S, True, 0).settled


def test_a_file_of_the_future_is_told_in_words() -> None:
    decision = decide_settled(QUIET, QUIET, NOW_S - 500, False, 30)
    assert not decision.settled
    assert "400 s in the future" in decision.reason


def test_the_signature_sees_a_file_grow_though_the_directory_keeps_its_date(ms: Path) -> None:
    before, directory_before = content_signature(ms), ms.stat().st_mtime_ns
    with (ms / "ANTENNA" / "table.f0").open("ab") as file:
        file.write(b"more")
    after = content_signature(ms)
    assert ms.stat().st_mtime_ns == directory_before
    assert after != before
    assert after.total_bytes == before.total_bytes + 4


def test_a_rewrite_of_equal_size_changes_the_signature(ms: Path) -> None:
    before = content_signature(ms)
    os.utime(ms / "table.dat", ns=(1, before.newest_mtime_ns - 10**9))
    assert content_signature(ms).digest != before.digest


def test_a_reader_that_touches_the_lock_file_changes_nothing(ms: Path) -> None:
    before = content_signature(ms)
    (ms / "table.lock").write_bytes(b"read")
    assert content_signature(ms) == before


def test_a_link_that_leaves_the_ms_is_refused(ms: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("other data")
    (ms / "table.f1").symlink_to("../elsewhere")
    with pytest.raises(UnreadableObservation, match=r"table\.f1 that leads out of it"):
        content_signature(ms)


def test_a_link_that_stays_inside_is_counted(ms: Path) -> None:
    before = content_signature(ms)
    (ms / "table.f1").symlink_to("table.dat")
    assert content_signature(ms).n_files == before.n_files + 1


def test_a_link_to_itself_is_refused(ms: Path) -> None:
    (ms / "loop").symlink_to("loop")
    with pytest.raises(UnreadableObservation, match="leads nowhere"):
        content_signature(ms)


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnreadableObservation, match=r"gone\.ms does not exist"):
        content_signature(tmp_path / "gone.ms")


def test_an_ms_that_vanishes_under_the_look_is_not_settled(
    ms: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def vanish(directory: Path, root: Path, prefix: str) -> None:
        raise FileNotFoundError(2, "No such file", str(ms / "table.dat"))

    monkeypatch.setattr(settling, "_files", vanish)
    with pytest.raises(ObservationNotSettled, match=r"table\.dat vanished"):
        content_signature(ms)


def test_the_marker_lies_beside_the_ms(ms: Path) -> None:
    assert done_marker(ms).name == "2025-10-06T12:36:09.ms.done"
    assert done_marker(ms).parent == ms.parent


def test_a_directory_that_is_too_deep_or_holds_a_pipe_is_refused_in_words(ms: Path) -> None:
    os.mkfifo(ms / "ANTENNA" / "table.f1")
    with pytest.raises(UnreadableObservation, match=r"holds the named pipe ANTENNA/table\.f1"):
        content_signature(ms)
    with (
        nested(ms.with_name("e-deep.ms")) as deep,
        pytest.raises(
            UnreadableObservation,
            match=r"e-deep\.ms holds directories nested more than 32 deep, so it is no Meas",
        ),
    ):
        content_signature(deep)
