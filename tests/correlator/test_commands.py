"""``contimg uvh5`` as somebody types it."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest

from contimg_resources.cli.main import run
from tests.correlator.files import Written

Observation = tuple[Written, list[Path]]
Command = Callable[..., tuple[int, Any, str]]


@pytest.fixture
def contimg(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Command:
    """Give a function that runs a command, and returns exit code, JSON or text, and messages."""
    monkeypatch.setenv("CONTIMG_STATE", str(tmp_path / "state"))

    def call(*arguments: object) -> tuple[int, Any, str]:
        capfd.readouterr()
        code = run([str(a) for a in arguments])
        out, err = capfd.readouterr()
        return code, json.loads(out) if "--json" in arguments and out else out, err

    return call


@pytest.fixture
def arrived(observation: Observation, tmp_path: Path) -> Path:
    """Give a directory with 15 sub-bands, a file that is being written and a broken one."""
    directory = tmp_path / "incoming"
    directory.mkdir()
    for path in observation[1][1:]:
        os.utime(shutil.copy(path, directory), (1.7e9, 1.7e9))
    (directory / "2025-10-06T20:25:00_sb00_incomplete.hdf5").write_bytes(b"x")
    (directory / "broken.hdf5").write_bytes(b"x")
    os.utime(directory / "broken.hdf5", (1.7e9, 1.7e9))
    return directory


def test_files_are_described(contimg: Command, observation: Observation, tmp_path: Path) -> None:
    first, second = observation[1][:2]
    code, text, _ = contimg("uvh5", "show", first, second)
    assert code == 0
    assert f"sub-band 0: {first}" in text
    assert "start: 2025-10-06T20:19:54.000" in text
    assert "integrations: 3 of 12.885 s" in text
    assert "antennas: 9 with data, 36 baselines" in text
    assert "apparent declination: +30.400 deg" in text
    code, found, _ = contimg("uvh5", "show", first, tmp_path / "none.hdf5", "--json")
    assert code == 1
    assert [s["number"] for s in found["sub_bands"]] == [0]
    assert "does not exist" in found["rejected"][str(tmp_path / "none.hdf5")]


def test_reading_a_sub_band_as_an_ms_explains_what_it_is(
    contimg: Command, observation: Observation
) -> None:
    code, out, _ = contimg("observation", "show", observation[1][0])
    assert code == 0
    assert "observation: none yet" in out
    # As an MS it can't be calibrated.
    code, _, err = contimg("calibrate", "--ms", observation[1][0], "--field", "3C286")
    assert code == 1
    assert "is a sub-band file of the correlator, no MeasurementSet: `contimg uvh5 show`" in err


def test_observations_of_a_directory_are_listed(contimg: Command, arrived: Path) -> None:
    code, text, err = contimg("uvh5", "group", arrived)
    assert code == 0
    assert "2025-10-06T20:19:54" in text
    assert "not used: " in err
    assert "is no HDF5 file" in err
    assert "incomplete.hdf5 is still being written" in err
    # The headers come from the cache now: what they were read from isn't opened.
    for path in arrived.glob("*_sb*.hdf5"):
        status = path.stat()
        path.write_bytes(b"\0" * status.st_size)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    code, found, _ = contimg("uvh5", "group", arrived, "--json")
    assert code == 0
    (one,) = found["observations"]
    assert one["name"] == "2025-10-06T20:19:54"
    assert one["missing"] == [0]
    assert sorted(map(int, one["sub_bands"])) == list(range(1, 16))
    assert list(found["rejected"]) == [str(arrived / "broken.hdf5")]


def test_a_directory_is_converted_once(contimg: Command, arrived: Path, tmp_path: Path) -> None:
    out = tmp_path / "ms"
    code, text, err = contimg("uvh5", "convert", arrived, "--out", out)
    ms = out / "2025-10-06T20:19:54.ms"
    # One of the files can't be read.
    assert code == 1
    assert text == f"{ms}\n"
    assert (ms / "table.dat").is_file()
    assert "flagged windows without a sub-band: 0" in err
    assert "is no HDF5 file" in err
    (arrived / "broken.hdf5").unlink()
    code, text, err = contimg("uvh5", "convert", arrived, "--out", out)
    assert (code, text) == (0, "")
    assert f"{ms} is already there" in err


def test_files_that_have_just_come_wait_unless_they_needn_t(
    contimg: Command, arrived: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (arrived / "broken.hdf5").unlink()
    for path in arrived.glob("*.hdf5"):
        os.utime(path)
    code, _, said = contimg("uvh5", "convert", arrived, "--out", tmp_path / "ms")
    assert code == 0
    assert "no observation was found yet: 16 files wait" in said
    monkeypatch.setenv("CONTIMG_UVH5__SETTLE_AGE_S", "0")
    code, text, _ = contimg("uvh5", "convert", arrived, "--out", tmp_path / "ms")
    assert code == 0
    assert [Path(line).suffix for line in text.split()] == [".ms"]


def test_too_few_sub_bands_are_an_answer_of_no(
    contimg: Command, observation: Observation, tmp_path: Path
) -> None:
    files = observation[1][:3]
    code, found, _ = contimg("uvh5", "convert", *files, "--out", tmp_path, "--json")
    assert code == 1
    assert found["converted"] == []
    assert "3 of 16 sub-bands are usable" in found["failed"]["2025-10-06T20:19:54"]
    code, found, _ = contimg(
        *("uvh5", "convert", *files, "--out", tmp_path, "--min-subbands", "3", "--json")
    )
    assert code == 0
    assert found["converted"][0]["missing"] == list(range(3, 16))
    code, _, err = contimg("uvh5", "convert", tmp_path, files[0], "--out", tmp_path)
    assert code == 2
    assert "either sub-band files or one directory" in err


def test_an_observation_that_lacks_its_declination_does_not_stop_the_others(
    contimg: Command, observation: Observation, tmp_path: Path
) -> None:
    how = observation[0]
    files = [Path(shutil.copy(p, tmp_path)) for p in observation[1][:2]]
    with h5py.File(files[0], "r+") as file:
        del file["Header/phase_center_app_dec"]
        file["Header/time_array"][...] -= 0.1
    out = ("--out", tmp_path / "ms", "--min-subbands", "1")
    code, found, _ = contimg("uvh5", "convert", *files, *out, "--json")
    assert code == 1
    assert [Path(c["ms"]).name for c in found["converted"]] == ["2025-10-06T20:19:54.ms"]
    assert "state the apparent declination" in found["failed"]["2025-10-06T17:55:54"]
    code, found, _ = contimg(
        *("uvh5", "convert", *files, *out, "--dec", str(how.declination_deg), "--json")
    )
    assert code == 0
    assert [Path(c["ms"]).name for c in found["converted"]] == ["2025-10-06T17:55:54.ms"]
    assert len(found["already_there"]) == 1
