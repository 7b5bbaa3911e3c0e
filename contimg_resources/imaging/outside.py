"""Subtract bright sources outside of the image from the visibilities of an observation.

Belongs here: which sources may matter, their gains through the sidelobes of the dishes, subtracting
them where independent data improve. Doesn't: sources in the image, which CLEAN removes.

A source far away is smeared on long baselines and turns its phase quickly over time and frequency
on all, so that Cas A in the far sidelobes disappears in the noise. What matters are the brightest
sources within some 20 deg, in the near sidelobes, and the Sun.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.constants import speed_of_light

from contimg_resources.core.point_sources import direction_cosines
from contimg_resources.core.progress import report_progress
from contimg_resources.core.smearing import smeared
from contimg_resources.imaging.in_field.sums import (
    antennas_uvw_m,
    apparent_fluxes_jy,
    model_visibilities,
)
from contimg_resources.imaging.model import OutsideSource, OutsideSources, ReferenceSource
from contimg_resources.imaging.visibilities import Block, Visibilities
from contimg_resources.instrument.dsa110 import INTEGRATION_S, LATITUDE_DEG
from contimg_resources.observations.bright_sky import Outlier, outliers_above, seen_of_disc
from contimg_resources.observations.calibrators import separation_deg
from contimg_resources.observations.flux_model import FluxModel

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex64]

#: Sources nearer than this to every pointing belong to the image, degrees; beyond the second they
#: are far.
NEAREST_DEG, FAR_DEG = 3.0, 20.0
#: A source matters from this flux density through the sidelobes on, Jy, and a far one, which is
#: smeared more, from the second: it adds some per cent to the rms.
_LEAST_JY, _LEAST_FAR_JY = 0.02, 1.0
#: Gains of a source are solved again on what is left up to this many times, because both
#: polarisations, of which Stokes I is the mean, have sidelobes of their own.
_ROUNDS = 3
#: Maximum number of sources, the brightest.
_MOST = 8
#: Sidelobes aren't known better than this: the envelope of the Airy pattern, ``8 / (pi x^3)``, and
#: a level besides it.
_LEVEL = 2e-4
#: Solution intervals: integrations, an even number, so that even and odd ones judge each other; and
#: parts of the band.
_INTERVAL, _PARTS = 4, 16
_ITERATIONS, _CONVERGED = 30, 1e-4
#: The improvement of independent data, in chi squared, that is no chance. What the model of the
#: field leaves imitates sources, too: so the direction opposite to the source, where there is none,
#: is solved as well, and the source without it has to improve this many times more than it does
#: without the source.
_LEAST_IMPROVEMENT, _BESIDE_NOTHING = 50.0, 4.0
#: Brightest sources of the field whose model is removed before solving.
_FIELD_SOURCES = 60


def subtract_outside(
    seen: Visibilities,
    known: Sequence[ReferenceSource],
    field: Sequence[ReferenceSource],
    dish_m: tuple[float, float],
) -> tuple[Visibilities, OutsideSources]:
    """Return visibilities without bright sources outside of the image, and the outcome.

    Parameters
    ----------
    seen : Visibilities
        The visibilities, Stokes I.
    known : sequence of ReferenceSource
        Known sources about the field; those far away and bright enough are used, and Cas A, Cyg A,
        Tau A, Vir A and the Sun are added.
    field : sequence of ReferenceSource
        Sources of the field, which mustn't be mistaken for others.
    dish_m : (float, float)
        Diameters of dish and blockage, metres.

    Notes
    -----
    Each source, brightest first, gets a complex gain of each antenna in each of the solution
    intervals and parts of the band, by the iteration of Salvini & Wijnholds (2014, A&A 571, A97) on
    the residual of the field's model; or else, where that doesn't improve the other integrations of
    the interval, one gain of all antennas. Between intervals and parts gains are interpolated.
    """
    candidates = _candidates(seen, known, dish_m)
    if not candidates:
        return seen, OutsideSources("no bright source is in the sidelobes of the dishes")
    work = _Work.of(seen, field, dish_m)
    if isinstance(work, str):
        return seen, OutsideSources(f"nothing outside of the image was subtracted: {work}")
    outcomes = []
    for name, away_deg, parts in candidates:
        report_progress(f"looking for {name}, {away_deg:.1f} deg away", 0.15)
        outcomes.append(work.subtract(name, away_deg, parts))
    done = [o for o in outcomes if o.subtracted]
    told = [f"{o.name} ({o.away_deg:.1f} deg away, {1e3 * o.apparent_jy:.0f} mJy)" for o in done]
    left = [o.name for o in outcomes if not o.subtracted]
    why = f"independent data improve without {', '.join(told)}" if done else ""
    if left:
        why += "; " * bool(why) + f"no improvement without {', '.join(left)}"
    if done:
        blocks = zip(seen.blocks, work.values, strict=True)
        seen = replace(seen, blocks=tuple(replace(b, values=v) for b, v in blocks))
    return seen, OutsideSources(why, tuple(outcomes))


def _candidates(
    seen: Visibilities, known: Sequence[ReferenceSource], dish_m: tuple[float, float]
) -> list[tuple[str, float, list[Outlier]]]:
    """Return names, distances and parts of sources that may matter, brightest first."""
    middle_hz = float(np.mean(seen.channels_hz))
    fields = np.unique(np.concatenate([np.unique(b.field_ids) for b in seen.blocks]))
    ra, dec = seen.pointings_deg[fields].T
    middle = len(fields) // 2
    listed = [
        Outlier(
            s.name,
            s.ra_deg,
            s.dec_deg,
            FluxModel.power_law(s.flux_jy, s.reference_ghz, s.spectral_index, "catalogue"),
            0.0,
        )
        for s in known
        if np.isfinite(s.flux_jy) and s.flux_jy > 0
    ]
    mjd = 0.5 * (seen.start_mjd + seen.end_mjd)
    everywhere = outliers_above(mjd, (float(ra[middle]), LATITUDE_DEG))
    groups: dict[str, list[Outlier]] = {}
    for source in (*everywhere, *listed):
        groups.setdefault(source.name, []).append(source)
    found = []
    for name, parts in groups.items():
        away = np.radians(separation_deg(ra, dec, parts[0].ra_deg, parts[0].dec_deg).min())
        if np.degrees(away) < NEAREST_DEG:
            continue
        x = np.pi * dish_m[0] * np.sin(min(away, 0.5 * np.pi)) * middle_hz / speed_of_light
        flux_jy = sum(float(p.model.flux_jy(middle_hz)) for p in parts)
        apparent_jy = flux_jy * (8 / (np.pi * x**3) + _LEVEL)
        if apparent_jy > (_LEAST_JY if np.degrees(away) < FAR_DEG else _LEAST_FAR_JY):
            found.append((float(apparent_jy), name, float(np.degrees(away)), parts))
    return [tuple(f[1:]) for f in sorted(found, key=lambda f: -f[0])[:_MOST]]  # type: ignore[misc]


@dataclass
class _Work:
    """Visibilities from which sources are subtracted, one after the other."""

    seen: Visibilities
    values: list[Complexes]  #: Visibilities of each block without the sources subtracted so far.
    residual: list[Complexes]  #: The same without the model of the field.
    variance: list[Floats]  #: Variance of a visibility's real part times weight, for each row.
    times_s: Floats
    rows: list[list[NDArray[np.int64]]]  #: For each integration the rows of each block.
    n_antennas: int
    parts_hz: Floats  #: Middles of the parts of the band.

    @classmethod
    def of(
        cls, seen: Visibilities, field: Sequence[ReferenceSource], dish_m: tuple[float, float]
    ) -> "_Work | str":
        times_s = np.unique(np.concatenate([b.time_s for b in seen.blocks]))
        if len(times_s) < _INTERVAL:
            return "it has too few integrations"
        rows = [[np.flatnonzero(b.time_s == t) for b in seen.blocks] for t in times_s]
        n = 1 + max(int(max(b.first.max(), b.second.max())) for b in seen.blocks)
        residual = [b.values.copy() for b in seen.blocks]
        hz = seen.channels_hz
        flux = np.array([s.flux_jy for s in field])
        brightest = [field[i] for i in np.argsort(-flux)[:_FIELD_SOURCES]]
        edges_hz = np.linspace(hz.min(), hz.max() * (1 + 1e-12), _PARTS + 1)
        work = cls(
            seen,
            [b.values.copy() for b in seen.blocks],
            residual,
            [b.variance.astype(np.float64) * seen.noise_scale**2 for b in seen.blocks],
            times_s,
            rows,
            n,
            0.5 * (edges_hz[1:] + edges_hz[:-1]),
        )
        return work._without_field(brightest, dish_m) or work

    def _without_field(self, field: Sequence[ReferenceSource], dish_m: tuple[float, float]) -> str:
        """Subtract the model of the field from the residual; return why it can't be done."""
        if not field:
            return ""
        ra, dec = np.array([(s.ra_deg, s.dec_deg) for s in field]).T
        cosines = np.stack(direction_cosines(ra, dec, *self.seen.phase_center_deg))
        for its in self.rows:
            uvw_m = antennas_uvw_m(self.seen.blocks, its, self.n_antennas)
            if uvw_m is None:
                return "its baselines aren't differences of antennas"
            for block, some, values in zip(self.seen.blocks, its, self.residual, strict=True):
                if not len(some):
                    continue
                pointing = self.seen.pointings_deg[int(block.field_ids[some[0]])]
                hz = block.channels_hz
                apparent_jy = apparent_fluxes_jy(field, pointing, hz, dish_m, self.seen.beam_shape)
                model = model_visibilities(field, apparent_jy, cosines, uvw_m, hz)
                values[some] -= model[:, block.first[some], block.second[some]].T
        return ""

    def subtract(self, name: str, away_deg: float, parts: Sequence[Outlier]) -> OutsideSource:
        """Subtract one source, as long as independent data improve."""
        model = [self._model(b, parts) for b in self.seen.blocks]
        flux_jy = np.sum([p.model.flux_jy(self.parts_hz) for p in parts], axis=0)
        found = OutsideSource(name, away_deg, subtracted=False)
        nothing = [self._model(b, self._mirrored(parts)) for b in self.seen.blocks]
        before = self._copy()
        # What improves in the opposite direction as well isn't the source.
        gain, kind, _ = _solved(*self._sums(nothing))
        if kind:
            self._take_out(nothing, _aligned(gain))
        beside = _solved(*self._sums(model))[2]
        self.values, self.residual = before
        before = self._copy()
        for _ in range(_ROUNDS):
            product, power = self._sums(model)
            gain, kind, improvement = _solved(product, power)
            if not kind:
                break
            self._take_out(model, _aligned(gain))
            level = _typical_gain(product.sum(axis=0), power.sum(axis=0)) ** 2
            apparent_jy = np.mean(level * flux_jy)
            found = replace(
                found,
                subtracted=True,
                apparent_jy=found.apparent_jy + float(apparent_jy),
                gains=found.gains or kind,
                improvement=found.improvement + improvement,
            )
            if kind == "array":
                break
        if beside > _BESIDE_NOTHING * _solved(*self._sums(nothing))[2]:
            return found
        self.values, self.residual = before
        return OutsideSource(name, away_deg, subtracted=False)

    def _copy(self) -> tuple[list[Complexes], list[Complexes]]:
        return [v.copy() for v in self.values], [v.copy() for v in self.residual]

    def _mirrored(self, parts: Sequence[Outlier]) -> list[Outlier]:
        """Return a source at the other side of the middle pointing."""
        ra, dec = self.seen.pointings_deg[int(self.seen.blocks[0].field_ids.max()) // 2]
        return [
            replace(
                p,
                ra_deg=(2 * ra - p.ra_deg) % 360,
                dec_deg=float(np.clip(2 * dec - p.dec_deg, -89, 89)),
            )
            for p in parts
        ]

    def _take_out(self, model: Sequence[Complexes], gain: Complexes) -> None:
        """Subtract a model times gains."""
        for number, block in enumerate(self.seen.blocks):
            for t, its in enumerate(self.rows):
                some = its[number]
                if not len(some):
                    continue
                now = self._interpolated(gain, t, block.channels_hz)
                pair = now[:, block.first[some]] * now[:, block.second[some]].conj()
                signal = model[number][some] * pair.T
                signal[block.weight[some] <= 0] = 0
                self.values[number][some] -= signal
                self.residual[number][some] -= signal

    def _model(self, block: Block, parts: Sequence[Outlier]) -> Complexes:
        """Return what perfect antennas without a beam see of a source, averaged as the data."""
        hz = block.channels_hz
        width_hz = float(np.median(np.diff(hz))) if hz.size > 1 else 0.0
        seen = np.zeros(block.values.shape, np.complex64)
        center = self.seen.phase_center_deg
        for field in np.unique(block.field_ids):
            rows = np.flatnonzero(block.field_ids == field)
            uvw_m = block.uvw_m[rows]
            ra, dec = (float(v) for v in self.seen.pointings_deg[int(field)])
            for part in parts:
                cosines = _cosines(part, center)
                turns = (uvw_m @ cosines)[:, None] * (hz / speed_of_light)
                where = (part.ra_deg, part.dec_deg)
                share = smeared(uvw_m, where, center, (ra, dec), hz, width_hz, INTEGRATION_S)
                if part.diameter_arcmin > 0:
                    along_m = uvw_m @ (cosines + np.array([0.0, 0.0, 1.0]))
                    across_m = np.sqrt(np.maximum((uvw_m**2).sum(axis=1) - along_m**2, 0))
                    share = share * seen_of_disc(part.diameter_arcmin, across_m, hz)
                flux_jy = part.model.flux_jy(hz)
                turns -= np.rint(turns)
                seen[rows] += flux_jy * share * np.exp(2j * np.pi * turns)
        return seen

    def _sums(self, model: Sequence[Complexes]) -> tuple[Complexes, NDArray[np.float32]]:
        """Return data times conjugate model and squared model, over the variance.

        The shape is (halves, intervals, parts, antennas, antennas); halves are even and odd
        integrations.
        """
        n_intervals = max(1, len(self.times_s) // _INTERVAL)
        n = self.n_antennas
        product = np.zeros((2, n_intervals, _PARTS, n, n), np.complex64)
        power = np.zeros(product.shape, np.float32)
        for number, (block, variance) in enumerate(
            zip(self.seen.blocks, self.variance, strict=True)
        ):
            part = np.argmin(np.abs(block.channels_hz[:, None] - self.parts_hz), axis=1)
            starts = np.flatnonzero(np.diff(part, prepend=-1))
            for t in range(len(self.times_s)):
                its = self.rows[t][number]
                if not len(its):
                    continue
                known = np.where(variance[its] > 0, 1 / np.maximum(variance[its], 1e-30), 0)
                weight = block.weight[its] * known[:, None]
                expected = model[number][its]
                place = (t % 2, min(t // _INTERVAL, n_intervals - 1))
                first, second = block.first[its], block.second[its]
                cross = np.add.reduceat(
                    weight * self.residual[number][its] * expected.conj(), starts, axis=1
                )
                square = np.add.reduceat(weight * np.abs(expected) ** 2, starts, axis=1)
                for k, p in enumerate(part[starts]):
                    np.add.at(product[place][p], (first, second), cross[:, k])
                    np.add.at(power[place][p], (first, second), square[:, k])
        product += product.conj().swapaxes(3, 4)
        power += power.swapaxes(3, 4)
        return product, power

    def _interpolated(self, gain: Complexes, t: int, frequencies_hz: Floats) -> Complexes:
        """Return gains of an integration, shape (frequencies, antennas)."""
        n = len(gain)
        place = np.clip((t - 0.5 * (_INTERVAL - 1)) / _INTERVAL, 0, n - 1)
        low = min(int(place), max(0, n - 2))
        share = place - low
        now = gain[low] if n == 1 else gain[low] * (1 - share) + gain[low + 1] * share
        at = np.interp(frequencies_hz, self.parts_hz, np.arange(_PARTS, dtype=np.float64))
        below = np.minimum(at.astype(np.int64), _PARTS - 2)
        part = (at - below)[:, None]
        return np.asarray(now[below] * (1 - part) + now[below + 1] * part, np.complex64)


def _cosines(part: Outlier, center_deg: tuple[float, float]) -> Floats:
    ra, dec = np.array([part.ra_deg]), np.array([part.dec_deg])
    return np.stack(direction_cosines(ra, dec, *center_deg))[:, 0]


def _solved(product: Complexes, power: NDArray[np.float32]) -> tuple[Complexes, str, float]:
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


def _antenna_gains(product: Complexes, power: NDArray[np.float32]) -> Complexes:
    """Return a gain of each antenna in each cell; zero without data. Shape (..., antennas)."""
    a, b = product.astype(np.complex128), power.astype(np.float64)
    typical = np.maximum(_typical_gain(product, power), 1e-6)[..., None]
    gain = np.broadcast_to(typical, a.shape[:-1]).astype(np.complex128)
    # A gain that the data don't constrain, such as that of an antenna that resolves the source,
    # isn't larger than the others.
    prior = typical**-2.0
    for iteration in range(_ITERATIONS):
        below = np.einsum("...ij,...j->...i", b, np.abs(gain) ** 2)
        above = np.einsum("...ij,...j->...i", a, gain)
        new = np.where(below > 0, above / (below + prior), 0)
        if iteration % 2:
            new = 0.5 * (new + gain)
            if np.abs(new - gain).max() < _CONVERGED * np.abs(new).max():
                gain = new
                break
        gain = new
    return np.asarray(gain, np.complex64)


def _typical_gain(product: Complexes, power: NDArray[np.float32]) -> Floats:
    """Return the typical size of the gains in each cell, whatever their phases.

    The variance of a product, real and imaginary part together, is twice its power.
    """
    above = (np.abs(product) ** 2 - 2 * power).sum(axis=(-2, -1), dtype=np.float64)
    below = (power.astype(np.float64) ** 2).sum(axis=(-2, -1))
    return np.asarray(np.maximum(above / np.where(below > 0, below, 1), 0) ** 0.25)


def _common_gain(product: Complexes, power: NDArray[np.float32]) -> Complexes:
    """Return one gain of all antennas in each cell; zero without a positive signal."""
    above, below = product.real.sum(axis=(-2, -1)), power.sum(axis=(-2, -1))
    square = np.maximum(above / np.where(below > 0, below, 1), 0)
    shape = product.shape[:-1]
    return np.asarray(np.broadcast_to(np.sqrt(square)[..., None], shape), np.complex64)


def _improvement(gain: Complexes, product: Complexes, power: NDArray[np.float32]) -> float:
    """Return by how much chi squared falls when the model with these gains is subtracted."""
    pair = gain[..., :, None] * gain[..., None, :].conj()
    falls = 2 * (pair.conj() * product).real - np.abs(pair) ** 2 * power
    # Each pair is there twice.
    return 0.5 * float(falls.sum(dtype=np.float64))


def _aligned(gain: Complexes) -> Complexes:
    """Return gains whose free phases are those of the neighbouring cells."""
    gain = gain.copy()
    for t in range(len(gain)):
        for p in range(gain.shape[1]):
            before = gain[t, p - 1] if p else (gain[t - 1, p] if t else None)
            if before is not None:
                turn = np.vdot(gain[t, p], before)
                gain[t, p] *= turn / abs(turn) if abs(turn) > 0 else 1
    return gain
