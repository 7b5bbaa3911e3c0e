"""Trees that others wrote are walked within limits and removed whatever their shape."""

import os
from pathlib import Path

import pytest

from contimg_resources.core.checksums import content_checksum, content_size_bytes
from contimg_resources.core.directories import replace_directory
from contimg_resources.core.trees import TreeLimits, TreeRefused, remove_tree, walk_files
from tests.hostile_trees import nested


def test_a_tree_that_is_too_deep_is_refused_by_walks_and_checksums(tmp_path: Path) -> None:
    with nested(tmp_path / "deep") as deep:
        for look in (lambda p: list(walk_files(p)), content_checksum, content_size_bytes):
            with pytest.raises(TreeRefused, match="nested more than 32 deep") as refused:
                look(deep)
            assert refused.value.filename == str(deep)


def test_a_tree_with_too_many_entries_or_that_takes_too_long_is_refused(tmp_path: Path) -> None:
    for n in range(11):
        (tmp_path / f"{n}").touch()
    assert len(list(walk_files(tmp_path, TreeLimits(entries=11)))) == 11
    with pytest.raises(TreeRefused, match="more than 10 files and directories"):
        list(walk_files(tmp_path, TreeLimits(entries=10)))
    with pytest.raises(TreeRefused, match="can't be listed within -1 s"):
        list(walk_files(tmp_path, TreeLimits(seconds=-1)))


def test_links_are_neither_followed_nor_removed_through(tmp_path: Path) -> None:
    kept, tree = tmp_path / "kept", tmp_path / "tree"
    kept.mkdir()
    (kept / "data").write_text("mine")
    (tree / "sub").mkdir(parents=True)
    (tree / "sub" / "link").symlink_to(kept)
    (tree / "round").symlink_to(tree)
    assert sorted(f.name for f in walk_files(tree)) == ["round", "sub/link"]
    remove_tree(tree)
    assert (not tree.exists(), (kept / "data").read_text()) == (True, "mine")
    tree.symlink_to(kept)
    with pytest.raises(OSError, match=r"\S"):
        remove_tree(tree)
    assert (kept / "data").is_file()


def test_a_tree_that_is_too_deep_for_any_path_is_removed(tmp_path: Path) -> None:
    with nested(tmp_path / "deep") as deep, nested(tmp_path / "other", 1200) as other:
        (deep / "beside").mkdir()
        (deep / "beside" / "file").touch()
        remove_tree(deep)
        assert not deep.exists()
        # What a product replaces, too.
        new = tmp_path / "new"
        new.mkdir()
        replace_directory(new, other)
        assert list(tmp_path.iterdir()) == [other]
        assert list(other.iterdir()) == []


def test_what_can_not_be_removed_is_named_after_all_else_is_gone(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        remove_tree(tmp_path / "nowhere")
    remove_tree(tmp_path / "nowhere", ignore_errors=True)
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(NotADirectoryError):
        remove_tree(file)
    assert file.is_file()


def test_a_pipe_is_no_content_to_wait_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "table.f0")
    with pytest.raises(OSError, match="is a named pipe"):
        content_checksum(tmp_path)
