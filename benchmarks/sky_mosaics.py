"""Timed mosaics of simulated tiles, by contimg and by plain reproject.

Belongs here: the tiles, our step, the peer, each called in a separate process.
Doesn't: the order of measuring, goals.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from benchmarks.fresh import timed_alone
from benchmarks.measure import Measured
from contimg_resources.core.errors import MosaicFailed
from contimg_resources.core.keys import mosaic_key
from contimg_resources.imaging.model import Beam
from contimg_resources.mosaics.make import make_mosaic
from contimg_resources.mosaics.model import MosaicRequest, MosaicResult, TileFiles
from contimg_resources.simulation.tiles import drifting_tiles, random_sources, write_tile

Source = tuple[float, float, float]

#: Pixels per side of a real tile, its pixel size and its restoring beam, arcsec.
FULL_SIZE = 2400
_CELL_ARCSEC = 6.8
_BEAM = Beam(47.0, 20.4, 15.0)
_DEC_DEG = 54.0
_RA_DEG = 180.0
_SLOT_S = 300.0
_START_MJD = 61_041.0
_DEG_PER_TILE = 15.041 * _SLOT_S / 3600
#: Extent of the simulated sources: north and south of the tile centres, about the field above the
#: cut of the primary beam, and margin in right ascension before the first and after the last tile.
_HALF_DEG = 1.9
_MARGIN_RA_DEG = 1.7


@dataclass(frozen=True)
class SkyTiles:
    """Tiles of a drift scan and their sources."""

    directory: Path  #: Directory of their files.
    tiles: tuple[TileFiles, ...]  #: In the order of time.
    sources: tuple[Source, ...]  #: RA, Dec (ICRS degrees) and flux density (Jy) of each source.

    def request(self, directory: Path, n_tiles: int | None = None) -> MosaicRequest:
        """Return the request for the mosaic of the first tiles, or of all (None)."""
        return MosaicRequest(
            key=mosaic_key(_START_MJD, _DEC_DEG),
            directory=directory,
            start_mjd=_START_MJD,
            end_mjd=_START_MJD + len(self.tiles) * _SLOT_S / 86_400,
            declination_deg=_DEC_DEG,
            tiles=self.tiles[:n_tiles],
        )


@dataclass(frozen=True)
class TilesToMake:
    """Number and size of the tiles, and number of sources."""

    directory: Path  #: Output directory.
    n_tiles: int  #: Tiles, one every five minutes.
    #: Pixels per side; the area of a tile on the sky, and the beam in pixels, stay the same.
    size: int
    n_sources: int  #: Sources in the strip.


def make_tiles(task: TilesToMake) -> SkyTiles:
    """Write the tiles."""
    coarser = FULL_SIZE / task.size
    beam = Beam(coarser * _BEAM.major_arcsec, coarser * _BEAM.minor_arcsec, _BEAM.angle_deg)
    sources = random_sources(
        task.n_sources,
        (_RA_DEG - _MARGIN_RA_DEG, _RA_DEG + task.n_tiles * _DEG_PER_TILE + _MARGIN_RA_DEG),
        (_DEC_DEG - _HALF_DEG, _DEC_DEG + _HALF_DEG),
        seed=1,
    )
    made = drifting_tiles(
        task.n_tiles,
        size=task.size,
        cell_arcsec=coarser * _CELL_ARCSEC,
        beam=beam,
        start_mjd=_START_MJD,
        ra_deg=_RA_DEG,
        dec_deg=_DEC_DEG,
        slot_s=_SLOT_S,
        seed=1,
    )
    files = tuple(write_tile(tile, task.directory / tile.key, sources) for tile in made)
    return SkyTiles(task.directory, files, tuple(sources))


def mosaic(request: MosaicRequest) -> tuple[MosaicResult, Measured]:
    """Time a mosaic; its modules are loaded beforehand.

    Raises
    ------
    MosaicFailed
        If a tile was refused: the measured work would be incomplete.
    """
    _load()
    result, took = timed_alone(lambda: make_mosaic(request))
    if result.refused:
        raise MosaicFailed(f"{request.key}: tiles were refused: {result.refused}")
    return result, took


def add_last_tile(request: MosaicRequest) -> Measured:
    """Time adding the last tile to the existing mosaic of the others.

    Raises
    ------
    MosaicFailed
        If the mosaic was rebuilt, or another tile was added.
    """
    result, took = mosaic(request)
    if result.rebuilt or result.added != (request.tiles[-1].key,):
        raise MosaicFailed(f"{request.key}: {result.added} were added, not the last tile alone")
    return took


@dataclass(frozen=True)
class PlainTask:
    """Input of the mosaic by reproject."""

    #: Our mosaic: the peer gets its beam, its pixel grid and the tiles' noise for free.
    result: MosaicResult
    tiles: Sequence[TileFiles]  #: The tiles.
    output: Path  #: FITS file, overwritten.


def reproject_coadds(task: PlainTask) -> Measured:
    """Time reproject: convolve each tile to the common beam, coadd all, write the image.

    Notes
    -----
    ``sum(w I / B) / sum(w)`` with weights ``w = B^2 / sigma^2``, the same sum as ours.
    """
    _load()
    return timed_alone(lambda: _coadd(task))[1]


def _coadd(task: PlainTask) -> None:
    import numpy as np
    from astropy.io import fits
    from reproject import reproject_interp
    from reproject.mosaicking import reproject_and_coadd

    from contimg_resources.imaging.png import celestial_wcs
    from contimg_resources.mosaics.beams import convolve
    from contimg_resources.mosaics.tiles import read_pixels, read_tile

    rms_jy = {t.key: t.rms_jy for t in task.result.tiles}
    inputs, weights = [], []
    for files in task.tiles:
        tile = read_tile(files)
        size = tile.grid.size
        pixels = convolve(
            read_pixels(files.image, size), tile.beam, task.result.beam, tile.grid.cell_arcsec
        )
        response = read_pixels(files.primary_beam, size)
        inside = np.isfinite(response)
        corrected = np.where(inside, pixels / np.where(inside, response, 1), 0)
        inputs.append((corrected, celestial_wcs(tile.grid)))
        weights.append(np.where(inside, response, 0) ** 2 / rms_jy[files.key] ** 2)
    grid = task.result.grid
    wcs = celestial_wcs(grid)
    image, _ = reproject_and_coadd(
        inputs,
        wcs,
        shape_out=(grid.rows, grid.columns),
        reproject_function=reproject_interp,
        input_weights=weights,
        combine_function="mean",
        order="bicubic",
    )
    fits.writeto(task.output, image.astype(np.float32), wcs.to_header(), overwrite=True)


def _load() -> None:
    """Import the modules that both sides import when they are called."""
    for module in (
        "matplotlib.backends.backend_agg",
        "matplotlib.figure",
        "racs_tools.convolve_uv",
        "radio_beam",
        "reproject.mosaicking",
    ):
        import_module(module)
