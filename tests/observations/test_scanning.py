"""Claims about which directories are taken for observations."""

import time
from pathlib import Path

import pytest

from contimg_resources.errors import ConfigurationError
from contimg_resources.observations.scanning import scan


def test_only_directories_with_names_of_observations_are_candidates(tmp_path: Path) -> None:
    for name in (
        *("2025-10-06T12:41:18.ms", "2025-10-06T12:36:09.ms"),
        *("2025-10-06T12:36:09_cal.ms", "x.phased.ms", "x_meridian.ms"),
        *(".hidden.ms", "caltables", "two words.ms", "a..b.ms"),
    ):
        (tmp_path / name).mkdir()
    (tmp_path / "2025-10-06T12:41:18.ms.done").touch()
    (tmp_path / "file.ms").touch()
    found = scan(tmp_path)
    assert [c.stem for c in found] == ["2025-10-06T12:36:09", "2025-10-06T12:41:18"]
    assert [c.done_marker for c in found] == [False, True]
    assert found.passed_over == {
        "intermediates": 3,
        "hidden": 1,
        "files": 2,
        "other directories": 1,
        "bad names": 2,
    }


def test_an_observation_inside_another_directory_is_not_found(tmp_path: Path) -> None:
    (tmp_path / "night" / "a.ms").mkdir(parents=True)
    assert len(scan(tmp_path)) == 0


def test_links_out_of_the_directory_are_passed_over(tmp_path: Path) -> None:
    incoming = tmp_path / "incoming"
    (incoming / "real.ms").mkdir(parents=True)
    (tmp_path / "outside.ms").mkdir()
    (incoming / "out.ms").symlink_to("../outside.ms")
    (incoming / "in.ms").symlink_to("real.ms")
    (incoming / "nowhere.ms").symlink_to("nothing")
    found = scan(incoming)
    assert [c.stem for c in found] == ["in", "real"]
    assert found.links_out == 2


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
