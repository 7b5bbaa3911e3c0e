"""Subtract bright sources outside of the image from the visibilities of an observation.

Belongs here: which sources may matter, their gains through the sidelobes of the dishes, subtracting
them where independent data improve. Doesn't: sources in the image, which CLEAN removes.

A source far away is smeared on long baselines and turns its phase quickly over time and frequency
on all, so that Cas A in the far sidelobes disappears in the noise. What matters are the brightest
sources within some 20 deg, in the near sidelobes, and the Sun.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.constants import speed_of_light

from contimg_resources.compiling import n_cores
from contimg_resources.core.point_sources import direction_cosines
from contimg_resources.core.progress import report_progress
from contimg_resources.core.smearing import smeared
from contimg_resources.imaging.in_field.field_model import FieldModel, apparent_fluxes_jy
from contimg_resources.imaging.in_field.sums import antennas_uvw_m, brightest_sources
from contimg_resources.imaging.model import OutsideSource, OutsideSources, ReferenceSource
from contimg_resources.imaging.outside_gains import aligned, solved, typical_gain
from contimg_resources.imaging.outside_loops import add_products, subtract_source
from contimg_resources.imaging.visibilities import Block, Visibilities
from contimg_resources.instrument.dsa110 import INTEGRATION_S, LATITUDE_DEG
from contimg_resources.observations.bright_sky import Outlier, outliers_above, seen_of_disc
from contimg_resources.observations.calibrators import separation_deg
from contimg_resources.observations.flux_model import FluxModel

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Complexes = NDArray[np.complex64]

#: Sources nearer than this to every pointing belong to the image, degrees; beyond the second they
#: are far.
NEAREST_DEG, FAR_DEG = 3.0, 20.0
#: A source may matter from this flux density through the sidelobes on, Jy, and a far one, which is
#: smeared more, from the second.
_LEAST_JY, _LEAST_FAR_JY = 0.02, 1.0
#: A source matters if it adds this fraction of the thermal noise to the image: the rms rises by
#: 2 %. It is estimated from this many visibilities' rows or more.
_LEAST_EFFECT, _ESTIMATED_ROWS = 0.2, 6000
#: A source of the catalogue this close to one of the brightest sources of the sky is the same.
_SAME_DEG = 0.2
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
#: What the model of the field leaves imitates sources, too: so the direction opposite to the
#: source, where there is none, is solved as well, and the source without it has to improve this
#: many times more than it does without the source.
_BESIDE_NOTHING = 4.0
#: What is found with more than this many times the flux density that the sidelobes of the dishes
#: let through isn't the source.
_MOST_TIMES = 10.0


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
    middle_hz = float(np.mean(seen.channels_hz))
    candidates = [
        (name, away_deg, parts, response * sum(float(p.model.flux_jy(middle_hz)) for p in parts))
        for name, away_deg, parts, response in _candidates(seen, known, dish_m)
        if _effect(seen, parts, response) > _LEAST_EFFECT
    ]
    if not candidates:
        return seen, OutsideSources("no source in the sidelobes of the dishes is bright enough")
    places_deg = _pointings_deg(seen)
    near = [s for s in field if _away_deg(places_deg, s.ra_deg, s.dec_deg) < NEAREST_DEG]
    work = _Work.of(seen, near, dish_m)
    if isinstance(work, str):
        return seen, OutsideSources(f"nothing outside of the image was subtracted: {work}")
    outcomes = []
    for name, away_deg, parts, expected_jy in candidates:
        report_progress(f"looking for {name}, {away_deg:.1f} deg away", 0.15)
        outcomes.append(work.subtract(name, away_deg, parts, _MOST_TIMES * expected_jy))
    done = [o for o in outcomes if o.subtracted]
    told = [f"{o.name} ({o.away_deg:.1f} deg away, {1e3 * o.apparent_jy:.0f} mJy)" for o in done]
    left = [o.name for o in outcomes if not o.subtracted]
    why = f"independent data improve without {', '.join(told)}" if done else ""
    if left:
        why += "; " * bool(why) + f"no improvement without {', '.join(left)}"
    return (work.subtracted() if done else seen), OutsideSources(why, tuple(outcomes))


def _away_deg(pointings_deg: Floats, ra_deg: float, dec_deg: float) -> float:
    """Return the smallest distance from a pointing, degrees."""
    ra, dec = pointings_deg.T
    return float(separation_deg(ra, dec, ra_deg, dec_deg).min())


def _pointings_deg(seen: Visibilities) -> Floats:
    """Return the pointings that have data, ICRS degrees, shape (fields, 2)."""
    fields = np.unique(np.concatenate([np.unique(b.field_ids) for b in seen.blocks]))
    return np.asarray(seen.pointings_deg[fields], np.float64)


_Candidate = tuple[str, float, list[Outlier], float]


def _candidates(
    seen: Visibilities, known: Sequence[ReferenceSource], dish_m: tuple[float, float]
) -> list[_Candidate]:
    """Return names, distances, components and power response of sources that may matter.

    The one that is brightest through the sidelobes is the first.
    """
    middle_hz = float(np.mean(seen.channels_hz))
    places_deg = _pointings_deg(seen)
    mjd = 0.5 * (seen.start_mjd + seen.end_mjd)
    zenith_deg = float(places_deg[len(places_deg) // 2, 0]), LATITUDE_DEG
    everywhere = outliers_above(mjd, zenith_deg)
    listed = [
        Outlier(
            s.name,
            s.ra_deg,
            s.dec_deg,
            FluxModel.power_law(s.flux_jy, s.reference_ghz, s.spectral_index, "catalogue"),
            0.0,
        )
        for s in known
        if np.isfinite(s.flux_jy)
        and s.flux_jy > 0
        and all(
            separation_deg(s.ra_deg, s.dec_deg, b.ra_deg, b.dec_deg) > _SAME_DEG for b in everywhere
        )
    ]
    groups: dict[str, list[Outlier]] = {}
    for source in (*everywhere, *listed):
        groups.setdefault(source.name, []).append(source)
    found: list[tuple[float, _Candidate]] = []
    for name, parts in groups.items():
        away_deg = _away_deg(places_deg, parts[0].ra_deg, parts[0].dec_deg)
        if away_deg < NEAREST_DEG:
            continue
        sine = np.sin(min(np.radians(away_deg), 0.5 * np.pi))
        response = float(8 / (np.pi * (np.pi * dish_m[0] * sine * middle_hz / speed_of_light) ** 3))
        response += _LEVEL
        apparent_jy = response * sum(float(p.model.flux_jy(middle_hz)) for p in parts)
        if apparent_jy > (_LEAST_JY if away_deg < FAR_DEG else _LEAST_FAR_JY):
            found.append((apparent_jy, (name, away_deg, parts, response)))
    return [candidate for _, candidate in sorted(found, key=lambda f: -f[0])[:_MOST]]


def _effect(seen: Visibilities, parts: Sequence[Outlier], response: float) -> float:
    """Return the rms that a source adds to the image, over thermal noise, estimated.

    Notes
    -----
    Far from the source, the signals of different pairs of antennas add with random phases, while
    those of one pair add with their own: so each pair adds half of its squared sum to the variance,
    and some pairs give the estimate. Natural weights.
    """
    n = _n_antennas(seen)
    share = min(1.0, _ESTIMATED_ROWS / sum(len(b.first) for b in seen.blocks))
    chosen = np.random.default_rng(n).random((n, n)) <= share
    total, noise = np.zeros(n * n, np.complex128), 0.0
    for block in seen.blocks:
        rows = np.flatnonzero(chosen[block.first, block.second])
        path_m, share_jy = _component_views(seen, block, rows, parts)
        edges = _edges(seen, block)
        weight = block.weight[rows]
        added = np.zeros(len(rows), np.complex128)
        for path, jy in zip(path_m.T, share_jy.swapaxes(0, 1), strict=True):
            phases = path[:, None] * (block.channels_hz / speed_of_light)
            signal = np.repeat(jy, np.diff(edges), axis=1) * np.exp(2j * np.pi * phases)
            added += (weight * signal).sum(axis=1)
        np.add.at(total, block.first[rows].astype(np.int64) * n + block.second[rows], added)
        noise += float((weight * block.variance[rows, None]).sum(dtype=np.float64))
    signal = 0.5 * response**2 * float((np.abs(total) ** 2).sum())
    return float(np.sqrt(signal / noise) / seen.noise_scale) if noise > 0 else 0.0


def _n_antennas(seen: Visibilities) -> int:
    """Return the number of antennas up to the last that has data."""
    pairs = [(b.first.max(initial=0), b.second.max(initial=0)) for b in seen.blocks]
    return 1 + int(np.max(pairs))


def _edges(seen: Visibilities, block: Block) -> NDArray[np.int64]:
    """Return the first channel of each part of the band, and the number of channels."""
    edges_hz = np.linspace(seen.channels_hz.min(), seen.channels_hz.max(), _PARTS + 1)
    hz = block.channels_hz
    return np.asarray(np.r_[0, np.searchsorted(hz, edges_hz[1:-1]), len(hz)], np.int64)


def _component_views(
    seen: Visibilities, block: Block, rows: NDArray[np.int64], parts: Sequence[Outlier]
) -> tuple[Singles, Singles]:
    """Return what perfect antennas without a beam see of a source, averaged as the data.

    These are the path differences of its components, metres, shape (rows, components), and their
    flux densities that are left, Jy, shape (rows, components, parts of the band).
    """
    hz = block.channels_hz
    width_hz = float(np.median(np.diff(hz))) if hz.size > 1 else 0.0
    edges = _edges(seen, block)
    # An empty part has no channel that is asked for.
    parts_hz = hz[np.minimum((edges[1:] + edges[:-1]) // 2, len(hz) - 1)]
    path_m = np.zeros((len(rows), len(parts)), np.float32)
    share_jy = np.zeros((len(rows), len(parts), _PARTS), np.float32)
    center = seen.phase_center_deg
    for field in np.unique(block.field_ids[rows]):
        its = np.flatnonzero(block.field_ids[rows] == field)
        uvw_m = block.uvw_m[rows[its]]
        pointing = (float(seen.pointings_deg[field, 0]), float(seen.pointings_deg[field, 1]))
        for k, part in enumerate(parts):
            cosines = _cosines(part, center)
            where = (part.ra_deg, part.dec_deg)
            share = smeared(uvw_m, where, center, pointing, parts_hz, width_hz, INTEGRATION_S)
            if part.diameter_arcmin > 0:
                along_m = uvw_m @ (cosines + np.array([0.0, 0.0, 1.0]))
                across_m = np.sqrt(np.maximum((uvw_m**2).sum(axis=1) - along_m**2, 0))
                share = share * seen_of_disc(part.diameter_arcmin, across_m, parts_hz)
            path_m[its, k] = uvw_m @ cosines
            share_jy[its, k] = part.model.flux_jy(parts_hz) * share
    return path_m, share_jy


#: A source as each block sees it, see `_component_views`.
_View = list[tuple[Singles, Singles]]


@dataclass
class _Work:
    """Visibilities from which sources are subtracted, one after the other."""

    seen: Visibilities
    residual: list[Complexes]  #: Without the model of the field and the sources subtracted so far.
    inverse: list[Singles]  #: 1 / (variance of a visibility's real part times weight), by row.
    times_s: Floats
    rows: list[list[NDArray[np.int64]]]  #: For each integration the rows of each block.
    n_antennas: int
    parts_hz: Floats  #: Middles of the parts of the band.
    taken: list[tuple[_View, Complexes]]  #: Sources that were subtracted, and their gains.

    @classmethod
    def of(
        cls, seen: Visibilities, field: Sequence[ReferenceSource], dish_m: tuple[float, float]
    ) -> "_Work | str":
        times_s = np.unique(np.concatenate([b.time_s for b in seen.blocks]))
        if len(times_s) < _INTERVAL:
            return "it has too few integrations"
        rows = [[np.flatnonzero(b.time_s == t) for b in seen.blocks] for t in times_s]
        n = _n_antennas(seen)
        edges_hz = np.linspace(seen.channels_hz.min(), seen.channels_hz.max(), _PARTS + 1)
        work = cls(
            seen,
            [b.values.copy() for b in seen.blocks],
            [b.inverse_variance(seen.noise_scale) for b in seen.blocks],
            times_s,
            rows,
            n,
            0.5 * (edges_hz[1:] + edges_hz[:-1]),
            [],
        )
        return work._without_field(field, dish_m) or work

    def _without_field(self, field: Sequence[ReferenceSource], dish_m: tuple[float, float]) -> str:
        """Subtract the model of the field from the residual; return why it can't be done."""
        model, _ = brightest_sources(self.seen, field, dish_m)
        if not model:
            return "without known sources in the field, these can't be told from others"
        ra, dec = np.array([(s.ra_deg, s.dec_deg) for s in model]).T
        cosines = np.stack(direction_cosines(ra, dec, *self.seen.phase_center_deg))
        antennas_m = []
        for its in self.rows:
            uvw_m = antennas_uvw_m(self.seen.blocks, its, self.n_antennas)
            if uvw_m is None:
                return "its baselines aren't differences of antennas"
            antennas_m.append(uvw_m)

        def subtract(t: int) -> None:
            for block, some, values in zip(
                self.seen.blocks, self.rows[t], self.residual, strict=True
            ):
                if not len(some):
                    continue
                pointing = self.seen.pointings_deg[int(block.field_ids[some[0]])]
                hz = block.channels_hz
                apparent_jy = apparent_fluxes_jy(model, pointing, hz, dish_m, self.seen.beam_shape)
                seen = FieldModel.of(model, apparent_jy, cosines, antennas_m[t], hz)
                left = values[some]
                seen.subtract_from(left, block.first[some], block.second[some])
                values[some] = left

        with ThreadPoolExecutor(n_cores()) as pool:
            list(pool.map(subtract, range(len(self.rows))))
        return ""

    def subtract(
        self, name: str, away_deg: float, parts: Sequence[Outlier], most_jy: float
    ) -> OutsideSource:
        """Subtract one source, as long as independent data improve, if it isn't too bright."""
        nothing_found = OutsideSource(name, away_deg, subtracted=False)
        view = self._view(parts)
        product, power = self._sums(view)
        if not solved(product, power)[1]:
            return nothing_found
        flux_jy = np.sum([p.model.flux_jy(self.parts_hz) for p in parts], axis=0)
        nothing = self._view(self._mirrored(parts))
        # What improves in the opposite direction as well isn't the source.
        with self._without(nothing):
            beside = solved(*self._sums(view))[2]
        found, gains = nothing_found, []
        for number in range(_ROUNDS):
            if number:
                product, power = self._sums(view)
            gain, kind, improvement = solved(product, power)
            if not kind:
                break
            gains.append(aligned(gain))
            self._take_out(self.residual, view, gains[-1])
            level = typical_gain(product.sum(axis=0), power.sum(axis=0)) ** 2
            found = replace(
                found,
                subtracted=True,
                apparent_jy=found.apparent_jy + float(np.mean(level * flux_jy)),
                gains=found.gains or kind,
                improvement=found.improvement + improvement,
            )
            if kind == "array":
                break
        is_itself = beside > _BESIDE_NOTHING * solved(*self._sums(nothing))[2]
        if is_itself and found.apparent_jy <= most_jy:
            self.taken += [(view, gain) for gain in gains]
            return found
        for gain in gains:
            self._take_out(self.residual, view, gain, -1)
        return nothing_found

    @contextmanager
    def _without(self, view: _View) -> Iterator[None]:
        """Take a source out for a while, where that improves independent data."""
        gain, kind, _ = solved(*self._sums(view))
        if not kind:
            yield
            return
        gain = aligned(gain)
        self._take_out(self.residual, view, gain)
        yield
        self._take_out(self.residual, view, gain, -1)

    def subtracted(self) -> Visibilities:
        """Return the visibilities without the sources that were subtracted."""
        values = [b.values.copy() for b in self.seen.blocks]
        for view, gain in self.taken:
            self._take_out(values, view, gain)
        blocks = zip(self.seen.blocks, values, strict=True)
        return replace(self.seen, blocks=tuple(replace(b, values=v) for b, v in blocks))

    def _mirrored(self, parts: Sequence[Outlier]) -> list[Outlier]:
        """Return a source at the other side of the middle pointing."""
        places_deg = _pointings_deg(self.seen)
        ra, dec = places_deg[len(places_deg) // 2]
        return [
            replace(
                p,
                ra_deg=(2 * ra - p.ra_deg) % 360,
                dec_deg=float(np.clip(2 * dec - p.dec_deg, -89, 89)),
            )
            for p in parts
        ]

    def _view(self, parts: Sequence[Outlier]) -> _View:
        return [
            _component_views(self.seen, b, np.arange(len(b.first)), parts) for b in self.seen.blocks
        ]

    def _take_out(
        self, values: Sequence[Complexes], view: _View, gain: Complexes, sign: int = 1
    ) -> None:
        """Subtract a source times gains from visibilities, in place; add it with sign -1."""
        view = [(path_m, sign * share_jy) for path_m, share_jy in view]

        def subtract(t: int) -> None:
            for block, some, its, (path_m, share_jy) in zip(
                self.seen.blocks, self.rows[t], values, view, strict=True
            ):
                hz = block.channels_hz
                subtract_source(
                    its,
                    block.weight,
                    some,
                    block.first,
                    block.second,
                    path_m,
                    share_jy,
                    (hz / speed_of_light).astype(np.float32),
                    _edges(self.seen, block),
                    np.ascontiguousarray(self._interpolated(gain, t, hz).T),
                )

        with ThreadPoolExecutor(n_cores()) as pool:
            list(pool.map(subtract, range(len(self.rows))))

    def _sums(self, view: _View) -> tuple[Complexes, Singles]:
        """Return data times conjugate model and squared model, over the variance.

        The shape is (halves, intervals, parts, antennas, antennas); halves are even and odd
        integrations.
        """
        n_intervals = max(1, len(self.times_s) // _INTERVAL)
        n = self.n_antennas
        product = np.zeros((2, n_intervals, _PARTS, n, n), np.complex64)
        power = np.zeros(product.shape, np.float32)

        def add(place: tuple[int, int]) -> None:
            half, interval = place
            for t in range(half, len(self.times_s), 2):
                if min(t // _INTERVAL, n_intervals - 1) != interval:
                    continue
                for number, (block, (path_m, share_jy)) in enumerate(
                    zip(self.seen.blocks, view, strict=True)
                ):
                    hz = block.channels_hz
                    add_products(
                        self.residual[number],
                        block.weight,
                        self.inverse[number],
                        self.rows[t][number],
                        block.first,
                        block.second,
                        path_m,
                        share_jy,
                        (hz / speed_of_light).astype(np.float32),
                        _edges(self.seen, block),
                        product[place],
                        power[place],
                    )

        with ThreadPoolExecutor(n_cores()) as pool:
            list(pool.map(add, np.ndindex(2, n_intervals)))
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
