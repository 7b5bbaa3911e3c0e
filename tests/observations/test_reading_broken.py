"""Claims about MeasurementSets that can't be read: one sentence names path and reason."""

import json
import os
import queue
import re
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from contimg_resources.casa import Casa
from contimg_resources.core.errors import CasaCrashed, ObservationNotSettled, UnreadableObservation
from contimg_resources.observations import reading
from contimg_resources.observations.calibrators import CalibratorList
from contimg_resources.observations.measurement_set import ReadRequest
from contimg_resources.observations.model import Observation
from contimg_resources.observations.settling import Signature
from contimg_resources.settings import ArrivalSettings

Refusal = Callable[[Path], str]


@pytest.fixture
def copy(tiny: Path, tmp_path: Path) -> Path:
    path: Path = shutil.copytree(tiny, tmp_path / "copy.ms")
    return path


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("nan_time", "column TIME is NaN or infinite in 1 of 168 rows, first in row 5"),
        ("in_days", r"column TIME holds a wrong time: 0\.7\d+ is no observing date"),
        ("year_2166", "column TIME holds a wrong time: 112"),
        ("no_interval", "column INTERVAL holds integrations of no length"),
        ("no_rows", "has no rows"),
        ("no_data", "has no column DATA in its main table"),
        ("antenna_9", "sub-table ANTENNA: has 6 rows, but ANTENNA2 goes from 0 to 9"),
        ("twins", "sub-table ANTENNA: several antennas with data have the name '1'"),
        ("azel", "sub-table FIELD: field 0 has its phase centre in the frame AZEL"),
        ("bad_channels", "spectral window 0 has channel frequencies that are"),
        ("other_channels", r"column DATA has cells of shape \(2, 8\) in row \d+.*state \(2, 4\)"),
        ("no_telescope", "sub-table OBSERVATION: no telescope is named"),
    ],
)
def test_a_wrong_ms_is_refused_with_the_reason(
    refusal: Refusal, night: Path, name: str, reason: str
) -> None:
    assert re.search(reason, refusal(night / f"{name}.ms"))


@pytest.mark.parametrize("column", ["DATA", "FLAG", "WEIGHT"])
def test_a_truncated_ms_names_the_column(
    refusal: Refusal, copy: Path, column_files: dict[str, str], column: str
) -> None:
    _truncate(copy / f"{column_files[column]}_TSM1")
    assert re.search(f"column {column} can't be read, its file is truncated", refusal(copy))


@pytest.mark.parametrize("column", ["TIME", "UVW"])
def test_a_truncated_file_of_several_columns_names_one_of_them(
    refusal: Refusal, copy: Path, column_files: dict[str, str], column: str
) -> None:
    _truncate(copy / column_files[column])
    named = re.search("column ([A-Z0-9_]+) (can't be read|of its main table)", refusal(copy))
    assert named is not None
    assert column_files[named.group(1)] == column_files[column]


@pytest.mark.parametrize("file", ["table.dat", "table.f2", "ANTENNA/table.f0", "FIELD/table.dat"])
def test_a_truncated_header_is_refused(refusal: Refusal, copy: Path, file: str) -> None:
    _truncate(copy / file)
    message = refusal(copy)
    assert "opened" in message or "read" in message
    assert file.split("/")[0].removeprefix("table") in message


def test_a_missing_column_file_is_refused(
    refusal: Refusal, copy: Path, column_files: dict[str, str]
) -> None:
    (copy / f"{column_files['DATA']}_TSM1").unlink()
    assert "column DATA" in refusal(copy)


def test_a_missing_subtable_is_named(refusal: Refusal, copy: Path) -> None:
    shutil.rmtree(copy / "POLARIZATION")
    message = refusal(copy)
    assert "POLARIZATION" in message


def test_what_is_no_measurement_set_is_refused_without_casa(
    tmp_path: Path, refusal: Refusal
) -> None:
    assert "nearest directory that exists is" in refusal(tmp_path / "gone.ms")
    (tmp_path / "file.ms").touch()
    assert "is a file" in refusal(tmp_path / "file.ms")
    (tmp_path / "empty.ms").mkdir()
    assert "is an empty directory" in refusal(tmp_path / "empty.ms")
    (tmp_path / "other.ms").mkdir()
    (tmp_path / "other.ms" / "notes.txt").write_text("hello")
    assert "it has no table.dat" in refusal(tmp_path / "other.ms")
    (tmp_path / "away.ms").symlink_to("gone.ms")
    assert "does not exist" in refusal(tmp_path / "away.ms")


def test_a_caltable_is_no_measurement_set(copy: Path, refusal: Refusal) -> None:
    (copy / "table.info").write_text("Type = Calibration\nSubType = G Jones\n")
    assert "is a CASA table of type 'Calibration'" in refusal(copy)


def test_a_file_of_random_bytes_is_refused(tmp_path: Path, refusal: Refusal) -> None:
    path = tmp_path / "noise.ms"
    path.mkdir()
    (path / "table.dat").write_bytes(bytes(range(256)) * 40)
    assert "can't be opened" in refusal(path) or "crashed" in refusal(path)


def _hold_open_for_writing(ms: Path) -> None:
    from casatools import table

    from contimg_resources.core.progress import report_progress

    tb = table()
    tb.open(str(ms), nomodify=False, lockoptions={"option": "permanent"})
    report_progress(str(os.getpid()))
    while not ms.with_suffix(".enough").exists():
        time.sleep(0.02)
    tb.close()


@pytest.fixture
def writer(casa: Casa, copy: Path) -> Iterator[int]:
    """Give the number of a CASA process that has the MS open for writing."""
    held: queue.Queue[str] = queue.Queue()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(
            casa.run,
            _hold_open_for_writing,
            copy,
            label="writer",
            progress=lambda message, _: held.put(message),
            timeout_s=60,
        )
        try:
            yield int(held.get(timeout=120))
        finally:
            copy.with_suffix(".enough").touch()


def test_a_writer_is_named_and_not_waited_for(copy: Path, refusal: Refusal, writer: int) -> None:
    start = time.perf_counter()
    assert f"is locked: process {writer} has {copy} open for writing" in refusal(copy)
    assert time.perf_counter() - start < 1


def _crash(request: ReadRequest) -> None:
    import signal

    from contimg_resources.core.progress import report_progress

    report_progress("reading column DATA of its main table")
    os.kill(os.getpid(), signal.SIGSEGV)


def test_a_name_with_spaces_and_a_link_are_read_all_the_same(
    tiny: Path, tmp_path: Path, casa: Casa
) -> None:
    link = tmp_path / "my night's first.ms"
    link.symlink_to(tiny)
    assert replace(_read(link, casa), path=tiny) == _read(tiny, casa)


def test_a_crash_of_casa_becomes_words(
    tiny: Path, refusal: Refusal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "read_measurement_set", _crash)
    assert "CASA crashed (SIGSEGV) while reading column DATA" in refusal(tiny)


def _killed(request: ReadRequest) -> None:
    import signal

    os.kill(os.getpid(), signal.SIGKILL)


def test_a_read_that_was_killed_says_nothing_about_the_ms(
    tiny: Path, casa: Casa, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "read_measurement_set", _killed)
    with pytest.raises(CasaCrashed):
        _read(tiny, casa)


def _sleep(request: ReadRequest) -> None:
    time.sleep(60)


def test_a_read_without_an_answer_ends_in_time(
    tiny: Path, casa: Casa, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "read_measurement_set", _sleep)
    with pytest.raises(UnreadableObservation, match="no answer within 1 s"):
        _read(tiny, casa, timeout_s=1.0)


def test_an_ms_that_changes_while_it_is_read_is_not_settled(
    tiny: Path, casa: Casa, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter([Signature(0, 1, 1, "a"), Signature(0, 2, 1, "b")])
    monkeypatch.setattr(reading, "content_signature", lambda path: next(looks))
    with pytest.raises(ObservationNotSettled, match="changed while it was read"):
        _read(tiny, casa)


def _read(path: Path, casa: Casa, timeout_s: float = 60.0) -> Observation:
    return reading.read_observation(
        path,
        casa=casa,
        calibrators=CalibratorList(),
        settings=ArrivalSettings(),
        timeout_s=timeout_s,
    )


@pytest.fixture(scope="module")
def column_files(night: Path) -> dict[str, str]:
    """Give the file under the MS that belongs to each column."""
    files: dict[str, str] = json.loads((night / "column_files.json").read_text())
    return files


def _truncate(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)
