"""Cutouts follow the mosaics: made, kept, made anew, and gone with them."""

import json
import shutil
from pathlib import Path

import pytest

from contimg_resources.cli.main import run
from contimg_resources.core.errors import CutoutFailed, PhotometryFailed
from contimg_resources.cutouts.places import cutout_path, cutouts_of, png_beside
from contimg_resources.cutouts.reading import read_facts
from contimg_resources.mosaics.model import MosaicFiles
from contimg_resources.products.epochs import MosaicState
from contimg_resources.steps.cutouts import animate_source, cut_many, cut_source, stack_source
from contimg_resources.steps.provenance import provenance_of
from tests.cutouts.night import add_mosaic, make_workshop

HOSTILE = "../../$x'; DROP TABLE\n--"


def test_they_follow_the_mosaics(tmp_path: Path) -> None:
    workshop = make_workshop(tmp_path)
    root = workshop.settings.layout.cutouts
    keys = [add_mosaic(workshop, i, seed=i) for i in range(4)]
    failed = add_mosaic(workshop, 4, state=MosaicState.FAILED)
    found = cut_source(workshop, "s0")
    assert (found.made, found.kept, found.gone) == (tuple(keys), (), ())
    assert failed not in found.made
    assert [key for _, key in found.pngs] == keys
    assert all(png.is_file() and png.parent == found.directory for png in found.pngs.values())
    assert [c.epoch for c in cutouts_of(root, "s0")] == keys

    before = {key: cutout_path(root, "s0", key).stat().st_mtime_ns for key in keys}
    add_mosaic(workshop, 1, seed=99)
    cutout_path(root, "s0", keys[2]).write_bytes(b"damaged")
    png_beside(cutout_path(root, "s0", keys[3])).unlink()
    shutil.rmtree(workshop.products.mosaics.get(keys[0]).directory)
    found = cut_source(workshop, "s0")
    # What is there and whose mosaic didn't change stays, whether the mosaic is there or not.
    assert (found.made, found.kept, found.gone) == (tuple(keys[1:]), (keys[0],), ())
    assert cutout_path(root, "s0", keys[0]).stat().st_mtime_ns == before[keys[0]]
    told = read_facts(cutout_path(root, "s0", keys[1]))
    assert told.image_checksum == workshop.products.mosaics.get(keys[1]).checksum

    cutout_path(root, "s0", keys[0]).unlink()
    found = cut_source(workshop, "s0")
    assert (found.made, found.kept, found.gone) == ((), tuple(keys[1:]), (keys[0],))
    assert len(found.pngs) == 3

    part = cut_source(workshop, "s0", start_mjd=61_042.0, end_mjd=61_043.5)
    assert part.kept == tuple(keys[1:3])


def test_pictures_have_one_scale(tmp_path: Path) -> None:
    from contimg_resources.cutouts.drawing import scale_of_picture

    workshop = make_workshop(tmp_path)
    add_mosaic(workshop, 0)
    (first,) = cut_source(workshop, "s0").pngs.values()
    scale = scale_of_picture(first)
    add_mosaic(workshop, 1, flux_jy=0.06)
    found = cut_source(workshop, "s0")
    assert {scale_of_picture(p) for p in found.pngs.values()} == {scale}
    # The source flares: all are drawn anew.
    add_mosaic(workshop, 2, flux_jy=50.0)
    found = cut_source(workshop, "s0")
    assert len(found.kept) == 2
    (other,) = {scale_of_picture(p) for p in found.pngs.values()}
    assert other is not None
    assert scale is not None
    assert other.high_jy > 3 * scale.high_jy


def test_a_truncated_mosaic_is_one_epoch_less(tmp_path: Path) -> None:
    workshop = make_workshop(tmp_path)
    keys = [add_mosaic(workshop, i) for i in range(2)]
    image = MosaicFiles.in_directory(
        workshop.products.mosaics.get(keys[0]).directory, keys[0]
    ).image
    image.write_bytes(image.read_bytes()[:9000])
    found = cut_source(workshop, "s0")
    assert found.made == (keys[1],)
    assert str(image) in found.failed[keys[0]]
    shutil.rmtree(workshop.settings.layout.cutouts)
    with pytest.raises(CutoutFailed, match="none of 1 mosaics gives a cutout of s0"):
        cut_source(workshop, "s0", end_mjd=61_041.5)


def test_many_go_on_after_one_failed_and_take_no_more_room_than_they_may(tmp_path: Path) -> None:
    workshop = make_workshop(tmp_path, max_gb=30e-6)
    for i in range(3):
        add_mosaic(workshop, i, names=("s0", "s1"))
    told: list[str] = []

    def note(message: str, _: float | None = None) -> None:
        told.append(message)

    # The second is a degree away, outside of the mosaic; nobody is nowhere.
    done = cut_many(workshop, ["s0", "s1", "nobody", "s0"], progress=note)
    assert [s.source_id for s in done.sources] == ["s0"]
    assert "outside" in done.failed["s1"]
    assert "never measured" in done.failed["nobody"]
    assert told == ["source s0", "source s1", "source nobody"]
    left = cutouts_of(workshop.settings.layout.cutouts, "s0")
    size_bytes = sum(p.stat().st_size for c in left for p in (c.fits, c.png))
    assert 0 < size_bytes <= 30_000
    assert len(done.removed) == 2 * (3 - len(left)) > 0
    assert set(done.sources[0].pngs.values()) == {c.png for c in left}
    # What there was no room for isn't made again, only to be removed.
    again = cut_many(workshop, ["s0"])
    assert (again.sources[0].made, again.removed) == ((), ())
    assert again.sources[0].kept == tuple(c.epoch for c in left)


def test_any_name_of_a_source(tmp_path: Path) -> None:
    workshop = make_workshop(tmp_path)
    key = add_mosaic(workshop, 0, names=(HOSTILE,))
    found = cut_source(workshop, HOSTILE)
    assert found.made == (key,)
    assert found.directory.parent == workshop.settings.layout.cutouts
    assert stack_source(workshop, HOSTILE).n_epochs == 1
    assert animate_source(workshop, HOSTILE)[1] == 1
    with pytest.raises(PhotometryFailed):
        cut_source(workshop, "../x")
    with pytest.raises(CutoutFailed, match="no cutouts of"):
        stack_source(workshop, "../x")


def test_a_cutout_tells_where_it_is_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workshop = make_workshop(tmp_path)
    key = add_mosaic(workshop, 0)
    (png,) = cut_source(workshop, "s0").pngs.values()
    found = provenance_of(workshop, png)
    assert found.product is not None
    told, mosaic = found.product.parameters, workshop.products.mosaics.get(key)
    assert (found.kind, found.why_stale) == ("cutout", "")
    assert (told["source"], told["mosaic"]) == ("s0", key)
    assert told["content of its image"] == mosaic.checksum
    image = MosaicFiles.in_directory(mosaic.directory, key).image
    assert found.made_from == (image,)
    # The mosaic is made again, the cutout not yet.
    add_mosaic(workshop, 0, seed=5)
    assert run(["why", str(png), "--state", str(workshop.settings.state)]) == 0
    out = capsys.readouterr().out
    assert f"made from: {image}" in out
    assert f"STALE: mosaic {key} was made again" in out
    png.with_name(f"{key}.fits").write_bytes(b"no FITS")
    assert run(["why", str(png), "--state", str(workshop.settings.state)]) == 1
    assert "has 7 bytes" in capsys.readouterr().out


def test_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONTIMG_CUTOUTS__SIZE_ARCMIN", "4")
    workshop = make_workshop(tmp_path)
    keys = [add_mosaic(workshop, i, seed=i) for i in range(3)]
    state = ["--state", str(workshop.settings.state)]
    assert run(["cutout", "s0", *state, "--stack", "--animate", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["made"] == keys
    assert [c["epoch"] for c in told["cutouts"]] == keys
    assert told["stack"]["n_epochs"] == told["animation"]["frames"] == 3
    assert Path(told["animation"]["gif"]).read_bytes().startswith(b"GIF8")
    assert run(["cutout", "s0", *state, "--from", "61042", "--stack", "--animate"]) == 0
    captured = capsys.readouterr()
    assert keys[1] in captured.out
    assert keys[0] not in captured.out
    assert "0 made, 2 kept, 0 mosaics missing" in captured.err
    # A span is a span: of its cutouts only.
    assert "stack of 2" in captured.err
    assert "animation of 2 frames" in captured.err
    assert run(["cutout", "nobody", *state]) == 1
    assert "similar: s0" in capsys.readouterr().err
    assert run(["cutout", "s0", "--state", str(tmp_path / "elsewhere")]) != 0
