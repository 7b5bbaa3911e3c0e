"""Records of mosaics and measured epochs in the products store.

Belongs here: frozen records. Doesn't: SQL, making any of it.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple


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
class MosaicRecord:
    """The record of a mosaic.

    Parameters
    ----------
    key : str
        Its partition key.
    start_mjd, mid_mjd, end_mjd : float
        Its window, MJD in days.
    declination_deg : float
        Its strip, degrees.
    state : MosaicState
        Outcome.
    reason : str
        Why it failed; else empty.
    tiles : dict of str to str
        Checksums of its images, by partition key of their observations.
    directory : Path
        Directory of its files.
    checksum : str
        Checksum of its image.
    size_bytes : int
        Size of its image, bytes.
    statistics : dict
        JSON-able statistics.
    run_id : str
        The run that made it; empty on the command line.
    created_mjd : float
        When it was recorded, MJD in days; set by the store.
    software : dict
        JSON-able versions of the software.
    """

    key: str
    start_mjd: float
    mid_mjd: float
    end_mjd: float
    declination_deg: float
    state: MosaicState
    reason: str
    tiles: dict[str, str]
    directory: Path
    checksum: str = ""
    size_bytes: int = 0
    statistics: dict[str, Any] = field(default_factory=dict)
    run_id: str = ""
    created_mjd: float = 0.0
    software: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class EpochRecord:
    """The record of an epoch of measurements.

    Parameters
    ----------
    epoch : str
        Partition key of the observation or of the mosaic.
    kind : EpochKind
        Whether it was measured on an image or a mosaic.
    mid_mjd : float
        Mid-time of the image or mosaic, MJD in days.
    measured_from : str
        Checksum of the image that was measured.
    catalogue : str
        Name and release of the catalogue.
    path : Path
        The file with the measurements.
    checksum : str
        Checksum of that file.
    size_bytes : int
        Size of that file, bytes.
    n_sources, n_measured : int
        Number of catalogue sources in the image, and of those with a flux density.
    epoch_ok : bool
        Whether its flux scale and astrometry passed their checks.
    reason : str
        Why they failed; else empty.
    scale, scale_error : float or None
        Flux scale and its uncertainty; None when there are too few reference sources.
    statistics : dict
        JSON-able statistics.
    run_id : str
        The run that measured it; empty on the command line.
    created_mjd : float
        When it was recorded, MJD in days; set by the store.
    software : dict
        JSON-able versions of the software.
    """

    epoch: str
    kind: EpochKind
    mid_mjd: float
    measured_from: str
    catalogue: str
    path: Path
    checksum: str
    size_bytes: int
    n_sources: int
    n_measured: int
    epoch_ok: bool
    reason: str = ""
    scale: float | None = None
    scale_error: float | None = None
    statistics: dict[str, Any] = field(default_factory=dict)
    run_id: str = ""
    created_mjd: float = 0.0
    software: dict[str, Any] = field(default_factory=dict)


class TileSource(NamedTuple):
    """A possible tile of a mosaic: an observation, and its image if it has one.

    Those of a whole season are read again and again: a tuple is made faster than a dataclass.

    Parameters
    ----------
    key : str
        Partition key of the observation.
    mid_mjd : float
        Its mid-time, MJD in days.
    declination_deg : float
        Its strip, degrees.
    in_progress : bool
        Whether its image is still to be made: it is not imaged, failed or waiting for caltables.
    waits : bool
        Whether it waits for caltables: its image is made once a set is valid.
    checksum : str
        Checksum of its PB-corrected image; empty without a good image.
    updated_mjd : float
        When its state was set, MJD in days.
    """

    key: str
    mid_mjd: float
    declination_deg: float
    in_progress: bool
    waits: bool
    checksum: str
    updated_mjd: float
