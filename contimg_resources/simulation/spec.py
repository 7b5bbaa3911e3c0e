"""Specification of a simulated observation.

Belongs here: frozen, serialisable records with their defaults, the three sizes, the two presets.
Doesn't: simulating.
"""

import math
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import TYPE_CHECKING

from contimg_resources.core.errors import ConfigurationError
from contimg_resources.core.times import SECONDS_PER_DAY, check_mjd
from contimg_resources.instrument.dsa110 import (
    CHANNEL_WIDTH_HZ,
    FREQUENCY_MAX_HZ,
    FREQUENCY_MIN_HZ,
    INTEGRATION_S,
    N_CHANNELS_PER_WINDOW,
    N_INTEGRATIONS,
    N_SPECTRAL_WINDOWS,
    SEFD_JY,
    active_stations,
    stations,
)

# numpy isn't imported before a command needs it.
if TYPE_CHECKING:
    from contimg_resources.core.arrays import Floats, Ints

_EAST_WEST = tuple(s.name for s in active_stations() if int(s.name) <= 51)
_NORTH_SOUTH = tuple(s.name for s in active_stations() if 68 <= int(s.name) <= 102)
# Few outriggers and thinned arms, so that the beam stays like that of the whole array.
_TINY_OUTRIGGERS = ("103", "104", "105", "116")
_SMALL_OUTRIGGERS = (*_TINY_OUTRIGGERS, "106", "108", "115")


class Size(StrEnum):
    """Size of a simulated observation; the band, the drift and the sky stay the same."""

    TINY = "tiny"
    """24 stations, 16 x 4 channels: 0.85 million visibilities, seconds; for tests."""
    SMALL = "small"
    """39 stations, 16 x 8 channels: 4.6 million visibilities; for the demo."""
    FULL = "full"
    """96 stations, 16 x 48 channels: the real 168 million visibilities."""


@dataclass(frozen=True)
class GainSpec:
    """Imperfections of the antennas; every value is a standard deviation."""

    delay_ns: float = 8.0  #: Delays, nanoseconds.
    bandpass_amplitude: float = 0.08  #: Relative ripple of the amplitude over the band.
    bandpass_phase_deg: float = 8.0  #: Ripple of the phase over the band, degrees.
    amplitude: float = 0.15  #: Relative spread of the amplitudes between antennas.
    random_phase: bool = True  #: Whether each receptor has an arbitrary constant phase.
    drift_amplitude: float = 0.01  #: Relative slow drift of the amplitudes (periods of 6 to 24 h).
    drift_phase_deg: float = 6.0  #: Slow drift of the phases, degrees (periods of 6 to 24 h).
    #: Fast fluctuation of the phases, degrees (periods of 150 to 900 s).
    wander_phase_deg: float = 1.0

    @classmethod
    def perfect(cls) -> "GainSpec":
        """Return antennas with a gain of exactly 1."""
        return cls(0.0, 0.0, 0.0, 0.0, False, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class RfiSpec:
    """Interference, in Jy on a baseline."""

    #: Lowest and highest frequency of each persistent emitter, MHz.
    lines_mhz: tuple[tuple[float, float], ...] = ((1378.5, 1379.5), (1487.0, 1499.0))
    line_jy: float = 300.0  #: Strength of the persistent lines.
    n_bursts: int = 2  #: Number of broadband bursts, each in one integration.
    burst_jy: float = 200.0  #: Strength of a burst.
    satellite: bool = True  #: Whether a satellite passes, its carrier sweeping slowly in frequency.
    satellite_jy: float = 500.0  #: Strength of the satellite at its culmination.


@dataclass(frozen=True)
class OutlierSpec:
    """Cas A, Cyg A, Tau A, Vir A, the Sun and the Moon, wherever they are above the horizon.

    Notes
    -----
    An antenna's far sidelobes are taken as 0 dBi at 19 deg and -10 dBi beyond 48 deg (ITU-R
    SA.509, RA.769), and the main beam of a dish of 4.65 m with an efficiency of 0.65 as 34.8 dBi at
    1.4 GHz, so that the sidelobes are 35 to 45 dB below it.
    """

    #: Mean power of the far sidelobes below the centre of the main beam, dB; the Airy pattern adds
    #: to it.
    sidelobe_db: float = 40.0
    sun_sfu: float = 70.0  #: Flux density of the quiet Sun at 1.4 GHz, 1e4 Jy; 0: no Sun.

    def __post_init__(self) -> None:
        if not (20 <= self.sidelobe_db < math.inf and 0 <= self.sun_sfu < math.inf):
            raise ConfigurationError(
                "far sidelobes are at least 20 dB below the main beam, and the Sun isn't negative"
            )


@dataclass(frozen=True)
class AddedSource:
    """A point source added to the sky."""

    name: str  #: Its name.
    ra_deg: float  #: Position, ICRS, degrees.
    dec_deg: float  #: Position, ICRS, degrees.
    flux_jy: float  #: Flux density at `reference_ghz`, Jy.
    spectral_index: float = 0.0  #: ``S ~ nu^spectral_index``.
    reference_ghz: float = 1.405  #: Reference frequency, GHz.


@dataclass(frozen=True)
class SkySpec:
    """Contents of the sky."""

    catalogue: bool = True  #: Whether to include the random catalogue.
    minimum_jy: float = 0.03  #: Lower limit of the random catalogue at 1.405 GHz, Jy.
    maximum_jy: float = 0.5  #: Upper limit of the random catalogue at 1.405 GHz, Jy.
    #: Catalogue sources with a brighter one closer than this are left out, so that each remaining
    #: source can be measured separately; 0 keeps the blends.
    separation_deg: float = 0.05
    calibrators: bool = True  #: Whether to include the flux-scale sources.
    added: tuple[AddedSource, ...] = ()  #: Further sources.
    radius_deg: float = 4.0  #: Sources farther than this from every pointing are left out.
    #: Lower limit of a faint population between it and `minimum_jy`, at 1.405 GHz, Jy; 0: there is
    #: none. It follows the counts of Hopkins et al. (2003), and is limited to sources that reach
    #: `faintest_jy` / 4 through the primary beam.
    faintest_jy: float = 0.0
    #: Share of the sources of the random catalogue that are doubles, two equal points; all others
    #: are circular Gaussians where `sizes` is set.
    doubles: float = 0.0
    sizes: bool = False  #: Whether sources of the random catalogue have sizes; else only doubles.
    #: Sources above 1 Jy are kept up to this distance from a pointing, degrees, where it is larger
    #: than `radius_deg`: the sidelobes of the dishes see them.
    bright_radius_deg: float = 0.0
    #: Spread (standard deviation) of the curvature of spectra, the third coefficient of
    #: `contimg_resources.observations.flux_model.FluxModel`.
    curvature: float = 0.0
    #: Angular correlation of the random catalogue at 1 deg, ``w = clustering (theta/deg)^-0.8``: by
    #: this more pairs than in a random sky; 1e-3 for NVSS (Blake & Wall 2002, MNRAS 329, L37).
    clustering: float = 0.0
    outliers: OutlierSpec | None = None  #: Bright sources far outside the field; None: none.


@dataclass(frozen=True)
class EffectsSpec:
    """Effects that spoil real images, besides gains, noise and interference; by default none.

    Every value but the numbers of antennas is a standard deviation.
    """

    #: `pointing_arcmin`, `beam_width`, `beam_ellipticity`: Pointing error of each antenna along
    #: each axis, arcmin; relative difference of the width of its primary beam; relative difference
    #: of its two axes, whose position angle is random.
    pointing_arcmin: float = 0.0
    beam_width: float = 0.0
    beam_ellipticity: float = 0.0
    #: `refraction_arcsec`, `refraction_gradient`: Ionospheric shift of the whole field along each
    #: axis, arcsec at 1.4 GHz, and its change over the field, arcsec per degree. They vary with
    #: periods of 4 to 15 minutes and are proportional to the wavelength squared.
    refraction_arcsec: float = 0.0
    refraction_gradient: float = 0.0
    #: `n_delay_jumps`, `delay_jump_ns`: Number of antennas whose delay jumps once in an
    #: observation, and the jump, nanoseconds.
    n_delay_jumps: int = 0
    delay_jump_ns: float = 5.0
    n_dying: int = 0  #: Number of antennas that lose their signal during an observation.
    #: `n_misplaced`, `position_m`: Number of antennas that aren't where the MS places them, and the
    #: error of each coordinate, metres.
    n_misplaced: int = 0
    position_m: float = 0.02
    closure: float = 0.0  #: Relative complex error of each baseline, constant in time.
    #: Distance between the beams of X and Y, arcmin, for all antennas in the same direction; it
    #: affects sources above 1 Jy.
    squint_arcmin: float = 0.0
    #: Number of antennas whose X and Y are exchanged before the correlator: their products with
    #: other antennas are XY and YX, which see nothing of an unpolarised sky.
    n_swapped: int = 0
    #: Signal that adjacent antennas (5.75 m) have in common, Jy, constant in time; it falls with
    #: the square of the distance and ends at 30 m.
    crosstalk_jy: float = 0.0
    #: `n_spikes`, `spike_jy`: Number of single channels of single integrations in which every
    #: baseline has a random value, and the size of its real and imaginary part, Jy.
    n_spikes: int = 0
    spike_jy: float = 1000.0

    def __post_init__(self) -> None:
        for f in fields(self):
            if not 0 <= getattr(self, f.name) < math.inf:
                raise ConfigurationError(
                    f"{f.name} of a simulation's effects must be zero or above, and finite"
                )

    @property
    def any(self) -> bool:
        """Return whether there is any effect."""
        sizes = {name: getattr(self, name) for name in ("delay_jump_ns", "position_m", "spike_jy")}
        return self != EffectsSpec(**sizes)


class FileFormat(StrEnum):
    """Files of a simulated observation."""

    MS = "ms"
    """A MeasurementSet."""
    UVH5 = "uvh5"
    """The correlator's 16 sub-band files."""


class DeadStyle(StrEnum):
    """Data of a dead antenna in an MS."""

    ZERO = "zero"
    """Data exactly zero, unflagged."""
    FLAGGED = "flagged"
    """Only noise, flagged."""


@dataclass(frozen=True)
class SimulationSpec:
    """One observation to simulate."""

    start_mjd: float  #: Start of the first integration, MJD in days (UTC).
    #: Pointing of the dishes on the meridian: apparent declination of date, degrees.
    apparent_declination_deg: float
    antennas: tuple[str, ...]  #: Station names, in the order of the ANTENNA table.
    #: Channels of each of the 16 spectral windows; they always cover the whole band.
    channels_per_window: int
    #: Random seed of the sky, the gains and the order of the windows; with the start time also of
    #: the noise and the interference.
    seed: int = 1
    n_integrations: int = N_INTEGRATIONS  #: Integrations of 12.884902 s, one field each.
    sefd_jy: float = SEFD_JY  #: System equivalent flux density of an antenna, Jy; 0: no noise.
    autocorrelations: bool = False  #: Whether autocorrelation rows are written.
    gains: GainSpec = field(default_factory=GainSpec)  #: The antennas' imperfections.
    sky: SkySpec = field(default_factory=SkySpec)  #: The sky.
    rfi: RfiSpec | None = None  #: Interference; None: none.
    effects: EffectsSpec = field(default_factory=EffectsSpec)  #: Effects that spoil real images.
    dead_antennas: tuple[str, ...] = ()  #: Names of antennas without signal.
    dead_style: DeadStyle = DeadStyle.ZERO  #: Their data in the MS.
    #: Whether to write a WEIGHT_SPECTRUM, as the instrument's converter does.
    weight_spectrum: bool = False

    def __post_init__(self) -> None:
        check_mjd(self.start_mjd)
        check_antennas(self.antennas, self.dead_antennas)
        if not -30.0 <= self.apparent_declination_deg <= 90.0:
            raise ConfigurationError(
                f"declination {self.apparent_declination_deg} deg can't be observed from OVRO"
            )
        if not 1 <= self.channels_per_window <= 16 * N_CHANNELS_PER_WINDOW:
            raise ConfigurationError(f"{self.channels_per_window} channels a window aren't sane")
        if self.n_integrations < 1 or self.seed < 0 or not self.sefd_jy >= 0:
            raise ConfigurationError(
                "a simulation needs at least one integration, a seed and an SEFD not below zero"
            )
        if not 0 < self.sky.minimum_jy < self.sky.maximum_jy:
            raise ConfigurationError("the catalogue's flux limits must be positive and ascending")
        if not (0 <= self.sky.faintest_jy < self.sky.minimum_jy and 0 <= self.sky.doubles <= 1):
            raise ConfigurationError(
                "the faint population must end below the catalogue's lower limit, and the share of "
                "doubles lies between 0 and 1"
            )
        if not (
            self.sky.bright_radius_deg >= 0
            and self.sky.curvature >= 0
            and 0 <= self.sky.clustering <= 0.02
        ):
            raise ConfigurationError(
                "the radius of bright sources and the curvature of spectra aren't negative, and "
                "clustering lies between 0 and 0.02"
            )
        faulty = ("n_delay_jumps", "n_dying", "n_misplaced", "n_swapped")
        if max(getattr(self.effects, name) for name in faulty) > len(self.working_antennas):
            raise ConfigurationError("more antennas with faults than antennas with signal")

    @classmethod
    def of_size(
        cls, size: Size, start_mjd: float, apparent_declination_deg: float, seed: int = 1
    ) -> "SimulationSpec":
        """Return the defaults of one size; change them with `dataclasses.replace`."""
        antennas, channels = PRESETS[size]
        return cls(start_mjd, apparent_declination_deg, antennas, channels, seed)

    @property
    def channel_width_hz(self) -> float:
        """Return the width of a channel, Hz."""
        return CHANNEL_WIDTH_HZ * N_CHANNELS_PER_WINDOW / self.channels_per_window

    @property
    def window_frequencies_hz(self) -> "Floats":
        """Return the channel centres by spectral window id, Hz, shape (16, channels).

        The ids are scrambled in frequency, as in real MS; within a window frequencies ascend.
        """
        import numpy as np

        order = window_order(self.seed)
        n = self.channels_per_window
        lowest = FREQUENCY_MIN_HZ - 0.5 * CHANNEL_WIDTH_HZ
        width = (FREQUENCY_MAX_HZ - FREQUENCY_MIN_HZ + CHANNEL_WIDTH_HZ) / (N_SPECTRAL_WINDOWS * n)
        ascending = lowest + width * (np.arange(N_SPECTRAL_WINDOWS * n) + 0.5)
        return np.asarray(ascending.reshape(N_SPECTRAL_WINDOWS, n)[order], np.float64)

    @property
    def integration_mjd(self) -> "Floats":
        """Return the middle of each integration, MJD in days."""
        import numpy as np

        middles = (np.arange(self.n_integrations) + 0.5) * INTEGRATION_S / SECONDS_PER_DAY
        return np.asarray(self.start_mjd + middles, np.float64)

    @property
    def mid_mjd(self) -> float:
        """Return the middle of the observation, MJD in days."""
        return self.start_mjd + 0.5 * self.n_integrations * INTEGRATION_S / SECONDS_PER_DAY

    @property
    def noise_jy(self) -> float:
        """Return the noise of the real and imaginary part of a visibility of one polarisation, Jy.

        ``SEFD / sqrt(2 dnu dt)`` (Thompson, Moran & Swenson, 3rd ed., 6.2.4).
        """
        return self.sefd_jy / math.sqrt(2.0 * self.channel_width_hz * INTEGRATION_S)

    @property
    def weight(self) -> float:
        """Return the weight of a visibility, 1/Jy^2; 1 without noise."""
        return float(self.noise_jy**-2) if self.noise_jy > 0 else 1.0

    @property
    def working_antennas(self) -> tuple[str, ...]:
        """Return the names of the antennas with signal."""
        return tuple(a for a in self.antennas if a not in self.dead_antennas)

    @property
    def expected_rms_jy(self) -> float:
        """Return the thermal noise of a naturally weighted Stokes I image of all data, Jy/beam."""
        n = len(self.working_antennas)
        samples = (
            n
            * (n - 1)
            / 2
            * self.n_integrations
            * N_SPECTRAL_WINDOWS
            * self.channels_per_window
            * 2
        )
        return self.noise_jy / math.sqrt(samples) if samples else math.inf


def check_antennas(antennas: tuple[str, ...], dead: tuple[str, ...]) -> None:
    """Refuse antennas that the array doesn't have.

    Raises
    ------
    ConfigurationError
        If a name is unknown, repeated or missing; the message lists the names.
    """
    known = {s.name for s in stations()}
    if unknown := [a for a in antennas if a not in known]:
        raise ConfigurationError(f"no such station: {', '.join(unknown)}; they are '1' to '117'")
    if len(set(antennas)) != len(antennas) or len(antennas) < 2:
        raise ConfigurationError("a simulation needs at least two antennas, each named once")
    if strangers := [a for a in dead if a not in antennas]:
        raise ConfigurationError(f"dead antennas that aren't in the array: {', '.join(strangers)}")


def window_order(seed: int) -> "Ints":
    """Return for each spectral window id its index in ascending frequency; never sorted."""
    import numpy as np

    rng = np.random.default_rng([seed, 16])
    while True:
        order = rng.permutation(N_SPECTRAL_WINDOWS)
        if np.any(np.diff(order) > 0) and np.any(np.diff(order) < 0):
            return np.asarray(order, dtype=np.int64)


def _spread(names: tuple[str, ...], n: int) -> tuple[str, ...]:
    # Equal steps along an arm would repeat one baseline and give grating lobes inside the beam.
    steps = {round((len(names) - 1) * (i / (n - 1)) ** 1.6) for i in range(n)}
    return tuple(names[i] for i in sorted(steps))


#: Antennas and channels per window of each size.
PRESETS: dict[Size, tuple[tuple[str, ...], int]] = {
    Size.TINY: (_spread(_EAST_WEST, 10) + _spread(_NORTH_SOUTH, 10) + _TINY_OUTRIGGERS, 4),
    Size.SMALL: (_spread(_EAST_WEST, 17) + _spread(_NORTH_SOUTH, 16) + _SMALL_OUTRIGGERS, 8),
    Size.FULL: (tuple(s.name for s in active_stations()), N_CHANNELS_PER_WINDOW),
}


class Preset(StrEnum):
    """How unkind the simulated sky and array are."""

    KIND = "kind"
    """Isolated point sources above 30 mJy, equal dishes, slowly drifting gains."""
    REALISTIC = "realistic"
    """Blends, doubles, sizes, clustering and faint sources; Cas A to the Moon in far sidelobes;
    pointing errors, squint, refraction, faults, closure errors, cross-talk, faster drifts;
    interference and spikes."""


@dataclass(frozen=True)
class Conditions:
    """The sky, the antennas and the interference of a preset."""

    sky: SkySpec  #: Contents of the sky.
    gains: GainSpec  #: The antennas' imperfections.
    rfi: RfiSpec | None  #: Interference; None: none.
    effects: EffectsSpec  #: Effects that spoil real images.

    @classmethod
    def of(cls, preset: Preset) -> "Conditions":
        """Return the conditions of a preset.

        Notes
        -----
        A sum of sinusoids of standard deviation s and periods of 6 to 24 h changes by
        ``2 pi s / 12`` an hour (rms): 38 deg by 20 deg. The lines of `REALISTIC` take a tenth of
        the band.
        """
        if preset is Preset.KIND:
            return cls(SkySpec(), GainSpec(), None, EffectsSpec())
        return cls(
            sky=SkySpec(
                maximum_jy=10.0,
                separation_deg=0.0,
                faintest_jy=1e-3,
                doubles=0.3,
                sizes=True,
                bright_radius_deg=10.0,
                curvature=0.2,
                clustering=1e-3,
                outliers=OutlierSpec(),
            ),
            gains=GainSpec(drift_amplitude=0.04, drift_phase_deg=38.0, wander_phase_deg=3.0),
            rfi=RfiSpec(
                lines_mhz=((1311.0, 1313.5), (1330.0, 1331.0), (1378.5, 1381.5), (1487.0, 1499.0)),
                n_bursts=3,
            ),
            effects=EffectsSpec(
                pointing_arcmin=6.0,
                beam_width=0.02,
                beam_ellipticity=0.02,
                refraction_arcsec=4.0,
                refraction_gradient=1.0,
                n_delay_jumps=1,
                n_dying=1,
                n_misplaced=1,
                closure=0.005,
                squint_arcmin=3.0,
                crosstalk_jy=1.0,
                n_spikes=20,
            ),
        )
