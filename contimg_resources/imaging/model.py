"""Records of imaging: requests and results.

Belongs here: frozen records. Doesn't: imaging itself.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np

from contimg_resources.calibration.antenna_health import AntennaEvidence
from contimg_resources.calibration.antenna_record import KnownAntennas
from contimg_resources.calibration.beam_record import BeamMeasurement
from contimg_resources.core.arrays import Floats
from contimg_resources.instrument.primary_beam import MODEL_SHAPE, BeamShape
from contimg_resources.settings import ImagingSettings


@dataclass(frozen=True)
class ReferenceSource:
    """A source of known position and flux density."""

    name: str  #: Its name.
    #: `ra_deg`, `dec_deg`: Position, ICRS degrees.
    ra_deg: float
    dec_deg: float
    flux_jy: float  #: Flux density at `reference_ghz`, Jy.
    reference_ghz: float  #: Reference frequency, GHz.
    spectral_index: float  #: ``S ~ nu^spectral_index``.
    #: `major_arcsec`, `minor_arcsec`, `angle_deg`: Axes (FWHM) of a Gaussian without the survey's
    #: beam, and position angle of the major one (north through east); 0: a point.
    major_arcsec: float = 0.0
    minor_arcsec: float = 0.0
    angle_deg: float = 0.0

    def flux_at(self, frequency_hz: float) -> float:
        """Return the flux density at a frequency (Hz), Jy."""
        ratio = frequency_hz / (self.reference_ghz * 1e9)
        return float(self.flux_jy * ratio**self.spectral_index)


@dataclass(frozen=True)
class ImageRequest:
    """An image to make."""

    ms: Path  #: A calibrated MS; its column DATA is imaged and it is only read.
    directory: Path  #: Directory for the products; replaced as a whole when it exists.
    stem: str  #: First part of the products' file names.
    #: Engine, pixels, weights, CLEAN and the cut of the primary beam.
    settings: ImagingSettings = field(default_factory=ImagingSettings)
    field_selection: str = ""  #: CASA field selection; empty: all fields.
    spw_selection: str = ""  #: CASA spectral-window selection; empty: all channels.
    #: `dish_diameter_m`, `blockage_diameter_m`: Diameters of dish and blockage, metres; None: known
    #: from the telescope's name.
    dish_diameter_m: float | None = None
    blockage_diameter_m: float | None = None
    min_snr: float = 6.0  #: Signal-to-noise ratio (local rms) above which sources are listed.
    #: Known sources about the field, for in-field calibration (see `ImagingSettings.in_field`) and
    #: for measuring the primary beam.
    field_model: tuple[ReferenceSource, ...] = ()
    beam_shape: BeamShape = MODEL_SHAPE  #: Shape of the primary beam that is corrected for.
    #: Antennas that earlier observations or persons have judged.
    antennas: KnownAntennas = field(default_factory=KnownAntennas)
    #: Known bright sources far outside the field, which are subtracted (see
    #: `ImagingSettings.outside`) where they matter.
    outside_model: tuple[ReferenceSource, ...] = ()
    #: Entries for the FITS headers: ``caltable_set``, ``caltable_version`` and ``observation`` have
    #: dedicated keywords, everything else becomes HISTORY.
    provenance: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class OutsideSource:
    """A bright source outside of the image."""

    name: str  #: Its name.
    away_deg: float  #: Smallest distance from a pointing, degrees.
    subtracted: bool  #: Whether independent data improve without it.
    #: Flux density through the sidelobes, mean over antennas, time and band, Jy.
    apparent_jy: float = 0.0
    gains: str = ""  #: Gains of the ``antennas``, or one of the whole ``array``.
    improvement: float = 0.0  #: Decrease of chi squared of independent data.


@dataclass(frozen=True)
class OutsideSources:
    """The search for bright sources outside of an image."""

    why: str  #: What was subtracted, and what wasn't.
    sources: tuple[OutsideSource, ...] = ()  #: Sources that were looked for.


class SkyGrid(Protocol):
    """Pixels on the sky, in any projection.

    The direction (`ra_deg`, `dec_deg`) is that of the pixel (columns // 2, rows // 2) counted
    from 0; right ascension decreases with columns, declination increases with rows.
    """

    @property
    def projection(self) -> str:
        """Return the three-letter code of the projection in FITS."""

    @property
    def columns(self) -> int:
        """Return the number of pixels along right ascension."""

    @property
    def rows(self) -> int:
        """Return the number of pixels along declination."""

    @property
    def cell_arcsec(self) -> float:
        """Return the pixel size, arcsec."""

    @property
    def ra_deg(self) -> float:
        """Return the right ascension of the central pixel, ICRS degrees."""

    @property
    def dec_deg(self) -> float:
        """Return the declination of the central pixel, ICRS degrees."""


@dataclass(frozen=True)
class ImageGrid:
    """The pixels of an image."""

    size: int  #: Pixels a side, even.
    cell_arcsec: float  #: Pixel size, arcsec.
    #: `ra_deg`, `dec_deg`: Direction of the pixel at (size/2, size/2) counted from 0, ICRS degrees.
    ra_deg: float
    dec_deg: float

    @property
    def projection(self) -> str:
        """Return the orthographic projection, which an interferometer samples."""
        return "SIN"

    @property
    def columns(self) -> int:
        """Return the number of pixels along right ascension."""
        return self.size

    @property
    def rows(self) -> int:
        """Return the number of pixels along declination."""
        return self.size


def position_angle_deg(angle_deg: float | Floats) -> Floats:
    """Return position angles, from north through east, in [-90, 90) degrees; NaN stays NaN."""
    angles = np.asarray(angle_deg, np.float64)
    # Those in the range keep all of their digits.
    return np.where((angles >= -90) & (angles < 90), angles, (angles + 90) % 180 - 90)


@dataclass(frozen=True)
class Beam:
    """A restoring beam."""

    #: `major_arcsec`, `minor_arcsec`: Axes, full width at half maximum, arcsec.
    major_arcsec: float
    minor_arcsec: float
    #: Position angle of the major axis, from north through east, degrees; in [-90, 90).
    angle_deg: float

    def __post_init__(self) -> None:
        """Bring the position angle into its range; NaN stays."""
        object.__setattr__(self, "angle_deg", float(position_angle_deg(self.angle_deg)))

    def area_pixels(self, cell_arcsec: float) -> float:
        """Return the solid angle in pixels: ``pi bmaj bmin / (4 ln 2 cell^2)``."""
        return 1.1330900354567985 * self.major_arcsec * self.minor_arcsec / cell_arcsec**2


@dataclass(frozen=True)
class Source:
    """A source found in an image, fitted with an elliptical Gaussian."""

    #: `ra_deg`, `dec_deg`: Position, ICRS degrees.
    ra_deg: float
    dec_deg: float
    #: Fitted peak before primary-beam correction, Jy/beam: the apparent flux of a point source.
    peak_jy: float
    flux_jy: float  #: The same divided by the primary beam: the flux density of a point source, Jy.
    flux_error_jy: float  #: Its uncertainty from the local rms, Jy.
    #: PB-corrected integral of the fitted Gaussian, Jy; exceeds `flux_jy` for an extended source.
    integrated_jy: float
    snr: float  #: Fitted peak over local rms.
    local_rms_jy: float  #: Local rms, before primary-beam correction, Jy/beam.
    primary_beam: float  #: Primary beam at its position.
    #: `major_arcsec`, `minor_arcsec`, `angle_deg`: Fitted axes (FWHM, not deconvolved) and position
    #: angle as of a beam.
    major_arcsec: float
    minor_arcsec: float
    angle_deg: float


@dataclass(frozen=True)
class ImageStatistics:
    """Statistics of an image."""

    #: In JSON, non-finite values are preserved.
    __pydantic_config__: ClassVar[dict[str, str]] = {"ser_json_inf_nan": "constants"}

    #: 1.4826 MAD of the residual-and-sources image in its inner half, before primary-beam
    #: correction, Jy/beam.
    rms_jy: float
    residual_rms_jy: float  #: The same of the residual image.
    #: Prediction from the noise of the unflagged visibilities and their weights, Jy/beam; NaN if
    #: unknown.
    expected_rms_jy: float
    peak_jy: float  #: Highest pixel before primary-beam correction, Jy/beam.
    #: `peak_ra_deg`, `peak_dec_deg`: Position of this pixel, ICRS degrees.
    peak_ra_deg: float
    peak_dec_deg: float
    dynamic_range: float  #: `peak_jy` over `rms_jy`.
    beam: Beam  #: Restoring beam.
    n_sources: int  #: Number of sources listed.
    #: Number of detections that aren't listed, because negative peaks are as high there (see
    #: `contimg_resources.imaging.reliability`).
    n_rejected: int = 0
    #: Signal-to-noise ratio that a detection needed; None: not recorded.
    detection_snr: float | None = None


@dataclass(frozen=True)
class ImageFiles:
    """The products of one image, all in one directory."""

    image: Path  #: Restored image, not corrected for the primary beam, FITS.
    pbcor: Path  #: PB-corrected image, NaN below the cut, FITS.
    #: `residual`, `psf`, `primary_beam`: Residual image, point-spread function and time-averaged
    #: primary beam, FITS.
    residual: Path
    psf: Path
    primary_beam: Path
    #: `png`, `thumbnail`: Picture with axes, and one small enough to show inline (up to 10 kB),
    #: PNG.
    png: Path
    thumbnail: Path
    summary: Path  #: This result as JSON.

    @classmethod
    def in_directory(cls, directory: Path, stem: str) -> "ImageFiles":
        """Return the paths of the products of the image `stem` in a directory."""
        return cls(
            image=directory / f"{stem}.image.fits",
            pbcor=directory / f"{stem}.pbcor.fits",
            residual=directory / f"{stem}.residual.fits",
            psf=directory / f"{stem}.psf.fits",
            primary_beam=directory / f"{stem}.pb.fits",
            png=directory / f"{stem}.png",
            thumbnail=directory / f"{stem}.thumbnail.png",
            summary=directory / f"{stem}.json",
        )


@dataclass(frozen=True)
class InFieldSolution:
    """One kind of gains that in-field calibration tried."""

    kind: str  #: ``delays``, ``phases`` or ``amplitudes``.
    adopted: bool  #: Whether they are applied: independent data improve.
    #: Number of solution intervals in the observation; 0: none improves independent data.
    n_intervals: int
    #: Decrease of chi squared of the data that the solutions weren't made from.
    improvement: float
    #: Rms of the gains that are applied: delays in ns, phases in degrees, relative amplitudes.
    rms: float


@dataclass(frozen=True)
class InFieldCalibration:
    """The outcome of calibrating an observation by the known sources in its own field."""

    applied: bool  #: Whether the image is made of refined visibilities.
    why: str  #: The outcome in one sentence.
    n_sources: int = 0  #: Number of sources in the model.
    apparent_jy: float = 0.0  #: Sum of their flux densities through the primary beam, Jy.
    #: Share of the signal that the model explains, before and with the solutions.
    explained: tuple[float, float] = (0.0, 0.0)
    solutions: tuple[InFieldSolution, ...] = ()  #: The kinds of gains, in the order of solving.
    #: Antennas without signal in part of the observation, and the share of it that is left out.
    lost: dict[str, float] = field(default_factory=dict)
    #: Rms of the phase (degrees) and spread of the amplitude of each antenna's gains that are
    #: applied, by antenna name.
    phase_rms_deg: dict[str, float] = field(default_factory=dict)
    amplitudes: dict[str, float] = field(default_factory=dict)
    #: What the observation shows about each antenna, also about those that are left out.
    antennas: dict[str, AntennaEvidence] = field(default_factory=dict)
    #: Antennas that are left out of the image, with the reasons.
    left_out: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SubBandImage:
    """The image of a part of the band."""

    name: str  #: Name of the sub-band: its middle in MHz, such as ``1335MHz``.
    #: `image`, `primary_beam`: Restored image, not corrected for the primary beam, and the
    #: time-averaged primary beam of the sub-band on `beam_grid`, FITS.
    image: Path
    primary_beam: Path
    grid: ImageGrid  #: Its pixels.
    beam: Beam  #: Its own restoring beam.
    frequency_hz: float  #: Effective frequency: mean over the imaging weights, Hz.
    rms_jy: float  #: As `ImageStatistics.rms_jy`.
    expected_rms_jy: float  #: As `ImageStatistics.expected_rms_jy`.
    n_iterations: int  #: Number of CLEAN iterations done.

    @staticmethod
    def beam_grid(grid: ImageGrid) -> ImageGrid:
        """Return the pixels of the primary beam, which varies slowly, for those of the image.

        They are eight times as large, have the same centre, and cover the image.
        """
        step = 8
        size = 2 * (-(-grid.size // (2 * step)) + 1)
        return ImageGrid(size, step * grid.cell_arcsec, grid.ra_deg, grid.dec_deg)

    @staticmethod
    def paths(directory: Path, stem: str, name: str) -> tuple[Path, Path]:
        """Return the paths of the image and the primary beam of a sub-band."""
        return directory / f"{stem}.{name}.image.fits", directory / f"{stem}.{name}.pb.fits"


@dataclass(frozen=True)
class ImageResult:
    """An image and its companions."""

    directory: Path  #: Directory of the products.
    files: ImageFiles  #: The products.
    grid: ImageGrid  #: Pixels of the image.
    statistics: ImageStatistics  #: Statistics of the image.
    sources: tuple[Source, ...]  #: Sources by decreasing apparent flux.
    frequency_hz: float  #: Effective frequency: mean over the imaging weights, Hz.
    #: `start_mjd`, `end_mjd`, `mid_mjd`: Time covered by unflagged data, MJD in days.
    start_mjd: float
    end_mjd: float
    mid_mjd: float
    n_iterations: int  #: Number of CLEAN iterations done.
    threshold_jy: float  #: CLEAN threshold, Jy/beam.
    engine: str  #: Imaging engine that made it.
    sub_bands: tuple[SubBandImage, ...] = ()  #: Images of sub-bands, in order of frequency.
    #: Sub-bands that weren't imaged, by name, with the reasons.
    no_sub_bands: dict[str, str] = field(default_factory=dict)
    in_field: InFieldCalibration | None = None  #: In-field calibration; None: not asked for.
    outside: OutsideSources | None = None  #: Sources outside of the image; None: not asked for.
    #: The primary beam that its known sources show; None: there are none.
    primary_beam: BeamMeasurement | None = None
