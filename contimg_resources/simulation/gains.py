"""The antennas' complex gains: delays, bandpasses and drifts.

Belongs here: the model that corrupts simulated visibilities, as smooth functions of frequency
and time.
Doesn't: solving for gains.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_resources.core.arrays import Floats
from contimg_resources.core.times import SECONDS_PER_DAY
from contimg_resources.instrument.dsa110 import FREQUENCY_MAX_HZ, FREQUENCY_MIN_HZ
from contimg_resources.simulation.spec import GainSpec

Complexes = NDArray[np.complex128]

#: Delays rotate the phase about the middle of the band.
REFERENCE_HZ = 0.5 * (FREQUENCY_MIN_HZ + FREQUENCY_MAX_HZ)
_SPAN_HZ = FREQUENCY_MAX_HZ - FREQUENCY_MIN_HZ
_N_RIPPLES = 3
_N_SLOW = 2
_N_FAST = 3


@dataclass(frozen=True)
class GainModel:
    """Gains of all receptors; axes (antenna, receptor X and Y, term).

    Notes
    -----
    With x = (nu - nu_0) / band, the gain is ``exp(2 pi i tau (nu - nu_0)) B(nu) G(t)`` where
    ``B = exp(sum (a_k + i p_k) r_k(x))`` and ``G = A exp(i phi) exp(sum (a_m + i p_m) s_m(t))``,
    and it corrupts as ``V_ij = g_i conj(g_j) V_true``.
    """

    antenna_names: tuple[str, ...]  #: Names by antenna id.
    delay_s: Floats  #: Delays, seconds. Shape (antennas, 2).
    #: `ripple_amplitude`, `ripple_phase_rad`: Bandpass: coefficients of cos and sin of 1, 2, 3 half
    #: turns across the band, of the logarithm of the amplitude and of the phase in radians. Shape
    #: (antennas, 2, 6).
    ripple_amplitude: Floats
    ripple_phase_rad: Floats
    amplitude: Floats  #: Constant part of the amplitude. Shape (antennas, 2).
    phase_rad: Floats  #: Constant part of the phase. Shape (antennas, 2).
    #: `drift_period_s`, `drift_offset_rad`: Sinusoids of the drift: periods in seconds, phases at
    #: MJD 0 in radians. Shape (antennas, 2, 5).
    drift_period_s: Floats
    drift_offset_rad: Floats
    #: `drift_amplitude`, `drift_phase_rad`: Amplitude of each sinusoid in the logarithm of the
    #: amplitude, and in the phase in radians. Shape (antennas, 2, 5).
    drift_amplitude: Floats
    drift_phase_rad: Floats

    def delay_term(self, frequencies_hz: Any) -> Complexes:
        """Return ``exp(2 pi i tau (nu - nu_0))``, shape (antennas, 2, frequencies)."""
        turn = 2.0 * np.pi * (np.asarray(frequencies_hz, np.float64) - REFERENCE_HZ)
        return np.asarray(np.exp(1j * self.delay_s[..., None] * turn))

    def bandpass(self, frequencies_hz: Any) -> Complexes:
        """Return the bandpass without the delay, shape (antennas, 2, frequencies)."""
        x = (np.asarray(frequencies_hz, np.float64) - REFERENCE_HZ) / _SPAN_HZ
        k = np.arange(1, _N_RIPPLES + 1)[:, None]
        ripples = np.concatenate([np.cos(np.pi * k * x), np.sin(np.pi * k * x)])
        return np.asarray(np.exp((self.ripple_amplitude + 1j * self.ripple_phase_rad) @ ripples))

    def gain(self, mjd: Any) -> Complexes:
        """Return the gain as a function of time (MJD in days), shape (antennas, 2, times)."""
        seconds = np.atleast_1d(np.asarray(mjd, np.float64)) * SECONDS_PER_DAY
        angle = 2.0 * np.pi * seconds / self.drift_period_s[..., None]
        waves = np.sin(angle + self.drift_offset_rad[..., None])
        exponent = np.sum(
            (self.drift_amplitude + 1j * self.drift_phase_rad)[..., None] * waves, axis=2
        )
        constant = self.amplitude * np.exp(1j * self.phase_rad)
        return np.asarray(constant[..., None] * np.exp(exponent))

    def total(self, frequencies_hz: Any, mjd: float) -> Complexes:
        """Return the total gain at one time (MJD), shape (antennas, 2, frequencies)."""
        return self.delay_term(frequencies_hz) * self.bandpass(frequencies_hz) * self.gain(mjd)

    def save(
        self, path: Path, frequencies_hz: Floats, mjd: Floats, further: dict[str, Any] | None = None
    ) -> None:
        """Write the model, and its terms sampled at frequencies (Hz, ascending) and times (MJD).

        Arrays besides the model's own: ``delay_ns`` (antennas, 2), ``bandpass`` (antennas, 2,
        frequencies), ``gain`` (antennas, 2, times), ``frequencies_hz`` and ``mjd``; `further` ones
        are added.
        """
        model: dict[str, Any] = {f.name: np.asarray(getattr(self, f.name)) for f in fields(self)}
        np.savez(
            path,
            **model,
            delay_ns=self.delay_s * 1e9,
            bandpass=self.bandpass(frequencies_hz),
            gain=self.gain(mjd),
            frequencies_hz=frequencies_hz,
            mjd=mjd,
            **(further or {}),
        )

    @classmethod
    def load(cls, path: Path) -> "GainModel":
        """Read a model written by `save`."""
        with np.load(path) as stored:
            arrays = {f.name: stored[f.name] for f in fields(cls) if f.name != "antenna_names"}
            return cls(antenna_names=tuple(map(str, stored["antenna_names"])), **arrays)


def draw_gains(spec: GainSpec, seed: int, antennas: Sequence[str]) -> GainModel:
    """Draw the gains of an array, continuous in time and frequency.

    A station's gains don't depend on which other stations there are, nor on the start time: a
    night's observations share one instrument.
    """
    drawn = [_draw_station(spec, np.random.default_rng([seed, 2, int(name)])) for name in antennas]
    stacked = {key: np.stack([d[key] for d in drawn]) for key in drawn[0]}
    return GainModel(antenna_names=tuple(antennas), **stacked)


def _draw_station(spec: GainSpec, rng: np.random.Generator) -> dict[str, Floats]:
    ripples, waves = (2, 2 * _N_RIPPLES), (2, _N_SLOW + _N_FAST)
    # Sines and cosines have half their squared amplitude on average.
    per_ripple = np.sqrt(1.0 / _N_RIPPLES)
    slow = np.r_[np.ones(_N_SLOW), np.zeros(_N_FAST)] * np.sqrt(2.0 / _N_SLOW)
    fast = np.r_[np.zeros(_N_SLOW), np.ones(_N_FAST)] * np.sqrt(2.0 / _N_FAST)
    phase_rad = np.radians(spec.drift_phase_deg) * slow + np.radians(spec.wander_phase_deg) * fast
    hours = rng.uniform(6.0, 24.0, (2, _N_SLOW))
    return {
        "delay_s": spec.delay_ns * 1e-9 * rng.standard_normal(2),
        "ripple_amplitude": spec.bandpass_amplitude * per_ripple * rng.standard_normal(ripples),
        "ripple_phase_rad": np.radians(spec.bandpass_phase_deg)
        * per_ripple
        * rng.standard_normal(ripples),
        "amplitude": np.exp(spec.amplitude * rng.standard_normal(2)),
        "phase_rad": rng.uniform(-np.pi, np.pi, 2) * float(spec.random_phase),
        "drift_period_s": np.concatenate(
            [hours * 3600.0, rng.uniform(150.0, 900.0, (2, _N_FAST))], axis=1
        ),
        "drift_offset_rad": rng.uniform(0.0, 2.0 * np.pi, waves),
        "drift_amplitude": spec.drift_amplitude * slow * rng.choice([-1.0, 1.0], waves),
        "drift_phase_rad": phase_rad * rng.choice([-1.0, 1.0], waves),
    }
