"""Simulated 5-minute images, with the files and headers of real ones.

Belongs here: images of a known sky and of noise correlated by the beam, made quickly. Doesn't:
visibilities (see `contimg_resources.simulation`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from contimg_resources.core.arrays import Floats
from contimg_resources.core.checksums import content_checksum
from contimg_resources.core.keys import partition_key
from contimg_resources.core.times import SIDEREAL_DEG_PER_DAY
from contimg_resources.imaging.beam import separation_rad
from contimg_resources.imaging.fits import HeaderFacts, write_fits
from contimg_resources.imaging.model import Beam, ImageFiles, ImageGrid
from contimg_resources.imaging.png import celestial_wcs
from contimg_resources.mosaics.model import TileFiles

_FOUR_LN2 = 4.0 * np.log(2.0)


@dataclass(frozen=True)
class MadeUpTile:
    """The parameters of a simulated tile."""

    key: str  #: Partition key.
    grid: ImageGrid  #: Its pixels.
    mid_mjd: float  #: Middle of its five minutes, MJD in days.
    beam: Beam  #: Restoring beam.
    rms_jy: float = 1e-3  #: Noise before primary-beam correction, Jy/beam.
    fwhm_deg: float = 2.8  #: Primary beam (a Gaussian), degrees.
    sky_jy: float = 0.0  #: Uniform sky brightness, Jy/beam.
    cut: float = 0.2  #: Level below which the primary beam's file holds NaN.
    seed: int = 0  #: Random seed of the noise.
    frequency_hz: float = 1.405e9  #: Effective frequency, Hz.
    bandwidth_hz: float = 1.87e8  #: Bandwidth, Hz.


def drifting_tiles(
    n: int,
    *,
    size: int,
    cell_arcsec: float,
    beam: Beam,
    start_mjd: float = 61_041.0,
    ra_deg: float = 180.0,
    dec_deg: float = 54.0,
    slot_s: float = 300.0,
    rms_jy: float = 1e-3,
    fwhm_deg: float = 2.8,
    sky_jy: float = 0.0,
    seed: int = 0,
) -> tuple[MadeUpTile, ...]:
    """Return successive tiles of a stationary telescope; `ra_deg` transits at `start_mjd`."""
    tiles = []
    for number in range(n):
        mid_mjd = start_mjd + (number + 0.5) * slot_s / 86_400
        ra = (ra_deg + (mid_mjd - start_mjd) * SIDEREAL_DEG_PER_DAY) % 360
        tiles.append(
            MadeUpTile(
                key=partition_key(mid_mjd),
                grid=ImageGrid(size, cell_arcsec, ra, dec_deg),
                mid_mjd=mid_mjd,
                beam=beam,
                rms_jy=rms_jy,
                fwhm_deg=fwhm_deg,
                sky_jy=sky_jy,
                seed=seed + number,
            )
        )
    return tuple(tiles)


def write_tile(
    tile: MadeUpTile, directory: Path, sources: Sequence[tuple[float, float, float]] = ()
) -> TileFiles:
    """Write the files of a tile into a directory, which is created.

    `sources` are RA, Dec (ICRS degrees) and flux density (Jy) of point sources.
    """
    directory.mkdir(parents=True, exist_ok=True)
    files = ImageFiles.in_directory(directory, tile.key)
    response = _primary_beam(tile)
    noise = correlated_noise(tile.grid.size, tile.grid.cell_arcsec, tile.beam, tile.seed)
    noise *= tile.rms_jy
    image = noise + tile.sky_jy * response
    _add_sources(image, tile, sources)
    facts = HeaderFacts(
        grid=tile.grid,
        beam=tile.beam,
        frequency_hz=tile.frequency_hz,
        bandwidth_hz=tile.bandwidth_hz,
        telescope="DSA110",
        object_name=tile.key,
        start_mjd=tile.mid_mjd - 150 / 86_400,
        end_mjd=tile.mid_mjd + 150 / 86_400,
        cards={},
        provenance={},
    )
    cut = np.where(response > tile.cut, response, np.nan)
    for path, pixels, unit in (
        (files.image, image, "Jy/beam"),
        (files.residual, noise, "Jy/beam"),
        (files.primary_beam, cut, ""),
    ):
        path.unlink(missing_ok=True)
        write_fits(path, pixels, "made up", unit, facts)
    return TileFiles(
        tile.key,
        files.image,
        files.primary_beam,
        files.residual,
        checksum=content_checksum(files.image),
    )


def correlated_noise(size: int, cell_arcsec: float, beam: Beam, seed: int) -> Floats:
    """Return white noise convolved with a restoring beam, of standard deviation 1.

    It has `size` pixels of `cell_arcsec` a side.
    """
    from scipy.fft import irfft2, rfft2

    pixel = np.fft.fftfreq(size, 1.0 / size)
    east, north = np.meshgrid(-pixel * cell_arcsec, pixel * cell_arcsec)
    kernel = beam_shape(east, north, beam)
    transform = rfft2(kernel.astype(np.float32), workers=-1)
    white = np.random.default_rng([seed, 7]).standard_normal((size, size), dtype=np.float32)
    noise = irfft2(rfft2(white, workers=-1) * transform, s=(size, size), workers=-1)
    return np.asarray(noise, dtype=np.float64) / float(np.sqrt((kernel**2).sum()))


def beam_shape(east_arcsec: Floats, north_arcsec: Floats, beam: Beam) -> Floats:
    """Return a restoring beam of peak 1 at offsets from its centre, arcsec."""
    angle = np.deg2rad(beam.angle_deg)
    along = east_arcsec * np.sin(angle) + north_arcsec * np.cos(angle)
    across = east_arcsec * np.cos(angle) - north_arcsec * np.sin(angle)
    return np.asarray(
        np.exp(-_FOUR_LN2 * ((along / beam.major_arcsec) ** 2 + (across / beam.minor_arcsec) ** 2))
    )


def _primary_beam(tile: MadeUpTile) -> Floats:
    grid = tile.grid
    offset = np.deg2rad((np.arange(grid.size) - grid.size // 2) * grid.cell_arcsec / 3600)
    east, north = np.meshgrid(-offset, offset)
    theta = np.degrees(np.arcsin(np.clip(np.hypot(east, north), 0, 1)))
    return np.asarray(np.exp(-_FOUR_LN2 * (theta / tile.fwhm_deg) ** 2))


def _add_sources(
    image: Floats, tile: MadeUpTile, sources: Sequence[tuple[float, float, float]]
) -> None:
    if not len(sources):
        return
    grid = tile.grid
    ra, dec, flux = np.array(sources, dtype=float).T
    here = separation_rad(grid.ra_deg, grid.dec_deg, ra, dec) < np.pi / 3
    x, y = celestial_wcs(grid).all_world2pix(ra[here], dec[here], 0)
    half = int(np.ceil(2.5 * tile.beam.major_arcsec / grid.cell_arcsec))
    for column, row, jy in zip(x, y, flux[here], strict=True):
        if not (0 <= column < grid.size and 0 <= row < grid.size):
            continue
        rows = np.arange(max(0, int(row) - half), min(grid.size, int(row) + half + 2))
        columns = np.arange(max(0, int(column) - half), min(grid.size, int(column) + half + 2))
        east, north = np.meshgrid(
            -(columns - column) * grid.cell_arcsec, (rows - row) * grid.cell_arcsec
        )
        offset = np.deg2rad(
            np.hypot(column - grid.size // 2, row - grid.size // 2) * grid.cell_arcsec / 3600
        )
        response = np.exp(-_FOUR_LN2 * (np.degrees(np.arcsin(offset)) / tile.fwhm_deg) ** 2)
        image[np.ix_(rows, columns)] += jy * response * beam_shape(east, north, tile.beam)


def random_sources(
    n: int, ra_deg: tuple[float, float], dec_deg: tuple[float, float], seed: int
) -> list[tuple[float, float, float]]:
    """Return RA, Dec (degrees) and flux density (Jy) of sources of a Euclidean population."""
    rng = np.random.default_rng([seed, 11])
    ra = rng.uniform(*ra_deg, n) % 360
    low, high = np.sin(np.deg2rad(dec_deg))
    dec = np.degrees(np.arcsin(rng.uniform(low, high, n)))
    flux = np.minimum(0.01 * rng.random(n) ** (-1 / 1.5), 3.0)
    return [(float(a), float(d), float(s)) for a, d, s in zip(ra, dec, flux, strict=True)]
