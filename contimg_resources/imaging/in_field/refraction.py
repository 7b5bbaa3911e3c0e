"""Measure the shift and the gradient of refraction over a field, and how they change with time.

Belongs here: the offsets of known sources in visibilities, and their fit. Doesn't: gains (see
`solving`), applying the result.

The ionosphere moves each source by a vector that changes over the field. Its mean is a phase of
each antenna; what is linear in the position is no phase of an antenna, but it stretches and turns
the sky: ``l -> l + G l``. A baseline sees that as if it were ``u + G^T u`` itself, so the image is
right when its baselines are changed instead.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.constants import speed_of_light

from contimg_resources.core.point_sources import direction_cosines
from contimg_resources.core.statistics import STD_OF_MAD
from contimg_resources.imaging.in_field.adopting import SIGNIFICANT, Adopted, groups_of, which
from contimg_resources.imaging.in_field.field_model import (
    FieldModel,
    apparent_fluxes_jy,
    resolved,
)
from contimg_resources.imaging.in_field.solving import FieldGains
from contimg_resources.imaging.in_field.sums import FieldSums
from contimg_resources.imaging.model import ReferenceSource
from contimg_resources.imaging.visibilities import Block, Visibilities

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_ARCSEC_RAD = float(np.radians(1 / 3600))
#: Number of columns of a block that are used, about: more aren't worth their time.
_COLUMNS = 24
#: Offsets are measured again after correcting for the first ones, because the phase of long
#: baselines isn't small.
_PASSES = 2
#: Error of a survey's position in each coordinate, radians.
_SURVEY_RAD = 0.57 * _ARCSEC_RAD
#: Sources whose offset differs from the fit by more than this many times the scatter are left out:
#: doubles and wrong identifications.
_OUTLIER_SIGMA, _ROUNDS = 3.0, 5
#: Minimum number of sources.
_LEAST_SOURCES = 12
#: Number of parameters of shift and gradient.
_TERMS = 6


@dataclass(frozen=True)
class Refraction:
    """Shift and gradient of a field, from the known positions to those in the data."""

    #: Coefficients of the shifts east and north: at the phase centre (radians), and their
    #: derivatives by l and m. Shape (integrations, 2, 3).
    terms: Floats
    constant: Adopted  #: The part that is constant over the observation, kind ``refraction``.
    varying: Adopted  #: The part that varies with time, kind ``refraction in time``.

    @property
    def any(self) -> bool:
        """Return whether it changes the data."""
        return self.constant.adopted or self.varying.adopted


@dataclass(frozen=True)
class _Offsets:
    """Normal equations of the offset of each source: ``square @ offset = pull``.

    Both are those of the halves of the band. Offsets are relative to positions that were assumed.
    """

    pull: Floats  #: Shape (2, integrations, sources, 2).
    square: Floats  #: Shape (2, integrations, sources, 2, 2).

    def gained(self, half: int, offset: Floats) -> float:
        """Return the decrease of chi squared of a half by offsets (integrations, sources, 2)."""
        pull, square = self.pull[half], self.square[half]
        return float(
            2 * np.einsum("tsi,tsi", pull, offset)
            - np.einsum("tsi,tsij,tsj", offset, square, offset, optimize=True)
        )


def measure_refraction(
    seen: Visibilities,
    sources: Sequence[ReferenceSource],
    dish_m: tuple[float, float],
    sums: FieldSums,
    gains: FieldGains,
) -> Refraction:
    """Measure the refraction of a field, with what independent data confirm of it.

    Parameters
    ----------
    seen : Visibilities
        The visibilities, without these gains applied.
    sources : sequence of ReferenceSource
        Known sources.
    dish_m : (float, float)
        Diameters of dish and blockage, metres.
    sums : FieldSums
        Sums of these visibilities, with the coordinates of the antennas.
    gains : FieldGains
        Gains of the antennas.

    Notes
    -----
    A small offset d of a source of flux density S adds ``2 pi i u d S exp(2 pi i u l)`` to its
    visibilities: its projection on what the model leaves gives d, and all other sources average
    out. What varies in time is fitted with the weights of the noise, and judged by the other half
    of the band. What is constant is fitted with the errors of the survey's positions, and each half
    of the sources is judged by the other.
    """
    ra_deg, dec_deg = np.array([(s.ra_deg, s.dec_deg) for s in sources]).T
    cosines = np.stack(direction_cosines(ra_deg, dec_deg, *seen.phase_center_deg))
    basis = np.column_stack([np.ones(len(sources)), cosines[0], cosines[1]])
    n_times = len(sums.times_s)
    terms = np.zeros((n_times, 2, 3))
    varying = Adopted("refraction in time", False, 0, 0.0, 0.0)
    if np.count_nonzero(~resolved(sources)) < _LEAST_SOURCES:
        return Refraction(terms, Adopted("refraction", False, 0, 0.0, 0.0), varying)
    for _ in range(_PASSES):
        assumed = np.einsum("tik,sk->tsi", terms, basis)
        offsets = _offsets(seen, sources, dish_m, sums, gains, cosines, assumed)
        more, varying = _varying(offsets, basis, varying)
        terms = terms + more
    # The offsets that are left, without those of the last fit.
    left = offsets.pull - np.einsum(
        "htsij,tsj->htsi", offsets.square, np.einsum("tik,sk->tsi", more, basis)
    )
    square = offsets.square.sum(axis=(0, 1))
    share = offsets.square.sum(axis=0).trace(axis1=2, axis2=3)
    known = share.sum(axis=0) > 0
    share, basis, left, square = share[:, known], basis[known], left[:, :, known], square[known]
    share /= share.sum(axis=0)
    mean = np.einsum("ts,tik,sk->si", share, terms, basis)
    constant_terms, constant = _constant(mean, left.sum(axis=(0, 1)), square, basis)
    weight = share.mean(axis=1)
    terms = terms - np.einsum("t,tik->ik", weight / weight.sum(), terms) + constant_terms
    if not varying.adopted:
        terms = np.broadcast_to(constant_terms, terms.shape)
    return Refraction(terms, constant, varying)


def _offsets(
    seen: Visibilities,
    sources: Sequence[ReferenceSource],
    dish_m: tuple[float, float],
    sums: FieldSums,
    gains: FieldGains,
    cosines: Floats,
    assumed: Floats,
) -> _Offsets:
    """Compare the data with the model at assumed offsets, shape (integrations, sources, 2)."""
    n_times, n_antennas = gains.gain.shape
    pull = np.zeros((2, n_times, len(sources), 2))
    square = np.zeros((2, n_times, len(sources), 2, 2))
    # Their offset isn't measured.
    wide = resolved(sources)
    for block in seen.blocks:
        when = np.searchsorted(sums.times_s, block.time_s)
        step = max(1, round(len(block.channels_hz) / _COLUMNS))
        columns = np.arange(len(block.channels_hz))[step // 2 :: step]
        halves = np.arange(len(columns)) % 2
        for t in range(n_times):
            rows = np.flatnonzero(when == t)
            if not len(rows):
                continue
            moved = cosines.copy()
            moved[:2] += assumed[t].T
            moved[2] -= (cosines[:2] * assumed[t].T).sum(axis=0) / (1 + cosines[2])
            pointing = seen.pointings_deg[int(block.field_ids[rows[0]])]
            hz = block.channels_hz[columns]
            apparent_jy = apparent_fluxes_jy(sources, pointing, hz, dish_m, seen.beam_shape)
            values, weights = _corrected(block, rows, columns, gains, t, seen.noise_scale)
            first, second = block.first[rows], block.second[rows]
            u, v = (block.uvw_m[rows, k].astype(np.float32) for k in (0, 1))
            left = np.zeros((2, n_antennas, n_antennas), np.complex64)
            model = FieldModel.of(sources, apparent_jy, moved, sums.antennas_m[t], hz)
            model.subtract_from(values, first, second)
            apparent_jy = np.where(wide, 0.0, apparent_jy)
            for c in range(len(columns)):
                phasor = model.phasors(c)
                over_noise = weights[:, c] * values[:, c]
                left[0, first, second], left[1, first, second] = u * over_noise, v * over_noise
                per_m = 2 * np.pi * hz[c] / speed_of_light
                towards = (phasor.conj() * (left @ phasor)).sum(axis=1).imag
                pull[halves[c], t] += per_m * towards.T
                lengths = np.array([[u * u, u * v], [v * u, v * v]]) @ weights[:, c]
                square[halves[c], t] += (per_m * apparent_jy[c, :, None, None]) ** 2 * lengths
    return _Offsets(pull, square)


def _corrected(
    block: Block,
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    gains: FieldGains,
    t: int,
    noise_scale: float,
) -> tuple[NDArray[np.complex64], NDArray[np.float32]]:
    """Return some visibilities of an integration divided by gains, and 1 / variance."""
    first, second = block.first[rows], block.second[rows]
    part = np.ix_(rows, columns)
    turn = np.exp(
        2j
        * np.pi
        * (gains.delay_s[t, first] - gains.delay_s[t, second])[:, None]
        * (block.channels_hz[columns] - gains.reference_hz)
    )
    factor = (gains.gain[t, first] * gains.gain[t, second].conj())[:, None] * turn
    variance = block.variance[rows] * np.float32(noise_scale**2)
    there = (variance > 0) & ~(gains.lost[t, first] | gains.lost[t, second])
    scale = np.where(there, 1 / np.where(there, variance, 1), 0)[:, None]
    weights = block.weight[part] * scale * np.abs(factor) ** 2
    return (block.values[part] / factor).astype(np.complex64), weights.astype(np.float32)


def _fitted(pull: Floats, square: Floats, basis: Floats) -> Floats:
    """Return the terms that fit offsets best, shape (2, 3); inputs summed over time."""
    normal = np.einsum("sij,sk,sl->ikjl", square, basis, basis).reshape(_TERMS, _TERMS)
    right = np.einsum("si,sk->ik", pull, basis).ravel()
    terms = np.linalg.pinv(normal, rcond=1e-12, hermitian=True) @ right
    return np.asarray(terms.reshape(2, 3), np.float64)


def _varying(offsets: _Offsets, basis: Floats, before: Adopted) -> tuple[Floats, Adopted]:
    """Fit the terms in each interval; return them by integration, shape (integrations, 2, 3)."""
    n_times = offsets.pull.shape[1]
    # Positions scaled to one, for the sake of numbers.
    scale = np.r_[1.0, [np.abs(basis[:, 1:]).max()] * 2]
    scaled = basis / scale
    best = np.zeros((n_times, 2, 3)), before
    top = 0.0
    for groups in groups_of(n_times):
        terms = []
        for halves in ((0,), (1,), (0, 1)):
            pull, square = (
                np.einsum("gt,t...->g...", groups, a[list(halves)].sum(axis=0))
                for a in (offsets.pull, offsets.square)
            )
            terms.append(
                np.array([_fitted(p, q, scaled) for p, q in zip(pull, square, strict=True)])[
                    which(groups)
                ]
            )
        shown = [np.einsum("tik,sk->tsi", t, scaled) for t in terms]
        gained = np.array([offsets.gained(1 - half, shown[half]) for half in (0, 1)])
        if gained.min() > 0 and gained.sum() > max(
            top, SIGNIFICANT * np.sqrt(2.0 * _TERMS * len(groups))
        ):
            top = float(gained.sum())
            away = np.einsum("tik,sk->tsi", terms[2] - terms[2].mean(axis=0), scaled)
            rms = float(np.sqrt(np.mean(away**2)) / _ARCSEC_RAD)
            made = Adopted(
                "refraction in time",
                before.adopted or len(groups) > 1,
                max(before.n_intervals, len(groups)),
                before.improvement + top,
                max(rms, before.rms),
            )
            best = terms[2] / scale, made
    return best


def _constant(mean: Floats, pull: Floats, square: Floats, basis: Floats) -> tuple[Floats, Adopted]:
    """Fit mean offsets with the errors of the survey, shape (2, 3), where sources agree.

    The offset of each source is `mean`, shape (sources, 2), and what the normal equations add.
    """
    scale = np.r_[1.0, [np.abs(basis[:, 1:]).max()] * 2]
    scaled = basis / scale
    inverse = np.linalg.pinv(square, hermitian=True)
    offset = mean + np.einsum("sij,sj->si", inverse, pull)
    weight: Floats = np.asarray(np.linalg.inv(inverse + _SURVEY_RAD**2 * np.eye(2)), np.float64)
    used = np.ones(len(offset), bool)
    for _ in range(_ROUNDS):
        terms = _of(offset, weight, scaled, used)
        away = offset - scaled @ terms.T
        chi = np.sqrt(np.einsum("si,sij,sj->s", away, weight, away) / 2)
        used = chi < _OUTLIER_SIGMA * max(1.0, STD_OF_MAD * float(np.median(chi)))
    gained = []
    order = np.arange(len(offset)) % 2
    spread = max(1.0, float(np.mean(chi[used] ** 2)))
    for half in (0, 1):
        there = used & (order == half)
        fit = scaled @ _of(offset, weight, scaled, used & (order != half)).T
        before, after = (
            np.einsum("si,sij,sj", d[there], weight[there], d[there])
            for d in (offset, offset - fit)
        )
        gained.append(float(before - after) / spread)
    rms = float(np.sqrt(np.mean((scaled @ terms.T)[used] ** 2)) / _ARCSEC_RAD)
    is_significant = sum(gained) > SIGNIFICANT * np.sqrt(2.0 * _TERMS)
    good = bool(min(gained) > 0 and is_significant and int(used.sum()) >= _LEAST_SOURCES)
    adopted = Adopted("refraction", good, int(good), sum(gained), rms if good else 0.0)
    return (terms / scale if good else np.zeros((2, 3))), adopted


def _of(offset: Floats, weight: Floats, basis: Floats, used: Bools) -> Floats:
    pull = np.einsum("sij,sj->si", weight[used], offset[used])
    return _fitted(pull, weight[used], basis[used])
