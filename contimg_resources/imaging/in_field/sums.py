"""Compare visibilities with a model of their field, in sums for each pair of antennas.

Belongs here: products of data and model, coordinates of antennas. Doesn't: the model (see
`field_model`), solving (see `solving`).

The sums hold everything that a least-squares solution of antenna gains needs, so the visibilities
are read once.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from contimg_resources.compiling import n_cores
from contimg_resources.core.point_sources import direction_cosines
from contimg_resources.imaging.beam import power_toward
from contimg_resources.imaging.in_field.field_model import FieldModel, apparent_fluxes_jy
from contimg_resources.imaging.in_field.model_loops import add_products
from contimg_resources.imaging.model import ReferenceSource
from contimg_resources.imaging.visibilities import Block, Visibilities

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Complexes = NDArray[np.complex64]
Integers = NDArray[np.int64]

#: Parts of the band; even and odd ones are the halves that judge each other.
N_PARTS = 16
#: Fewer parts with data can't.
_LEAST_PARTS = 8
#: The model has the brightest sources, which together have this share of the sum of all squared
#: apparent flux densities; the others hardly change a gain ...
_SHARE = 0.9999
#: ... but at least the first number of them, and at most the second, because each costs time.
_LEAST_SOURCES, _MOST_SOURCES = 40, 80
#: A baseline differs by less than this from the difference of its antennas' coordinates, metres.
_SAME_M = 0.02


@dataclass(frozen=True)
class FieldSums:
    """Sums over the visibilities of each integration, part of the band and pair of antennas.

    Variances are those of the real or imaginary part of a visibility, so that the sums are free of
    units.
    """

    #: Data times conjugate model over variance. Shape (integrations, parts, antennas, antennas),
    #: Hermitian in the antennas. Parts without data are left out.
    product: Complexes
    power: Singles  #: Squared modulus of the model over variance; same shape, symmetric.
    #: Sum of the weights. Shape (integrations, antennas, antennas).
    weight: Singles
    #: Mean frequencies of the parts, weighted with `power`, Hz, ascending. Shape (parts,).
    parts_hz: Floats
    times_s: Floats  #: Times of the integrations, MJD in seconds. Shape (integrations,).
    #: Squared modulus of the data over variance, less its expectation for noise alone, over the
    #: baselines of each antenna. Shape (integrations, antennas).
    signal: Floats
    n_values: Floats  #: Number of visibilities in it; same shape.
    n_rows: Floats  #: Number of all visibilities, also flagged ones; same shape.
    #: Coordinates u, v, w of the antennas, metres, from any origin. Shape (integrations, antennas,
    #: 3).
    antennas_m: Floats


def field_sums(
    seen: Visibilities, sources: Sequence[ReferenceSource], dish_m: tuple[float, float]
) -> FieldSums | str:
    """Compare visibilities with a model of the sources, or return why it can't be done.

    Parameters
    ----------
    seen : Visibilities
        The visibilities.
    sources : sequence of ReferenceSource
        The sources of the model.
    dish_m : (float, float)
        Diameters of dish and blockage, metres: the model is seen through their beam.
    """
    times_s = np.unique(np.concatenate([b.time_s for b in seen.blocks]))
    n_antennas = 1 + max(int(b.second.max(initial=0)) for b in seen.blocks)
    n_antennas = max(n_antennas, 1 + max(int(b.first.max(initial=0)) for b in seen.blocks))
    low, high = (f(f(b.channels_hz) for b in seen.blocks) for f in (min, max))
    edges_hz = np.linspace(low, high * (1 + 1e-12), N_PARTS + 1)
    parts = [np.searchsorted(edges_hz, b.channels_hz, side="right") - 1 for b in seen.blocks]
    if len({int(p) for part in parts for p in part}) < _LEAST_PARTS:
        return "its band has too few channels to be divided"
    times = [np.searchsorted(times_s, b.time_s) for b in seen.blocks]
    pairs = (len(times_s), n_antennas, n_antennas)
    rows = [[np.flatnonzero(k == t) for k in times] for t in range(len(times_s))]
    antennas = _Antennas(n_antennas)
    antennas_m = np.zeros((len(times_s), n_antennas, 3))
    for t, its in enumerate(rows):
        uvw_m = antennas.uvw_m(seen.blocks, its)
        if uvw_m is None:
            return "its baselines aren't differences of antennas"
        antennas_m[t] = uvw_m
    sums = FieldSums(
        product=np.zeros((pairs[0], N_PARTS, *pairs[1:]), np.complex64),
        power=np.zeros((pairs[0], N_PARTS, *pairs[1:]), np.float32),
        weight=np.zeros(pairs, np.float32),
        parts_hz=np.zeros(N_PARTS),
        times_s=times_s,
        signal=np.zeros(pairs[:2]),
        n_values=np.zeros(pairs[:2]),
        n_rows=np.zeros(pairs[:2]),
        antennas_m=antennas_m,
    )
    ra_deg, dec_deg = np.array([(s.ra_deg, s.dec_deg) for s in sources]).T
    cosines = np.stack(direction_cosines(ra_deg, dec_deg, *seen.phase_center_deg))

    def add(t: int) -> Floats:
        frequency = np.zeros(N_PARTS)
        for block, some, part in zip(seen.blocks, rows[t], parts, strict=True):
            if not len(some):
                continue
            pointing = seen.pointings_deg[int(block.field_ids[some[0]])]
            hz = block.channels_hz
            apparent_jy = apparent_fluxes_jy(sources, pointing, hz, dish_m, seen.beam_shape)
            model = FieldModel.of(sources, apparent_jy, cosines, antennas_m[t], hz)
            frequency += _add(sums, t, block, some, part, model, seen.noise_scale)
        return frequency

    with ThreadPoolExecutor(n_cores()) as pool:
        frequency = np.sum(list(pool.map(add, range(len(times_s)))), axis=0)
    total = sums.power.sum(axis=(0, 2, 3), dtype=np.float64)
    used = total > 0
    if used.sum() < _LEAST_PARTS:
        return f"only {used.sum()} of {N_PARTS} parts of its band have data"
    product, power = sums.product[:, used], sums.power[:, used]
    # The other half of each pair.
    return replace(
        sums,
        product=product + product.conj().swapaxes(2, 3),
        power=power + power.swapaxes(2, 3),
        weight=sums.weight + sums.weight.swapaxes(1, 2),
        parts_hz=frequency[used] / total[used],
    )


class _Antennas:
    """Finds coordinates of antennas whose differences are the baselines of an integration."""

    def __init__(self, n_antennas: int) -> None:
        self._n = n_antennas
        self._pairs: tuple[NDArray[np.int16], NDArray[np.int16]] | None = None
        self._inverse: Floats

    def uvw_m(self, blocks: Sequence[Block], rows: Sequence[Integers]) -> Floats | None:
        """Return coordinates, metres, shape (antennas, 3); None: there are none.

        `rows` are the rows of the integration in each block.
        """
        first, second, uvw_m = (
            np.concatenate([getattr(b, name)[some] for b, some in zip(blocks, rows, strict=True)])
            for name in ("first", "second", "uvw_m")
        )
        pairs = self._pairs
        if pairs is None or not (
            np.array_equal(pairs[0], first) and np.array_equal(pairs[1], second)
        ):
            self._pairs = first, second
            counted = np.bincount(first.astype(np.int64) * self._n + second, minlength=self._n**2)
            both = counted.reshape(self._n, self._n)
            both = both + both.T
            # The common origin is free.
            self._inverse = np.linalg.pinv(np.diag(both.sum(axis=1)) - both, hermitian=True)
        sums = [
            np.bincount(first, uvw_m[:, k], self._n) - np.bincount(second, uvw_m[:, k], self._n)
            for k in range(3)
        ]
        found = self._inverse @ np.stack(sums, axis=1)
        if np.abs(found[first] - found[second] - uvw_m).max(initial=0.0) > _SAME_M:
            return None
        return np.asarray(found)


def antennas_uvw_m(
    blocks: Sequence[Block], rows: Sequence[Integers], n_antennas: int
) -> Floats | None:
    """Return coordinates of the antennas in an integration, see `FieldSums`; None: there are none.

    `rows` are the rows of the integration in each block.
    """
    return _Antennas(n_antennas).uvw_m(blocks, rows)


def _add(
    sums: FieldSums,
    t: int,
    block: Block,
    rows: Integers,
    part: Integers,
    model: FieldModel,
    noise_scale: float,
) -> Floats:
    """Add rows of an integration, half of each pair; return the sums of frequencies by `power`."""
    frequency = np.zeros(N_PARTS)
    add_products(
        block.values,
        block.weight,
        block.inverse_variance(noise_scale),
        rows,
        block.first,
        block.second,
        part,
        block.channels_hz,
        model.real,
        model.imaginary,
        model.decays(block.first[rows], block.second[rows]),
        model.step,
        sums.product[t],
        sums.power[t],
        sums.weight[t],
        frequency,
        sums.signal[t],
        sums.n_values[t],
    )
    for antennas in (block.first[rows], block.second[rows]):
        sums.n_rows[t] += len(part) * np.bincount(antennas, minlength=sums.n_rows.shape[1])
    return frequency


def brightest_sources(
    seen: Visibilities, sources: Sequence[ReferenceSource], dish_m: tuple[float, float]
) -> tuple[tuple[ReferenceSource, ...], Floats]:
    """Return the sources with the highest apparent flux densities, and these, Jy."""
    sources = [s for s in sources if np.isfinite(s.flux_jy) and s.flux_jy > 0]
    if not sources:
        return (), np.zeros(0)
    ra, dec = np.array([(s.ra_deg, s.dec_deg) for s in sources]).T
    fields = np.unique(np.concatenate([np.unique(b.field_ids) for b in seen.blocks]))
    middle_hz = float(np.mean(seen.channels_hz))
    hz, shape = np.array([middle_hz]), seen.beam_shape
    power = np.mean(
        [power_toward(seen.pointings_deg[f], ra, dec, hz, dish_m, shape)[0] for f in fields], axis=0
    )
    apparent_jy = np.array([s.flux_at(middle_hz) for s in sources]) * power
    order = np.argsort(-apparent_jy)
    squares = np.cumsum(apparent_jy[order] ** 2)
    enough = int(np.searchsorted(squares, _SHARE * squares[-1])) + 1
    kept = order[: int(np.clip(enough, _LEAST_SOURCES, _MOST_SOURCES))]
    return tuple(sources[i] for i in kept), apparent_jy[kept]
