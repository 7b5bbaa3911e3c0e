"""Mosaics of a known sky, written and recorded without imaging anything."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from astropy.io import fits

from contimg_resources.imaging.png import celestial_wcs
from contimg_resources.mosaics.model import MosaicFiles, MosaicGrid
from contimg_resources.products.epochs import MosaicQuality, MosaicRecord, MosaicState
from contimg_resources.products.store import ProductsStore

#: RA, Dec (degrees) and peak (Jy/beam) of a source.
Source = tuple[float, float, float]
HALF_WINDOW_DAYS = 1 / 48


def add_mosaic(
    store: ProductsStore,
    root: Path,
    key: str,
    mid_mjd: float,
    grid: MosaicGrid,
    sources: Sequence[Source],
    *,
    noise_jy: float = 1e-3,
    beam_arcsec: float = 120.0,
    tiles: dict[str, str] | None = None,
    checksum: str = "",
) -> MosaicFiles:
    """Write image, expected noise and number of images, and record the mosaic as made.

    The outermost ten pixels weren't observed.
    """
    directory = root / key
    directory.mkdir(parents=True, exist_ok=True)
    files = MosaicFiles.in_directory(directory, key)
    wcs = celestial_wcs(grid)
    pixels = np.random.default_rng(len(key)).normal(0, noise_jy, (grid.rows, grid.columns))
    rows, columns = np.indices(pixels.shape)
    for ra, dec, jy in sources:
        x, y = wcs.all_world2pix(ra, dec, 0)
        sigma = beam_arcsec / grid.cell_arcsec / 2.3548
        pixels += jy * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 2 / sigma**2)
    seen = np.pad(np.ones((grid.rows - 20, grid.columns - 20), bool), 10)
    for path, plane, unit in (
        (files.image, np.where(seen, pixels, np.nan), "Jy/beam"),
        (files.sigma, np.where(seen, noise_jy, np.nan), "Jy/beam"),
        (files.coverage, seen, ""),
    ):
        header = wcs.to_header()
        header["BUNIT"] = unit
        fits.writeto(path, plane.astype("f4"), header, overwrite=True)
    store.mosaics.put(
        MosaicRecord(
            key,
            mid_mjd - HALF_WINDOW_DAYS,
            mid_mjd,
            mid_mjd + HALF_WINDOW_DAYS,
            grid.dec_deg,
            MosaicState.MADE,
            "",
            tiles or {},
            directory,
            checksum=checksum or f"sha256:{key}",
            size_bytes=files.image.stat().st_size,
            statistics=MosaicQuality(rms_mjy=1e3 * noise_jy, expected_rms_mjy=1e3 * noise_jy),
            run_id="run-8",
        )
    )
    return files
