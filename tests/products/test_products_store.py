"""The products store says what became of each observation, and why."""

import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from contimg_resources.core.errors import InvalidName, ProductsError, RunSuperseded
from contimg_resources.products.model import (
    ArrivalOutcome,
    Artefact,
    ArtefactKind,
    ImageRecord,
    ObservationState,
)
from contimg_resources.products.store import ProductsStore
from tests.products.conftest import MJD, TRANSIT, make_observation

KEY = "61041.00347"


def test_an_observation_arrives_once_however_often_it_is_told(
    store: ProductsStore, tmp_path: Path
) -> None:
    observation = make_observation(tmp_path / "a.ms", calibrators=(TRANSIT,))
    arrival = store.arrive(observation, run_id="r1")
    assert arrival.outcome is ArrivalOutcome.NEW
    assert arrival.record == store.get(KEY)
    assert arrival.record.calibrator == "3C286"
    assert arrival.record.state is ObservationState.ARRIVED
    assert store.arrive(observation).outcome is ArrivalOutcome.SAME
    assert [(e.state, e.run_id) for e in store.history(KEY)] == [("arrived", "r1")]
    assert store.observation(KEY) == observation
    ours = str(tmp_path / "a.ms")
    assert store.known_signatures([ours, str(tmp_path / "b.ms")]) == {ours: "s1"}


def test_content_replaced_in_place_starts_again(store: ProductsStore, tmp_path: Path) -> None:
    observation = make_observation(tmp_path / "a.ms")
    store.arrive(observation)
    store.set_state(KEY, ObservationState.IMAGED, step="image_5min")
    arrival = store.arrive(replace(observation, signature="s2"))
    assert arrival.outcome is ArrivalOutcome.REPLACED
    assert (arrival.record.state, arrival.record.signature) == (ObservationState.ARRIVED, "s2")
    assert "was replaced" in store.history(KEY)[-1].message


def test_a_second_copy_is_noted_once_and_not_used(store: ProductsStore, tmp_path: Path) -> None:
    observation = make_observation(tmp_path / "a.ms")
    copy = make_observation(tmp_path / "copy.ms")
    store.arrive(observation)
    assert store.arrive(copy).outcome is ArrivalOutcome.DUPLICATE
    assert store.arrive(copy).outcome is ArrivalOutcome.DUPLICATE
    assert store.get(KEY).path == tmp_path / "a.ms"
    assert len(store.history(KEY)) == 2


def test_a_moved_ms_keeps_its_state(store: ProductsStore, tmp_path: Path) -> None:
    store.arrive(make_observation(tmp_path / "a.ms"))
    store.set_state(KEY, ObservationState.CALIBRATED, step="calibrated_ms")
    shutil.move(tmp_path / "a.ms", tmp_path / "b.ms")
    arrival = store.arrive(make_observation(tmp_path / "b.ms"))
    assert arrival.outcome is ArrivalOutcome.MOVED
    assert arrival.record.state is ObservationState.CALIBRATED
    assert store.find_by_path(tmp_path / "a.ms") is None
    found = store.find_by_path(tmp_path / "b.ms")
    assert found is not None
    assert found.signature == "s1"


def test_two_different_ms_of_one_time_are_an_error_that_names_both(
    store: ProductsStore, tmp_path: Path
) -> None:
    store.arrive(make_observation(tmp_path / "a.ms"))
    with pytest.raises(ProductsError, match=r"b\.ms and .*a\.ms are two different .* 61041\.00347"):
        store.arrive(make_observation(tmp_path / "b.ms", signature="s2"))
    assert store.get(KEY).path == tmp_path / "a.ms"


def test_an_ms_of_which_nothing_can_be_made_gives_way_to_a_good_one(
    store: ProductsStore, tmp_path: Path
) -> None:
    flagged = make_observation(tmp_path / "a.ms", unusable="all its data are flagged")
    good = make_observation(tmp_path / "b.ms", signature="s2")
    store.arrive(flagged)
    store.set_state(KEY, ObservationState.FAILED, step="arrival", reason="all flagged")
    arrival = store.arrive(good)
    assert arrival.outcome is ArrivalOutcome.REPLACED
    assert (arrival.record.state, arrival.record.path) == (ObservationState.ARRIVED, good.path)
    assert store.history(KEY)[-1].message == (
        f"{good.path} replaces {flagged.path}, whose data can't be used"
    )
    # Never the other way round.
    with pytest.raises(ProductsError, match=r"nothing can be made of .*a\.ms: all its data are"):
        store.arrive(flagged)
    assert store.get(KEY).path == good.path


def test_an_ms_replaced_by_another_observation_of_the_same_name_leaves_a_trace(
    store: ProductsStore, tmp_path: Path
) -> None:
    first = make_observation(tmp_path / "a.ms")
    store.arrive(first)
    other = make_observation(tmp_path / "a.ms", MJD + 0.5, signature="s2")
    store.arrive(other)
    old = store.get(KEY)
    assert (old.state, old.superseded_by) == (ObservationState.FAILED, other.key)
    assert "was replaced by observation 61041.50347" in old.reason
    assert store.known_signatures([str(tmp_path / "a.ms")]) == {str(tmp_path / "a.ms"): "s2"}
    found = store.find_by_path(tmp_path / "a.ms")
    assert found is not None
    assert found.key == other.key
    # and back again
    assert store.arrive(first).outcome is ArrivalOutcome.REPLACED
    assert store.get(KEY).state is ObservationState.ARRIVED
    assert store.get(other.key).superseded_by == KEY


def test_waiting_and_failing_need_a_reason_and_saying_it_again_adds_nothing(
    store: ProductsStore, tmp_path: Path
) -> None:
    store.arrive(make_observation(tmp_path / "a.ms"))
    with pytest.raises(ProductsError, match="needs a reason"):
        store.set_state(KEY, ObservationState.WAITING, step="calibrated_ms")
    for _ in range(3):
        store.set_state(KEY, ObservationState.WAITING, step="calibrated_ms", reason="no set")
    assert [r.key for r in store.waiting()] == [KEY]
    assert len(store.history(KEY)) == 2
    for run in ("r1", "r2", "r2"):
        store.set_state(
            KEY, ObservationState.FAILED, step="image_5min", reason="all flagged", run_id=run
        )
    assert [e.run_id for e in store.history(KEY)] == ["", "", "r1", "r2"]
    assert store.get(KEY).reason == "all flagged"
    store.set_state(KEY, ObservationState.IMAGED, step="image_5min")
    assert store.get(KEY).reason == ""
    assert store.waiting() == []


def test_a_rerun_replaces_and_tells_which_files_are_left_over(
    store: ProductsStore, tmp_path: Path
) -> None:
    store.arrive(make_observation(tmp_path / "a.ms"))
    image = Artefact(
        ArtefactKind.IMAGE,
        tmp_path / "1.fits",
        set_name="cal",
        set_version=3,
        parameters={"robust": np.float32(0.5)},
    )
    png = Artefact("png", tmp_path / "1.png", checksum="sha256:0", size_bytes=5)
    assert store.put_artefacts(KEY, [image, png], image=ImageRecord(rms_mjy=1.0)) == []
    again = replace(image, path=tmp_path / "2.fits")
    left = store.put_artefacts(KEY, [again], image=ImageRecord(rms_mjy=2.0, peak_jy=float("nan")))
    assert left == [tmp_path / "1.fits"]
    found = store.artefacts(KEY)
    assert [(a.kind, a.path.name, a.version) for a in found] == [
        ("image", "2.fits", 1),
        ("png", "1.png", 1),
    ]
    assert found[0].parameters == {"robust": 0.5}
    assert (found[0].set_name, found[0].set_version) == ("cal", 3)
    assert store.image(KEY) == ImageRecord(rms_mjy=2.0, peak_jy=None)
    assert list(store.images()) == [KEY]
    owner = store.find_artefact(tmp_path / "2.fits")
    assert owner == (KEY, found[0])


def test_artefacts_are_recorded_together_or_not_at_all(
    store: ProductsStore, tmp_path: Path
) -> None:
    store.arrive(make_observation(tmp_path / "a.ms"))
    one = Artefact("image", tmp_path / "1.fits")
    with pytest.raises(ProductsError, match="two artefacts of one kind"):
        store.put_artefacts(KEY, [one, one])
    with pytest.raises(ProductsError, match="can't be stored as JSON"):
        store.put_artefacts(KEY, [one, Artefact("png", tmp_path, parameters={"x": object()})])
    with pytest.raises(ProductsError, match=r"nearest: 61041\.00347"):
        store.put_artefacts("61041.50000", [one])
    assert store.artefacts(KEY) == []


@pytest.mark.parametrize("key", ["../../etc", "", "61041.0", "'; drop table observations"])
def test_a_key_that_is_none_is_refused(store: ProductsStore, key: str) -> None:
    with pytest.raises(InvalidName):
        store.get(key)


def test_lists_are_by_time_whatever_the_order_of_arrival(
    store: ProductsStore, tmp_path: Path
) -> None:
    for i, mjd in enumerate([61_042.1, 61_041.999, 61_041.1, 61_041.0]):
        store.arrive(make_observation(tmp_path / f"{i}.ms", mjd, signature=str(i)))
    assert [r.key for r in store.list_observations()] == [
        *("61041.00000", "61041.10000", "61041.99900", "61042.10000")
    ]
    assert [r.key for r in store.list_observations(day=61_042)] == ["61042.10000"]
    assert [r.key for r in store.list_observations(limit=2)] == ["61041.99900", "61042.10000"]
    assert len(store.list_observations(start_mjd=61_041.1, end_mjd=61_042.1)) == 2
    store.set_state("61042.10000", ObservationState.SOLVED, step="caltable_set")
    counts = store.counts()
    assert counts[ObservationState.ARRIVED] == 3
    assert counts[ObservationState.SOLVED] == 1
    assert counts[ObservationState.IMAGED] == 0
    assert sum(store.counts(day=61_041).values()) == 3


def test_the_story_of_an_observation_names_the_cause(store: ProductsStore, tmp_path: Path) -> None:
    store.arrive(make_observation(tmp_path / "a.ms"))
    store.set_state(KEY, ObservationState.WAITING, step="calibrated_ms", reason="no set near")
    store.set_state(KEY, ObservationState.CALIBRATED, step="calibrated_ms", run_id="r7")
    store.put_artefacts(
        KEY,
        [Artefact("image", tmp_path / "1.fits", set_name="cal", set_version=2, borrowed=True)],
        image=ImageRecord(rms_mjy=4.25, expected_rms_mjy=4.0, n_sources=7, n_matched=6),
    )
    store.set_state(KEY, ObservationState.IMAGED, step="image_5min")
    story = store.explain(KEY)
    for words in (
        "Observation 61041.00347 (2026-01-01T00:02:",
        "state  imaged since",
        "cal v2, borrowed from outside its window",
        "rms 4.25 mJy/beam (4.00 expected), 7 sources, 6 of them known",
        "waiting (calibrated_ms): no set near",
        "calibrated (calibrated_ms) [run r7]",
        f"arrived as {tmp_path}/a.ms",
    ):
        assert words in story, story


def test_a_store_from_before_sub_bands_opens(tmp_path: Path) -> None:
    file = tmp_path / "products.sqlite3"
    store = ProductsStore(str(file))
    store.arrive(make_observation(tmp_path / "a.ms", MJD, signature="a"))
    store.close()
    with sqlite3.connect(file) as connection:
        connection.execute("DROP TABLE primary_beams")
        connection.execute("DROP TABLE new_sources")
        connection.execute("ALTER TABLE candidates DROP COLUMN kind")
        connection.execute("DROP TABLE rejections")
        connection.execute("DROP TABLE antenna_evidence")
        connection.execute("DROP TABLE antenna_marks")
        connection.execute("DROP TABLE annotations")
        connection.execute("DROP TABLE superseded_runs")
        connection.execute("DROP TABLE sub_bands")
        connection.execute("UPDATE products_schema SET version_num = 'products_0007'")
    connection.close()
    store = ProductsStore(str(file))
    (record,) = store.list_observations()
    assert store.observation(record.key).sub_bands == ()


def test_absolute_paths_of_an_earlier_release_become_relative(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state"
    inside, outside = state / "incoming" / "a.ms", tmp_path / "b.ms"
    file = state / "products.sqlite3"
    with monkeypatch.context() as earlier:
        # What an earlier release wrote: everything absolute, and a schema before this one.
        earlier.setattr("contimg_resources.database.paths._directory_of", lambda dialect: None)
        store = ProductsStore(str(file))
        store.arrive(make_observation(inside, MJD, signature="a"))
        store.arrive(make_observation(outside, MJD + 1, signature="b"))
        store.close()
    with sqlite3.connect(file) as connection:
        for later in (
            "DROP TABLE primary_beams",
            "DROP TABLE new_sources",
            "ALTER TABLE candidates DROP COLUMN kind",
            "DROP TABLE rejections",
            "DROP TABLE antenna_evidence",
            "DROP TABLE antenna_marks",
            "DROP TABLE annotations",
            "DROP TABLE superseded_runs",
            "DROP TABLE sub_bands",
            "DROP TABLE product_files",
            "DROP TABLE products",
            "ALTER TABLE mosaics DROP COLUMN software",
            "ALTER TABLE epochs DROP COLUMN software",
            "ALTER TABLE observations DROP COLUMN origin",
            "UPDATE products_schema SET version_num = 'products_0003'",
        ):
            connection.execute(later)
    connection.close()
    assert [r.path for r in ProductsStore(str(file)).list_observations()] == [inside, outside]
    moved = state.rename(tmp_path / "moved")
    store = ProductsStore(str(moved / "products.sqlite3"))
    found = [r.path for r in store.list_observations()]
    assert found == [moved / "incoming" / "a.ms", outside]
    assert [store.observation(r.key).path for r in store.list_observations()] == found
    assert store.find_by_path(moved / "incoming" / "a.ms") is not None


def test_a_superseded_run_writes_nothing_more(
    store: ProductsStore, address: str, tmp_path: Path
) -> None:
    mine = ProductsStore(address, run_id="r1")
    mine.arrive(make_observation(tmp_path / "a.ms"), run_id="r1")
    mine.refuse_superseded()
    for _ in range(2):
        store.supersede_run("r1", "its host gave no sign of life")
    refused = [
        lambda: mine.set_state(KEY, ObservationState.IMAGED, step="image_5min", run_id="r1"),
        lambda: mine.put_artefacts(KEY, [Artefact(ArtefactKind.IMAGE, tmp_path / "a.fits")]),
        lambda: mine.sub_bands.note(KEY, "s", "m"),
        mine.refuse_superseded,
    ]
    for write in refused:
        with pytest.raises(RunSuperseded, match="r1 was superseded"):
            write()
    assert store.get(KEY).state is ObservationState.ARRIVED
    assert store.artefacts(KEY) == []
    other = ProductsStore(address, run_id="r2")
    other.set_state(KEY, ObservationState.IMAGED, step="image_5min", run_id="r2")
    other.close()
    assert [e.run_id for e in store.history(KEY)] == ["r1", "r2"]
    mine.close()
