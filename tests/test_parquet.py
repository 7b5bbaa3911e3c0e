"""The Parquet files of contimg: whole or not there, and refused by name."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contimg_resources.core.errors import UnreadableMeasurements
from contimg_resources.core.parquet import ParquetFormat, arrays_of

FORMAT = ParquetFormat(
    lack="holds no transits",
    version=2,
    columns={
        "source_id": ("string", "the source"),
        "transit_mjd": ("double", "MJD in days"),
        "flux_jy": ("float", "Jy; null if none"),
        "n": ("int32", "a count"),
        "ok": ("bool", "whether it is good"),
    },
    later=("flux_jy",),
    former={"transit_mjd": "passage_mjd"},
)
VALUES: dict[str, Any] = {
    "source_id": np.array(["a", "b"]),
    "transit_mjd": np.array([61_041.25, 61_042.5]),
    "flux_jy": np.array([0.5, np.nan], np.float32),
    "n": np.array([1, 2]),
    "ok": np.array([True, False]),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    place = tmp_path / "days" / "61041.parquet"
    FORMAT.write(place, VALUES, {"day_mjd": 61_041})
    return place


def test_a_file_is_read_as_it_was_written(path: Path) -> None:
    table, facts = FORMAT.read(path)
    read = arrays_of(table)
    assert facts == {"schema_version": 2, "day_mjd": 61_041}
    assert FORMAT.read_facts(path) == facts
    assert list(read) == list(FORMAT.columns)
    for name, values in VALUES.items():
        np.testing.assert_array_equal(read[name], values)


def test_columns_are_typed_and_described(path: Path) -> None:
    for field in pq.read_schema(path):
        assert field.metadata[b"description"].decode() == FORMAT.columns[field.name][1]
    assert pq.read_schema(path).field("n").type == pa.int32()
    assert pq.read_table(path)["flux_jy"].null_count == 1


def test_a_format_without_nulls_keeps_nan(tmp_path: Path) -> None:
    kind = replace(FORMAT, has_nulls=False)
    kind.write(tmp_path / "t.parquet", VALUES, {})
    table, _ = kind.read(tmp_path / "t.parquet")
    assert table["flux_jy"].null_count == 0
    assert np.isnan(arrays_of(table)["flux_jy"][1])


def test_files_of_earlier_releases_are_read(path: Path) -> None:
    table = pq.read_table(path).drop_columns(["flux_jy"])
    names = ["passage_mjd" if n == "transit_mjd" else n for n in table.column_names]
    named = table.rename_columns(names).replace_schema_metadata(table.schema.metadata)
    pq.write_table(named, path)
    read = arrays_of(FORMAT.read(path)[0])
    assert list(read) == list(FORMAT.columns)
    assert read["transit_mjd"].tolist() == VALUES["transit_mjd"].tolist()
    assert np.isnan(read["flux_jy"]).all()


def test_a_missing_column_is_named(path: Path) -> None:
    pq.write_table(pq.read_table(path).drop_columns(["ok"]), path)
    with pytest.raises(UnreadableMeasurements, match=r"61041\.parquet holds no transits: .*ok"):
        FORMAT.read(path)


def test_a_damaged_file_is_named(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])
    for read in (FORMAT.read, FORMAT.read_facts, FORMAT.open):
        with pytest.raises(UnreadableMeasurements, match=r"61041\.parquet holds no transits"):
            read(path)
    with pytest.raises(UnreadableMeasurements, match=r"absent\.parquet holds no transits"):
        FORMAT.read(path.with_name("absent.parquet"))


@pytest.mark.parametrize("facts", [b"[]", b"3", b"{}", b'{"schema_version": null}', b"\xff"])
def test_facts_that_are_none_are_refused(path: Path, facts: bytes) -> None:
    pq.write_table(pq.read_table(path).replace_schema_metadata({b"contimg": facts}), path)
    with pytest.raises(UnreadableMeasurements, match="holds no transits"):
        FORMAT.read_facts(path)


def test_a_file_of_a_newer_release_is_refused(path: Path) -> None:
    facts = json.dumps({"schema_version": 3}).encode()
    pq.write_table(pq.read_table(path).replace_schema_metadata({b"contimg": facts}), path)
    kind = replace(FORMAT, remedy="write it again")
    with pytest.raises(UnreadableMeasurements, match=r"newer contimg .*up to 2\): write it again"):
        kind.read(path)


def test_interrupted_the_old_file_stays(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(table: Any, place: Path, **_: Any) -> None:
        place.write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(pq, "write_table", interrupted)
        with pytest.raises(KeyboardInterrupt):
            FORMAT.write(path, VALUES, {})
    assert FORMAT.read(path)[0].num_rows == 2
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_format_without_rows_has_all_columns() -> None:
    assert {n: len(v) for n, v in FORMAT.no_rows().items()} == dict.fromkeys(FORMAT.columns, 0)
