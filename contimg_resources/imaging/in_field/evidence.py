"""Evidence about each antenna from the sums over a field's visibilities.

Belongs here: amplitude, coherence and share of data of each antenna. Doesn't: what follows from
them (see `contimg_resources.calibration.antenna_health`), solving (see `solving`).
"""

from collections.abc import Sequence

import numpy as np

from contimg_resources.calibration.antenna_health import AntennaEvidence
from contimg_resources.imaging.in_field.solving import Complexes, FieldGains
from contimg_resources.imaging.in_field.sums import FieldSums, Floats

#: Minimum significance (sigma) of an antenna's signal for its coherence to be measured.
_SIGNIFICANT = 6.0
#: The median antenna agrees at least this much with the model, or the model is of another field.
_LEAST_TYPICAL = 0.8
#: Number of antennas, by distance from the middle of the array, that an amplitude is compared with.
_NEIGHBOURS = 7
#: Lower limit of a share in the formula of its error.
_LEAST_SHARE = 0.1


def antenna_evidence(
    sums: FieldSums, gains: FieldGains, names: Sequence[str]
) -> dict[str, AntennaEvidence]:
    """Return the evidence about each antenna that has rows in the data.

    Parameters
    ----------
    sums : FieldSums
        Sums over the visibilities of all antennas.
    gains : FieldGains
        In-field calibration of these.
    names : sequence of str
        Names of the antennas by id.

    Notes
    -----
    The amplitude is the square root of the power of an antenna's data, less that of noise, over the
    power of the model on the same baselines.

    With ``z = sum_j A_ij g_j``, the sums of data times conjugate model in an integration and a part
    of the band, the other antennas corrected, and ``b = sum_j B_ij |g_j|^2``, gains of the antenna
    that are free in each cell fit ``P = sum |z|^2 / b``, and those of in-field calibration
    ``C = |sum z conj(g_i)|^2 / sum b |g_i|^2``; noise alone gives 2 for each free number, which is
    subtracted. The share that is kept is ``sqrt(C / P)``: sources that the model lacks are in
    neither.

    In the same way one gain for each two successive integrations fits ``1 + cos(d)`` of what one in
    each fits, if the phase changes by d. Refraction, drifts and the shapes of sources change the
    phase of a good antenna in minutes, not from one integration to the next.
    """
    n_rows = sums.n_rows.sum(axis=0)
    data = sums.n_values.sum(axis=0) / np.where(n_rows > 0, n_rows, 1)
    away_hz = sums.parts_hz - gains.reference_hz
    turned = np.exp(2j * np.pi * gains.delay_s[:, None] * away_hz[:, None])
    own = gains.gain[:, None] * turned
    z, b = _pulls(sums, own * ~gains.lost[:, None])
    kept, kept_error = _kept(z * own.conj(), b, np.abs(own) ** 2)
    coherence, coherence_error = _coherence((z * turned.conj()).sum(axis=1), b.sum(axis=1))
    gain, gain_error = _amplitudes(sums)
    measured = np.isfinite(kept)
    is_of_field = bool(measured.any()) and float(np.median(kept[measured])) > _LEAST_TYPICAL
    moved = np.where(gains.gain != 1, np.angle(gains.gain), 0.0)
    rms_deg = np.degrees(np.sqrt(np.mean(moved**2, axis=0)))

    def known(values: Floats, i: int) -> float | None:
        is_known = is_of_field and data[i] > 0 and np.isfinite(values[i])
        return round(float(values[i]), 3) if is_known else None

    return {
        names[i]: AntennaEvidence(
            data=round(float(data[i]), 3),
            lost=round(float(gains.lost[:, i].mean()), 3),
            gain=known(gain, i),
            gain_error=known(gain_error, i),
            coherence=known(coherence, i),
            coherence_error=known(coherence_error, i),
            kept=known(kept, i),
            kept_error=known(kept_error, i),
            delay_ns=round(float(1e9 * np.median(gains.delay_s[:, i])), 2),
            phase_rms_deg=round(float(rms_deg[i]), 1),
        )
        for i in map(int, np.flatnonzero(n_rows))
    }


def _amplitudes(sums: FieldSums) -> tuple[Floats, Floats]:
    """Return the amplitudes of the antennas, relative to their neighbours, and their errors."""
    model = sums.power.sum(axis=(0, 1, 3), dtype=np.float64)
    signal, n = sums.signal.sum(axis=0), sums.n_values.sum(axis=0)
    known = (model > 0) & (n > 0)
    ratio = np.where(known, signal / np.where(known, model, 1.0), np.nan)
    typical = _typical(ratio, sums.antennas_m.mean(axis=0))
    gain = np.sqrt(np.maximum(ratio, 0.0) / typical)
    # The power of a visibility of noise has the variance 4, and signal adds its own.
    error = np.sqrt(4 * n + 4 * np.maximum(signal, 0)) / np.where(known, model, np.nan) / typical
    return gain, error / (2 * np.maximum(gain, _LEAST_SHARE))


def _typical(values: Floats, places_m: Floats) -> Floats:
    """Return the median of each antenna's neighbours in distance; NaN where it isn't positive."""
    typical = np.full(len(values), np.nan)
    there = np.flatnonzero(np.isfinite(values))
    if not len(there):
        return typical
    middle_m = np.median(places_m[there], axis=0)
    order = there[np.argsort(np.linalg.norm(places_m[there] - middle_m, axis=1))]
    n = min(_NEIGHBOURS, len(order))
    for rank, antenna in enumerate(order):
        first = min(max(0, rank - n // 2), len(order) - n)
        level = float(np.median(values[order[first : first + n]]))
        typical[antenna] = level if level > 0 else np.nan
    return typical


def _pulls(sums: FieldSums, own: Complexes) -> tuple[Complexes, Floats]:
    """Return z and b, shape (integrations, parts, antennas); `own` are the antennas' gains."""
    z = np.zeros(own.shape, np.complex128)
    b = np.zeros(own.shape)
    # One integration at a time: the sums are large.
    for t in range(len(own)):
        z[t] = np.matmul(sums.product[t], own[t, ..., None].astype(np.complex64))[..., 0]
        power = np.abs(own[t, ..., None]).astype(np.float32) ** 2
        b[t] = np.matmul(sums.power[t], power)[..., 0]
    return z, b


def _fitted(z: Complexes, b: Floats) -> Floats:
    """Return what one gain fits in each cell, less the fit to noise alone; 0 without data."""
    return np.where(b > 0, np.abs(z) ** 2 / np.where(b > 0, b, 1.0) - 2.0, 0.0)


def _kept(z: Complexes, b: Floats, square: Floats) -> tuple[Floats, Floats]:
    """Return the share of each antenna's signal that its gains keep, and its error.

    NaN without significant signal. `square` are the squares of the gains by which z was corrected.
    """
    level = b * square
    n = (level > 0).sum(axis=(0, 1))
    free = _fitted(z, level).sum(axis=(0, 1))
    free = np.where(free > _SIGNIFICANT * 2 * np.sqrt(n), free, np.nan)
    one = np.maximum(_fitted(z.sum(axis=(0, 1)), level.sum(axis=(0, 1))), 0.0)
    share = np.clip(one / free, 0.0, 1.0)
    variance = 4 + 4 * one + share**2 * (4 * n + 4 * free)
    kept = np.sqrt(share)
    return kept, np.sqrt(variance) / free / (2 * np.maximum(kept, _LEAST_SHARE))


def _coherence(z: Complexes, b: Floats) -> tuple[Floats, Floats]:
    """Return the mean cosine of the change of phase between integrations, and its error.

    Shapes of z and b are (integrations, antennas); NaN without significant signal.
    """
    both = (b[1:] > 0) & (b[:-1] > 0)
    n = both.sum(axis=0)
    apart = ((_fitted(z[1:], b[1:]) + _fitted(z[:-1], b[:-1])) * both).sum(axis=0)
    apart = np.where(apart > _SIGNIFICANT * np.sqrt(16.0 * n), apart, np.nan)
    together = (_fitted(z[1:] + z[:-1], b[1:] + b[:-1]) * both).sum(axis=0)
    ratio = together / apart
    # Each integration is in two pairs.
    variance = 2 * (4 * n + 4 * np.maximum(together, 0)) + ratio**2 * (16 * n + 8 * apart)
    return 2 * ratio - 1, 2 * np.sqrt(variance) / apart
