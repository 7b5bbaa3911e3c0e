"""Compare visibilities with a model of their field, in sums for each pair of antennas.

Belongs here: the model's visibilities, and their products with the data. Doesn't: solving (see
`solving`).

The sums hold everything that a least-squares solution of antenna gains needs, so the visibilities
are read once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.constants import speed_of_light

from contimg_resources.core.point_sources import (
    antenna_phasors,
    direction_cosines,
    point_source_visibilities,
)
from contimg_resources.imaging.beam import power_toward
from contimg_resources.imaging.model import ReferenceSource
from contimg_resources.imaging.visibilities import Block, Visibilities
from contimg_resources.instrument.primary_beam import BeamShape

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Complexes = NDArray[np.complex64]
Integers = NDArray[np.int64]

#: Parts of the band; even and odd ones are the halves that judge each other.
N_PARTS = 16
#: Fewer parts with data can't.
_LEAST_PARTS = 8
#: Sources up to this size (FWHM), arcsec, are points.
_POINT_ARCSEC = 5.0
#: Larger ones below this share of the sum of all squared flux densities are points in the model, to
#: save time.
_TAPERED = 0.01
#: Number of frequencies at which their sizes are taken into account.
_STEPS = 16
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
    product = np.zeros((pairs[0], N_PARTS, *pairs[1:]), np.complex64)
    power = np.zeros(product.shape, np.float32)
    weight = np.zeros(pairs, np.float32)
    signal, n_values, n_rows = np.zeros((3, len(times_s), n_antennas))
    frequency, antennas = np.zeros(N_PARTS), _Antennas(n_antennas)
    antennas_m = np.zeros((len(times_s), n_antennas, 3))
    ra_deg, dec_deg = np.array([(s.ra_deg, s.dec_deg) for s in sources]).T
    cosines = np.stack(direction_cosines(ra_deg, dec_deg, *seen.phase_center_deg))
    for t in range(len(times_s)):
        rows = [np.flatnonzero(k == t) for k in times]
        uvw_m = antennas.uvw_m(seen.blocks, rows)
        if uvw_m is None:
            return "its baselines aren't differences of antennas"
        antennas_m[t] = uvw_m
        for block, some, part in zip(seen.blocks, rows, parts, strict=True):
            if not len(some):
                continue
            pointing = seen.pointings_deg[int(block.field_ids[some[0]])]
            apparent_jy = apparent_fluxes_jy(
                sources, pointing, block.channels_hz, dish_m, seen.beam_shape
            )
            model = model_visibilities(sources, apparent_jy, cosines, uvw_m, block.channels_hz)
            counted = signal[t], n_values[t], n_rows[t]
            sums = _Sums(product[t], power[t], weight[t], frequency, *counted)
            sums.add(block, some, part, model, seen.noise_scale)
    total = power.sum(axis=(0, 2, 3), dtype=np.float64)
    used = total > 0
    if used.sum() < _LEAST_PARTS:
        return f"only {used.sum()} of {N_PARTS} parts of its band have data"
    product, power = product[:, used], power[:, used]
    # The other half of each pair.
    product += product.conj().swapaxes(2, 3)
    power += power.swapaxes(2, 3)
    weight += weight.swapaxes(1, 2)
    parts_hz = frequency[used] / total[used]
    return FieldSums(
        product, power, weight, parts_hz, times_s, signal, n_values, n_rows, antennas_m
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


def apparent_fluxes_jy(
    sources: Sequence[ReferenceSource],
    pointing_deg: Floats,
    frequencies_hz: Floats,
    dish_m: tuple[float, float],
    beam_shape: BeamShape,
) -> Floats:
    """Return flux densities through the beam, Jy, shape (frequencies, sources).

    `pointing_deg`, `dish_m` and `beam_shape` as in `contimg_resources.imaging.beam.power_toward`.
    """
    columns = np.array(
        [(s.flux_jy, s.reference_ghz, s.spectral_index, s.ra_deg, s.dec_deg) for s in sources]
    )
    flux_jy, ghz, index, ra_deg, dec_deg = columns.T
    beam = power_toward(pointing_deg, ra_deg, dec_deg, frequencies_hz, dish_m, beam_shape)
    return np.asarray(beam * flux_jy * (frequencies_hz[:, None] / 1e9 / ghz) ** index)


def resolved(sources: Sequence[ReferenceSource]) -> NDArray[np.bool_]:
    """Return which sources aren't points for the array."""
    return np.array([s.major_arcsec > _POINT_ARCSEC for s in sources])


def model_visibilities(
    sources: Sequence[ReferenceSource],
    apparent_jy: Floats,
    cosines: Floats,
    antennas_m: Floats,
    frequencies_hz: Floats,
) -> Complexes:
    """Return the visibilities of points and Gaussians, Jy, shape (frequencies, antennas, antennas).

    `apparent_jy`, `cosines`, `antennas_m` and `frequencies_hz` as in
    `contimg_resources.core.point_sources.point_source_visibilities`.

    Notes
    -----
    A Gaussian of FWHM theta attenuates a baseline of q wavelengths along its axis by
    ``exp(-(pi theta q)^2 / (4 ln 2))`` (Condon & Ransom 2016, Essential Radio Astronomy, A.7).
    """
    power = (apparent_jy**2).sum(axis=0)
    wide = resolved(sources) & (power > _TAPERED * power.sum())
    model = point_source_visibilities(
        apparent_jy[:, ~wide], cosines[:, ~wide], antennas_m, frequencies_hz
    )
    steps_hz = np.linspace(frequencies_hz.min(), frequencies_hz.max(), _STEPS)
    step = np.abs(frequencies_hz[:, None] - steps_hz).argmin(axis=1)
    apart_m = (antennas_m[:, None, :2] - antennas_m[:, :2]).astype(np.float32)
    for i in np.flatnonzero(wide).tolist():
        angle = np.radians(sources[i].angle_deg)
        east, north = np.sin(angle), np.cos(angle)
        along = apart_m @ np.array([east, north], np.float32)
        across = apart_m @ np.array([north, -east], np.float32)
        axes = np.radians(np.array([sources[i].major_arcsec, sources[i].minor_arcsec]) / 3600)
        squares = (np.pi**2 / (4 * np.log(2)) / speed_of_light**2) * axes**2
        decay = np.float32(squares[0]) * along**2 + np.float32(squares[1]) * across**2
        # The decay changes little from one channel to the next.
        decays = [np.exp(-np.float32(hz**2) * decay) for hz in steps_hz]
        phasors = antenna_phasors(
            apparent_jy[:, i : i + 1], cosines[:, i : i + 1], antennas_m, frequencies_hz
        )
        for channel, phasor in enumerate(phasors):
            own = phasor * phasor[:, 0].conj()
            own *= decays[step[channel]]
            model[channel] += own
    return model


@dataclass(frozen=True)
class _Sums:
    """The sums of one integration, see `FieldSums`; half of each pair."""

    product: Complexes
    power: Singles
    weight: Singles
    frequency: Floats
    signal: Floats
    n_values: Floats
    n_rows: Floats

    def add(
        self,
        block: Block,
        rows: Integers,
        part: Integers,
        model: Complexes,
        noise_scale: float,
    ) -> None:
        """Add the rows of a block; `model` has the shape (columns, antennas, antennas)."""
        first, second = block.first[rows], block.second[rows]
        expected = model[:, first, second]
        data, natural = block.values[rows].T, block.weight[rows].T
        variance = block.variance[rows] * np.float32(noise_scale**2)
        known = variance > 0
        per_variance = natural * np.where(known, 1 / np.where(known, variance, 1), 0)
        starts = np.flatnonzero(np.diff(part, prepend=-1))
        weighted = per_variance * expected.conj()
        square = (weighted * expected).real
        places = part[starts][:, None], first, second
        put(self.product, places, np.add.reduceat(data * weighted, starts))
        put(self.power, places, np.add.reduceat(square, starts))
        put(self.weight, places[1:], per_variance.sum(axis=0))
        by_column = square.sum(axis=1, dtype=np.float64) * block.channels_hz
        self.frequency[part[starts]] += np.add.reduceat(by_column, starts)
        n_values = np.count_nonzero(per_variance, axis=0)
        # The real and the imaginary part of noise add one each.
        signal = (per_variance * np.abs(data) ** 2).sum(axis=0) - 2 * n_values
        for antennas in (first, second):
            self.signal[:] += np.bincount(antennas, signal, len(self.signal))
            self.n_values[:] += np.bincount(antennas, n_values, len(self.signal))
            self.n_rows[:] += len(part) * np.bincount(antennas, minlength=len(self.signal))


def put(sums: NDArray[Any], places: tuple[Any, ...], values: NDArray[Any]) -> None:
    """Add values at the places of antenna pairs, the last two, which may be repeated."""
    n = sums.shape[-1]
    pairs = places[-2].astype(np.int64) * n + places[-1]
    if len(np.unique(pairs)) < len(pairs):
        np.add.at(sums, places, values)
    else:
        sums[places] += values
