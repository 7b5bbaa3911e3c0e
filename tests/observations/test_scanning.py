"""Claims about which directories are taken for observations."""

import time
from collections import Counter
from pathlib import Path

import pytest

from contimg_resources.core.errors import ConfigurationError
from contimg_resources.observations.scanning import say_passed_over, scan


def test_only_directories_with_names_of_observations_are_candidates(tmp_path: Path) -> None:
    for name in (
        *("2025-10-06T12:41:18.ms", "2025-10-06T12:36:09.ms"),
        *("2025-10-06T12:36:09_cal.ms", "x.phased.ms", "x_meridian.ms"),
        *(".hidden.ms", "caltables", "red\x1b[31m.ms", 'a"b.ms'),
    ):
        (tmp_path / name).mkdir()
    (tmp_path / "2025-10-06T12:41:18.ms.done").touch()
    (tmp_path / "file.ms").touch()
    found = scan(tmp_path)
    assert [c.stem for c in found] == ["2025-10-06T12:36:09", "2025-10-06T12:41:18"]
    assert [c.done_marker for c in found] == [False, True]
    assert Counter(over.kind for over in found.passed_over) == {
        "intermediates": 3,
        "hidden": 1,
        "files named as MS": 1,
        "other directories": 1,
        "bad names": 2,
    }


def test_an_ms_may_have_any_name_that_can_be_shown(tmp_path: Path) -> None:
    names = sorted(["100 % of #7?.ms", "a..b.ms", "März [1].ms", "two words.ms"])
    for name in names:
        (tmp_path / name).mkdir()
    assert [c.name for c in scan(tmp_path)] == names


def test_an_observation_inside_another_directory_is_not_found(tmp_path: Path) -> None:
    (tmp_path / "night" / "a.ms").mkdir(parents=True)
    assert len(scan(tmp_path)) == 0


def test_a_link_to_an_ms_is_that_ms_wherever_it_lies(tmp_path: Path) -> None:
    incoming = tmp_path / "incoming"
    (incoming / "real.ms").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (incoming / "out.MS").symlink_to("../outside")
    (incoming / "in.ms").symlink_to("real.ms")
    found = scan(incoming)
    assert [c.stem for c in found] == ["in", "out", "real"]
    assert [c.name for c in found] == ["in.ms", "out.MS", "real.ms"]
    assert found.passed_over == ()


def test_links_that_lead_nowhere_are_named_and_hide_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "good.ms").mkdir()
    (tmp_path / "circle.ms").symlink_to("circle.ms")
    (tmp_path / "gone.ms").symlink_to("/not/there.ms")
    found = scan(tmp_path)
    assert [c.stem for c in found] == ["good"]
    assert say_passed_over(found.passed_over) == [
        "gone.ms is a link to /not/there.ms, which doesn't exist",
        "circle.ms can't be read: Too many levels of symbolic links",
    ]


def test_sub_bands_from_the_correlator_are_named_as_such(tmp_path: Path) -> None:
    for name in ("2025-10-06T08:28:42.uvh5", "2025-10-06T08:28:42_sb00.hdf5", "notes.txt"):
        (tmp_path / name).touch()
    assert say_passed_over(scan(tmp_path).passed_over) == [
        "2025-10-06T08:28:42.uvh5 is a sub-band file of the correlator: it belongs in the "
        "directory CONTIMG_UVH5_DIR",
        "2025-10-06T08:28:42_sb00.hdf5 is a sub-band file of the correlator: it belongs in the "
        "directory CONTIMG_UVH5_DIR",
        "notes.txt is a file",
    ]


def test_of_each_kind_the_first_are_named_and_the_rest_counted(tmp_path: Path) -> None:
    for number in range(23):
        (tmp_path / f"{number:02d}_cal.ms").mkdir()
    (tmp_path / "red\x1b[31m.ms").mkdir()
    said = say_passed_over(scan(tmp_path).passed_over)
    assert said[0] == "00_cal.ms has the name of an intermediate product, no observation"
    assert said[20].startswith(r"'red\x1b[31m.ms' is left alone")
    assert all(line.isprintable() for line in said)
    assert said[21:] == ["3 more intermediates"]
    assert len(scan(tmp_path).passed_over) == 24


def test_markers_of_observations_are_nothing_to_tell(tmp_path: Path) -> None:
    (tmp_path / "a.MS").mkdir()
    (tmp_path / "a.MS.done").touch()
    found = scan(tmp_path)
    assert [c.done_marker for c in found] == [True]
    assert found.passed_over == ()


def test_a_missing_directory_names_what_is_near(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=f"nearest directory that exists is {tmp_path}$"):
        scan(tmp_path / "not" / "there")


def test_a_hundred_thousand_names_take_seconds(tmp_path: Path) -> None:
    for number in range(500):
        (tmp_path / f"n{number:06d}.ms").mkdir()
    for number in range(20_000):
        (tmp_path / f"n{number:06d}.ms.done").touch()
    start = time.perf_counter()
    found = scan(tmp_path)
    elapsed_s = time.perf_counter() - start
    assert len(found) == 500
    assert all(c.done_marker for c in found)
    assert elapsed_s * 5 < 5
