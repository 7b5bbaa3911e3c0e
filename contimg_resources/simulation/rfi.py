"""Simulated interference.

Belongs here: persistent lines, broadband bursts and a satellite, as received by each antenna.
Doesn't: flagging.
"""

from dataclasses import dataclass

import numpy as np

from contimg_resources.core.arrays import Complexes, Floats
from contimg_resources.simulation.spec import RfiSpec

_SATELLITE_HALF_WIDTH_HZ = 1.5e6
_SATELLITE_SWEEP_HZ = 6e6


@dataclass(frozen=True)
class Interference:
    """The emitters of one observation."""

    #: Strength on a baseline, Jy; frequencies ascending. Shape (emitters, integrations,
    #: frequencies).
    strength_jy: Floats
    #: Delay of each emitter at each antenna, seconds, which causes different fringe rates. Shape
    #: (emitters, antennas).
    delay_s: Floats

    def heard(self, integration: int, frequencies_hz: Floats) -> Complexes:
        """Return sqrt(Jy) at each antenna, shape (emitters, frequencies, antennas).

        The product of one antenna's value with the conjugate of another's, summed over emitters, is
        the signal of their baseline.
        """
        turns = frequencies_hz[None, :, None] * self.delay_s[:, None, :]
        amplitude = np.sqrt(self.strength_jy[:, integration, :, None])
        return np.asarray(amplitude * np.exp(2j * np.pi * turns), dtype=np.complex64)


def draw_interference(
    spec: RfiSpec,
    seed: tuple[int, ...],
    frequencies_hz: Floats,
    n_integrations: int,
    n_antennas: int,
) -> Interference:
    """Draw the interference of one observation: one emitter per line, burst and satellite.

    All channel centres ascend, Hz; `seed` is for times, directions and frequencies.
    """
    rng = np.random.default_rng([*seed, 3])
    times = np.arange(n_integrations)[:, None]
    quiet = np.zeros((n_integrations, frequencies_hz.size))
    half_channel_hz = 0.5 * float(np.diff(frequencies_hz).min())
    emitters: list[Floats] = []
    for low_mhz, high_mhz in spec.lines_mhz:
        inside = (frequencies_hz >= low_mhz * 1e6 - half_channel_hz) & (
            frequencies_hz <= high_mhz * 1e6 + half_channel_hz
        )
        flicker = rng.uniform(0.3, 1.0, (n_integrations, 1))
        emitters.append(quiet + spec.line_jy * flicker * inside)
    for _ in range(spec.n_bursts):
        when = int(rng.integers(n_integrations))
        slope = (frequencies_hz / frequencies_hz.mean()) ** rng.normal(0.0, 2.0)
        emitters.append(quiet + spec.burst_jy * (times == when) * slope)
    if spec.satellite:
        middle = rng.uniform(0.3, 0.7) * n_integrations
        transit = np.exp(-0.5 * ((times - middle) / max(1.0, 0.1 * n_integrations)) ** 2)
        carrier = rng.uniform(frequencies_hz[0], frequencies_hz[-1])
        carrier = carrier + _SATELLITE_SWEEP_HZ * (times - middle) / n_integrations
        width = max(_SATELLITE_HALF_WIDTH_HZ, half_channel_hz)
        emitters.append(spec.satellite_jy * transit * (np.abs(frequencies_hz - carrier) <= width))
    delays = rng.uniform(-3e-6, 3e-6, (len(emitters), n_antennas))
    return Interference(np.array(emitters).reshape(-1, *quiet.shape), delays)
