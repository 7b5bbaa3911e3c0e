"""Solve antenna gains from sums over a field's visibilities, and validate them on other data.

Belongs here: delays, phases, amplitudes and lost signals; solution intervals; cross-validation.
Doesn't: the sums (see `sums`), applying the gains.

Every solution is judged by data that it wasn't made from: those of the even parts of the band by
the odd parts, and vice versa. It is adopted where both improve.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.constants import speed_of_light

from contimg_resources.imaging.in_field.adopting import (
    CONVERGED,
    ITERATIONS,
    SIGNIFICANT,
    Adopted,
    Halves,
    adopt,
    groups_of,
    rms_deg,
    scaled_fit,
    solve_phases,
    which,
)
from contimg_resources.imaging.in_field.sums import FieldSums

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Complexes = NDArray[np.complex128]

#: Maximum errors of phases, and of amplitudes (relative).
_PHASE_ERROR_RAD = 0.25
_AMPLITUDE_ERROR = 0.04
#: An antenna has lost its signal when this is certainly less than this fraction of its signal at
#: other times; and the maximum error of the fraction.
_LOST, _LOST_ERROR = 0.25, 0.1
#: Minimum S/N of an antenna's signal, and minimum fraction of the other antennas' signal; if it
#: never reaches both, the antenna is dead in the whole observation.
_ALIVE_SIGMA, _DEAD = 3.0, 0.02
#: If more than this share of the antennas seem lost, the model is wrong.
_MOST_LOST = 0.2
#: The model has to explain this share of the signal, or it isn't that of this field; and with
#: phases alone this share for amplitudes, which otherwise imitate sources that are resolved.
_LEAST_EXPLAINED, _LEAST_FOR_AMPLITUDES = 0.5, 0.85
#: What the model doesn't explain, a share f of the signal, imitates gains of up to sqrt(f / N) with
#: N antennas; gains smaller than this many times that aren't applied.
_IMITATED = 0.35
#: Amplitudes must exceed those that pointing errors imitate by this factor.
_OVER_IMITATED = 1.5
#: Delays below this many times their error, or below this, seconds, are left alone: the phase of
#: 0.1 ns at the edge of the band is 3 deg.
_DELAY_SIGMA, _LEAST_DELAY_S = 5.0, 0.1e-9
#: Delays that are searched for, seconds.
_MOST_DELAY_S, _DELAY_STEP_S = 20e-9, 1e-9
#: Baselines up to this, metres, see sources as points that are points in a survey with a beam of
#: 45 arcsec; amplitudes of longer ones would imitate the shapes of sources.
_POINTS_M = 1000.0
#: Minimum significance (sigma) of a shift of the whole field: a smaller one can come from the
#: errors of the model's positions, and isn't applied.
_SHIFT_SIGMA = 1.5
#: Amplitudes are limited to this factor.
_MOST_AMPLITUDE = 2.0


@dataclass(frozen=True)
class FieldGains:
    """Gains of the antennas: the data are those of perfect antennas times ``g_i conj(g_j)``."""

    gain: Complexes  #: Phases and amplitudes. Shape (integrations, antennas).
    delay_s: Floats  #: Delays, seconds. Shape (integrations, antennas).
    reference_hz: float  #: Frequency about which delays turn the phase, Hz.
    lost: Bools  #: Whether the antenna has no signal. Shape (integrations, antennas).
    tried: tuple[Adopted, ...]  #: The kinds of gains, in the order of solving.
    #: Share of the signal that the model explains, its scale being free, before and after solving.
    explained: tuple[float, float]

    @property
    def any(self) -> bool:
        """Return whether the gains change the data."""
        return bool(self.lost.any()) or any(t.adopted for t in self.tried)


def solve_field(sums: FieldSums, shift_error_rad: float, imitated_amplitude: float) -> FieldGains:
    """Solve delays, phases and amplitudes, each where independent data improve.

    Parameters
    ----------
    sums : FieldSums
        Sums over the visibilities.
    shift_error_rad : float
        Error of the position of the whole model, radians.
    imitated_amplitude : float
        Spread of the amplitudes that other errors imitate: amplitudes up to 1.5 times that aren't
        applied.

    Notes
    -----
    With the sums ``A_ij`` of data times conjugate model and ``B_ij`` of squared model (see
    `FieldSums`) gains g leave ``chi^2 = const + sum_{i<j} (|g_i g_j|^2 B_ij - 2 Re(conj(g_i) g_j
    A_ij))``. The minimum is found by ``g_i <- sum_j A_ij g_j / sum_j B_ij |g_j|^2``, averaged with
    the previous values in every second step (Salvini & Wijnholds 2014, A&A 571, A97).

    Amplitudes are normalised so that ``sum W_ij a_i a_j = sum W_ij`` in each interval, with W the
    weights of the data: the flux density of a source that all baselines see stays as the
    calibrator's set gives it, whether the catalogue has it right or not.
    """
    n_times = len(sums.times_s)
    product = sums.product.astype(np.complex128)
    power = sums.power.astype(np.float64)
    frequencies = sums.parts_hz - sums.parts_hz.mean()
    lost = _lost(sums.signal, sums.n_values)
    there = ~(lost[:, :, None] | lost[:, None, :])
    product *= there[:, None]
    power *= there[:, None]
    weight = sums.weight.astype(np.float64) * there
    delay_s, delays = _delays(product, power, frequencies)
    turned = np.exp(2j * np.pi * delay_s[:, None] * frequencies[:, None])
    product *= turned.conj()[..., :, None] * turned[..., None, :]
    halves = Halves(
        np.stack([product[:, k::2].sum(axis=1) for k in (0, 1)]),
        np.stack([power[:, k::2].sum(axis=1) for k in (0, 1)]),
    )
    # Each visibility is in the sums of two antennas.
    signal = 0.5 * float(sums.signal[~lost].sum())
    before = _explained(sums.product.sum(axis=1), sums.power.sum(axis=1), signal)
    phase, phases = adopt("phases", halves, solve_phases, _PHASE_ERROR_RAD)
    halves = halves.corrected(phase)

    def amplitudes(a: Complexes, b: Floats, groups: Floats) -> Complexes:
        return _amplitudes(a, b, groups @ weight.reshape(n_times, -1))

    middle_m = sums.antennas_m.mean(axis=0)
    near = halves.of(np.linalg.norm(middle_m[:, None] - middle_m, axis=2) < _POINTS_M)
    amplitude, spread = adopt("amplitudes", near, amplitudes, _AMPLITUDE_ERROR)
    if spread.adopted:
        amplitude = _normalised(amplitude.real, weight).astype(np.complex128)
        spread = replace(spread, rms=float(np.std(amplitude.real[weight.sum(axis=2) > 0])))
    explained = _explained(halves.product.sum(axis=0), halves.power.sum(axis=0), signal)
    if explained < _LEAST_FOR_AMPLITUDES:
        amplitude, spread = np.ones_like(phase), replace(spread, adopted=False, n_intervals=0)
    fitted = halves.divided(amplitude)
    after = _explained(fitted.product.sum(axis=0), fitted.power.sum(axis=0), signal)
    if after < _LEAST_EXPLAINED:
        return _none(sums, lost, (delays, phases, spread), (before, after))
    phase = _in_place(phase, sums, weight.sum(axis=2), shift_error_rad)
    phases = replace(phases, rms=rms_deg(phase))
    n_used = int((weight.sum(axis=(0, 2)) > 0).sum())
    imitated = _IMITATED * np.sqrt(max(0.0, 1 - after) / max(1, n_used))
    if np.radians(phases.rms) < imitated:
        phase, phases = np.ones_like(phase), replace(phases, adopted=False, n_intervals=0)
    if spread.rms < max(imitated, _OVER_IMITATED * imitated_amplitude):
        amplitude, spread = np.ones_like(phase), replace(spread, adopted=False, n_intervals=0)
    return FieldGains(
        gain=phase * amplitude,
        delay_s=delay_s,
        reference_hz=float(sums.parts_hz.mean()),
        lost=lost,
        tried=(delays, phases, spread),
        explained=(before, after),
    )


def _in_place(phase: Complexes, sums: FieldSums, weight: Floats, error_rad: float) -> Complexes:
    """Return phases without a shift of the whole field that isn't certain, in the mean over time.

    The phases that such a shift has are linear in the antennas' u and v; `weight` has the shape
    (integrations, antennas).
    """
    moved = weight * (phase != 1)
    if not moved.any():
        return phase
    turns = 2 * np.pi * sums.parts_hz.mean() / speed_of_light * sums.antennas_m[..., :2]
    total = moved.sum(axis=1)
    share = moved / np.where(total > 0, total, 1.0)[:, None]
    turns = turns - (share[..., None] * turns).sum(axis=1, keepdims=True)
    weighted = moved[..., None] * turns
    inverse = np.linalg.pinv(np.einsum("tai,taj->ij", weighted, turns), hermitian=True)
    shift_rad = inverse @ np.einsum("tai,ta->i", weighted, np.angle(phase))
    if np.hypot(*shift_rad) > _SHIFT_SIGMA * error_rad:
        return phase
    return np.where(phase != 1, phase * np.exp(-1j * (turns @ shift_rad)), phase)


def _none(
    sums: FieldSums, lost: Bools, tried: tuple[Adopted, ...], explained: tuple[float, float]
) -> FieldGains:
    """Return gains of one; which antennas have no signal doesn't depend on the model."""
    shape = (len(sums.times_s), sums.weight.shape[1])
    return FieldGains(
        gain=np.ones(shape, np.complex128),
        delay_s=np.zeros(shape),
        reference_hz=float(sums.parts_hz.mean()),
        lost=lost,
        tried=tuple(replace(t, adopted=False, n_intervals=0) for t in tried),
        explained=explained,
    )


def _explained(product: Complexes, power: Floats, signal: float) -> float:
    """Return the share of the signal that the model explains, its scale being free."""
    fit = 0.5 * scaled_fit(float(product.real.sum()), float(power.sum()))
    return min(1.0, fit / signal) if signal > 0 else 0.0


def _amplitudes(product: Complexes, power: Floats, weight: Floats) -> Complexes:
    """Solve amplitudes, shape (groups, antennas), normalised with the weights of each group."""
    real = product.real
    gain = np.ones(product.shape[:2])
    for step in range(ITERATIONS):
        level = np.matmul(power, gain[:, :, None] ** 2)[:, :, 0]
        pulled = np.matmul(real, gain[:, :, None])[:, :, 0]
        new = np.where(level > 0, pulled / np.where(level > 0, level, 1.0), 1.0)
        if step % 2:
            new = 0.5 * (new + gain)
        change = float(np.abs(new - gain).max())
        gain = np.clip(new, 1e-3, 1e3)
        if change < CONVERGED:
            break
    return _normalised(gain, weight.reshape(product.shape)).astype(np.complex128)


def _normalised(amplitude: Floats, weight: Floats) -> Floats:
    """Return amplitudes (times, antennas) with a weighted mean product of one, within limits."""
    for _ in range(2):
        pairs = (weight * amplitude[:, :, None] * amplitude[:, None, :]).sum(axis=(1, 2))
        total = weight.sum(axis=(1, 2))
        level = np.sqrt(np.where(total > 0, pairs / np.where(total > 0, total, 1.0), 1.0))
        amplitude = np.clip(
            amplitude / np.where(level > 0, level, 1.0)[:, None],
            1 / _MOST_AMPLITUDE,
            _MOST_AMPLITUDE,
        )
    return amplitude


def _lost(signal: Floats, n_values: Floats) -> Bools:
    """Return when antennas have no signal, shape (integrations, antennas).

    Notes
    -----
    No model is needed: the signal of an antenna is the excess of its data's power over that of
    noise, relative to the median of all antennas at the same time. It is compared with the highest
    that the same antenna has in the observation, in the shortest intervals that are certain enough:
    far antennas resolve sources and have little signal, but always. One that never has any more
    than noise is compared with the median.
    """
    lost = np.zeros(signal.shape, bool)
    for groups in groups_of(len(signal)):
        power, n = groups @ signal, groups @ n_values
        there = n > 0
        if not there.any(axis=1).all():
            break
        level = np.where(there, power / np.where(there, n, 1), np.nan)
        typical = np.nanmedian(level, axis=1, keepdims=True)
        if not (typical > 0).all():
            break
        # The power of a visibility of noise has the variance 4.
        error = 2 / np.sqrt(np.where(there, n, np.nan)) / typical
        relative = level / typical
        with np.errstate(invalid="ignore"):
            above_noise = np.where(relative > _ALIVE_SIGMA * error, relative, 0.0)
            own = above_noise.max(axis=0)
            own[own < _DEAD] = 1.0
            certain = there & (error < _LOST_ERROR * own)
            here = certain & (relative + 2 * error < _LOST * own)
        lost = np.where(certain[which(groups)], here[which(groups)], lost)
    if lost.any(axis=0).sum() > max(1, _MOST_LOST * signal.shape[1]):
        return np.zeros(signal.shape, bool)
    return lost


def _delays(product: Complexes, power: Floats, frequencies: Floats) -> tuple[Floats, Adopted]:
    """Solve delays, seconds, shape (integrations, antennas).

    `frequencies` are those of the parts of the band, Hz, less their mean.
    """
    n_times, n_antennas = len(product), product.shape[2]
    best = np.zeros((n_times, n_antennas)), Adopted("delays", False, 0, 0.0, 0.0)
    for groups in groups_of(n_times)[:3]:
        shape = (len(groups), *product.shape[1:])
        a: Complexes = (groups @ product.reshape(n_times, -1)).reshape(shape)
        b: Floats = (groups @ power.reshape(n_times, -1)).reshape(shape)
        information = b.sum(axis=(1, 3))
        if not (information > 0).any() or np.median(information) <= 0:
            break
        if np.median(information) ** -0.5 > _PHASE_ERROR_RAD:
            break
        gained = np.zeros(2)
        for half in (0, 1):
            mine, other = slice(half, None, 2), slice(1 - half, None, 2)
            delay_s = _delay(a[:, mine], b[:, mine], frequencies[mine])
            gained[half] = _gained_by_delay(a[:, other], delay_s, frequencies[other])
        if gained.min() > 0 and gained.sum() > max(
            SIGNIFICANT * np.sqrt(2.0 * information.size), best[1].improvement
        ):
            delay_s = _delay(a, b, frequencies)
            used = delay_s[delay_s != 0]
            rms = float(1e9 * np.sqrt(np.mean(used**2))) if used.size else 0.0
            best = (
                delay_s[which(groups)],
                Adopted("delays", bool(used.size), len(groups), float(gained.sum()), rms),
            )
        else:
            # A delay that changes within the observation shows in its mean, too.
            break
    return best


def _delay(product: Complexes, power: Floats, frequencies: Floats) -> Floats:
    """Solve the significant delays of each group, seconds, shape (groups, antennas)."""
    phase = solve_phases(product.sum(axis=1), power.sum(axis=1), np.ones((1, 1)))
    turns = 2j * np.pi * frequencies
    towards = np.matmul(product, phase[:, None, :, None])[..., 0] * phase.conj()[:, None]
    tried_s = np.arange(-_MOST_DELAY_S, _MOST_DELAY_S, _DELAY_STEP_S)
    steered = np.exp(-turns[:, None] * tried_s)
    # The delay that aligns the parts of the band best.
    aligned = np.abs(np.einsum("gka,kd->gad", towards, steered))
    delay_s = tried_s[np.argmax(aligned, axis=2)]
    for _ in range(6):
        gain = phase[:, None] * np.exp(turns[None, :, None] * delay_s[:, None])
        pulled = np.matmul(product, gain[..., None])[..., 0] * gain.conj()
        strength = np.abs(pulled)
        total = strength.sum(axis=1)
        safe = np.where(total > 0, total, 1.0)
        middle = (strength * frequencies[:, None]).sum(axis=1) / safe
        away = frequencies[None, :, None] - middle[:, None]
        angle = np.angle(pulled)
        square = (strength * away**2).sum(axis=1)
        slope = (strength * away * angle).sum(axis=1) / np.where(square > 0, square, 1.0)
        offset = (strength * angle).sum(axis=1) / safe - slope * middle
        delay_s = delay_s + slope / (2 * np.pi)
        phase = phase * np.exp(1j * offset)
    information = (power.sum(axis=3) * away**2).sum(axis=1)
    error_s = 1 / (2 * np.pi * np.sqrt(np.where(information > 0, information, np.inf)))
    delay_s = delay_s - np.median(delay_s, axis=1, keepdims=True)
    known = (information > 0) & (
        np.abs(delay_s) > np.maximum(_DELAY_SIGMA * error_s, _LEAST_DELAY_S)
    )
    return np.where(known, delay_s, 0.0)


def _gained_by_delay(product: Complexes, delay_s: Floats, frequencies: Floats) -> float:
    """Return the decrease of chi squared by delays, with the best phases before and after."""
    turn = np.exp(2j * np.pi * frequencies[None, :, None] * delay_s[:, None])
    after = (product * turn.conj()[..., :, None] * turn[..., None, :]).sum(axis=1)
    totals = []
    for sums in (product.sum(axis=1), after):
        gain = solve_phases(sums, np.abs(sums), np.ones((1, 1)))
        totals.append(float((gain.conj()[:, :, None] * gain[:, None, :] * sums).real.sum()))
    return totals[1] - totals[0]
