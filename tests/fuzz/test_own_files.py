"""Files that contimg wrote and something damaged since: Parquet, and JSON beside products."""

import io
import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from contimg_resources.catalogues.store import Catalogue, CatalogueStore
from contimg_resources.core.errors import (
    CatalogueError,
    ImagingFailed,
    UnreadableMeasurements,
    UnreadableObservation,
)
from contimg_resources.imaging.make import load_image_result
from contimg_resources.imaging.model import (
    Beam,
    ImageFiles,
    ImageGrid,
    ImageResult,
    ImageStatistics,
    Source,
)
from contimg_resources.mosaics.windows import WindowGrid
from contimg_resources.photometry.measurements import read_measurements
from contimg_resources.simulation.season_sky import draw_epochs, draw_sources, true_season
from contimg_resources.simulation.season_spec import SeasonSpec, SeasonTruth
from contimg_resources.variability.added import (
    AddedFacts,
    added_path,
    as_light_curves,
    read_added,
    read_added_facts,
    write_added,
)
from contimg_resources.variability.foreign import read_rows
from tests.fuzz import table_seeds
from tests.fuzz.mangling import BYTE_EDITS, fuzzed, mangled, only_ours
from tests.photometry.test_measurements import written

File = tuple[str, bytes]


@cache
def parquet_files() -> dict[str, bytes]:
    """Return a catalogue, measurements and a list of light curves, by name."""
    with TemporaryDirectory() as name:
        root = Path(name)
        table = root / "t.csv"
        table.write_bytes(table_seeds.catalogues()["calibrators.csv"])
        CatalogueStore(root / "catalogues").add("c", table)
        table.write_bytes(table_seeds.light_curves()["plain.csv"])
        curves, _ = as_light_curves("l", [read_rows(table)])
        facts = AddedFacts(
            "l", 61_041.0, len(curves), 3, 58_000.0, 58_200.0, (), (), {"contimg": "1"}
        )
        found = {
            "c.parquet": next((root / "catalogues").glob("*.parquet")),
            "l.parquet": write_added(root / "lists", curves, facts),
            "m.parquet": written(root, (0.3, np.nan, 0.2)),
        }
        return {name: path.read_bytes() for name, path in found.items()}


def facts_of(name: str) -> dict[str, bytes]:
    metadata = pq.read_schema(io.BytesIO(parquet_files()[name])).metadata
    return {name: metadata[b"contimg"]}


def with_facts(file: File) -> File:
    """Return a whole file whose facts are damaged."""
    name, facts = file
    table = pq.read_table(io.BytesIO(parquet_files()[name]))
    stream = io.BytesIO()
    pq.write_table(table.replace_schema_metadata({b"contimg": facts}), stream)
    return name, stream.getvalue()


def damaged(name: str) -> st.SearchStrategy[File]:
    return st.deferred(
        lambda: (
            mangled({name: parquet_files()[name]}, BYTE_EDITS)
            | mangled(facts_of(name)).map(with_facts)
            | st.sampled_from(
                (
                    b"[]",
                    b"3",
                    b'{"schema_version": 1e999}',
                    b'{"schema_version": null}',
                    b"[" * 10_000,
                )
            ).map(lambda facts: with_facts((name, facts)))
        )
    )


def check(
    file: File, place: Callable[[Path], Path], read: Callable[[Path], Any], ours: Any
) -> None:
    with TemporaryDirectory() as directory:
        path = place(Path(directory))
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(file[1])
        with only_ours(path, ours=ours):
            read(path)


@fuzzed(40)
@given(damaged("c.parquet"))
def test_a_catalogue_is_opened_or_refused(file: File) -> None:
    def read(path: Path) -> None:
        catalogue = Catalogue(path)
        catalogue.all()
        catalogue.cone(10.5, 20.5, 1.0)
        catalogue.strip(-90, 90)

    check(file, lambda root: root / "c.parquet", read, CatalogueError)


@fuzzed(40)
@given(damaged("l.parquet"))
def test_a_list_of_light_curves_is_opened_or_refused(file: File) -> None:
    def read(path: Path) -> None:
        read_added_facts(path.parent, "l")
        read_added(path.parent, "l")

    check(file, lambda root: added_path(root, "l"), read, UnreadableMeasurements)


@fuzzed(40)
@given(damaged("m.parquet"))
def test_measurements_are_read_or_refused(file: File) -> None:
    check(file, lambda root: root / "m.parquet", read_measurements, UnreadableMeasurements)


@cache
def summaries() -> dict[str, bytes]:
    """Return an image's summary and a season's truth, as contimg writes them."""
    source = Source(10.1, 20.1, 0.05, 0.06, 1e-3, 0.05, 50.0, 1e-3, 0.8, 60.0, 45.0, 12.0)
    statistics = ImageStatistics(
        rms_jy=1e-3,
        residual_rms_jy=1e-3,
        expected_rms_jy=9e-4,
        peak_jy=0.05,
        peak_ra_deg=10.1,
        peak_dec_deg=20.1,
        dynamic_range=50.0,
        beam=Beam(60.0, 45.0, 12.0),
        n_sources=1,
        n_rejected=0,
        detection_snr=6.0,
    )
    directory = Path("image")
    image = ImageResult(
        directory=directory,
        files=ImageFiles.in_directory(directory, "x"),
        grid=ImageGrid(1024, 6.0, 10.0, 20.0),
        statistics=statistics,
        sources=(source,),
        frequency_hz=1.4e9,
        start_mjd=61_041.0,
        end_mjd=61_041.004,
        mid_mjd=61_041.002,
        n_iterations=100,
        threshold_jy=4e-3,
        engine="fast",
    )
    spec = SeasonSpec(n_days=3, n_sources=22, n_bad=0, maintenance_days=0, lost_share=0.0)
    truth = true_season(spec, draw_sources(spec), draw_epochs(spec, WindowGrid()))
    return {
        "image": TypeAdapter(ImageResult).dump_json(image),
        "season": TypeAdapter(SeasonTruth).dump_json(truth),
    }


def summary(name: str) -> st.SearchStrategy[File]:
    return st.deferred(lambda: mangled({name: summaries()[name]}))


def test_whole_summaries_are_read(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(summaries()["image"])
    assert load_image_result(tmp_path, "x").sources[0].snr == 50.0
    (tmp_path / "season.truth.json").write_bytes(summaries()["season"])
    truth = SeasonTruth.load(tmp_path / "season.truth.json")
    assert len(truth.epochs) > 0
    # Earlier releases wrote another name.
    earlier = summaries()["season"].replace(b'"transit_mjd"', b'"passage_mjd"')
    (tmp_path / "season.truth.json").write_bytes(earlier)
    assert SeasonTruth.load(tmp_path / "season.truth.json") == truth


def test_a_season_that_cannot_be_is_refused_by_the_name_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "season.truth.json"
    truth = json.loads(summaries()["season"])
    truth["spec"]["n_sources"] = 2
    path.write_text(json.dumps(truth))
    with pytest.raises(
        UnreadableObservation, match=re.escape(f"{path} holds no truth of a season")
    ):
        SeasonTruth.load(path)


@fuzzed(40)
@given(summary("image"))
@example(("x", b"[" * 100_000))
@example(("x", b"\xff"))
def test_a_summary_beside_a_product_is_read_or_refused(file: File) -> None:
    check(
        file,
        lambda root: root / "x.json",
        lambda path: load_image_result(path.parent, "x"),
        ImagingFailed,
    )


@fuzzed(40)
@given(summary("season"))
def test_the_truth_of_a_season_is_read_or_refused(file: File) -> None:
    check(file, lambda root: root / "season.truth.json", SeasonTruth.load, UnreadableObservation)
