"""Measurements in Parquet: whole or not there, described, and refused when damaged."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contimg_resources.core.directories import whole_file
from contimg_resources.core.errors import UnreadableMeasurements
from contimg_resources.photometry.measurements import (
    COLUMNS,
    FORMAT,
    read_measurements,
    write_measurements,
)
from contimg_resources.photometry.model import Flag
from tests.photometry.epochs import image, raw, scale, sources, write

DAY = 61_041.5


def written(tmp_path: Path, flux: Any = (0.3, np.nan, 0.2), **changed: Any) -> Path:
    path = tmp_path / "deep" / "down" / "61041.50000+54.0.parquet"
    measured = raw(flux, flags=np.where(np.isnan(flux), int(Flag.EDGE), 0), **changed)
    told = write_measurements(
        path, image(DAY), sources(), measured, scale(3, 0.9, 0.01), {"catalogue": "NVSS"}
    )
    assert told.path == path
    return path


def test_what_is_written_is_read(tmp_path: Path) -> None:
    columns, facts = read_measurements(written(tmp_path))
    assert list(columns) == list(COLUMNS)
    assert facts == {
        "schema_version": FORMAT.version,
        "epoch": "61041.50000+54.0",
        "kind": "mosaic",
        "catalogue": "NVSS",
    }
    # By source, whatever the order of the list.
    assert columns["source_id"].tolist() == ["s0", "s1", "s2"]
    np.testing.assert_array_equal(columns["raw_flux_jy"], [np.nan, 0.2, 0.3])
    np.testing.assert_allclose(columns["flux_jy"], [np.nan, 0.2 / 0.9, 0.3 / 0.9])
    expected = np.hypot(2e-3 / 0.9, np.array([0.2, 0.3]) / 0.9 * 0.01 / 0.9)
    np.testing.assert_allclose(columns["flux_error_jy"][1:], expected)
    np.testing.assert_allclose(columns["expected_jy"], [0.2, 0.3, 0.1])
    assert columns["flags"].tolist() == [int(Flag.EDGE), 0, 0]
    assert columns["is_reference"].tolist() == [False, False, True]
    assert set(columns["epoch"]) == {"61041.50000+54.0"}
    assert set(columns["mid_mjd"]) == {DAY}
    assert columns["epoch_ok"].all()


def test_every_column_says_what_it_holds(tmp_path: Path) -> None:
    schema = pq.read_schema(written(tmp_path))
    assert schema.names == list(COLUMNS)
    for field in schema:
        assert field.metadata[b"description"].decode() == COLUMNS[field.name][1]
    types = {"source_id": pa.string(), "flux_jy": pa.float64(), "flags": pa.int32()}
    assert {name: schema.field(name).type for name in types} == types


def test_a_number_that_is_none_is_null(tmp_path: Path) -> None:
    table = pq.read_table(written(tmp_path))
    for name in ("flux_jy", "flux_error_jy", "raw_flux_jy", "raw_error_jy"):
        assert table[name].null_count == 1, name


def test_integrated_flux_densities_are_on_the_same_scale(tmp_path: Path) -> None:
    integrated = {"integrated_jy": np.array([0.9, np.nan, 0.45]), "width": np.full(3, 1.5)}
    columns, _ = read_measurements(written(tmp_path, **integrated))
    np.testing.assert_allclose(columns["integrated_flux_jy"], [np.nan, 0.5, 1.0])
    np.testing.assert_allclose(columns["width"], 1.5)


def test_a_file_from_before_integrated_flux_densities_is_read(tmp_path: Path) -> None:
    path = written(tmp_path)
    later = ["integrated_flux_jy", "integrated_error_jy", "width", "width_error"]
    pq.write_table(pq.read_table(path).drop_columns(later), path)
    columns, _ = read_measurements(path)
    assert list(columns) == list(COLUMNS)
    assert columns["raw_flux_jy"][1:].tolist() == [0.2, 0.3]
    assert np.isnan(columns["integrated_flux_jy"]).all()
    # Other columns have always been there.
    pq.write_table(pq.read_table(path).drop_columns(["raw_flux_jy"]), path)
    with pytest.raises(UnreadableMeasurements, match="raw_flux_jy"):
        read_measurements(path)


def test_what_lies_outside_is_not_written(tmp_path: Path) -> None:
    path = written(tmp_path, in_image=np.array([True, False, True]))
    assert read_measurements(path)[0]["source_id"].tolist() == ["s1", "s2"]


def test_an_image_without_sources_has_a_file_too(tmp_path: Path) -> None:
    columns, facts = read_measurements(written(tmp_path, in_image=np.zeros(3, bool)))
    assert {name: len(column) for name, column in columns.items()} == dict.fromkeys(COLUMNS, 0)
    assert facts["kind"] == "mosaic"


def test_it_counts_what_it_wrote(tmp_path: Path) -> None:
    told = write(tmp_path, DAY, (0.3, np.nan, 0.2))
    assert (told.n_sources, told.n_measured) == (3, 2)


def test_others_may_read_it(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        path = written(tmp_path)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("kept", [0, 4, 0.5, 0.99])
def test_a_truncated_file_is_refused(tmp_path: Path, kept: float) -> None:
    path = written(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole)) if kept < 1 else int(kept)])
    with pytest.raises(UnreadableMeasurements, match=re.escape(str(path))):
        read_measurements(path)


def test_a_file_with_spoilt_pages_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path)
    spoilt = bytearray(path.read_bytes())
    spoilt[4:400] = b"\xff" * 396
    path.write_bytes(spoilt)
    with pytest.raises(UnreadableMeasurements, match=re.escape(str(path))):
        read_measurements(path)


def test_other_peoples_parquet_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.parquet"
    pq.write_table(pa.table({"x": [1]}), path)
    with pytest.raises(UnreadableMeasurements, match=r"other\.parquet"):
        read_measurements(path)
    with pytest.raises(UnreadableMeasurements, match="absent"):
        read_measurements(tmp_path / "absent.parquet")
    with pytest.raises(UnreadableMeasurements, match=re.escape(str(tmp_path))):
        read_measurements(tmp_path)


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    path = written(tmp_path)
    pq.write_table(pq.read_table(path).drop_columns(["rms_jy"]), path)
    with pytest.raises(UnreadableMeasurements, match="rms_jy"):
        read_measurements(path)


def test_a_newer_file_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path)
    table = pq.read_table(path)
    facts = {**json.loads(table.schema.metadata[b"contimg"]), "schema_version": FORMAT.version + 1}
    pq.write_table(table.replace_schema_metadata({b"contimg": json.dumps(facts).encode()}), path)
    with pytest.raises(UnreadableMeasurements, match="written by a newer contimg"):
        read_measurements(path)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = written(tmp_path)
    before = path.read_bytes()

    def fail(partial: Path) -> None:
        partial.write_bytes(b"half")
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
        whole_file(path, fail)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]  # noqa: PTH208 - hidden ones count


_KILLED = """
import sys, time
from pathlib import Path
from contimg_resources.core.directories import whole_file

def write(partial):
    partial.write_bytes(b"half")
    print("half", flush=True)
    time.sleep(60)

whole_file(Path(sys.argv[1]), write)
"""


def test_killed_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    path = written(tmp_path)
    before = path.read_bytes()
    with subprocess.Popen(
        [sys.executable, "-c", _KILLED, str(path)], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "half\n"
        child.send_signal(signal.SIGKILL)
    assert path.read_bytes() == before
    (left,) = (p for p in path.parent.iterdir() if p != path)
    # Nobody takes it for measurements, and a day later the next one to write removes it.
    assert left.name.startswith(".")
    assert left.suffix == ".partial"
    whole_file(path, lambda partial: partial.write_bytes(before))
    assert left.exists()
    old = time.time() - 2 * 86_400
    os.utime(left, (old, old))
    whole_file(path, lambda partial: partial.write_bytes(before))
    assert list(path.parent.iterdir()) == [path]
