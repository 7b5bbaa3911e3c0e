import json
import math
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contimg_resources.export.directory import ExportDirectory, opened
from contimg_resources.export.state import PlatformState
from contimg_resources.export.writing import write_documents
from contimg_resources.products.annotations import Annotation, present
from contimg_resources.products.dips import DipEvidence
from contimg_resources.products.events import AnnotationKind, Mark, MarkRecord, Subject
from tests.export.made_up import (
    MJD,
    candidate,
    light_curves,
    platform_state,
    read_export,
    variability,
)

HOSTILE = (
    "../../etc/passwd",
    "..",
    "\"quoted'",
    "</script><script>alert(1)</script>",
    "ñandú-\u202e-😀",
    "a\\b\nc\td",
    "/abs/olute",
)


def export(root: Path, state: PlatformState, now_mjd: float = MJD) -> int:
    with opened(root) as directory:
        write_documents(directory, state, now_mjd=now_mjd, software={"contimg": "0"})
        return directory.n_written


def files_of(root: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(root)): p.read_bytes()
        for p in root.rglob("*")
        if p.is_file() and "previous" not in p.parts
    }


def test_every_document_is_what_its_schema_says(tmp_path: Path) -> None:
    export(tmp_path, platform_state())
    found = read_export(tmp_path)
    assert {name: len(pages) for name, pages in found.items()} == dict.fromkeys(found, 1)
    assert len(found) == 10
    index = found["index"][0].model_dump()
    tables = {"sources.vot", "sources.parquet", "light_curves.parquet", "candidates.vot"}
    assert tables | {f"schema of {name}" for name in found} <= set(index["files"])
    assert all((tmp_path / path).is_file() for path in index["files"].values())
    assert index["pages"]["observations"][0]["first"] == MJD - 3


def test_an_empty_platform_is_exported_too(tmp_path: Path) -> None:
    nothing = platform_state(
        light_curves(0, 0),
        observations=(),
        answers=(),
        stale=frozenset(),
        images={},
        sets=(),
        mosaics=(),
        epochs={},
        variability=None,
        candidates=(),
    )
    export(tmp_path, nothing)
    found = read_export(tmp_path)
    assert {name: len(pages) for name, pages in found.items()} == dict.fromkeys(found, 1)
    assert len(found) == 10
    assert found["index"][0].model_dump()["status"]["problems"] == ()


def test_the_same_state_writes_nothing_but_the_index(tmp_path: Path) -> None:
    state = platform_state()
    assert export(tmp_path, state) > 10
    before = files_of(tmp_path)
    assert export(tmp_path, state, MJD + 0.01) == 1
    after = files_of(tmp_path)
    assert {name for name in after if after[name] != before.get(name)} == {"index.json"}
    assert before.keys() == after.keys()


def test_no_file_is_too_large_and_every_curve_is_where_the_sources_say(tmp_path: Path) -> None:
    points = light_curves(5000, 100)
    export(tmp_path, platform_state(points, variability=variability(points, range(0, 5000, 2))))
    assert max(p.stat().st_size for p in tmp_path.rglob("*.json")) <= 1_000_000
    index = json.loads((tmp_path / "index.json").read_bytes())
    pages = {
        name: [json.loads((tmp_path / p["path"]).read_bytes()) for p in found]
        for name, found in index["pages"].items()
    }
    assert len(pages["light_curves"]) > 15
    seen = 0
    for page in pages["sources"]:
        for name, number in zip(page["source_id"], page["light_curve_page"], strict=True):
            assert name in {c["source_id"] for c in pages["light_curves"][number]["light_curves"]}
            seen += 1
    assert seen == 5000
    curve = pages["light_curves"][0]["light_curves"][0]
    assert curve["flux_mjy"] == [round(1e3 * f, 4) for f in points.flux_jy[:100]]
    assert curve["mid_mjd"] == sorted(curve["mid_mjd"])


def test_numbers_that_are_not_there_are_null(tmp_path: Path) -> None:
    points = light_curves(4, 3)
    points.flux_jy[0] = math.nan
    points.error_jy[1] = math.inf
    points.mid_mjd[2] = math.nan
    points.ra_deg[3] = math.nan
    measures = variability(points, (0, 1, 3))
    measures.eta[0] = math.inf
    measures.pair_first_mjd[0] = math.nan
    measures.p_value[1] = -math.inf
    export(tmp_path, platform_state(points, variability=measures))
    found = {name: pages[0].model_dump() for name, pages in read_export(tmp_path).items()}
    first, *_ = found["light_curves"]["light_curves"]
    assert (first["flux_mjy"][0], first["error_mjy"][1], len(first["mid_mjd"])) == (None, None, 2)
    assert found["sources"]["source_id"] == tuple(points.source_id.tolist())
    assert [ra is None for ra in found["sources"]["ra_deg"]] == [False, False, False, True]
    assert [v["ra_deg"] is None for v in found["variables"]["variables"]] == [False, False, True]
    assert found["sources"]["eta"][0] is None
    assert found["sources"]["p_value"][1] is None
    firsts = [v["pair_first_mjd"] for v in found["variables"]["variables"]]
    assert firsts == [None, MJD - 20, MJD - 20]
    assert found["variables"]["threshold_snr"] == (5.0, 50.0)
    assert found["image_quality"]["flux_ratio"] == (None, None, None)
    assert found["mosaics"]["mosaics"][0]["expected_rms_mjy"] is None
    (card,) = found["candidates"]["candidates"]
    assert card["depth_error"] is None
    assert len(card["template_mjd"]) == 2


def test_names_of_sources_are_only_text(tmp_path: Path) -> None:
    points = light_curves(len(HOSTILE), 5, names=HOSTILE)
    hostile = [
        candidate(points, i, id=f"../../c{i}", evidence=DipEvidence(neighbours=tuple(HOSTILE)))
        for i in range(len(points))
    ]
    said = [MarkRecord(c.id, Mark.REAL, '"</script>', "..", MJD) for c in hostile]
    notes = [
        Annotation(Subject.SOURCE, name, kind, '"</script>', "..", created_mjd=MJD)
        for name in HOSTILE
        for kind in AnnotationKind
    ]
    root = tmp_path / "out"
    state = platform_state(
        points,
        candidates=tuple(hostile),
        marks=tuple(said),
        annotations=present(notes),
        cards=tmp_path / "cards",
    )
    export(root, state)
    found = {name: pages[0].model_dump() for name, pages in read_export(root).items()}
    assert found["sources"]["source_id"] == tuple(sorted(HOSTILE))
    assert [c["source_id"] for c in found["light_curves"]["light_curves"]] == sorted(HOSTILE)
    cards = found["candidates"]["candidates"]
    assert {c["source_id"] for c in cards} == set(HOSTILE)
    assert all(c["card_png"] is None and c["mark"]["note"] == '"</script>' for c in cards)
    annotated = found["annotations"]["annotations"]
    assert [a["id"] for a in annotated] == sorted(HOSTILE)
    told = {"text": '"</script>', "by": "..", "utc": "2026-01-01T00:00:00.000Z"}
    assert (annotated[0]["tags"], annotated[0]["favourite_of"]) == ((told,), ("..",))
    assert annotated[0]["comments"] == (told,)
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    ours = {"index.json", *found, "tables", "schema"} - {"index"}
    assert {p.name for p in root.iterdir() if not p.name.startswith(".")} == ours


def test_a_new_point_changes_only_the_pages_that_it_is_in(tmp_path: Path) -> None:
    points = light_curves(2000, 60)
    state = platform_state(points)
    export(tmp_path, state)
    points.flux_jy[-1] += 0.1
    # A page of light curves, the table of points, the index; means are measures, of the day before.
    assert export(tmp_path, replace(state, points=points)) == 3


def test_of_a_long_curve_the_newest_points_are_kept(tmp_path: Path) -> None:
    points = light_curves(1, 12_000)
    export(tmp_path, platform_state(points, variability=None, candidates=()))
    found = read_export(tmp_path)
    (curve,) = found["light_curves"][0].model_dump()["light_curves"]
    assert curve["mid_mjd"] == tuple(np.round(points.mid_mjd[2000:], 6).tolist())
    sources = found["sources"][0].model_dump()
    assert sources["n_epochs"] == (12_000,)
    assert sources["mean_flux_mjy"][0] == pytest.approx(1e3 * points.flux_jy.mean(), abs=1e-4)


def test_an_export_that_fails_before_the_index_leaves_the_last_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(tmp_path, platform_state())
    before = (tmp_path / "index.json").read_bytes()

    def fail(*_: Any) -> None:
        raise OSError("the disk is full")

    other = platform_state(light_curves(30, 20))
    monkeypatch.setattr(ExportDirectory, "publish", fail)
    with pytest.raises(OSError, match="full"):
        export(tmp_path, other, MJD + 3)
    assert (tmp_path / "index.json").read_bytes() == before
    read_export(tmp_path)


_KILLED = """
import sys, time
from pathlib import Path
from contimg_resources.export.directory import ExportDirectory
from tests.export.made_up import MJD, light_curves, platform_state
from tests.export.test_writing import export
def wait(*_):
    print("pages are written", flush=True)
    time.sleep(60)
ExportDirectory.publish = wait
export(Path(sys.argv[1]), platform_state(light_curves(30, 20)), MJD + 1)
"""


def test_a_killed_export_leaves_the_last_one_and_the_next_one_clears_up(tmp_path: Path) -> None:
    export(tmp_path, platform_state())
    before = files_of(tmp_path)
    writer = subprocess.Popen(
        [sys.executable, "-c", _KILLED, str(tmp_path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert writer.stdout is not None
    assert writer.stdout.readline()
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    left = set(files_of(tmp_path)) - set(before)
    assert any(name.startswith("light_curves/") for name in left)
    assert (tmp_path / "index.json").read_bytes() == before["index.json"]
    read_export(tmp_path)
    export(tmp_path, platform_state(), MJD + 2)
    assert set(files_of(tmp_path)) == set(before)


def test_readers_always_find_all_that_an_index_names(tmp_path: Path) -> None:
    export(tmp_path, platform_state(light_curves(3, 2)), MJD)
    held = (tmp_path / "index.json").read_bytes()
    for i in range(1, 4):
        export(tmp_path, platform_state(light_curves(3 + i, 2)), MJD + 0.3 * i)
        paths = [p["path"] for pages in json.loads(held)["pages"].values() for p in pages]
        assert len(paths) == 9
        assert all((tmp_path / path).is_file() for path in paths)


def test_progress_is_told(tmp_path: Path) -> None:
    said: list[str] = []

    def note(message: str, _: float | None = None) -> None:
        said.append(message)

    with opened(tmp_path) as directory:
        write_documents(directory, platform_state(), now_mjd=MJD, software={}, progress=note)
    assert said == ["light curves", "other documents", "tables"]
