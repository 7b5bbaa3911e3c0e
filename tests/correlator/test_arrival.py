"""Files of a directory are grouped by what they hold."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from contimg_resources.core.errors import ConfigurationError
from contimg_resources.correlator import arrival
from contimg_resources.correlator.arrival import HeaderCache, SubBandScan, scan_sub_bands
from contimg_resources.correlator.sub_band import read_sub_band
from tests.correlator.files import Written

Observation = tuple[Written, list[Path]]

#: Long after the files were written.
LATER_S = 4e9


def scan(directory: Path, cache: HeaderCache | None = None, now_s: float = LATER_S) -> SubBandScan:
    return scan_sub_bands(
        directory, cache or HeaderCache(directory), now_s=now_s, settle_age_s=30.0
    )


def test_names_do_not_matter(observation: Observation, tmp_path: Path) -> None:
    for k, path in enumerate(observation[1]):
        shutil.copy(path, tmp_path / f"2025-10-06T20:2{k % 2}:{k:02d}_sb{15 - k:02d}.hdf5")
    found = scan(tmp_path)
    (group,) = found.groups
    assert group.name == "2025-10-06T20:19:54"
    assert [s.number for s in group.sub_bands] == list(range(16))
    assert group.missing == ()
    assert [p.name[-9:-5] for p in group.files] == [f"sb{15 - k:02d}" for k in range(16)]
    assert (found.rejected, found.unsettled, found.n_read) == ({}, {}, 16)


def test_files_that_are_being_written_are_not_touched(
    observation: Observation, tmp_path: Path
) -> None:
    whole, young, later = (
        Path(shutil.copy(observation[1][k], tmp_path / f"{k}.hdf5")) for k in range(3)
    )
    incomplete = tmp_path / "3_incomplete.hdf5"
    incomplete.write_bytes(b"")
    (tmp_path / ".4.hdf5.part").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("")
    now_s = 1.8e9
    for path, age_s in ((whole, 100), (young, 5), (later, -60), (incomplete, 1000)):
        os.utime(path, (now_s - age_s, now_s - age_s))
    found = scan(tmp_path, now_s=now_s)
    assert [s.path for g in found.groups for s in g.sub_bands] == [whole]
    assert found.unsettled == {
        str(young): "changed 5 s ago; 30 s are required",
        str(later): "is dated 60 s in the future: clocks differ, or it is growing",
        str(incomplete): "is still being written: its name says so",
    }
    assert found.rejected == {}


def test_a_header_is_read_once_until_its_file_changes(
    observation: Observation, tmp_path: Path
) -> None:
    paths = [Path(shutil.copy(p, tmp_path)) for p in observation[1][:4]]
    paths[3].write_bytes(b"broken")
    cache = HeaderCache(tmp_path)
    first = scan(tmp_path, cache)
    assert first.n_read == 4
    assert list(first.rejected) == [str(paths[3])]
    assert scan(tmp_path, cache) == replace(first, n_read=0)
    cache.save(tmp_path / "cache.json")
    kept = HeaderCache.load(tmp_path / "cache.json", tmp_path)
    assert scan(tmp_path, kept) == replace(first, n_read=0)
    shutil.copy(observation[1][3], paths[3])
    mended = scan(tmp_path, kept)
    assert (mended.n_read, mended.rejected) == (1, {})
    assert len(mended.groups[0].sub_bands) == 4
    paths[0].unlink()
    gone = scan(tmp_path, kept)
    assert gone.n_read == 0
    assert [s.number for s in gone.groups[0].sub_bands] == [1, 2, 3]


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", '{"version": 1}', '{"version": 1, "directory": "DIR", "files": 3}'),
        '{"version": 1, "directory": "DIR", "files": {"a": [1, 2, 3]}}',
        '{"version": 1, "directory": "DIR", "files": {"a": [1, 2, [3]]}}',
        '{"version": 9, "directory": "DIR", "files": {"a": [1, 2, "x"]}}',
    ],
)
def test_a_damaged_cache_is_an_empty_one(text: str, tmp_path: Path) -> None:
    file = tmp_path / "cache.json"
    file.write_text(text.replace("DIR", str(tmp_path)))
    assert HeaderCache.load(file, tmp_path).known == {}
    assert HeaderCache.load(tmp_path / "none.json", tmp_path).known == {}


def test_files_unlike_their_observation_are_named(observation: Observation, tmp_path: Path) -> None:
    usual = [replace(read_sub_band(p), path=tmp_path / p.name) for p in observation[1][:6]]
    (six, five, four, three, two, one) = usual
    odd = {
        "antennas": replace(six, n_antennas=95),
        "time grid": replace(five, n_integrations=23),
        "declination": replace(four, declination_deg=four.declination_deg + 0.1),
        "repeats sub-band 3": replace(three, path=tmp_path / "zz.hdf5"),
    }
    groups, rejected = arrival.group_sub_bands([*odd.values(), three, two, one])
    assert [s.number for s in groups[0].sub_bands] == [3, 4, 5]
    for word, s in odd.items():
        assert word in rejected[str(s.path)]
        assert rejected[str(s.path)].startswith(str(s.path))
    assert len(rejected) == len(odd)


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="can't be listed"):
        scan(tmp_path / "none")
