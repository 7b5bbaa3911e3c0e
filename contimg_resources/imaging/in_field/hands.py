"""Align the two parallel hands of each antenna, whose phases drift apart.

Belongs here: measuring the phase between the hands, and the mean of aligned hands. Doesn't: gains
that both hands have in common (see `solving`).

The sky is unpolarised, so both hands of a baseline see the same visibility, and no model is needed.
Stokes I is their mean: two hands that differ by the phase phi leave ``cos(phi / 2)`` of it.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from contimg_resources.imaging.in_field.adopting import Adopted, Halves, adopt, solve_phases
from contimg_resources.imaging.in_field.gain_loops import add_hands, mean_of_turned
from contimg_resources.imaging.visibilities import Block, Visibilities

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]

#: Maximum error of the phase between the hands of an antenna.
_ERROR_RAD = 0.25
#: Parts of the band; even and odd ones are the halves that judge each other.
_PARTS = 16


def align_hands(seen: Visibilities) -> tuple[Visibilities, Adopted]:
    """Return the mean of both hands after aligning them, where that improves independent data.

    Parameters
    ----------
    seen : Visibilities
        Stokes I with `Block.unlike`.

    Returns
    -------
    Visibilities
        Stokes I, without `Block.unlike`.
    Adopted
        The phases between the hands, kind ``hands``.
    """
    nothing = Adopted("hands", False, 0, 0.0, 0.0)
    if any(b.unlike is None for b in seen.blocks):
        return seen, nothing
    single = replace(seen, blocks=tuple(replace(b, unlike=None) for b in seen.blocks))
    times_s = np.unique(np.concatenate([b.time_s for b in seen.blocks]))
    halves = _products(seen.blocks, times_s, len(seen.antenna_names), seen.noise_scale)
    if halves is None:
        return single, nothing
    phase, adopted = adopt("hands", halves, solve_phases, _ERROR_RAD)
    if not adopted.adopted:
        return single, adopted
    return replace(seen, blocks=tuple(_aligned(b, phase, times_s) for b in seen.blocks)), adopted


def _products(
    blocks: Sequence[Block], times_s: Floats, n_antennas: int, noise_scale: float
) -> Halves | None:
    """Return the products of both hands over their variance; None without a common signal.

    The model is a signal of the same power on all baselines; its scale is free (see `adopt`).
    """
    shape = (2, len(times_s), n_antennas, n_antennas)
    product, weight = np.zeros(shape, np.complex128), np.zeros(shape)
    low, high = (f(f(b.channels_hz) for b in blocks) for f in (min, max))
    edges_hz = np.linspace(low, high * (1 + 1e-12), _PARTS + 1)
    for b in blocks:
        assert b.unlike is not None
        half = (np.searchsorted(edges_hz, b.channels_hz, side="right") - 1) % 2
        when = np.searchsorted(times_s, b.time_s)
        inverse = b.inverse_variance(noise_scale)
        for t in range(len(times_s)):
            add_hands(
                b.values,
                b.unlike,
                b.weight,
                inverse,
                np.flatnonzero(when == t),
                b.first,
                b.second,
                half,
                product[:, t],
                weight[:, t],
            )
    total = float(weight.sum())
    power = float(product.real.sum()) / total if total > 0 else 0.0
    if power <= 0:
        return None
    # The signal adds to the noise: 8 s^4 + 4 s^2 P instead of 8 s^4, with P the power.
    samples = sum(int(np.count_nonzero(b.weight)) for b in blocks)
    noise = 1 + 2 * power * np.sqrt(total / samples / 2)
    product, weight = power * product / noise, power**2 * weight / noise
    return Halves(product + product.conj().swapaxes(2, 3), weight + weight.swapaxes(2, 3))


def _aligned(block: Block, phase: Complexes, times_s: Floats) -> Block:
    """Return the mean of both hands, each turned by half of the phase between them."""
    assert block.unlike is not None
    when = np.searchsorted(times_s, block.time_s)
    angle = 0.5 * np.angle(phase[when, block.first] * phase[when, block.second].conj())
    values = np.empty_like(block.values)
    mean_of_turned(block.values, block.unlike, angle, values)
    return replace(block, values=values, unlike=None)
