from dataclasses import replace
from pathlib import Path

import pytest

from contimg_resources.core.errors import ExportFailed
from contimg_resources.export.directory import ExportDirectory
from contimg_resources.products.events import Mark, MarkRecord
from contimg_resources.products.model import ImageRecord, ObservationState
from contimg_resources.steps import exporting
from contimg_resources.steps.exporting import export_dashboard
from tests.export.made_up import candidate, epoch, light_curves, mosaic, read_export, variability
from tests.products.conftest import make_observation
from tests.steps.conftest import MJD, Made


@pytest.fixture(autouse=True)
def measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    points = light_curves(10, 30)
    measures = variability(points)
    monkeypatch.setattr(exporting, "read_measures", lambda _: (points, measures))
    cutout = tmp_path / "cutout.png"
    cutout.write_bytes(b"cutout")
    found = (("e", MJD - 25.0, cutout, tmp_path / "cutout.fits"),)
    monkeypatch.setattr(exporting, "_cutouts_of", lambda _: lambda source_id: found)


def test_a_state_is_exported(made: Made) -> None:
    products = made.workshop.products
    products.put_artefacts(made.keys[0], [], image=ImageRecord(rms_mjy=1.5))
    one = mosaic()
    products.mosaics.put(one)
    products.mosaics.put_epoch(epoch(one))
    products.events.put_candidates([candidate(light_curves(10, 30))])
    products.events.put_mark(MarkRecord("ese-0", Mark.REAL, "yes", "me"))
    cards = made.workshop.settings.layout.candidates
    cards.mkdir()
    (cards / "ese-0.png").write_bytes(b"card")
    exported = export_dashboard(made.workshop, run_id="r7", now_mjd=MJD + 2)
    assert exported.directory == made.workshop.settings.layout.export
    assert exported.counts == {
        "observations": 4,
        "calibration": 1,
        "image_quality": 1,
        "mosaics": 1,
        "sources": 10,
        "variables": 1,
        "candidates": 1,
        "annotations": 0,
        "light_curves": 10,
    }
    assert exported.n_pages == 9
    found = {name: pages[0].model_dump() for name, pages in read_export(exported.directory).items()}
    index = found["index"]
    assert (index["generated_utc"], index["run_id"]) == ("2026-01-03T00:00:00.000Z", "r7")
    assert index["status"]["active_set"] == "first"
    assert index["status"]["problems"] == ()
    assert [o["set_name"] for o in found["observations"]["observations"]] == ["first"] * 4
    (card,) = found["candidates"]["candidates"]
    assert (exported.directory / card["card_png"]).read_bytes() == b"card"
    assert [(exported.directory / c["png"]).read_bytes() for c in card["cutouts"]] == [b"cutout"]
    assert card["mark"]["note"] == "yes"
    again = export_dashboard(made.workshop, run_id="r7", now_mjd=MJD + 2.01)
    assert again == replace(exported, n_written=1)


def test_holes_are_what_the_registry_has_no_set_for(made: Made) -> None:
    made.workshop.registry.retire("first", "a storm")
    made.workshop.registry.register(made.new_set("late", MJD + 1.2, before=0.1, after=0.1))
    exported = export_dashboard(made.workshop, now_mjd=MJD + 2)
    found = {name: pages[0].model_dump() for name, pages in read_export(exported.directory).items()}
    assert [round(h["start_mjd"] - MJD, 1) for h in found["calibration"]["gaps"]] == [
        0.1,
        0.3,
        0.6,
    ]
    assert [s["status"] for s in found["calibration"]["sets"]] == ["retired", "active"]
    assert [o["stale"] for o in found["observations"]["observations"]] == [True] * 4
    status = found["index"]["status"]
    assert (status["active_set"], status["n_stale"]) == ("late", 4)
    assert "4 observations with stale products" in status["problems"][0]


def test_a_set_of_other_antennas_is_no_answer_to_what_waits(made: Made, tmp_path: Path) -> None:
    products = made.workshop.products
    other = make_observation(tmp_path / "other.ms", MJD + 1.3, signature="other")
    products.arrive(other)
    products.set_state(other.key, ObservationState.WAITING, step="look_up", reason="none fits")
    exported = export_dashboard(made.workshop, now_mjd=MJD + 2)
    found = {name: pages[0].model_dump() for name, pages in read_export(exported.directory).items()}
    assert [h["n_observations"] for h in found["calibration"]["gaps"]] == [1]
    status = found["index"]["status"]
    assert (status["n_waiting"], status["active_set"]) == (1, None)
    assert status["problems"] == (
        "no caltable set is valid for the latest observation",
        "1 observation without a valid caltable set (61042.30000): none fits",
    )


def test_observations_of_so_many_days_are_exported(made: Made) -> None:
    export = made.workshop.settings.export.model_copy(update={"observation_days": 0.7})
    settings = made.workshop.settings.model_copy(update={"export": export})
    exported = export_dashboard(replace(made.workshop, settings=settings), now_mjd=MJD + 2)
    assert exported.counts["observations"] == 2
    # Registered long before, and valid for them.
    assert exported.counts["calibration"] == 1


def test_a_full_disk_is_told_in_a_sentence(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ExportDirectory, "publish", fail)
    with pytest.raises(ExportFailed, match=r"/export: No space left on device; the last ones"):
        export_dashboard(made.workshop, now_mjd=MJD + 2)
