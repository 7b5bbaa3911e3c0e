"""Records of mosaics and measured epochs in the products store.

Belongs here: frozen records. Doesn't: SQL, making any of it.
"""

import math
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from contimg_resources.database.values import Count, Number


class MosaicState(StrEnum):
    """The outcome of making a mosaic."""

    MADE = "made"
    """It was made and passed its checks."""
    FAILED = "failed"
    """It couldn't be made, or a check failed; the reason is recorded."""


class EpochKind(StrEnum):
    """The kind of image that an epoch was measured on."""

    IMAGE = "image"
    """A 5-minute image; the epoch is its observation's key."""
    MOSAIC = "mosaic"
    """A mosaic; the epoch is its key."""


@dataclass(frozen=True)
class MosaicQuality:
    """Quality measures of a mosaic; NaN where a number isn't known."""

    #: `rms_mjy`, `expected_rms_mjy`: Noise in its deepest quarter, and the expectation there,
    #: mJy/beam.
    rms_mjy: Number = math.nan
    expected_rms_mjy: Number = math.nan
    rms_ratio: Number = math.nan  #: Ratio of noise to expected noise, everywhere.
    peak_jy: Number = math.nan  #: Highest pixel, Jy/beam.
    observed_deg2: Number = math.nan  #: Observed sky, square degrees.
    n_tiles: Count = None  #: Number of images; None if not known.
    #: `bmaj_arcsec`, `bmin_arcsec`: Axes (FWHM) of the restoring beam, arcsec.
    bmaj_arcsec: Number = math.nan
    bmin_arcsec: Number = math.nan
    bpa_deg: Number = math.nan  #: Its position angle, north through east, -90 to 90 degrees.


@dataclass(frozen=True)
class EpochQuality:
    """Quality measures of an epoch of measurements; NaN where a number isn't known."""

    scale_scatter: Number = math.nan  #: Robust scatter of the reference sources' flux ratios.
    n_references: Count = None  #: Number of reference sources of the flux scale.
    #: `gradient_east_per_deg`, `gradient_north_per_deg`: Gradient of the flux scale, per degree.
    gradient_east_per_deg: Number = math.nan
    gradient_north_per_deg: Number = math.nan
    #: `east_arcsec`, `north_arcsec`: Median offset of the image from the catalogue, arcsec.
    east_arcsec: Number = math.nan
    north_arcsec: Number = math.nan
    offset_scatter_arcsec: Number = math.nan  #: Robust scatter of the offsets, arcsec.
    n_positions: Count = None  #: Number of sources whose positions were compared.
    #: `moved_east_arcsec`, `moved_north_arcsec`: Shift of the positions of the measurements from
    #: the catalogue's, arcsec.
    moved_east_arcsec: Number = math.nan
    moved_north_arcsec: Number = math.nan
    #: `east_error_arcsec`, `north_error_arcsec`: Errors of the median offset, arcsec.
    east_error_arcsec: Number = math.nan
    north_error_arcsec: Number = math.nan
    n_missing: Count = None  #: Number of compared sources that weren't found in the image.


@dataclass(frozen=True)
class MosaicRecord:
    """The record of a mosaic."""

    key: str  #: Its partition key.
    #: `start_mjd`, `mid_mjd`, `end_mjd`: Its window, MJD in days.
    start_mjd: float
    mid_mjd: float
    end_mjd: float
    declination_deg: float  #: Its strip, degrees.
    state: MosaicState  #: Outcome.
    reason: str  #: Why it failed; else empty.
    tiles: dict[str, str]  #: Checksums of its images, by partition key of their observations.
    directory: Path  #: Directory of its files.
    checksum: str = ""  #: Checksum of its image.
    size_bytes: int = 0  #: Size of its image, bytes.
    statistics: MosaicQuality = field(default_factory=MosaicQuality)  #: Quality measures.
    run_id: str = ""  #: The run that made it; empty on the command line.
    created_mjd: float = 0.0  #: When it was recorded, MJD in days; set by the store.
    software: dict[str, Any] = field(default_factory=dict)  #: JSON-able versions of the software.


@dataclass(frozen=True)
class EpochRecord:
    """The record of an epoch of measurements."""

    epoch: str  #: Partition key of the observation or of the mosaic.
    kind: EpochKind  #: Whether it was measured on an image or a mosaic.
    mid_mjd: float  #: Mid-time of the image or mosaic, MJD in days.
    measured_from: str  #: Checksum of the image that was measured.
    catalogue: str  #: Name and release of the catalogue.
    path: Path  #: The file with the measurements.
    checksum: str  #: Checksum of that file.
    size_bytes: int  #: Size of that file, bytes.
    #: `n_sources`, `n_measured`: Number of catalogue sources in the image, and of those with a flux
    #: density.
    n_sources: int
    n_measured: int
    epoch_ok: bool  #: Whether its flux scale and astrometry passed their checks.
    reason: str = ""  #: Why they failed; else empty.
    #: `scale`, `scale_error`: Flux scale and its uncertainty; None when there are too few reference
    #: sources.
    scale: float | None = None
    scale_error: float | None = None
    statistics: EpochQuality = field(default_factory=EpochQuality)  #: Quality measures.
    run_id: str = ""  #: The run that measured it; empty on the command line.
    created_mjd: float = 0.0  #: When it was recorded, MJD in days; set by the store.
    software: dict[str, Any] = field(default_factory=dict)  #: JSON-able versions of the software.


class TileSource(NamedTuple):
    """A possible tile of a mosaic: an observation, and its image if it has one.

    Those of a whole season are read again and again: a tuple is made faster than a dataclass.
    """

    key: str  #: Partition key of the observation.
    mid_mjd: float  #: Its mid-time, MJD in days.
    declination_deg: float  #: Its strip, degrees.
    #: Whether its image is still to be made: it is not imaged, failed or waiting for caltables.
    in_progress: bool
    waits: bool  #: Whether it waits for caltables: its image is made once a set is valid.
    checksum: str  #: Checksum of its PB-corrected image; empty without a good image.
    updated_mjd: float  #: When its state was set, MJD in days.
