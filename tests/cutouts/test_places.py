"""Any text can be a source's id; room for cutouts is bounded."""

from pathlib import Path

import pytest

from contimg_resources.core.errors import InvalidName
from contimg_resources.cutouts.cutting import CutoutOf, cut
from contimg_resources.cutouts.model import shown_name
from contimg_resources.cutouts.places import (
    animation_path,
    cutout_directory,
    cutout_path,
    cutouts_of,
    stack_path,
)
from contimg_resources.cutouts.reading import read_facts
from contimg_resources.cutouts.storage import full_since, keep_within
from tests.cutouts.mosaics import grid, sky, write

HOSTILE = (
    "../../etc/passwd",
    "/etc/passwd",
    "..",
    ".",
    "",
    "....",
    "a/b",
    "a_b",
    "a\\b",
    "a\0b",
    "a\nb",
    "$\\frac{$",
    "\u03b1 Cen's",
    "\ud800",
    "x" * 5000,
    "x" * 5001,
    "a ",
    "a&",
    "x" * 66 + "&&",
    "-rf",
    ".hidden",
    "nvss-013741+330935",
)
EPOCHS = tuple(f"{61_041 + i}.02083+54.0" for i in range(6))


def test_every_source_has_a_directory_of_its_own(tmp_path: Path) -> None:
    found = [cutout_directory(tmp_path, source_id) for source_id in HOSTILE]
    assert len({str(d).lower() for d in found}) == len(HOSTILE)
    for directory in found:
        assert directory.parent == tmp_path
        assert directory.resolve().parent == tmp_path.resolve()
        assert not directory.name.startswith((".", "-"))
        assert len(directory.name) < 100
    assert found[-1].name.startswith("nvss-013741+330935-")


@pytest.mark.parametrize("epoch", ["../x", "stack", "", "61041.02083+54.0/..", "61041"])
def test_only_keys_are_epochs(tmp_path: Path, epoch: str) -> None:
    with pytest.raises(InvalidName):
        cutout_path(tmp_path, "s", epoch)


@pytest.mark.parametrize("source_id", HOSTILE)
def test_any_source_can_be_cut_out(tmp_path: Path, source_id: str) -> None:
    on = grid(side=60)
    image = write(tmp_path / "m.fits", on, sky(on, []))
    place = cutout_path(tmp_path / "root", source_id, EPOCHS[0])
    cut(image, 180.0, 54.0, 2.0, place, CutoutOf(source_id, EPOCHS[0], "sha256:0"))
    assert read_facts(place).source_id == source_id
    (found,) = cutouts_of(tmp_path / "root", source_id)
    assert (found.epoch, found.fits) == (EPOCHS[0], place)
    assert found.mid_mjd == 61_041.02083
    assert shown_name(source_id).isprintable()


def fill(root: Path, source_id: str, epochs: tuple[str, ...]) -> None:
    """Cutouts of 1000 bytes a pair."""
    for epoch in epochs:
        place = cutout_path(root, source_id, epoch)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"f" * 600)
        place.with_name(f"{epoch}.png").write_bytes(b"p" * 400)


def epochs_of(root: Path, source_id: str) -> tuple[str, ...]:
    return tuple(c.epoch for c in cutouts_of(root, source_id))


def test_only_whole_pairs_are_listed(tmp_path: Path) -> None:
    assert cutouts_of(tmp_path, "s") == ()
    fill(tmp_path, "s", EPOCHS[::-1])
    directory = cutout_directory(tmp_path, "s")
    (directory / f"{EPOCHS[1]}.png").unlink()
    (directory / f"{EPOCHS[2]}.fits").unlink()
    (directory / f".{EPOCHS[2]}.fits.0.partial").touch()
    stack_path(tmp_path, "s").touch()
    stack_path(tmp_path, "s").with_suffix(".png").touch()
    assert epochs_of(tmp_path, "s") == (EPOCHS[0], *EPOCHS[3:])


def test_the_oldest_that_nobody_needs_go_first(tmp_path: Path) -> None:
    fill(tmp_path, "needed", EPOCHS[:3])
    fill(tmp_path, "other", EPOCHS[1:5])
    fill(tmp_path, "third", EPOCHS[2:3])
    assert keep_within(tmp_path, 8000 / 1e9, {"needed"}) == ()
    removed = keep_within(tmp_path, 5500 / 1e9, {"needed"})
    assert len(removed) == 6
    assert epochs_of(tmp_path, "needed") == EPOCHS[:3]
    left = {*epochs_of(tmp_path, "other"), *epochs_of(tmp_path, "third")}
    assert left <= {*EPOCHS[2:5]}
    assert {*EPOCHS[3:5]} <= left
    # Only then the oldest of those that are needed; what is empty goes.
    animation_path(tmp_path, "other").write_bytes(b"a" * 50)
    removed = keep_within(tmp_path, 2000 / 1e9, {"needed"})
    assert epochs_of(tmp_path, "needed") == EPOCHS[1:3]
    assert animation_path(tmp_path, "other") in removed
    assert [d.name for d in tmp_path.iterdir()] == [cutout_directory(tmp_path, "needed").name]
    assert len(keep_within(tmp_path, 0.0, {"needed"})) == 4
    assert list(tmp_path.iterdir()) == []


def test_what_is_being_written_stays(tmp_path: Path) -> None:
    fill(tmp_path, "s", EPOCHS[:2])
    partial = cutout_directory(tmp_path, "s") / f".{EPOCHS[0]}.fits.abc.partial"
    partial.touch()
    keep_within(tmp_path, 0.0, set())
    assert epochs_of(tmp_path, "s") == EPOCHS[:1]
    assert partial.exists()
    assert keep_within(tmp_path / "nowhere", 0.0, set()) == ()


def test_what_there_is_no_room_for_is_told(tmp_path: Path) -> None:
    fill(tmp_path, "needed", EPOCHS[2:])
    fill(tmp_path, "other", EPOCHS)
    assert full_since(tmp_path, 5100 / 1e9, {"needed", "nobody"}) is None
    assert full_since(tmp_path, 4400 / 1e9, {"needed", "nobody"}) == 61_043.02083
    assert full_since(tmp_path, 1e-9, {"nobody"}) is None
