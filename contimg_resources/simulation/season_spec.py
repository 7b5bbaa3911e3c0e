"""Specification of a simulated season, and its truth.

Belongs here: frozen, serialisable records with their defaults. Doesn't: drawing or writing a season
(see `season_sky` and `season`).
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import AliasChoices, Field, TypeAdapter

from contimg_resources.core.directories import whole_file
from contimg_resources.core.errors import ConfigurationError, ContimgError, UnreadableObservation
from contimg_resources.core.naming import check_name
from contimg_resources.core.times import check_mjd
from contimg_resources.imaging.model import Beam

#: With fewer constant sources an epoch's flux scale can't be measured.
_LEAST_SOURCES = 16


@dataclass(frozen=True)
class EventSpec:
    """An Extreme Scattering Event of Fiedler's family."""

    mid_share: float  #: Time of its minimum: 0 at the start of the season, 1 at its end.
    width_days: float  #: Full width at half depth, days.
    depth: float  #: Share of the flux density that is missing at minimum.
    lens: float  #: Its shape (see `contimg_resources.variability.templates.fiedler`).
    scattering: float  #: Its shape (see `contimg_resources.variability.templates.fiedler`).


@dataclass(frozen=True)
class FlareSpec:
    """A flare with exponential rise and decay."""

    peak_share: float  #: Time of its peak: 0 at the start of the season, 1 at its end.
    amplitude: float  #: Peak flux density divided by the quiescent one, minus 1.
    rise_days: float  #: E-folding time of the rise, days.
    decay_days: float  #: E-folding time of the decay, days.


@dataclass(frozen=True)
class WalkSpec:
    """Slow, irregular variation: a damped random walk of the flux density's logarithm."""

    scatter: float  #: Its long-term standard deviation.
    memory_days: float  #: Time after which its correlation is 1/e, days.


@dataclass(frozen=True)
class SeasonSpec:
    """A season of one field, which transits once a sidereal day."""

    name: str = "season"  #: Name of its catalogue, and first part of its sources' ids.
    seed: int = 1  #: Random seed.
    start_day_mjd: int = 61_100  #: First UTC day, integer MJD.
    n_days: int = 240  #: Number of UTC days.
    #: `ra_deg`, `dec_deg`: Centre of the field, ICRS degrees. The default transits in the evening
    #: of the first day and in the morning of the last, UTC, so that all sources have the same UTC
    #: day as the field.
    ra_deg: float = 30.0
    dec_deg: float = 54.6
    size_deg: float = 0.6  #: Side of the field, degrees.
    cell_arcsec: float = 10.0  #: Side of a pixel, arcsec.
    #: Restoring beam, which sets the correlation of the noise.
    beam: Beam = field(default_factory=lambda: Beam(47.0, 20.4, 15.0))
    rms_jy: float = 1e-3  #: Noise, Jy/beam.
    n_sources: int = 45  #: Number of point sources.
    min_separation_arcmin: float = 2.0  #: Minimum distance between them, arcmin.
    flux_jy: tuple[float, float] = (0.015, 1.0)  #: Lowest and highest flux density, Jy.
    #: Range of flux densities of variable sources, Jy.
    varying_flux_jy: tuple[float, float] = (0.1, 0.6)
    #: Extreme Scattering Events, each of a different source.
    events: tuple[EventSpec, ...] = (
        EventSpec(mid_share=0.35, width_days=30.0, depth=0.45, lens=2.0, scattering=4.0),
        # Still in progress when the season ends.
        EventSpec(mid_share=0.94, width_days=55.0, depth=0.38, lens=1.0, scattering=4.0),
    )
    #: Flares, each of a different source.
    flares: tuple[FlareSpec, ...] = (
        FlareSpec(peak_share=0.3, amplitude=1.2, rise_days=1.0, decay_days=8.0),
        FlareSpec(peak_share=0.7, amplitude=0.7, rise_days=2.0, decay_days=20.0),
    )
    #: Damped random walks, each of a different source without events or flares. These and the next
    #: are walks of AGN (see `contimg_resources.variability.noise.AGN`).
    walks: tuple[WalkSpec, ...] = (WalkSpec(0.15, 74.0), WalkSpec(0.18, 134.0))
    #: Damped random walks of the sources with events, in their order; of fewer walks than events
    #: the other sources are steady.
    event_walks: tuple[WalkSpec, ...] = (WalkSpec(0.09, 132.0), WalkSpec(0.08, 35.0))
    scale_error: float = 0.03  #: Scatter of the epochs' flux scales.
    n_bad: int = 4  #: Number of epochs whose scale is off by `bad_scale_error`.
    bad_scale_error: float = 0.3  #: Relative error of their scale, up or down.
    lost_share: float = 0.08  #: Share of transits that are lost, on single days.
    #: Start of maintenance: 0 at the start of the season, 1 at its end.
    maintenance_share: float = 0.6
    maintenance_days: int = 7  #: Duration of maintenance, days.

    def __post_init__(self) -> None:
        check_name(self.name, "catalogue name")
        check_mjd(self.start_day_mjd)
        check_mjd(self.start_day_mjd + self.n_days)
        n_varying = len(self.events) + len(self.flares) + len(self.walks)
        if self.n_days < 1:
            raise ConfigurationError(f"a season of {self.n_days} days has no transit")
        if self.n_sources < _LEAST_SOURCES + n_varying:
            raise ConfigurationError(
                f"a season of {self.n_sources} sources, {n_varying} of which vary, has too few "
                f"steady ones: {_LEAST_SOURCES} are needed"
            )

    @property
    def end_mjd(self) -> int:
        """Return the end of its last UTC day, MJD."""
        return self.start_day_mjd + self.n_days

    @property
    def last_day_mjd(self) -> int:
        """Return its last UTC day, integer MJD."""
        return self.end_mjd - 1

    def mjd_at(self, share: float) -> float:
        """Return the MJD (days) at a share of the season."""
        return self.start_day_mjd + share * self.n_days


@dataclass(frozen=True)
class TrueEvent:
    """An Extreme Scattering Event added to a source."""

    source_id: str  #: The source.
    #: `mid_mjd`, `width_days`, `depth`: Epoch of minimum, MJD in days; full width at half depth,
    #: days; share missing at minimum.
    mid_mjd: float
    width_days: float
    depth: float
    in_progress: bool  #: Whether it lasts until after the season's end.


@dataclass(frozen=True)
class TrueEpoch:
    """An observed transit."""

    key: str  #: Partition key of its mosaic.
    start_mjd: float  #: Start of the mosaic's window, MJD in days.
    end_mjd: float  #: End of the mosaic's window, MJD in days.
    # Truths of earlier releases name it otherwise.
    #: Time of the transit of the field's centre, MJD in days.
    transit_mjd: Annotated[
        float, Field(validation_alias=AliasChoices("transit_mjd", "passage_mjd"))
    ]
    scale: float  #: Ratio of measured to true flux densities.
    bad: bool  #: Whether the scale error is so large that the checks must reject the epoch.

    @property
    def mid_mjd(self) -> float:
        """Return the middle of the mosaic's window, MJD in days."""
        return 0.5 * (self.start_mjd + self.end_mjd)

    @property
    def day_mjd(self) -> int:
        """Return the UTC day of the transit, integer MJD."""
        return int(self.transit_mjd)


@dataclass(frozen=True)
class SeasonTruth:
    """The truth of a simulated season."""

    spec: SeasonSpec  #: The specification.
    events: tuple[TrueEvent, ...]  #: Extreme Scattering Events.
    flaring: tuple[str, ...]  #: Ids of the sources that flare.
    slow: tuple[str, ...]  #: Ids of the sources that vary slowly.
    steady: tuple[str, ...]  #: Ids of the constant sources.
    epochs: tuple[TrueEpoch, ...]  #: Epochs in order of time.
    flux_jy: dict[str, tuple[float, ...]]  #: True flux densities at the epochs, by source, Jy.

    @property
    def varying(self) -> tuple[str, ...]:
        """Return the ids of all sources that vary."""
        return (*(e.source_id for e in self.events), *self.flaring, *self.slow)

    @property
    def days_mjd(self) -> tuple[int, ...]:
        """Return the UTC days with an observed transit, integer MJD."""
        return tuple(sorted({e.day_mjd for e in self.epochs}))

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        told = TypeAdapter(SeasonTruth).dump_json(self, indent=1)
        whole_file(path, lambda partial: partial.write_bytes(told))

    @classmethod
    def load(cls, path: Path) -> "SeasonTruth":
        """Read a truth written by `save`.

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
    """Return the path of the season's truth in a state directory."""
    return state / "season.truth.json"
