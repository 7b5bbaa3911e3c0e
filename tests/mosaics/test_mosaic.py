"""Mosaics of made-up tiles: what goes in comes out, however it came in."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from reproject import reproject_interp
from reproject.mosaicking import reproject_and_coadd

from contimg_resources.core.errors import MosaicFailed
from contimg_resources.imaging.model import Beam
from contimg_resources.imaging.png import THUMBNAIL_BYTES, celestial_wcs
from contimg_resources.mosaics import make
from contimg_resources.mosaics.beams import convolve
from contimg_resources.mosaics.make import load_mosaic, make_mosaic
from contimg_resources.mosaics.model import MosaicRequest, MosaicResult, TileFiles
from contimg_resources.settings import ImagingSettings, MosaicSettings
from contimg_resources.simulation.tiles import MadeUpTile, drifting_tiles, write_tile
from contimg_resources.steps.mosaicking import check_noise, check_seams

CELL = 40.0
#: Three pixels across its minor axis, as real images have.
BEAM = Beam(200.0, 120.0, 25.0)
START = 61_041.0


def tiles_of(n: int, **changed: Any) -> tuple[MadeUpTile, ...]:
    settings = {"size": 260, "cell_arcsec": CELL, "beam": BEAM, "fwhm_deg": 2.0, **changed}
    return drifting_tiles(n, start_mjd=START, **settings)


def written(
    tiles: Sequence[MadeUpTile],
    root: Path,
    sources: Sequence[tuple[float, float, float]] = (),
) -> tuple[TileFiles, ...]:
    return tuple(write_tile(t, root / t.key, sources) for t in tiles)


def request(tiles: Sequence[TileFiles], root: Path, dec_deg: float = 54.0) -> MosaicRequest:
    return MosaicRequest(
        key=f"61041.02083{dec_deg:+05.1f}",
        directory=root / "mosaic",
        start_mjd=START,
        end_mjd=START + 1 / 24,
        declination_deg=dec_deg,
        tiles=tuple(tiles),
    )


def pixels(path: Path) -> Any:
    return np.squeeze(fits.getdata(path)).astype(float)


def area_ratio(result: MosaicResult) -> float:
    return (result.beam.major_arcsec * result.beam.minor_arcsec) / (
        BEAM.major_arcsec * BEAM.minor_arcsec
    )


def test_the_pull_of_a_constant_sky_is_one(tmp_path: Path) -> None:
    sky_jy, pulls = 0.02, []
    for seed in range(6):
        tiles = [
            replace(t, rms_jy=1e-3 * (1 + 0.5 * (i % 3)))
            for i, t in enumerate(tiles_of(8, sky_jy=sky_jy, seed=100 * seed))
        ]
        result = make_mosaic(request(written(tiles, tmp_path / f"{seed}"), tmp_path / f"{seed}"))
        truth = sky_jy * area_ratio(result)
        pull = (pixels(result.files.image) - truth) / pixels(result.files.sigma)
        pulls.append(pull[np.isfinite(pull)])
    together = np.concatenate(pulls)
    # Some 12000 beams in all: the spread is known within 0.7 %.
    assert together.std() == pytest.approx(1.0, abs=0.02)
    assert abs(together.mean()) < 0.05


@pytest.mark.parametrize(("ra_deg", "dec_deg"), [(180.0, 54.0), (357.0, 16.3), (10.0, 80.0)])
def test_sources_keep_their_flux_and_place(tmp_path: Path, ra_deg: float, dec_deg: float) -> None:
    tiles = tiles_of(6, ra_deg=ra_deg, dec_deg=dec_deg, rms_jy=1e-6)
    middle = tiles[3].grid
    rng = np.random.default_rng(5)
    sources = [
        (
            (middle.ra_deg + float(e) / math.cos(math.radians(dec_deg))) % 360,
            dec_deg + float(n),
            1.0,
        )
        for e, n in rng.uniform(-0.9, 0.9, (12, 2))
    ]
    sources = [s for i, s in enumerate(sources) if _alone(s, sources[:i])]
    result = make_mosaic(request(written(tiles, tmp_path, sources), tmp_path, dec_deg))
    image = pixels(result.files.image)
    wcs = WCS(fits.getheader(result.files.image)).celestial
    for ra, dec, flux in sources:
        x, y = wcs.all_world2pix(ra, dec, 0)
        box = image[int(y) - 6 : int(y) + 8, int(x) - 6 : int(x) + 8]
        peak, column, row = _peak(box)
        assert peak == pytest.approx(flux, rel=0.01)
        # Dividing by the slope of a primary beam moves the peak of so coarse a beam by 0.07 pixels.
        assert math.hypot(column + int(x) - 6 - x, row + int(y) - 6 - y) < 0.1


def _alone(source: tuple[float, float, float], others: list[tuple[float, float, float]]) -> bool:
    east = math.cos(math.radians(source[1]))
    return all(math.hypot(east * (source[0] - o[0]), source[1] - o[1]) > 0.25 for o in others)


def _peak(box: Any) -> tuple[float, float, float]:
    """Return the maximum of a paraboloid through the logarithm around the highest pixel."""
    row, column = np.unravel_index(np.argmax(box), box.shape)
    y, x = np.mgrid[-1:2, -1:2]
    terms = np.stack([np.ones(9), *(v.ravel() for v in (x, y, x * x, x * y, y * y))], axis=1)
    c = np.linalg.lstsq(
        terms, np.log(box[row - 1 : row + 2, column - 1 : column + 2]).ravel(), rcond=None
    )[0]
    dx, dy = np.linalg.solve([[2 * c[3], c[4]], [c[4], 2 * c[5]]], -c[1:3])
    top = c[0] + 0.5 * (c[1] * dx + c[2] * dy)
    return float(np.exp(top)), float(column + dx), float(row + dy)


def test_adding_tiles_in_any_order_equals_building_anew(tmp_path: Path) -> None:
    tiles = written(tiles_of(6), tmp_path, [(180.5, 54.3, 0.5)])
    whole = make_mosaic(request(tiles, tmp_path / "whole"))
    assert whole.rebuilt
    backwards = tmp_path / "backwards"
    make_mosaic(request([tiles[5], tiles[2], tiles[3]], backwards))
    make_mosaic(request([tiles[5], tiles[2], tiles[3], tiles[0]], backwards))
    added = make_mosaic(request(tiles[::-1], backwards))
    assert not added.rebuilt
    assert set(added.added) == {tiles[1].key, tiles[4].key}
    assert added.grid == whole.grid
    assert [t.key for t in added.tiles] == [t.key for t in whole.tiles]
    sigma = pixels(whole.files.sigma)
    for name, unit in (("image", sigma), ("sigma", sigma), ("coverage", 1.0)):
        a, b = pixels(getattr(added.files, name)), pixels(getattr(whole.files, name))
        assert (np.isnan(a) == np.isnan(b)).all()
        assert np.nanmax(np.abs(a - b) / unit) < 1e-5, name


def test_a_tile_that_was_made_again_or_left_out_has_the_mosaic_built_anew(tmp_path: Path) -> None:
    made = tiles_of(4)
    tiles = written(made, tmp_path)
    make_mosaic(request(tiles, tmp_path))
    changed = write_tile(replace(made[1], seed=77), tmp_path / made[1].key)
    again = make_mosaic(request([tiles[0], changed, *tiles[2:]], tmp_path))
    assert again.rebuilt
    fewer = make_mosaic(request(tiles[2:], tmp_path))
    assert fewer.rebuilt
    assert [t.key for t in fewer.tiles] == [t.key for t in tiles[2:]]


def test_a_late_tile_of_a_larger_beam_has_it_built_anew(tmp_path: Path) -> None:
    made = list(tiles_of(4))
    made[3] = replace(made[3], beam=Beam(230.0, 130.0, 25.0))
    tiles = written(made, tmp_path)
    first = make_mosaic(request(tiles[:3], tmp_path))
    second = make_mosaic(request(tiles, tmp_path))
    assert second.rebuilt
    assert second.beam.major_arcsec >= 230.0 > first.beam.major_arcsec


def test_it_equals_reproject_and_coadd(tmp_path: Path) -> None:
    tiles = tiles_of(4)
    files = written(tiles, tmp_path, [(180.4, 54.1, 0.3)])
    result = make_mosaic(request(files, tmp_path))
    out = celestial_wcs(result.grid)
    inputs, weights = [], []
    for tile, file in zip(tiles, files, strict=True):
        (known,) = [t for t in result.tiles if t.key == tile.key]
        beam = pixels(file.primary_beam)
        image = convolve(pixels(file.image).astype("f4"), BEAM, result.beam, CELL)
        inside = np.isfinite(beam)
        wcs = celestial_wcs(tile.grid)
        inputs.append((np.where(inside, image / np.where(inside, beam, 1), 0.0), wcs))
        weights.append(np.where(inside, beam, 0.0) ** 2 / known.rms_jy**2)
    peer, weight = reproject_and_coadd(
        inputs,
        out,
        shape_out=(result.grid.rows, result.grid.columns),
        reproject_function=reproject_interp,
        input_weights=weights,
        combine_function="mean",
        order=5,
    )
    ours, sigma = pixels(result.files.image), pixels(result.files.sigma)
    # The peer's splines see a step at the edges of tiles.
    seen = np.isfinite(ours) & (weight > 0)
    assert seen.sum() > 30_000
    difference = ((ours - peer) / sigma)[seen]
    assert np.median(np.abs(difference)) < 1e-3
    assert np.percentile(np.abs(difference), 90) < 0.05
    assert np.percentile(np.abs(sigma * np.sqrt(weight) - 1)[seen], 90) < 0.02


def test_only_observed_sky_is_covered_and_holes_stay_empty(tmp_path: Path) -> None:
    tiles = tiles_of(12, size=160, fwhm_deg=1.2)
    files = written([tiles[0], tiles[11]], tmp_path)
    result = make_mosaic(request(files, tmp_path))
    image, coverage = pixels(result.files.image), pixels(result.files.coverage)
    assert (np.isfinite(image) == (coverage > 0)).all()
    assert set(np.unique(coverage)) == {0.0, 1.0}
    assert np.isnan(image[result.grid.rows // 2, result.grid.columns // 2])
    one = math.pi * (0.6 * math.sqrt(math.log(1 / 0.2) / math.log(2))) ** 2
    assert result.statistics.observed_deg2 == pytest.approx(2 * one, rel=0.03)


def test_a_tile_that_can_t_be_used_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    tiles = list(written(tiles_of(6), tmp_path))
    tiles[0].image.write_bytes(tiles[0].image.read_bytes()[:3000])
    with fits.open(tiles[1].primary_beam, mode="update") as hdus:
        hdus[0].data[:] = np.nan
    tiles[2].residual.unlink()
    wide = replace(tiles_of(6)[3], beam=Beam(900.0, 500.0, 0.0))
    tiles[3] = write_tile(wide, tmp_path / "wide")
    result = make_mosaic(request(tiles, tmp_path))
    assert [t.key for t in result.tiles] == [t.key for t in tiles[4:]]
    assert sorted(result.refused) == [t.key for t in tiles[:4]]
    assert str(tiles[0].image) in result.refused[tiles[0].key]
    assert "below 0.2 everywhere" in result.refused[tiles[1].key]
    assert str(tiles[2].residual) in result.refused[tiles[2].key]
    assert "times as large as the median" in result.refused[tiles[3].key]
    header = str(fits.getheader(result.files.image)["HISTORY"])
    assert f"refused {tiles[3].key}" in header
    with pytest.raises(MosaicFailed, match="none of its 2 images can be used"):
        make_mosaic(request(tiles[:2], tmp_path / "none"))
    assert not (tmp_path / "none" / "mosaic").exists()


def test_sums_down_to_another_cut_are_not_added_to(tmp_path: Path) -> None:
    wanted = request(written(tiles_of(3), tmp_path), tmp_path)
    make_mosaic(wanted)
    higher = replace(wanted, imaging=ImagingSettings(beam_cut=0.5))
    again = make_mosaic(higher)
    fresh = make_mosaic(replace(higher, directory=tmp_path / "fresh"))
    assert again.rebuilt
    assert again.statistics.observed_deg2 == fresh.statistics.observed_deg2


@pytest.mark.parametrize("n", [1, 60])
@pytest.mark.parametrize("which", ["image", "residual"])
def test_a_tile_with_pixels_that_are_not_finite_is_refused(
    tmp_path: Path, n: int, which: str
) -> None:
    tiles = written(tiles_of(3), tmp_path)
    with fits.open(getattr(tiles[1], which), mode="update") as hdus:
        hdus[0].data[0, 0, 130 : 130 + n, 130 : 130 + n] = np.nan
    result = make_mosaic(request(tiles, tmp_path))
    assert [t.key for t in result.tiles] == [tiles[0].key, tiles[2].key]
    assert result.refused[tiles[1].key].endswith(f"has {n * n} pixels that are not finite")
    assert tiles[1].key not in result.added


def test_killed_while_adding_the_old_mosaic_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiles = written(tiles_of(4), tmp_path)
    before = make_mosaic(request(tiles[:3], tmp_path))
    content = {p.name: p.read_bytes() for p in before.directory.iterdir()}

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(make, "measure", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make_mosaic(request(tiles, tmp_path))
    assert {p.name: p.read_bytes() for p in before.directory.iterdir()} == content
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []
    monkeypatch.undo()
    after = make_mosaic(request(tiles, tmp_path))
    assert after.added == (tiles[3].key,)


def test_its_files_say_what_they_are(tmp_path: Path) -> None:
    tiles = written(tiles_of(3), tmp_path)
    asked = replace(request(tiles, tmp_path), provenance={"caltable_set": "3C48_61041.1"})
    result = make_mosaic(asked)
    header = fits.getheader(result.files.image)
    assert (header["CTYPE1"], header["BUNIT"], header["NTILES"]) == ("RA---ZEA", "Jy/beam", 3)
    assert 3600 * header["BMAJ"] == pytest.approx(result.beam.major_arcsec)
    assert header["CALSET"] == "3C48_61041.1"
    assert header["MJD-OBS"] == pytest.approx(START)
    history = str(header["HISTORY"])
    assert all(t.key in history for t in tiles)
    assert fits.getheader(result.files.sigma)["BTYPE"] == "Sigma"
    assert result.files.thumbnail.stat().st_size <= THUMBNAIL_BYTES
    assert result.files.png.stat().st_size > 20_000
    assert load_mosaic(result.directory, result.key) == result


def test_noise_and_seams_are_judged(tmp_path: Path) -> None:
    limits = MosaicSettings()
    made = list(tiles_of(6))
    good = make_mosaic(request(written(made, tmp_path), tmp_path))
    assert check_noise(good.statistics, limits).passed
    assert len(good.seams) == 6
    assert check_seams(good.seams, limits).passed
    # A tile whose zero level is wrong.
    made[2] = replace(made[2], sky_jy=0.04)
    bad = make_mosaic(request(written(made, tmp_path / "bad"), tmp_path / "bad"))
    verdict = check_seams(bad.seams, limits)
    assert not verdict.passed
    assert made[2].key in verdict.words
    assert not check_noise(replace(good.statistics, rms_ratio=1.7), limits).passed
    alone = make_mosaic(request(written(made[:1], tmp_path / "one"), tmp_path / "one"))
    assert not check_seams(alone.seams, limits).evaluated
