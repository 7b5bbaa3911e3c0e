"""What a simulated season is to be, and the truth about one.

Belongs here: frozen, serialisable descriptions with their defaults. Doesn't: drawing or writing it
(see `season_sky` and `season`).
"""

from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter

from contimg_resources.core.directories import whole_file
from contimg_resources.core.errors import ConfigurationError, ContimgError, UnreadableObservation
from contimg_resources.core.naming import check_name
from contimg_resources.core.times import check_mjd
from contimg_resources.imaging.model import Beam

#: With fewer steady sources no epoch's flux scale can be told.
_LEAST_SOURCES = 16


@dataclass(frozen=True)
class EventSpec:
    """An Extreme Scattering Event, of Fiedler's family.

    Parameters
    ----------
    mid_share : float
        When its middle is: 0 at the season's begin, 1 at its end.
    width_days : float
        Full width at half depth, days.
    depth : float
        Share of the flux density that is missing in its middle.
    lens, scattering : float
        Its shape (see `contimg_resources.variability.templates.fiedler`).
    """

    mid_share: float
    width_days: float
    depth: float
    lens: float
    scattering: float


@dataclass(frozen=True)
class FlareSpec:
    """A flare: exponential rise and decay.

    Parameters
    ----------
    peak_share : float
        When it peaks: 0 at the season's begin, 1 at its end.
    amplitude : float
        Peak flux density over the quiescent one, less 1.
    rise_days, decay_days : float
        E-folding times, days.
    """

    peak_share: float
    amplitude: float
    rise_days: float
    decay_days: float


@dataclass(frozen=True)
class WalkSpec:
    """Slow, irregular variation: a damped random walk of the flux density's logarithm.

    Parameters
    ----------
    scatter : float
        Its standard deviation in the long run.
    memory_days : float
        After so long its correlation is 1/e, days.
    """

    scatter: float
    memory_days: float


@dataclass(frozen=True)
class SeasonSpec:
    """A season of one field, which passes the meridian once a sidereal day.

    Parameters
    ----------
    name : str
        Of its catalogue, and first part of its sources' ids.
    seed : int
        Decides everything random.
    start_day_mjd : int
        First UTC day, integer MJD.
    n_days : int
        UTC days.
    ra_deg, dec_deg : float
        Middle of the field, ICRS degrees. The default passes in the evening of the first day and
        in the morning of the last, UTC, so that no source's day is another one than the field's.
    size_deg, cell_arcsec : float
        Side of the field, degrees, and its pixels, arcsec.
    beam : Beam
        Restoring beam, which the noise is correlated by.
    rms_jy : float
        Noise, Jy/beam.
    n_sources : int
        Point sources.
    min_separation_arcmin : float
        How far they are apart at least, arcmin.
    flux_jy : tuple of float
        Faintest and brightest, Jy.
    varying_flux_jy : tuple of float
        Sources that vary are of these, Jy.
    events : tuple of EventSpec
        Of a source each.
    flares : tuple of FlareSpec
        Likewise.
    walks : tuple of WalkSpec
        Likewise.
    scale_error : float
        Scatter of the epochs' flux scales.
    n_bad : int
        Epochs whose scale is off by `bad_scale_error`.
    bad_scale_error : float
        By so much, up or down.
    lost_share : float
        Share of passages that are lost, a day here and there.
    maintenance_share : float
        When maintenance begins: 0 at the season's begin, 1 at its end.
    maintenance_days : int
        How long it takes, days.
    """

    name: str = "season"
    seed: int = 1
    start_day_mjd: int = 61_100
    n_days: int = 240
    ra_deg: float = 30.0
    dec_deg: float = 54.6
    size_deg: float = 0.6
    cell_arcsec: float = 10.0
    beam: Beam = field(default_factory=lambda: Beam(47.0, 20.4, 15.0))
    rms_jy: float = 1e-3
    n_sources: int = 45
    min_separation_arcmin: float = 2.0
    flux_jy: tuple[float, float] = (0.015, 1.0)
    varying_flux_jy: tuple[float, float] = (0.1, 0.6)
    events: tuple[EventSpec, ...] = (
        EventSpec(mid_share=0.35, width_days=30.0, depth=0.45, lens=2.0, scattering=4.0),
        # Still in progress when the season ends.
        EventSpec(mid_share=0.94, width_days=55.0, depth=0.38, lens=1.0, scattering=4.0),
    )
    flares: tuple[FlareSpec, ...] = (
        FlareSpec(peak_share=0.3, amplitude=1.2, rise_days=1.0, decay_days=8.0),
        FlareSpec(peak_share=0.7, amplitude=0.7, rise_days=2.0, decay_days=20.0),
    )
    walks: tuple[WalkSpec, ...] = (WalkSpec(0.15, 40.0), WalkSpec(0.2, 80.0))
    scale_error: float = 0.03
    n_bad: int = 4
    bad_scale_error: float = 0.3
    lost_share: float = 0.08
    maintenance_share: float = 0.6
    maintenance_days: int = 7

    def __post_init__(self) -> None:
        check_name(self.name, "catalogue name")
        check_mjd(self.start_day_mjd)
        check_mjd(self.start_day_mjd + self.n_days)
        n_varying = len(self.events) + len(self.flares) + len(self.walks)
        if self.n_days < 1:
            raise ConfigurationError(f"a season of {self.n_days} days has no passage")
        if self.n_sources < _LEAST_SOURCES + n_varying:
            raise ConfigurationError(
                f"a season of {self.n_sources} sources, {n_varying} of which vary, has too few "
                f"steady ones: {_LEAST_SOURCES} are needed"
            )

    @property
    def end_mjd(self) -> int:
        """End of its last UTC day, MJD."""
        return self.start_day_mjd + self.n_days

    @property
    def last_day_mjd(self) -> int:
        """Its last UTC day, integer MJD."""
        return self.end_mjd - 1

    def mjd_at(self, share: float) -> float:
        """Return the MJD (days) at a share of the season."""
        return self.start_day_mjd + share * self.n_days


@dataclass(frozen=True)
class TrueEvent:
    """An Extreme Scattering Event that was put in.

    Parameters
    ----------
    source_id : str
        The source.
    mid_mjd, width_days, depth : float
        Middle, MJD in days; full width at half depth, days; share that is missing in the middle.
    in_progress : bool
        Whether it lasts beyond the season's end.
    """

    source_id: str
    mid_mjd: float
    width_days: float
    depth: float
    in_progress: bool


@dataclass(frozen=True)
class TrueEpoch:
    """A passage that was observed.

    Parameters
    ----------
    key : str
        Partition key of its mosaic.
    start_mjd, end_mjd : float
        The mosaic's window, MJD in days.
    passage_mjd : float
        When the middle of the field passes the meridian, MJD in days.
    scale : float
        Measured over true flux densities.
    bad : bool
        Whether the scale is off by so much that the gates must refuse the epoch.
    """

    key: str
    start_mjd: float
    end_mjd: float
    passage_mjd: float
    scale: float
    bad: bool

    @property
    def mid_mjd(self) -> float:
        """Middle of the mosaic's window, MJD in days."""
        return 0.5 * (self.start_mjd + self.end_mjd)

    @property
    def day_mjd(self) -> int:
        """UTC day of the passage, integer MJD."""
        return int(self.passage_mjd)


@dataclass(frozen=True)
class SeasonTruth:
    """What was put into a season.

    Parameters
    ----------
    spec : SeasonSpec
        What was asked for.
    events : tuple of TrueEvent
        Extreme Scattering Events.
    flaring, slow, steady : tuple of str
        Ids of the sources that flare, vary slowly, and don't vary.
    epochs : tuple of TrueEpoch
        In the order of time.
    flux_jy : dict of str to tuple of float
        True flux densities at the epochs, by source, Jy.
    """

    spec: SeasonSpec
    events: tuple[TrueEvent, ...]
    flaring: tuple[str, ...]
    slow: tuple[str, ...]
    steady: tuple[str, ...]
    epochs: tuple[TrueEpoch, ...]
    flux_jy: dict[str, tuple[float, ...]]

    @property
    def varying(self) -> tuple[str, ...]:
        """Ids of all sources that vary."""
        return (*(e.source_id for e in self.events), *self.flaring, *self.slow)

    @property
    def days_mjd(self) -> tuple[int, ...]:
        """UTC days with an observed passage, integer MJD."""
        return tuple(sorted({e.day_mjd for e in self.epochs}))

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        told = TypeAdapter(SeasonTruth).dump_json(self, indent=1)
        whole_file(path, lambda partial: partial.write_bytes(told))

    @classmethod
    def load(cls, path: Path) -> "SeasonTruth":
        """Read what `save` wrote.

        Raises
        ------
        UnreadableObservation
            If the file is missing or holds something else.
        """
        try:
            return TypeAdapter(SeasonTruth).validate_json(path.read_bytes())
        except (OSError, ValueError, ContimgError) as error:
            raise UnreadableObservation(
                f"{path} holds no truth of a season: {str(error).splitlines()[0]}", path=str(path)
            ) from error


def season_truth_path(state: Path) -> Path:
    """Return where the truth of the season in a state directory lies."""
    return state / "season.truth.json"
