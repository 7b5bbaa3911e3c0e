"""Records of the products store: observations and their states, artefacts, image statistics.

Belongs here: frozen records. Doesn't: SQL.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from contimg_resources.observations.model import ObservationOrigin


class ObservationState(StrEnum):
    """The processing state of an observation."""

    ARRIVED = "arrived"
    """Settled and read; not processed yet."""
    WAITING = "waiting"
    """No valid caltable set yet."""
    SOLVED = "solved"
    """A caltable set was solved from it."""
    CALIBRATED = "calibrated"
    """A calibrated MS was made from it."""
    IMAGED = "imaged"
    """An image was made from it."""
    INTERRUPTED = "interrupted"
    """A run was interrupted, and is restarted."""
    FAILED = "failed"
    """A step failed; the reason is recorded."""


class ArtefactKind(StrEnum):
    """The kind of a product of an observation."""

    MEASUREMENT_SET = "measurement_set"
    """The MS that was made of sub-band files; an MS that arrived is none of ours."""
    CALIBRATED_MS = "calibrated_ms"
    IMAGE = "image"
    IMAGE_PBCOR = "image_pbcor"
    RESIDUAL = "residual"
    PSF = "psf"
    PRIMARY_BEAM = "primary_beam"
    PNG = "png"
    STATISTICS = "statistics"
    SUB_BAND_IMAGE = "sub_band_image"
    """The image of a part of the band; versions count the parts from the lowest frequency."""
    SUB_BAND_PRIMARY_BEAM = "sub_band_primary_beam"
    """Its primary beam."""


class ArrivalOutcome(StrEnum):
    """The outcome of the arrival of a MeasurementSet."""

    NEW = "new"
    """A new observation."""
    SAME = "same"
    """Known and unchanged."""
    MOVED = "moved"
    """Known under another path that no longer exists."""
    DUPLICATE = "duplicate"
    """Known, and delivered a second time; the first delivery is kept."""
    REPLACED = "replaced"
    """Known, but its content changed: all of its products must be remade."""


@dataclass(frozen=True)
class ObservationRecord:
    """The record of an observation."""

    key: str  #: Partition key.
    path: Path  #: The MeasurementSet; for sub-band files, the place of the MS that is made of them.
    #: Signature of the content of the MS, or of the sub-band files, when it was read.
    signature: str
    start_mjd: float  #: Start of its first integration, MJD in days.
    mid_mjd: float  #: Its middle, MJD in days.
    end_mjd: float  #: End of its last integration, MJD in days.
    declination_deg: float  #: Declination strip, degrees.
    calibrator: str  #: Brightest known calibrator that crossed the beam; empty when none did.
    state: ObservationState  #: Processing state.
    step: str  #: The step that set the state.
    reason: str  #: Why it waits or failed; else empty.
    updated_mjd: float  #: When the state was set, MJD in days.
    #: Partition key of another observation that its MS holds now; empty when it is unchanged.
    superseded_by: str
    #: Whether it arrived as an MS or as sub-band files, or is an image made elsewhere.
    origin: ObservationOrigin = ObservationOrigin.MEASUREMENT_SET


@dataclass(frozen=True)
class Arrival:
    """The outcome of an arrival, and the resulting observation."""

    outcome: ArrivalOutcome
    record: ObservationRecord


@dataclass(frozen=True)
class ObservationEvent:
    """An entry in the history of an observation."""

    id: int  #: Row number; grows with time.
    key: str  #: Partition key of the observation.
    at_mjd: float  #: Time of the entry, MJD in days.
    state: ObservationState  #: State of the observation afterwards.
    step: str  #: The step that made the entry, such as ``arrival`` or ``image_5min``.
    message: str  #: Description or reason.
    run_id: str  #: The run that made the entry; empty on the command line.


@dataclass(frozen=True)
class Artefact:
    """A file or directory made from an observation."""

    #: Its kind, mostly an `ArtefactKind`; one of each kind and version for an observation.
    kind: str
    path: Path  #: Path of the file or directory.
    version: int = 1  #: Distinguishes artefacts of one kind; a re-run replaces the same version.
    checksum: str = ""  #: ``sha256:...``, or empty if too large to hash (a calibrated MS).
    size_bytes: int = 0  #: Its size, bytes.
    set_name: str = ""  #: Caltable set that was applied; empty when none was.
    set_version: int | None = None  #: Version of that set.
    borrowed: bool = False  #: Whether the set was applied outside its window.
    parameters: dict[str, Any] = field(default_factory=dict)  #: JSON-able parameters of the step.
    software: dict[str, Any] = field(default_factory=dict)  #: JSON-able versions of the software.
    run_id: str = ""  #: The run that made it; empty on the command line.
    created_mjd: float = 0.0  #: When it was recorded, MJD in days; set by the store.


@dataclass(frozen=True)
class AppliedSet:
    """A caltable set that was applied to products of an observation."""

    key: str  #: Partition key of the observation.
    mid_mjd: float  #: Its middle, MJD in days.
    declination_deg: float  #: Its declination strip, degrees.
    set_name: str  #: Name of the set.
    set_version: int  #: Version of the set.
    borrowed: bool  #: Whether it was applied outside its window.
    products: tuple[str, ...]  #: Kinds of these products.


@dataclass(frozen=True)
class Made:
    """An artefact with the information for its removal."""

    key: str  #: Partition key of its observation.
    artefact: Artefact  #: The artefact.
    state: ObservationState  #: State of its observation.
    #: The MeasurementSet or the sub-band files that arrived: with them it can be made again.
    inputs: tuple[Path, ...]


@dataclass(frozen=True)
class ImageRecord:
    """Statistics of one image; None where not measured."""

    rms_mjy: float | None  #: rms noise, mJy/beam.
    expected_rms_mjy: float | None = None  #: Expected thermal noise, mJy/beam.
    peak_jy: float | None = None  #: Brightest pixel, Jy/beam.
    dynamic_range: float | None = None  #: Peak over rms.
    #: `bmaj_arcsec`, `bmin_arcsec`: Axes (FWHM) of the restoring beam, arcsec.
    bmaj_arcsec: float | None = None
    bmin_arcsec: float | None = None
    bpa_deg: float | None = None  #: Its position angle, north through east, -90 to 90 degrees.
    n_sources: int | None = None  #: Number of sources found.
    n_matched: int | None = None  #: Number of these that are known.
    flux_ratio: float | None = None  #: Median ratio of measured to known flux density.
    #: Median distance between measured and known positions, arcsec.
    offset_arcsec: float | None = None
    flag_fraction: float | None = None  #: Flagged fraction of the data of working antennas.
    version: int = 1  #: Version of the image; a re-run replaces the same version.
    extra: dict[str, Any] = field(default_factory=dict)  #: JSON-able further statistics.


@dataclass(frozen=True)
class ImageNoise:
    """The noise of one image that passed its checks."""

    key: str  #: Partition key of its observation.
    mid_mjd: float  #: Mid-time of the observation, MJD in days.
    rms_mjy: float  #: rms noise, mJy/beam.
    expected_rms_mjy: float | None  #: Expected thermal noise, mJy/beam.
