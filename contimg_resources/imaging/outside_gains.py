"""Gains of the antennas toward a source outside of the image, from sums over visibilities.

Belongs here: solving gains, and how much independent data improve with them. Doesn't: the sums (see
`outside`).
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Complexes = NDArray[np.complex64]

_ITERATIONS, _CONVERGED = 30, 1e-4
#: The improvement of independent data, in chi squared, that is no chance.
_LEAST_IMPROVEMENT = 50.0


def solved(product: Complexes, power: Singles) -> tuple[Complexes, str, float]:
    """Return the gains that improve independent data most, their kind and by how much.

    The kind is empty where none does.
    """
    best: tuple[Complexes, str, float] = (np.zeros(0, np.complex64), "", 0.0)
    for kind, solver in (("antennas", _antenna_gains), ("array", _common_gain)):
        halves = [solver(product[k], power[k]) for k in (0, 1)]
        better = [_improvement(halves[k], product[1 - k], power[1 - k]) for k in (0, 1)]
        if min(better) > _LEAST_IMPROVEMENT and sum(better) > best[2]:
            best = (solver(product.sum(axis=0), power.sum(axis=0)), kind, sum(better))
    return best


def _antenna_gains(product: Complexes, power: Singles) -> Complexes:
    """Return a gain of each antenna in each cell; zero without data. Shape (..., antennas)."""
    typical = np.maximum(typical_gain(product, power), 1e-6)[..., None].astype(np.float32)
    gain = np.broadcast_to(typical, product.shape[:-1]).astype(np.complex64)
    # A gain that the data don't constrain, such as that of an antenna that resolves the source,
    # isn't larger than the others.
    prior = typical ** np.float32(-2)
    for iteration in range(_ITERATIONS):
        below = np.matmul(power, (np.abs(gain) ** 2)[..., None])[..., 0]
        above = np.matmul(product, gain[..., None])[..., 0]
        new = np.where(below > 0, above / (below + prior), np.complex64(0))
        if iteration % 2:
            new = np.float32(0.5) * (new + gain)
            if np.abs(new - gain).max() < _CONVERGED * np.abs(new).max():
                gain = new
                break
        gain = new
    return gain


def typical_gain(product: Complexes, power: Singles) -> Floats:
    """Return the typical size of the gains in each cell, whatever their phases.

    The variance of a product, real and imaginary part together, is twice its power.
    """
    above = (np.abs(product) ** 2 - 2 * power).sum(axis=(-2, -1), dtype=np.float64)
    below = (power.astype(np.float64) ** 2).sum(axis=(-2, -1))
    return np.asarray(np.maximum(above / np.where(below > 0, below, 1), 0) ** 0.25)


def _common_gain(product: Complexes, power: Singles) -> Complexes:
    """Return one gain of all antennas in each cell; zero without a positive signal."""
    above, below = product.real.sum(axis=(-2, -1)), power.sum(axis=(-2, -1))
    square = np.maximum(above / np.where(below > 0, below, 1), 0)
    shape = product.shape[:-1]
    return np.asarray(np.broadcast_to(np.sqrt(square)[..., None], shape), np.complex64)


def _improvement(gain: Complexes, product: Complexes, power: Singles) -> float:
    """Return by how much chi squared falls when the model with these gains is subtracted."""
    pair = gain[..., :, None] * gain[..., None, :].conj()
    falls = 2 * (pair.conj() * product).real - np.abs(pair) ** 2 * power
    # Each pair is there twice.
    return 0.5 * float(falls.sum(dtype=np.float64))


def aligned(gain: Complexes) -> Complexes:
    """Return gains whose free phases are those of the neighbouring cells."""
    gain = gain.copy()
    for t in range(len(gain)):
        for p in range(gain.shape[1]):
            before = gain[t, p - 1] if p else (gain[t - 1, p] if t else None)
            if before is not None:
                turn = np.vdot(gain[t, p], before)
                gain[t, p] *= turn / abs(turn) if abs(turn) > 0 else 1
    return gain
