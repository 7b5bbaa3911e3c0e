"""One bad item of a loop is rejected by itself, with the reason; the others go on."""

import json
import os
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest

import contimg_assets.variability as daily
from contimg_assets.sensors import build_observation_sensor
from contimg_resources.cli.main import run
from contimg_resources.core.errors import (
    MosaicFailed,
    ProductsUnavailable,
    StoreUnavailable,
    rejecting,
)
from contimg_resources.images.standard_form import ForeignFiles
from contimg_resources.mosaics import make
from contimg_resources.mosaics.model import TileFiles
from contimg_resources.products.events import CandidateRecord, CandidateState, Mark
from contimg_resources.settings import ArrivalSettings, RetentionSettings, SensorSettings, Settings
from contimg_resources.steps import adding_images, alerting, cards, cutouts
from contimg_resources.steps.candidates import candidates_to_draw, mark_candidate
from contimg_resources.steps.reprocessing import Step, _hindrance
from contimg_resources.steps.retention import Removal, choose_removals, remove
from contimg_resources.steps.starting import open_observations
from contimg_resources.steps.variability import measure_day
from contimg_resources.steps.workshop import Workshop
from contimg_resources.variability.points import gather_day, read_points, write_points
from tests.alerts.conftest import make_candidate
from tests.assets.parts import parts_of
from tests.hostile_trees import nested
from tests.photometry import epochs
from tests.products.conftest import make_observation
from tests.variability.test_points import transit_on


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop.from_settings(Settings(state=tmp_path / "state"))


def test_a_store_that_is_locked_rejects_no_item() -> None:
    rejected: dict[str, str] = {}
    with pytest.raises(StoreUnavailable), rejecting(rejected, "a"):
        raise ProductsUnavailable("database is locked")
    with rejecting(rejected, "b"):
        raise RecursionError("maximum recursion depth exceeded")
    assert rejected == {"b": "unexpected RecursionError: maximum recursion depth exceeded"}


def test_a_scan_of_a_delivery_too_deep_to_walk_sets_it_aside_and_ends_well(
    tmp_path: Path, capsys: Any
) -> None:
    incoming = tmp_path / "ms"
    with nested(incoming / "e-deep.ms"):
        (incoming / "e-deep.ms.done").touch()
        asked = ["images", "scan", "--ms-dir", str(incoming), "--out-dir", str(tmp_path / "o")]
        assert run([*asked, "--json"]) == 0
        told = capsys.readouterr()
        reason = json.loads(told.out)["rejected"]["e-deep.ms"]
        assert "holds directories nested more than 32 deep" in reason


def test_a_tick_names_a_delivery_too_deep_to_walk_and_goes_on(tmp_path: Path) -> None:
    settings = Settings(
        state=tmp_path / "state",
        ms_dir=tmp_path / "ms",
        arrival=ArrivalSettings(settle_age_s=0),
        retention=RetentionSettings(pause_below_gb=0),
    )
    with nested(tmp_path / "ms" / "e-deep.ms"):
        (tmp_path / "ms" / "e-deep.ms.done").touch()
        with dg.DagsterInstance.ephemeral() as instance:
            context = dg.build_sensor_context(
                instance=instance, resources=parts_of(Workshop.from_settings(settings))
            )
            ticked = build_observation_sensor(SensorSettings())(context)
    assert isinstance(ticked, dg.SkipReason)
    assert "e-deep.ms rejected: " in (ticked.skip_message or "")
    assert "nested more than 32 deep" in (ticked.skip_message or "")


def test_an_observation_that_cannot_be_looked_up_waits_alone(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = []
    for n in range(3):
        observation = make_observation(tmp_path / f"{n}.ms", 61_041.0 + n)
        workshop.products.arrive(observation)
        keys.append(observation.key)

    def look_up(_: Any, mid_mjd: float, *__: Any, **___: Any) -> Any:
        if mid_mjd == 61_042.0:
            raise KeyError("layout")
        return SimpleNamespace(set=SimpleNamespace(name="s", version=1))

    monkeypatch.setattr("contimg_resources.steps.starting.look_up", look_up)
    found = {o.key: (o.caltables, o.reason) for o in open_observations(workshop)}
    assert found == {
        keys[0]: ("s.v1", ""),
        keys[1]: (None, "unexpected KeyError: 'layout'"),
        keys[2]: ("s.v1", ""),
    }
    monkeypatch.setattr("contimg_resources.steps.reprocessing.look_up", look_up)
    assert _hindrance(workshop, workshop.products.get(keys[1]), Step.CALIBRATED_MS) == (
        "unexpected KeyError: 'layout'"
    )


def test_a_day_of_points_and_a_mosaics_measurements_that_are_damaged_are_left_out(
    tmp_path: Path,
) -> None:
    for day in (61_041, 61_043):
        epochs.write(tmp_path / "p", transit_on(day))
        write_points(tmp_path / "l", gather_day(tmp_path / "p", day))
    whole = read_points(tmp_path / "l")
    (tmp_path / "l" / "61041.parquet").write_bytes(b"PAR1")
    damaged: dict[str, str] = {}
    left = read_points(tmp_path / "l", damaged=damaged)
    assert (len(whole.mid_mjd), len(left.mid_mjd)) == (6, 3)
    assert list(damaged) == ["61041.parquet"]
    assert "holds no light curves" in damaged["61041.parquet"]
    (file,) = (tmp_path / "p" / "mosaic" / "61043").glob("*.parquet")
    beside = file.with_name("61043.90000.parquet")
    beside.write_bytes(file.read_bytes()[:300])
    points = gather_day(tmp_path / "p", 61_043)
    assert (len(points), list(points.damaged)) == (3, [str(beside)])


def test_a_range_of_days_materializes_all_but_the_day_that_fails(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = measure_day

    def measure(workshop: Workshop, day: int, **more: Any) -> Any:
        if day == 61_101:
            raise ZeroDivisionError("a light curve without a baseline")
        return real(workshop, day, **more)

    monkeypatch.setattr(daily, "measure_day", measure)
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize(
            [daily.variability],
            resources=parts_of(workshop),
            instance=instance,
            tags={
                "dagster/asset_partition_range_start": "2026-03-01",
                "dagster/asset_partition_range_end": "2026-03-03",
            },
            raise_on_error=False,
        )
        done = instance.get_materialized_partitions(dg.AssetKey("variability"))
    assert done == {"2026-03-01", "2026-03-03"}
    (failed,) = result.get_step_failure_events()
    assert "1 of 3 days failed: 2026-03-02: unexpected ZeroDivisionError: a light curve" in str(
        failed.step_failure_data.user_failure_data
    )


def test_a_card_a_cutout_or_an_image_that_raises_anything_fails_alone(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def but_b(name: Any) -> Any:
        if "b" in name:
            raise KeyError(name)
        return SimpleNamespace(pngs={})

    a, b = (replace(make_candidate(), id=name, source_id=name) for name in ("a", "b"))
    drawn: list[str] = []

    def draw(_: Any, candidate: Any, __: Any) -> None:
        but_b(candidate.id)
        drawn.append(candidate.id)

    monkeypatch.setattr(cards, "draw_candidate", draw)
    failed = cards.draw_candidates(workshop, (b, a), None)  # type: ignore[arg-type]
    assert (drawn, failed) == (["a"], {"b": "unexpected KeyError: 'b'"})

    monkeypatch.setattr(cutouts, "_cut_source", lambda _, name, *__: but_b(name))
    monkeypatch.setattr(cutouts, "_size_bytes", lambda _: 0)
    monkeypatch.setattr(cutouts, "_without_removed", lambda found: found)
    cut = cutouts.cut_many(workshop, ["b", "a"])
    assert (len(cut.sources), cut.failed) == (1, {"b": "unexpected KeyError: 'b'"})

    monkeypatch.setattr(adding_images, "add_image", lambda _, files, **__: but_b(files.image.stem))
    images = [ForeignFiles(Path(f"/i/{name}.fits"), None, None) for name in ("b", "a")]
    added = adding_images.add_images(workshop, images)
    assert (len(added.added), list(added.failed)) == (1, ["/i/b.fits"])


def test_a_tile_that_raises_anything_is_refused_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(files: TileFiles) -> Any:
        raise TypeError(f"header of {files.key}")

    monkeypatch.setattr(make, "read_tile", read)
    tiles = [TileFiles(k, Path("i"), Path("b"), Path("r"), checksum="") for k in ("1", "2")]
    with pytest.raises(
        MosaicFailed, match="1: unexpected TypeError: header of 1; 2: unexpected TypeError"
    ):
        make._read(SimpleNamespace(key="k", tiles=tiles))  # type: ignore[arg-type]


def test_a_kind_of_alerts_that_breaks_is_told_and_the_others_go_on(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop.products.events.put_candidates([make_candidate()])

    def broken(*_: Any, **__: Any) -> Any:
        raise ValueError("a rate of NaN")

    monkeypatch.setattr(alerting, "_new_failures", broken)
    new = {a.kind: a for a in alerting.tell_alerts(workshop, now_mjd=61_041.5).new}
    assert set(new) == {"candidate", "alerts"}
    assert new["alerts"].key == "alerts:2026-01-01"
    assert new["alerts"].text == "failures: unexpected ValueError: a rate of NaN"
    assert alerting.tell_alerts(workshop, now_mjd=61_041.6).new == (), "once a day"


def test_what_cannot_be_removed_does_not_end_housekeeping(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = workshop.settings.layout.scratch
    for name in ("a", "b", "c"):
        (scratch / name).write_text("left")
        os.utime(scratch / name, (time.time() - 1e6,) * 2)
    chosen = choose_removals(workshop)
    assert [r.path.name for r in chosen] == ["a", "b", "c"]
    real = Path.unlink

    def unlink(path: Path, missing_ok: bool = False) -> None:
        if path.name == "b":
            raise PermissionError(1, "Operation not permitted", str(path))
        real(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", unlink)
    removed: tuple[Removal, ...] = remove(workshop, chosen)
    assert [r.path.name for r in removed] == ["a", "c"]


def test_a_damaged_catalogue_is_named_beside_the_others(workshop: Workshop, capsys: Any) -> None:
    root = workshop.settings.layout.catalogues
    root.mkdir()
    (root / "broken.parquet").write_bytes(b"PAR1")
    assert run(["catalogue", "list", "--state", str(workshop.settings.state)]) == 1
    assert "catalogue broken: " in capsys.readouterr().err


def test_cards_of_current_and_marked_candidates_are_drawn_but_for_a_list_that_was_removed(
    workshop: Workshop,
) -> None:
    gone = CandidateState.WITHDRAWN

    def candidate(name: str, score: float, **changes: Any) -> CandidateRecord:
        return replace(make_candidate(), id=name, source_id=name, score=score, **changes)

    workshop.products.events.put_candidates(
        [
            candidate("current", 5.0),
            candidate("better", 9.0),
            candidate("gone", 20.0, state=gone),
            candidate("marked", 20.0, state=gone),
            candidate("listed", 7.0, evidence={"added_list": "agn"}),
            candidate("removed", 20.0, state=gone, evidence={"added_list": "old"}),
        ]
    )
    for name in ("marked", "removed"):
        mark_candidate(workshop, name, Mark.REAL, "seen", "ada")
    chosen = candidates_to_draw(workshop)
    assert [c.id for c in chosen] == ["better", "listed", "current", "marked"]
    drawn = cards.draw_cards(workshop, [c for c in chosen if c.id == "listed"])
    assert drawn.cards == {}
    assert "agn" in drawn.failed["listed"]
