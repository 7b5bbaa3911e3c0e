"""Records of an observation, as read once from its MeasurementSet.

Belongs here: frozen records. Doesn't: reading, settling, looking up calibrators.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from contimg_resources.core.errors import UnreadableObservation
from contimg_resources.core.keys import partition_key
from contimg_resources.instrument.caltables import ArrayLayout
from contimg_resources.instrument.dsa110 import N_SPECTRAL_WINDOWS


@dataclass(frozen=True)
class ObservedField:
    """One phase centre of an observation; a drift scan has one per integration."""

    id: int  #: Row of the FIELD table.
    name: str  #: Its name, such as ``meridian_icrs_t0``.
    #: `ra_deg`, `dec_deg`: Phase centre, ICRS, degrees.
    ra_deg: float
    dec_deg: float
    mid_mjd: float  #: Middle time of its data, MJD in days.


@dataclass(frozen=True)
class Antenna:
    """One antenna that data refer to."""

    id: int  #: 0-based row of the ANTENNA table, the value in CASA's columns.
    name: str  #: Its name, ``"1"`` to ``"117"``; never mix it with the id.
    working: bool  #: Whether it has any unflagged non-zero cross-correlation.
    flagged_fraction: float  #: Share of its cross-correlations that is flagged.


@dataclass(frozen=True)
class SpectralWindow:
    """One spectral window."""

    id: int  #: Row of the SPECTRAL_WINDOW table; unrelated to the frequency order.
    #: `first_hz`, `last_hz`: Lowest and highest channel centre, Hz.
    first_hz: float
    last_hz: float
    channel_width_hz: float  #: Width of a channel, Hz, positive.
    n_channels: int  #: Number of channels.

    @property
    def edges_hz(self) -> tuple[float, float]:
        """Return the lower edge of the lowest and upper edge of the highest channel, Hz."""
        half_hz = 0.5 * self.channel_width_hz
        return self.first_hz - half_hz, self.last_hz + half_hz


@dataclass(frozen=True)
class CalibratorTransit:
    """A known calibrator that crossed the beam."""

    name: str  #: Its name in the list of calibrators.
    #: `ra_deg`, `dec_deg`: Position, ICRS, degrees.
    ra_deg: float
    dec_deg: float
    separation_deg: float  #: Smallest distance to a phase centre, degrees.
    mid_mjd: float  #: Time of that closest approach, MJD in days.
    flux_jy: float  #: Flux density at the centre of the band, Jy, without the primary beam.
    apparent_flux_jy: float  #: The same times the primary beam at closest approach, Jy.


class ObservationOrigin(StrEnum):
    """The kind of data from which an observation was read."""

    MEASUREMENT_SET = "measurement_set"
    """A MeasurementSet: it is calibrated and imaged here."""
    SUB_BANDS = "sub_bands"
    """The correlator's sub-band files, of which an MS is made here."""
    IMAGE = "image"
    """An image made elsewhere: it needs no calibration."""


@dataclass(frozen=True)
class SubBandFile:
    """A sub-band file of an observation, as it was when it arrived."""

    number: int  #: Number of the sub-band, 0 (highest frequencies) to 15.
    path: Path  #: The file.
    size_bytes: int  #: Its size, bytes.
    modified_ns: int  #: Time of its last modification, ns since 1970.

    @property
    def is_unchanged(self) -> bool:
        """Whether the file is there with the same size and modification time."""
        try:
            now = self.path.stat()
        except OSError:
            return False
        return (now.st_size, now.st_mtime_ns) == (self.size_bytes, self.modified_ns)


@dataclass(frozen=True)
class Observation:
    """One observation and its description: an MS, sub-band files, or an image made elsewhere."""

    path: Path  #: The MS; for sub-band files, the place of the MS that is made of them.
    telescope: str  #: Telescope name of the OBSERVATION table.
    #: `start_mjd`, `end_mjd`, `mid_mjd`: Start of the first and end of the last integration, and
    #: the midpoint, MJD in days (UTC), from the TIME and INTERVAL columns.
    start_mjd: float
    end_mjd: float
    mid_mjd: float
    fields: tuple[ObservedField, ...]  #: Phase centres by time.
    declination_deg: float  #: Mean declination of the phase centres, ICRS degrees: the strip.
    #: Antennas with data, by id; rows of the ANTENNA table without data are ignored.
    antennas: tuple[Antenna, ...]
    #: Spectral windows with data, sorted by frequency; they may overlap.
    spectral_windows: tuple[SpectralWindow, ...]
    correlations: tuple[str, ...]  #: Names of the correlations, such as ``("XX", "YY")``.
    integration_s: float  #: Median integration time, seconds.
    #: `n_integrations`, `n_rows`: Numbers of distinct times, and of rows of the main table that
    #: repeat no other.
    n_integrations: int
    n_rows: int
    #: Flagged share of all cross-correlations of working antennas, each counted once. A visibility
    #: without a weight above zero counts as flagged.
    flagged_fraction: float
    #: Calibrators by decreasing apparent flux; empty when none crossed the beam.
    calibrators: tuple[CalibratorTransit, ...]
    #: Signature of the content when it was read (see `contimg_resources.observations.settling`).
    signature: str
    #: Number of rows of the main table that repeat the visibilities of another row.
    n_repeated_rows: int = 0
    unusable: str = ""  #: Why it can't be calibrated or imaged; empty where it can.
    notes: tuple[str, ...] = ()  #: Oddities found while reading, such as repeated rows.
    #: Source of the data. For an image, `path` is its file, `fields` its centre, and it has no
    #: antennas. Of sub-band files only the headers are read on arrival: until the MS is made, all
    #: antennas with data count as working, and only missing sub-bands as flagged.
    origin: ObservationOrigin = ObservationOrigin.MEASUREMENT_SET
    #: Its sub-band files by number; empty for an MS or image.
    sub_bands: tuple[SubBandFile, ...] = ()

    @property
    def missing_sub_bands(self) -> tuple[int, ...]:
        """Numbers of the sub-bands without a file; empty for an MS or image."""
        if not self.sub_bands:
            return ()
        there = {s.number for s in self.sub_bands}
        return tuple(number for number in range(N_SPECTRAL_WINDOWS) if number not in there)

    @property
    def key(self) -> str:
        """Return the partition key: mid-MJD with five decimals."""
        return partition_key(self.mid_mjd)

    def refuse_unusable(self) -> None:
        """Raise if the data can't be calibrated and imaged.

        Raises
        ------
        UnreadableObservation
            If they can't; the message names the MS and the reason.
        """
        if self.unusable:
            raise UnreadableObservation(
                f"nothing can be made of {self.path}: {self.unusable}", path=str(self.path)
            )

    @property
    def layout(self) -> ArrayLayout:
        """Return the properties that a caltable must share with this observation."""
        names = {a.id: a.name for a in self.antennas}
        return ArrayLayout(
            antenna_names=tuple(names.get(i, "") for i in range(1 + max(names, default=-1))),
            spectral_windows_hz=tuple(
                (w.first_hz, w.last_hz, w.n_channels) for w in self.spectral_windows
            ),
        )

    @property
    def band_hz(self) -> tuple[float, float]:
        """Return the lowest and highest frequency, Hz: the union of the windows' edges."""
        return band_of(self.spectral_windows)

    @property
    def working_antennas(self) -> tuple[Antenna, ...]:
        """Return the antennas with data."""
        return tuple(a for a in self.antennas if a.working)


def band_of(windows: Iterable[SpectralWindow]) -> tuple[float, float]:
    """Return the lowest and the highest edge of some spectral windows, Hz."""
    lows, highs = zip(*(w.edges_hz for w in windows), strict=True)
    return min(lows), max(highs)
