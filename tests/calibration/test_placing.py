"""What stands under a prefix is one solve, whole."""

import shutil
from pathlib import Path

import pytest

from contimg_resources.calibration.solve.editing import place_tables
from contimg_resources.core.errors import InvalidName
from contimg_resources.instrument.caltables import CaltableType


def make_table(path: Path, text: str) -> Path:
    path.mkdir()
    (path / "table.dat").write_text(text)
    return path


def test_a_second_solve_replaces_the_first_with_all_its_tables(tmp_path: Path) -> None:
    first = {k: make_table(tmp_path / f"a{k.name}", "1") for k in (CaltableType.K, CaltableType.GA)}
    second = {CaltableType.GA: make_table(tmp_path / "b", "2")}
    prefix = tmp_path / "set" / "3C286"
    assert [p.name for p in place_tables(first, prefix, shutil.copytree).values()] == [
        "3C286_kcal",
        "3C286_gacal",
    ]
    placed = place_tables(second, prefix, shutil.copytree)
    assert [p.name for p in prefix.parent.iterdir()] == ["3C286_gacal"]
    assert (placed[CaltableType.GA] / "table.dat").read_text() == "2"


def test_a_copy_that_fails_leaves_the_earlier_tables(tmp_path: Path) -> None:
    prefix = tmp_path / "set" / "3C286"
    place_tables({CaltableType.K: make_table(tmp_path / "k", "1")}, prefix, shutil.copytree)
    with pytest.raises(FileNotFoundError):
        place_tables({CaltableType.K: tmp_path / "absent"}, prefix, shutil.copytree)
    assert [p.name for p in prefix.parent.iterdir()] == ["3C286_kcal"]


def test_a_prefix_with_a_path_in_its_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidName):
        place_tables({}, tmp_path / "..", shutil.copytree)
