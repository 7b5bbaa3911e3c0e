"""What the products store holds beyond single observations: mosaics, and measured epochs.

Belongs here: frozen records. Doesn't: SQL, making any of it.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple


class MosaicState(StrEnum):
    """How the making of a mosaic ended."""

    MADE = "made"
    """It was made and passed its checks."""
    FAILED = "failed"
    """It couldn't be made, or a check says that it isn't good; the reason is kept."""


class EpochKind(StrEnum):
    """What an epoch of measurements was measured on."""

    IMAGE = "image"
    """A 5-minute image; the epoch is its observation's key."""
    MOSAIC = "mosaic"
    """A mosaic; the epoch is its key."""


@dataclass(frozen=True)
class MosaicRecord:
    """A mosaic as the store knows it.

    Parameters
    ----------
    key : str
        Its partition key.
    start_mjd, mid_mjd, end_mjd : float
        Its window, MJD in days.
    declination_deg : float
        Its strip, degrees.
    state : MosaicState
        How it ended.
    reason : str
        Why it failed; else empty.
    tiles : dict of str to str
        Checksum of the image of each observation that is in it, by partition key.
    directory : Path
        Where its files are.
    checksum : str
        Of its image.
    size_bytes : int
        Size of its image, bytes.
    statistics : dict
        JSON-able measures.
    run_id : str
        The run that made it; empty on the command line.
    created_mjd : float
        When it was recorded, MJD in days; set by the store.
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


@dataclass(frozen=True)
class EpochRecord:
    """An epoch of measurements as the store knows it.

    Parameters
    ----------
    epoch : str
        Partition key of the observation or of the mosaic.
    kind : EpochKind
        Which of the two.
    mid_mjd : float
        Middle of what was measured, MJD in days.
    measured_from : str
        Checksum of the image that was measured.
    catalogue : str
        Name and release of the catalogue.
    path : Path
        The file with the measurements.
    checksum : str
        Of that file.
    size_bytes : int
        Its size, bytes.
    n_sources, n_measured : int
        Catalogue sources in the image, and those of them with a flux density.
    epoch_ok : bool
        Whether its flux scale and astrometry passed their gates.
    reason : str
        Why not; else empty.
    scale, scale_error : float or None
        Flux scale and its uncertainty; None when too few sources tell.
    statistics : dict
        JSON-able measures.
    run_id : str
        The run that measured it; empty on the command line.
    created_mjd : float
        When it was recorded, MJD in days; set by the store.
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


class TileSource(NamedTuple):
    """What a mosaic may be made of: an observation, and its image when it has one.

    All of a season are looked at again and again: a tuple is made faster than a record.

    Parameters
    ----------
    key : str
        Partition key of the observation.
    mid_mjd : float
        Its middle, MJD in days.
    declination_deg : float
        Its strip, degrees.
    in_progress : bool
        Whether its image is yet to come: it neither was imaged nor failed, nor waits for caltables.
    checksum : str
        Of its PB-corrected image; empty when it has no good one.
    updated_mjd : float
        When its state was set, MJD in days.
    """

    key: str
    mid_mjd: float
    declination_deg: float
    in_progress: bool
    checksum: str
    updated_mjd: float
