"""Request and result of a mosaic.

Belongs here: frozen records. Doesn't: computing.
"""

from dataclasses import dataclass, field
from pathlib import Path

from contimg_resources.imaging.model import Beam
from contimg_resources.settings import ImagingSettings


@dataclass(frozen=True)
class TileFiles:
    """A 5-minute image that is part of a mosaic."""

    key: str  #: Partition key of its observation.
    image: Path  #: Restored image, not corrected for the primary beam, FITS.
    primary_beam: Path  #: Time-averaged primary beam, NaN below its cut, FITS.
    residual: Path  #: Residual image, FITS; its noise determines the weight of the tile.
    checksum: str  #: Checksum of the image, to recognise a replaced one.


@dataclass(frozen=True)
class MosaicRequest:
    """A request for a mosaic."""

    key: str  #: Partition key, and first part of the products' file names.
    #: Directory of the products; replaced as a whole. Existing running sums in it are used.
    directory: Path
    #: `start_mjd`, `end_mjd`: Its window, MJD in days.
    start_mjd: float
    end_mjd: float
    declination_deg: float  #: Declination of its strip, degrees.
    tiles: tuple[TileFiles, ...]  #: Tiles of the mosaic; the order has no effect.
    #: The cut of the tiles: they contribute where their primary beam is higher.
    imaging: ImagingSettings = field(default_factory=ImagingSettings)
    #: Whether the running sums are kept, so that a late tile needs no rebuild.
    keep_sums: bool = True
    #: Whether its seams are measured and its pictures drawn.
    inspected: bool = True
    provenance: dict[str, str] = field(default_factory=dict)  #: Provenance for the FITS headers.


@dataclass(frozen=True)
class MosaicGrid:
    """The pixel grid of a mosaic, of equal area on the sky.

    Notes
    -----
    The zenithal equal-area projection (ZEA; Calabretta & Greisen 2002, A&A 395, 1077, 5.1.7) has no
    seam at 0 h and is regular at the pole; 8 deg from its centre shapes are distorted by 0.5 %.
    """

    #: `columns`, `rows`: Pixels along right ascension and declination, even.
    columns: int
    rows: int
    cell_arcsec: float  #: Pixel size, arcsec.
    #: `ra_deg`, `dec_deg`: Direction of the pixel (columns/2, rows/2) counted from 0, ICRS degrees.
    ra_deg: float
    dec_deg: float

    @property
    def projection(self) -> str:
        """Three-letter code of the projection in FITS."""
        return "ZEA"


@dataclass(frozen=True)
class TileInMosaic:
    """A tile in a mosaic, and its properties."""

    key: str  #: Partition key of its observation.
    checksum: str  #: Checksum of its image.
    beam: Beam  #: Its own restoring beam.
    rms_jy: float  #: Its noise at the common beam, before primary-beam correction, Jy/beam.
    #: `ra_deg`, `dec_deg`: Direction of its centre, ICRS degrees.
    ra_deg: float
    dec_deg: float
    #: `start_mjd`, `end_mjd`: Time that it covers, MJD in days.
    start_mjd: float
    end_mjd: float
    frequency_hz: float  #: Its effective frequency, Hz.


@dataclass(frozen=True)
class Seam:
    """The step at the edge of a tile."""

    key: str  #: Partition key of the tile.
    #: Mean just inside less mean just outside its edge, on sky without sources, Jy/beam.
    step_jy: float
    error_jy: float  #: Its uncertainty, Jy/beam.

    @property
    def sigma(self) -> float:
        """The step in units of its uncertainty."""
        return abs(self.step_jy) / self.error_jy


@dataclass(frozen=True)
class MosaicStatistics:
    """Quality measures of a mosaic."""

    #: 1.4826 MAD of the mosaic where its expected noise is in the lowest quarter, Jy/beam.
    rms_jy: float
    expected_rms_jy: float  #: Median of the expected noise there, Jy/beam.
    #: 1.4826 MAD of image over sigma map, everywhere: 1 if the noise is as expected.
    rms_ratio: float
    peak_jy: float  #: Highest pixel, Jy/beam.
    observed_deg2: float  #: Observed sky, square degrees.
    n_tiles: int  #: Number of tiles.
    deepest_tiles: int  #: Maximum number of tiles on one pixel.


@dataclass(frozen=True)
class MosaicFiles:
    """The products of one mosaic, all in one directory."""

    #: `image`, `sigma`, `coverage`: Mosaic (Jy/beam), its expected noise (Jy/beam) and the number
    #: of tiles at each pixel, FITS.
    image: Path
    sigma: Path
    coverage: Path
    #: `png`, `thumbnail`: Picture with axes, and a small one for the web interface.
    png: Path
    thumbnail: Path
    summary: Path  #: The `MosaicResult` as JSON.
    sums: Path  #: Running sums, for later tiles.

    @classmethod
    def in_directory(cls, directory: Path, stem: str) -> "MosaicFiles":
        """Return the paths of the products of the mosaic `stem` in a directory."""
        return cls(
            image=directory / f"{stem}.mosaic.fits",
            sigma=directory / f"{stem}.sigma.fits",
            coverage=directory / f"{stem}.coverage.fits",
            png=directory / f"{stem}.png",
            thumbnail=directory / f"{stem}.thumbnail.png",
            summary=directory / f"{stem}.json",
            sums=directory / f"{stem}.sums.npy",
        )


@dataclass(frozen=True)
class MosaicResult:
    """A finished mosaic."""

    key: str  #: Partition key.
    directory: Path  #: Directory of the products.
    files: MosaicFiles  #: The products.
    grid: MosaicGrid  #: Pixel grid.
    beam: Beam  #: Restoring beam common to all tiles; position angle as at each tile's centre.
    statistics: MosaicStatistics  #: Quality measures.
    seams: tuple[Seam, ...]  #: One for each tile whose edge overlaps other tiles.
    tiles: tuple[TileInMosaic, ...]  #: Tiles in the order of time.
    refused: dict[str, str]  #: Unusable tiles, with the reasons.
    frequency_hz: float  #: Mean effective frequency, weighted like the tiles, Hz.
    #: `start_mjd`, `mid_mjd`, `end_mjd`: Time covered by its tiles, and its middle, MJD in days.
    start_mjd: float
    mid_mjd: float
    end_mjd: float
    added: tuple[str, ...]  #: Tiles added to the running sums; all tiles after a rebuild.
    rebuilt: bool  #: Whether it was rebuilt.
    beam_cut: float  #: Tiles contribute where their primary beam is higher.
