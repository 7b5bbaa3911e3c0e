"""Maps of the sky, as reproject, mocpy and astropy-healpix read them."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from astropy_healpix import HEALPix
from mocpy import MOC  # type: ignore[import-untyped]
from PIL import Image
from reproject import reproject_interp
from reproject.hips import hips_as_dask_array, reproject_to_hips

from contimg_resources.imaging.png import celestial_wcs
from contimg_resources.mosaics import sky_map
from contimg_resources.mosaics.hips import Sums, Tile, order_for, pixel_arcsec, read_tile
from contimg_resources.mosaics.model import MosaicGrid
from contimg_resources.mosaics.sky_map import SkyInput, SkyLayer, update_layer
from contimg_resources.products.store import ProductsStore
from tests.dashboard.made_up_mosaics import add_mosaic

#: Across 0 h, and across the declination where HEALPix changes from equator to pole.
GRID = MosaicGrid(640, 240, 30.0, 359.5, 41.9)
EAST = replace(GRID, ra_deg=4.5)
SOURCE = (0.3, 42.1, 2.0)
NOISE = 1e-3


@pytest.fixture
def mosaic(tmp_path: Path) -> Callable[..., SkyInput]:
    store = ProductsStore(str(tmp_path / "products.sqlite3"))

    def make(key: str, grid: MosaicGrid = GRID, jy: float = 2.0, **how: Any) -> SkyInput:
        mid_mjd = float(key[:11])
        files = add_mosaic(store, tmp_path, key, mid_mjd, grid, [(*SOURCE[:2], jy)], **how)
        checksum = store.mosaics.get(key).checksum
        return SkyInput(key, mid_mjd, checksum, files.image, files.sigma, NOISE)

    return make


def layer(*inputs: SkyInput, settled_mjd: float = 0.0) -> SkyLayer:
    return SkyLayer("deep", "all mosaics", inputs, settled_mjd)


def mean_of(root: Path, place: SkyCoord) -> float:
    """Return the value of the pixel at a place, found by astropy-healpix."""
    order = json.loads((root / "coverage.json").read_text())["order"]
    pixel = int(HEALPix(1 << (order + 9), "nested", "icrs").skycoord_to_healpix(place))
    number, inside = divmod(pixel, 512**2)
    bits = f"{inside:018b}"
    x, y = int(bits[1::2], 2), int(bits[0::2], 2)
    values = read_tile(root, Tile(order, number))
    return float("nan") if values is None else float(values[x, y])


def test_others_find_the_mosaic_in_the_map(tmp_path: Path, mosaic: Callable[..., SkyInput]) -> None:
    root = tmp_path / "deep"
    one = mosaic("61041.50000+41.9")
    updated = update_layer(root, layer(one), 6)
    assert order_for(30.0, 6) == 4
    assert pixel_arcsec(4) == pytest.approx(25.77, abs=0.01)
    assert updated.n_made == updated.n_tiles == 3
    # reproject makes the same tiles of the mosaic, in the same places.
    image = fits.getdata(one.image)
    wcs = WCS(celestial_wcs(GRID).to_header())
    reproject_to_hips(
        (np.nan_to_num(image).astype(float), wcs),
        coord_system_out="equatorial",
        reproject_function=reproject_interp,
        output_directory=str(tmp_path / "theirs"),
        level=4,
        order="bicubic",
    )
    (ours, sky), (others, _) = (
        hips_as_dask_array(str(place)) for place in (root, tmp_path / "theirs")
    )
    rows, columns = np.indices(image.shape)[:, ::10, ::10]
    x, y = sky.world_to_pixel(wcs.pixel_to_world(columns, rows))
    slab = np.s_[int(y.min()) : int(y.max()), int(x.min()) : int(x.max())]
    mine, other = (np.asarray(array[slab].compute(), float) for array in (ours, others))
    both = np.isfinite(mine) & np.isfinite(other)
    assert both.sum() == np.isfinite(mine).sum() > 0.87 * np.isfinite(other).sum() > 1e5
    assert np.abs(mine - other)[both].max() < 0.02 * SOURCE[2]
    assert np.std((mine - other)[both]) < 0.3 * NOISE
    # And astropy-healpix finds the source where it is.
    assert mean_of(root, SkyCoord(*SOURCE[:2], unit="deg")) == pytest.approx(SOURCE[2], rel=0.07)
    # The mean over a lower order keeps the flux.
    tile = Tile(3, _holding(3))
    # It is where Aladin expects it among the small pictures of the overview.
    with Image.open(root / "Norder3" / "Allsky.png") as overview:
        column, row = 64 * (tile.number % 27), 64 * (tile.number // 27)
        small = overview.crop((column, row, column + 64, row + 64)).convert("RGBA")
        assert overview.size == (27 * 64, 29 * 64)
    with Image.open(tile.path(root, "png")) as whole:
        expected = whole.convert("RGBA").resize((64, 64), Image.Resampling.NEAREST)
    assert np.array_equal(np.asarray(small), np.asarray(expected))
    assert np.asarray(expected)[..., 3].any()
    low, high = read_tile(root, tile), [read_tile(root, child) for child in tile.children]
    assert low is not None
    total = sum(float(np.nansum(part)) for part in high if part is not None)
    assert 4 * float(np.nansum(low)) == pytest.approx(total, rel=0.05)
    words = _properties(root)
    assert (words["hips_order"], words["hips_frame"]) == ("4", "equatorial")
    moc = MOC.from_fits(root / "Moc.fits")
    seen = wcs.pixel_to_world(*np.nonzero(np.isfinite(image))[::-1])
    theirs = MOC.from_skycoords(seen, max_norder=7)
    assert moc.intersection(theirs).sky_fraction == pytest.approx(moc.sky_fraction, rel=0.05)
    assert moc.sky_fraction == pytest.approx(theirs.sky_fraction, rel=0.05)
    assert moc.sky_fraction == pytest.approx(float(words["moc_sky_fraction"]), rel=1e-5)
    inside = SkyCoord([SOURCE[0], 359.5, 10.0], [SOURCE[1], 41.0, 41.9], unit="deg")
    assert moc.contains_skycoords(inside).tolist() == [True, True, False]


def _properties(root: Path) -> dict[str, str]:
    lines = (root / "properties").read_text().splitlines()
    return {name.strip(): value.strip() for name, _, value in (x.partition("=") for x in lines)}


def _holding(order: int) -> int:
    place = SkyCoord(*SOURCE[:2], unit="deg")
    return int(HEALPix(1 << order, "nested", "icrs").skycoord_to_healpix(place))


def test_only_tiles_whose_mosaics_changed_are_made_again(
    tmp_path: Path, mosaic: Callable[..., SkyInput], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "deep"
    place = SkyCoord(*SOURCE[:2], unit="deg")
    west, east = mosaic("61041.50000+41.9"), mosaic("61041.52000+41.9", EAST)
    settled = 61_041.9
    first = update_layer(root, layer(west, settled_mjd=settled), 4)
    before = {p: p.stat().st_mtime_ns for p in root.rglob("*") if p.is_file()}
    assert update_layer(root, layer(west, settled_mjd=settled), 4).n_made == 0
    assert before == {p: p.stat().st_mtime_ns for p in root.rglob("*") if p.is_file()}
    created = _properties(root)["hips_creation_date"]
    monkeypatch.setattr(sky_map, "now_mjd", lambda: 63_000.0)
    both = update_layer(root, layer(west, east, settled_mjd=settled), 4)
    dates = [_properties(root)[f"hips_{name}_date"] for name in ("creation", "release")]
    assert dates == [created, "2031-05-14T00:00Z"]
    kept = [p for p, at in before.items() if p.exists() and p.stat().st_mtime_ns == at]
    assert any("Norder4" in p.parts and p.suffix == ".fits" for p in kept)
    assert 0 < both.n_made < both.n_tiles
    # A mosaic of another night joins: only it is read, the sums of the others are kept.
    read: list[str] = []
    contribution = sky_map._contribution

    def noted(tile: Tile, one: SkyInput) -> Sums:
        read.append(one.key)
        return contribution(tile, one)

    monkeypatch.setattr(sky_map, "_contribution", noted)
    fainter = mosaic("61042.49727+41.9", jy=1.0, noise_jy=NOISE / 2)
    update_layer(root, layer(west, east, fainter, settled_mjd=settled), 4)
    assert set(read) == {fainter.key}
    # Four times the weight.
    assert mean_of(root, place) == pytest.approx((2.0 + 4 * 1.0) / 5, rel=0.1)
    # Made again: what was kept of it is not used.
    again = mosaic("61041.50000+41.9", jy=3.0, checksum="sha256:again")
    update_layer(root, layer(again, east, fainter, settled_mjd=settled), 4)
    assert mean_of(root, place) == pytest.approx((3.0 + 4 * 1.0) / 5, rel=0.1)
    # Without its mosaic a tile is gone, also the lower orders of it.
    last = update_layer(root, layer(again, settled_mjd=settled), 4)
    assert last.n_tiles == first.n_tiles
    east_only = SkyCoord(7.0, 41.9, unit="deg")
    assert np.isnan(mean_of(root, east_only))
    assert np.isfinite(mean_of(root, place))


def test_an_update_that_stops_is_continued_by_the_next_one(
    tmp_path: Path, mosaic: Callable[..., SkyInput]
) -> None:
    root = tmp_path / "night"
    one = mosaic("61041.50000+41.9", replace(GRID, columns=320))
    turns = iter([False, True])
    first = update_layer(root, layer(one), 4, is_late=lambda: next(turns, True))
    assert (first.n_made, first.n_tiles) == (1, 1)
    second = update_layer(root, layer(one), 4)
    assert second.n_made == first.n_left
    assert (second.n_tiles, second.n_left) == (first.n_left + 1, 0)
    (root / "tiles.json").write_text("{damaged")
    assert update_layer(root, layer(one), 4).n_made == second.n_tiles
