"""Effects that spoil real images: dishes, ionosphere, faults and closure errors.

Belongs here: drawing them, and their phases and responses as functions of time, frequency and
direction. Doesn't: gains and interference (see `contimg_resources.simulation.gains` and
`contimg_resources.simulation.predict`).
"""

from dataclasses import dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy.constants import speed_of_light

from contimg_resources.core.arrays import Bools, Complexes, Floats, Ints
from contimg_resources.core.times import SECONDS_PER_DAY
from contimg_resources.instrument.dsa110 import INTEGRATION_S, LATITUDE_DEG, stations
from contimg_resources.instrument.primary_beam import airy_voltage
from contimg_resources.simulation.gains import REFERENCE_HZ
from contimg_resources.simulation.spec import SimulationSpec

#: Frequency to which `EffectsSpec.refraction_arcsec` refers, Hz.
REFRACTION_HZ = 1.4e9
_ARCSEC = np.pi / 180 / 3600
_N_WAVES = 2
_PERIODS_S = (240.0, 900.0)
#: Points of the table from which beams are interpolated, and its frequency, above the band.
_BEAM_POINTS, _BEAM_HZ = 32_768, 2e9
_MOST_STATIONS = 200
#: Adjacent antennas, and those without cross-talk, metres.
_ADJACENT_M, _APART_M = 5.75, 30.0
#: Names of the arrays in a file.
_PREFIX = "effects_"


@dataclass(frozen=True)
class Effects:
    """The effects of one observation, by antenna id."""

    pointing_rad: Floats  #: Pointing errors east and north, radians. Shape (antennas, 2).
    #: `beam_width`, `beam_ellipticity`, `beam_angle_rad`: Relative excess of the beam's width,
    #: relative difference of its axes, position angle of the longer one (north through east),
    #: radians. Shape (antennas,).
    beam_width: Floats
    beam_ellipticity: Floats
    beam_angle_rad: Floats
    #: `refraction`, `refraction_period_s`, `refraction_offset_rad`: Sinusoids of the shift: their
    #: amplitudes, periods and phases at MJD 0, for the shift east and north (radians) and its
    #: derivatives east by east, east by north, north by east, north by north, at `REFRACTION_HZ`.
    #: Shape (6, waves).
    refraction: Floats
    refraction_period_s: Floats
    refraction_offset_rad: Floats
    #: `jump_s`, `jump_mjd`: Jump of each antenna's delay, seconds, and its time, MJD.
    jump_s: Floats
    jump_mjd: Floats
    death_mjd: Floats  #: Time after which an antenna has no signal, MJD; infinite: none.
    #: True less stated position, metres east, north and up. Shape (antennas, 3).
    position_m: Floats
    #: Relative error of each baseline, Hermitian. Shape (antennas, antennas).
    closure: Complexes
    squint_rad: Floats  #: Beam of X less that of all, east and north, radians. Shape (2,).
    swapped: Bools  #: Whether X and Y are exchanged. Shape (antennas,).
    #: Common signal of two antennas, Jy, Hermitian, and its path, metres, antisymmetric. Shape
    #: (antennas, antennas).
    crosstalk_jy: Complexes
    crosstalk_m: Floats
    #: Time (MJD), frequency (Hz) and strength (Jy) of each spike. Shape (spikes, 3).
    spikes: Floats
    declination_deg: float  #: Apparent declination of the pointing, degrees.

    def arrays(self) -> dict[str, Any]:
        """Return the arrays of this object by their names in a file."""
        return {_PREFIX + f.name: np.asarray(getattr(self, f.name)) for f in fields(self)}

    @classmethod
    def load(cls, path: Path) -> "Effects | None":
        """Return the effects in an npz file of a truth; None: there are none."""
        with np.load(path) as stored:
            if _PREFIX + "closure" not in stored:
                return None
            arrays = {f.name: stored[_PREFIX + f.name] for f in fields(cls)}
        return cls(**{**arrays, "declination_deg": float(arrays["declination_deg"])})

    @property
    def own_beams(self) -> bool:
        """Return whether antennas have different beams."""
        return bool(self.pointing_rad.any() or self.beam_width.any() or self.beam_ellipticity.any())

    def of_hand(self, hand: int) -> "Effects":
        """Return the effects on X (0) or Y (1), whose beams differ by squint."""
        side = (1.0, -1.0)[hand]
        return replace(self, pointing_rad=self.pointing_rad + side * self.squint_rad)

    def voltage(self, cosines: Floats, frequencies_hz: Floats) -> Floats:
        """Return each antenna's response to sources, shape (frequencies, antennas, sources).

        `cosines`, shape (3, sources), are l, m and n - 1 about the pointing centre of a perfect
        antenna. The response is 1 at an antenna's own centre and negative in the first sidelobe.
        """
        east = cosines[0] - self.pointing_rad[:, :1]
        north = cosines[1] - self.pointing_rad[:, 1:]
        sine, cosine = np.sin(self.beam_angle_rad)[:, None], np.cos(self.beam_angle_rad)[:, None]
        widths = (1 + self.beam_width)[:, None]
        stretch = 0.5 * self.beam_ellipticity[:, None]
        along = (east * sine + north * cosine) / (widths * (1 + stretch))
        across = (east * cosine - north * sine) / (widths * (1 - stretch))
        # The beam is a function of angle times frequency.
        table = _beam_table()
        scaled = np.minimum(np.hypot(along, across), _BEAM_HZ / frequencies_hz.max())
        place = scaled * (frequencies_hz[:, None, None] * ((_BEAM_POINTS - 1) / _BEAM_HZ))
        below = np.minimum(place.astype(np.int32), _BEAM_POINTS - 2)
        part = place - below
        return np.asarray(table[below] * (1 - part) + table[below + 1] * part)

    def shift_rad(self, cosines: Floats, mjd: float) -> Floats:
        """Return the shifts east and north of sources at `REFRACTION_HZ`, radians.

        `cosines` as in `voltage`; the result has the shape (2, sources).
        """
        angle = 2 * np.pi * mjd * SECONDS_PER_DAY / self.refraction_period_s
        now = np.sum(self.refraction * np.sin(angle + self.refraction_offset_rad), axis=1)
        return np.asarray(now[:2, None] + now[2:].reshape(2, 2) @ cosines[:2])

    def extra_turns(
        self, cosines: Floats, antenna_uvw_m: Floats, frequencies_hz: Floats, mjd: float
    ) -> Floats | None:
        """Return phases of each antenna toward sources, turns, by refraction and position errors.

        The shape is (frequencies, antennas, sources); None: all are zero.

        Notes
        -----
        Refraction moves a source by an angle proportional to the wavelength squared. A position
        error d adds the path ``d . s`` toward the source s, not only that relative to the phase
        centre: the correlator's delays are computed for the stated position, too.
        """
        turns = None
        if self.refraction.any():
            shift = self.shift_rad(cosines, mjd)
            depth = -(cosines[:2] * shift).sum(axis=0) / (1 + cosines[2])
            metres = antenna_uvw_m @ np.vstack([shift, depth])
            # A phase of nu (nu_0 / nu)^2.
            turns = metres * (REFRACTION_HZ**2 / speed_of_light / frequencies_hz)[:, None, None]
        if self.position_m.any():
            if turns is None:
                turns = np.zeros((frequencies_hz.size, len(antenna_uvw_m), cosines.shape[1]))
            some = self.position_m.any(axis=1)
            toward = self._uvw_m()[some] @ np.vstack([cosines[:2], 1 + cosines[2]])
            turns[:, some] += toward * (frequencies_hz / speed_of_light)[:, None, None]
        return turns

    def _uvw_m(self) -> Floats:
        """Return the position errors as u, v and w on the meridian, metres."""
        away = np.radians(self.declination_deg - LATITUDE_DEG)
        east, north, up = self.position_m.T
        v = north * np.cos(away) - up * np.sin(away)
        w = north * np.sin(away) + up * np.cos(away)
        return np.stack([east, v, w], axis=1)

    def gains(self, frequencies_hz: Floats, mjd: float) -> Complexes:
        """Return the gains by jumps of delay and lost signals, shape (antennas, frequencies)."""
        jump_s = np.where(mjd >= self.jump_mjd, self.jump_s, 0.0)
        turns = jump_s[:, None] * (frequencies_hz - REFERENCE_HZ)
        alive = mjd < self.death_mjd
        return np.asarray(np.exp(2j * np.pi * turns) * alive[:, None], np.complex64)

    def added(self, first: Ints, second: Ints, frequencies_hz: Floats, mjd: float) -> Complexes:
        """Return cross-talk and spikes of pairs of antennas, Jy, shape (pairs, frequencies)."""
        signal = np.zeros((first.size, frequencies_hz.size), np.complex64)
        near = np.flatnonzero(self.crosstalk_jy[first, second])
        pairs = first[near], second[near]
        turns = self.crosstalk_m[pairs][:, None] * (frequencies_hz / speed_of_light)
        signal[near] = self.crosstalk_jy[pairs][:, None] * np.exp(2j * np.pi * turns)
        now = np.abs(self.spikes[:, 0] - mjd) * SECONDS_PER_DAY < 0.5 * INTEGRATION_S
        for _, hz, size_jy in self.spikes[now]:
            rng = np.random.default_rng([round(mjd * 86_400_000.0), round(hz)])
            drawn = size_jy * rng.standard_normal((2, first.size))
            signal[:, np.abs(frequencies_hz - hz) < 1.0] += (drawn[0] + 1j * drawn[1])[:, None]
        return signal

    def dead(self, mjd: float) -> Bools:
        """Return which antennas have lost their signal, shape (antennas,)."""
        return np.asarray(mjd >= self.death_mjd)


@lru_cache(1)
def _beam_table() -> Floats:
    """Return the beam at equal steps of the sine of the angle."""
    return airy_voltage(np.arcsin(np.linspace(0, 1, _BEAM_POINTS)), _BEAM_HZ)


def draw_effects(spec: SimulationSpec) -> Effects | None:
    """Draw the effects of an observation; None when it has none.

    Dishes, position errors and closure errors belong to the stations, so that all observations of a
    seed share them; the ionosphere is continuous in time; jumps and lost signals are drawn for each
    observation, within its middle half.
    """
    effects = spec.effects
    if not effects.any:
        return None
    names = spec.antennas
    numbers = np.array([int(name) for name in names])
    dishes = np.stack(
        [np.random.default_rng([spec.seed, 5, n]).standard_normal(4) for n in numbers]
    )
    sky = np.random.default_rng([spec.seed, 6])
    waves = (6, _N_WAVES)
    scale = np.r_[[effects.refraction_arcsec] * 2, [np.degrees(effects.refraction_gradient)] * 4]
    between = np.random.default_rng([spec.seed, 7])
    drawn = between.standard_normal((2, _MOST_STATIONS, _MOST_STATIONS))
    above = np.triu(drawn[0] + 1j * drawn[1], 1) * effects.closure
    closure = (above + above.conj().T)[np.ix_(numbers, numbers)]
    misplaced = _some(np.random.default_rng([spec.seed, 8]), spec, effects.n_misplaced)
    places = np.random.default_rng([spec.seed, 9]).standard_normal((_MOST_STATIONS, 3))[numbers]
    now = np.random.default_rng([spec.seed, round(spec.start_mjd * 86_400_000.0), 10])
    length_days = spec.n_integrations * INTEGRATION_S / SECONDS_PER_DAY
    jumping = _some(now, spec, effects.n_delay_jumps)
    dying = _some(now, spec, effects.n_dying)
    times = spec.start_mjd + now.uniform(0.25, 0.75, (2, len(names))) * length_days
    common, path_m = _crosstalk(spec.seed, numbers)
    return Effects(
        pointing_rad=np.radians(effects.pointing_arcmin / 60) * dishes[:, :2],
        beam_width=effects.beam_width * dishes[:, 2],
        beam_ellipticity=effects.beam_ellipticity * dishes[:, 3],
        beam_angle_rad=np.array(
            [np.random.default_rng([spec.seed, 11, n]).uniform(0, np.pi) for n in numbers]
        ),
        # The mean square of a sinusoid is a half.
        refraction=np.repeat(scale[:, None], _N_WAVES, axis=1)
        * (_ARCSEC * np.sqrt(2 / _N_WAVES))
        * sky.choice([-1.0, 1.0], waves),
        refraction_period_s=sky.uniform(*_PERIODS_S, waves),
        refraction_offset_rad=sky.uniform(0, 2 * np.pi, waves),
        jump_s=1e-9 * effects.delay_jump_ns * now.standard_normal(len(names)) * jumping,
        jump_mjd=np.where(jumping, times[0], np.inf),
        death_mjd=np.where(dying, times[1], np.inf),
        position_m=effects.position_m * places * misplaced[:, None],
        closure=closure,
        squint_rad=np.radians(0.5 * effects.squint_arcmin / 60) * np.array([1.0, 0.0]),
        swapped=_some(np.random.default_rng([spec.seed, 15]), spec, effects.n_swapped),
        crosstalk_jy=effects.crosstalk_jy * common,
        crosstalk_m=path_m,
        spikes=np.stack(
            [
                now.choice(spec.integration_mjd, effects.n_spikes),
                now.choice(spec.window_frequencies_hz.ravel(), effects.n_spikes),
                np.full(effects.n_spikes, effects.spike_jy),
            ],
            axis=1,
        ),
        declination_deg=spec.apparent_declination_deg,
    )


def _crosstalk(seed: int, numbers: Ints) -> tuple[Complexes, Floats]:
    """Return the common signal of pairs of stations, 1 at 5.75 m (rms), and its path, metres."""
    pads = {int(s.name): (s.east_m, s.north_m) for s in stations()}
    place = np.array([pads[int(n)] for n in numbers])
    apart_m = np.linalg.norm(place[:, None] - place, axis=2)
    near = (apart_m > 0) & (apart_m < _APART_M)
    share = np.where(near, (_ADJACENT_M / np.where(near, apart_m, 1)) ** 2, 0) / np.sqrt(2)
    drawn = np.random.default_rng([seed, 16]).standard_normal((2, _MOST_STATIONS, _MOST_STATIONS))
    above = np.triu(drawn[0] + 1j * drawn[1], 1)
    common = share * (above + above.conj().T)[np.ix_(numbers, numbers)]
    return common, apart_m * np.sign(numbers - numbers[:, None])


def _some(rng: np.random.Generator, spec: SimulationSpec, n: int) -> Bools:
    """Return `n` of the antennas with signal as a mask over all."""
    chosen = rng.permutation(sorted(spec.working_antennas, key=int))[:n]
    return np.isin(spec.antennas, chosen)
