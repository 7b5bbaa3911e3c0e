"""Choose solution intervals of gains, and adopt those that improve independent data.

Belongs here: cross-validation, solution intervals, solving phases. Doesn't: the data (see `sums`),
the kinds of gains that are solved (see `solving` and `hands`).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Complexes = NDArray[np.complex128]

ITERATIONS = 40
CONVERGED = 1e-4
#: Number of divisions of an observation into solution intervals; the last is an integration each.
_DIVISIONS = (1, 2, 4, 8, 12, 24)
#: The improvement exceeds this many times its own scatter for gains that are noise.
SIGNIFICANT = 3.0


@dataclass(frozen=True)
class Adopted:
    """One kind of gain that was tried."""

    kind: str  #: ``delays``, ``phases`` or ``amplitudes``.
    adopted: bool  #: Whether independent data improve.
    n_intervals: int  #: Number of solution intervals; 0: the signal is too weak for any.
    #: Decrease of chi squared of the data that the solution wasn't made from.
    improvement: float
    #: Typical size of the solutions that were adopted: ns, degrees, or a relative spread.
    rms: float


@dataclass(frozen=True)
class Halves:
    """The sums of both halves of the band. Shape (2, integrations, antennas, antennas)."""

    product: Complexes
    power: Floats

    def corrected(self, gain: Complexes) -> "Halves":
        """Return the products after dividing the data by gains with weights as the square."""
        return replace(self, product=self.product * gain.conj()[:, :, None] * gain[:, None, :])

    def of(self, pairs: Bools) -> "Halves":
        """Return the sums of some pairs of antennas, shape (antennas, antennas)."""
        return Halves(self.product * pairs, self.power * pairs)

    def divided(self, gain: Complexes) -> "Halves":
        """Return the sums after dividing the data by gains, their weights following."""
        square = np.abs(gain) ** 2
        corrected = self.corrected(gain)
        return replace(corrected, power=self.power * square[:, :, None] * square[:, None, :])

    def grouped(self, half: int, groups: Floats) -> tuple[Complexes, Floats]:
        """Return the sums of a half over groups of integrations, shape (groups, integrations)."""
        shape = (len(groups), *self.product.shape[2:])
        product, power = (
            (groups @ sums[half].reshape(groups.shape[1], -1)).reshape(shape)
            for sums in (self.product, self.power)
        )
        return product, power


_Solver = Callable[[Complexes, Floats, Floats], Complexes]


def adopt(
    kind: str, halves: Halves, solve: _Solver, largest_error: float
) -> tuple[Complexes, Adopted]:
    """Return the gains of the solution interval that improves independent data most."""
    n_times, n_antennas = halves.product.shape[1:3]
    nothing = np.ones((n_times, n_antennas), np.complex128)
    best = nothing, Adopted(kind, False, 0, 0.0, 0.0)
    for groups in groups_of(n_times):
        sums = [halves.grouped(half, groups) for half in (0, 1)]
        information = (sums[0][1] + sums[1][1]).sum(axis=2)
        if not (information > 0).any():
            break
        error = 1 / np.sqrt(np.median(information[information > 0]))
        if error > largest_error:
            break
        solved = [solve(*of_half, groups)[which(groups)] for of_half in sums]
        gained = np.array([_gained(halves, 1 - half, solved[half]) for half in (0, 1)])
        n_solved = int((information > 0).sum())
        least = SIGNIFICANT * np.sqrt(2.0 * n_solved)
        if gained.min() > 0 and gained.sum() > max(least, best[1].improvement):
            (a, b), (c, d) = sums
            gain = solve(a + c, b + d, groups)[which(groups)]
            # An antenna keeps its gain where independent data of its baselines improve.
            each = [_gained_by_antenna(halves, 1 - half, solved[half]) for half in (0, 1)]
            useful = np.sum(each, axis=0) > 0
            gain = np.where(useful, gain, 1.0)
            made = Adopted(kind, True, len(groups), float(gained.sum()), rms_deg(gain))
            best = gain, made
        elif best[1].n_intervals == 0:
            best = best[0], replace(best[1], improvement=float(gained.sum()), n_intervals=0)
    return best


def groups_of(n_times: int) -> list[Floats]:
    """Return divisions of the integrations into intervals, as matrices of zeros and ones."""
    numbers = sorted({min(n, n_times) for n in _DIVISIONS})
    edges = [np.arange(n_times) * n // n_times for n in numbers]
    return [(np.arange(e.max() + 1)[:, None] == e).astype(np.float64) for e in edges]


def which(groups: Floats) -> NDArray[np.intp]:
    """Return the group of each integration."""
    return np.asarray(np.argmax(groups, axis=0), np.intp)


def _gained(halves: Halves, half: int, gain: Complexes) -> float:
    """Return the decrease of chi squared of a half by gains, whatever the flux scale is."""
    product, power = halves.product[half], halves.power[half]
    before = scaled_fit(product.real.sum(), power.sum())
    fitted = (gain.conj()[:, :, None] * gain[:, None, :] * product).real.sum()
    square = np.abs(gain) ** 2
    after = scaled_fit(fitted, (square[:, :, None] * square[:, None, :] * power).sum())
    # Each pair was counted twice.
    return 0.5 * (after - before)


def scaled_fit(product: float, power: float) -> float:
    """Return the decrease of chi squared by a model whose scale is free."""
    return product**2 / power if power > 0 else 0.0


def _gained_by_antenna(halves: Halves, half: int, gain: Complexes) -> Floats:
    """Return the decrease by each antenna's gain, the others having theirs. Shape (antennas,)."""
    product, power = halves.product[half], halves.power[half]
    square = np.abs(gain) ** 2
    fitted = (gain.conj()[:, :, None] * gain[:, None, :] * product).real.sum(axis=(0, 2))
    level = (square[:, :, None] * square[:, None, :] * power).sum(axis=(0, 2))
    scale = fitted.sum() / level.sum() if level.sum() > 0 else 1.0
    plain = (gain[:, None, :] * product).real.sum(axis=(0, 2))
    plain_level = (square[:, None, :] * power).sum(axis=(0, 2))
    return np.asarray(
        2 * scale * (fitted - plain) - scale**2 * (level - plain_level), dtype=np.float64
    )


def solve_phases(product: Complexes, power: Floats, groups: Floats) -> Complexes:
    """Solve phases, shape (groups, antennas), with a mean phase of zero."""
    gain = np.ones(product.shape[:2], np.complex128)
    for step in range(ITERATIONS):
        pulled = np.matmul(product, gain[:, :, None])[:, :, 0]
        new = _direction(pulled)
        if step % 2:
            new = _direction(new + gain)
        change = float(np.abs(new - gain).max())
        gain = new
        if change < CONVERGED:
            break
    middle = (gain * power.sum(axis=2)).sum(axis=1, keepdims=True)
    return np.asarray(gain * _direction(middle).conj())


def _direction(numbers: Complexes) -> Complexes:
    length = np.abs(numbers)
    return np.where(length > 0, numbers / np.where(length > 0, length, 1.0), 1.0)


def rms_deg(phase: Complexes) -> float:
    """Return the rms of the phases that aren't exactly zero, degrees."""
    angles = np.angle(phase[phase != 1])
    return float(np.degrees(np.sqrt(np.mean(angles**2)))) if angles.size else 0.0
