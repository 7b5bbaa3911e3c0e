"""Evidence about each antenna from the sums over a field's visibilities.

Belongs here: amplitude, coherence and share of data of each antenna. Doesn't: what follows from
them (see `contimg_resources.calibration.antenna_health`), solving (see `solving`).
"""

from collections.abc import Sequence

import numpy as np

from contimg_resources.calibration.antenna_health import AntennaEvidence
from contimg_resources.imaging.in_field.solving import LEAST_EXPLAINED, Complexes, FieldGains
from contimg_resources.imaging.in_field.sums import FieldSums, Floats

#: Minimum significance (sigma) of an antenna's signal for its coherence to be measured.
_SIGNIFICANT = 6.0
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

    With ``z_tk = sum_j A_ij g_j``, the sums of data times conjugate model in an integration and a
    part of the band, the other antennas corrected, and ``b_tk = sum_j B_ij |g_j|^2``, gains of the
    antenna that are free in each cell fit ``P = sum |z|^2 / b``, and one gain in all of them fits
    ``C = |sum z|^2 / sum b``. Noise alone gives 2 in each cell, which is subtracted. The coherence
    is ``sqrt(C / P)``: sources that the model lacks, or that the antenna resolves, are in neither.
    """
    n_rows = sums.n_rows.sum(axis=0)
    there = [int(i) for i in np.flatnonzero(n_rows)]
    data = sums.n_values.sum(axis=0) / np.where(n_rows > 0, n_rows, 1)
    lost = gains.lost.mean(axis=0)
    gain, gain_error = _amplitudes(sums)
    away_hz = sums.parts_hz - gains.reference_hz
    turned = np.exp(2j * np.pi * gains.delay_s[:, None] * away_hz[:, None])
    own = gains.gain[:, None] * turned
    z, b = _pulls(sums, own * ~gains.lost[:, None])
    coherence, error = _coherence(z, b)
    kept, _ = _coherence(z * own.conj(), b, np.abs(own) ** 2)
    known = gains.explained[1] >= LEAST_EXPLAINED
    seen = known & (data > 0) & np.isfinite(coherence)
    moved = np.where(gains.gain != 1, np.angle(gains.gain), 0.0)
    largest = np.take_along_axis(gains.delay_s, np.abs(gains.delay_s).argmax(axis=0)[None], 0)[0]

    def told(values: Floats, i: int) -> float | None:
        return round(float(values[i]), 4) if seen[i] else None

    return {
        names[i]: AntennaEvidence(
            data=round(float(data[i]), 4),
            lost=round(float(lost[i]), 4),
            gain=told(gain, i),
            gain_error=told(gain_error, i),
            coherence=told(coherence, i),
            kept=told(kept, i),
            error=told(error, i),
            delay_ns=round(float(1e9 * largest[i]), 2),
            phase_rms_deg=round(float(np.degrees(np.sqrt(np.mean(moved[:, i] ** 2)))), 2),
        )
        for i in there
    }


def _amplitudes(sums: FieldSums) -> tuple[Floats, Floats]:
    """Return the amplitudes of the antennas, relative to the median, and their errors."""
    model = sums.power.sum(axis=(0, 1, 3), dtype=np.float64)
    signal, n = sums.signal.sum(axis=0), sums.n_values.sum(axis=0)
    known = (model > 0) & (n > 0)
    ratio = np.where(known, signal / np.where(known, model, 1.0), np.nan)
    typical = float(np.nanmedian(ratio)) if known.any() else np.nan
    if not typical > 0:
        nothing = np.full(len(model), np.nan)
        return nothing, nothing
    gain = np.sqrt(np.maximum(ratio, 0.0) / typical)
    # The power of a visibility of noise has the variance 4, and signal adds its own.
    error = np.sqrt(4 * n + 4 * np.maximum(signal, 0)) / np.where(known, model, np.nan) / typical
    return gain, error / (2 * np.maximum(gain, _LEAST_SHARE))


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


def _coherence(z: Complexes, b: Floats, square: Floats | float = 1.0) -> tuple[Floats, Floats]:
    """Return the coherence of each antenna and its error; NaN without significant signal.

    `square` are the squares of gains by which z was corrected.
    """
    level = b * square
    known = level > 0
    n = known.sum(axis=(0, 1))
    free = np.where(known, np.abs(z) ** 2 / np.where(known, level, 1.0), 0.0).sum(axis=(0, 1))
    free = free - 2.0 * n
    total = level.sum(axis=(0, 1))
    fitted = np.abs(z.sum(axis=(0, 1))) ** 2 / np.where(total > 0, total, 1.0) - 2.0
    significant = (n > 0) & (free > _SIGNIFICANT * 2 * np.sqrt(n))
    free = np.where(significant, free, np.nan)
    share = np.clip(fitted / free, 0.0, 1.0)
    variance = 4 + 4 * np.maximum(fitted, 0) + share**2 * (4 * n + 4 * np.maximum(free, 0))
    coherence = np.sqrt(share)
    return coherence, np.sqrt(variance) / free / (2 * np.maximum(coherence, _LEAST_SHARE))
